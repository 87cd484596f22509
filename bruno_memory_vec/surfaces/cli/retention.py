"""``retention``: delete what is older than the policy lets it be."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from bruno_memory_vec.surfaces.cli.options import DryRun, Json, Sessions, Store
from bruno_memory_vec.surfaces.cli.running import MISUSED, CliError, Out, execute


def retention(
    store: Store = None,
    sessions: Sessions = None,
    days: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--days",
            metavar="[KIND=]N",
            help="How long rows of a kind are kept: 365 for all, message=365, "
            "message.tool=30, memory.short_term=7. Repeat it.  "
            "[default: the setting retention_days]",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Delete messages and memories that are older than they may be.

    Their age is that of what was said (created_at), not of when it was stored. Pinned rows are
    kept; summaries and facts that were made of what is deleted go with it. maintain does the same
    where the setting retention_days is there.
    """
    execute(json, lambda out: _retention(out, store, sessions, days or [], dry_run))


async def _retention(
    out: Out, store: str | None, sessions: str | None, days: list[str], dry_run: bool
) -> int:
    from bruno_memory_vec.retention_policy import FIELD, retention_of
    from bruno_memory_vec.store.manifest import IN_MEMORY
    from bruno_memory_vec.surfaces.cli.opening import configuration, reading, writing

    config = configuration(store, sessions=sessions)
    if config.url == IN_MEMORY:
        raise CliError(f"{IN_MEMORY} keeps nothing", "Name a folder with --store", code=MISUSED)
    policy = retention_of(_given(days)) if days else config.retention_days
    if policy is None:
        raise CliError(
            "nothing says how long rows are kept",
            f"Give --days, such as --days message=365, or set {FIELD}",
            code=MISUSED,
        )
    if dry_run:
        async with reading(config, out, embeds=False) as memory:
            out.report(await memory.apply_retention(policy, dry_run=True))
        return 0
    async with writing(config, out, embeds=False) as memory:
        report = await memory.apply_retention(policy)
    out.report(report)
    return 0


def _given(days: list[str]) -> Any:
    if len(days) == 1 and "=" not in days[0]:
        return _number(days[0])
    policy: dict[str, Any] = {}
    for one in days:
        kind, separator, number = one.partition("=")
        if not separator:
            raise typer.BadParameter(f"{one!r} names no kind: write message={one}")
        if kind in policy:
            raise typer.BadParameter(f"{kind!r} is given twice")
        policy[kind] = None if number == "none" else _number(number)
    return policy


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number of days") from None
