"""``audit``: what the audit trail of a store says, and whether its chain holds."""

from __future__ import annotations

import json as jsons
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bruno_memory_vec.surfaces.cli.options import (
    Json,
    Since,
    Store,
    Until,
)
from bruno_memory_vec.surfaces.cli.running import (
    MISUSED,
    NOTHING_FOUND,
    UNSOUND,
    CliError,
    Out,
    execute,
)
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from bruno_memory_vec.privacy.audit.reading import AuditReport
    from bruno_memory_vec.store.trail.entry import AuditEntry

# Optional[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP045


def audit(
    user: Annotated[
        Optional[str],
        typer.Option("--user", "-u", metavar="USER", help="Only what was about this user."),
    ] = None,
    caller: Annotated[
        Optional[str], typer.Option("--caller", metavar="NAME", help="Only of this caller.")
    ] = None,
    action: Annotated[
        Optional[str],
        typer.Option(
            "--action",
            metavar="WHAT",
            help="Only read, write, delete, export, erase, administer, or trail.",
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    verify: Annotated[
        bool, typer.Option("--verify", help="Say whether it is as it was written.")
    ] = False,
    heads: Annotated[
        Optional[Path],
        typer.Option(
            "--heads",
            metavar="FILE",
            help="With --verify: a JSON file of heads that was kept elsewhere.",
        ),
    ] = None,
    folder: Annotated[
        Optional[Path],
        typer.Option("--folder", metavar="FOLDER", help="Where the trail is, if elsewhere."),
    ] = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Show who read, wrote, deleted and exported what, the newest first.

    It reads the files of the trail, so others may use the store meanwhile. A trail that is chained
    with a key needs it, in BRUNO_MEMORY_AUDIT_KEY. `--verify --json` prints the heads, to be kept
    where nobody who writes the store can write. Exit code 4: the chain does not hold.
    """

    async def work(out: Out) -> int:
        from bruno_memory_vec.privacy.audit.reading import AuditFilter, entries_in, verify_trails
        from bruno_memory_vec.store.trail.entry import AUDITED
        from bruno_memory_vec.store.trail.files import trails_in
        from bruno_memory_vec.store.trail.trail import chain_of, trail_folder
        from bruno_memory_vec.surfaces.cli.opening import configuration

        if action is not None and action not in AUDITED:
            raise CliError(
                f"there is no action {action!r}", f"Use one of {', '.join(AUDITED)}", code=MISUSED
            )
        if heads is not None and not verify:
            raise CliError("--heads is for --verify", "Add --verify", code=MISUSED)
        config = configuration(store)
        place, chain = folder or trail_folder(config), chain_of(config)
        if not trails_in(place):
            raise CliError(
                f"there is no audit trail in {place}",
                "Open the memory with audit=True (BRUNO_MEMORY_AUDIT=1), or name its --folder",
                code=NOTHING_FOUND,
            )
        if verify:
            report = verify_trails(place, chain, None if heads is None else _read(heads))
            _report(out, report)
            return 0 if report.ok else UNSOUND
        where = AuditFilter(user, caller, action, since, until)
        found = entries_in(place, where, chain, limit)
        if out.as_json:
            out.result({"folder": str(place), "entries": [one.to_dict() for one in found]})
        else:
            _print(out, found)
        return 0 if found else NOTHING_FOUND

    execute(json, work)


def _read(path: Path) -> Any:
    try:
        read = jsons.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CliError(
            f"{path} cannot be read as JSON: {error}", "Give what --verify --json printed"
        ) from error
    # The whole document that --verify --json prints will do.
    return read["heads"] if isinstance(read, dict) and "heads" in read else read


def _report(out: Out, report: AuditReport) -> None:
    out.report(report)
    if report.ok and not report.keyed and not out.as_json:
        out.say("Without a key: who can write its files can write another trail.")


def _print(out: Out, found: list[AuditEntry]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from bruno_memory_vec.prompts.hidden_characters import marked

    if not found:
        out.say("nothing found")
        return
    # Two lines each, so that sixty columns are enough.
    for one in found:
        many = ", ".join(counted(count, kind) for kind, count in one.counts.items())
        ended = "" if one.error is None else f"  {one.outcome}: {one.error}"
        first = f"{one.at:%Y-%m-%d %H:%M:%S}  {one.action:<10} {one.call}{ended}"
        out.console.print(Text(first, style="" if one.error is None else "red"))
        about = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in one.about.items())
        second = [
            f"of {', '.join(map(marked, one.users[:5]))}" if one.users else "",
            f"and {len(one.users) - 5:,} more" if len(one.users) > 5 else "",
            many,
            f"by {marked(one.caller)}" if one.caller else "",
            f"for {marked(one.purpose)}" if one.purpose else "",
            f"in the view of {marked(one.view)}" if one.view and one.view not in one.users else "",
            about,
        ]
        said = "; ".join(part for part in second if part)
        if said:
            out.console.print(Padding(Text(said, style="dim"), (0, 0, 0, 4)))
    out.console.print(Text(f"{counted(len(found), 'entry')}, times in UTC", style="dim"))
