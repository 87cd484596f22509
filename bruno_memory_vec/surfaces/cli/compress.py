"""``compress``: summaries in place of older turns, and back."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from bruno_memory_vec.surfaces.cli.options import DryRun, Embedder, Json, Sessions, Store, User
from bruno_memory_vec.surfaces.cli.running import FAILED, MISUSED, CliError, Out, execute


def compress(
    conversation: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="CONVERSATION", help="Only this one.  [default: all]"),
    ] = None,
    store: Store = None,
    sessions: Sessions = None,
    user: User = None,
    embedder: Embedder = None,
    keep_newest: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=0, help="So many turns of each conversation stay.  [default: 20]"),
    ] = None,
    ratio: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Tokens of a summary, as a share of its turns'.  [default: 0.4]"),
    ] = None,
    dry_run: DryRun = False,
    restore: Annotated[
        bool, typer.Option("--restore", help="Undo it: delete the summaries, recall the turns.")
    ] = False,
    json: Json = False,
) -> None:
    """Put summaries in place of older turns, which are archived and not lost.

    The summaries are made of sentences of the turns; no model is asked. The setting compression
    says what is compressed where no option does.
    """
    changed = {"keep_newest": keep_newest, "ratio": ratio}
    given = {name: value for name, value in changed.items() if value is not None}
    execute(
        json,
        lambda out: _compress(
            out, conversation, store, sessions, user, embedder, given, dry_run, restore
        ),
    )


async def _compress(
    out: Out,
    conversation: str | None,
    store: str | None,
    sessions: str | None,
    user: str | None,
    embedder: str | None,
    given: dict[str, float],
    dry_run: bool,
    restore: bool,
) -> int:
    from bruno_memory_vec import ALL_USERS, CompressionPolicy
    from bruno_memory_vec.surfaces.cli.opening import (
        choose_user,
        configuration,
        reading,
        writing,
    )

    if restore and dry_run:
        raise CliError(
            "--restore and --dry-run do not go together: nothing was done",
            "See with --dry-run what would be compressed, or undo it with --restore alone",
            code=MISUSED,
        )
    config = configuration(store, embedder, sessions=sessions)
    chosen = config.compression or CompressionPolicy()
    policy = CompressionPolicy(**{**chosen.model_dump(), **given, "background": False})
    # Nothing else is to be done while it is open.
    config = config.model_copy(update={"compression": None})
    opened = reading(config, out, embeds=False) if dry_run else writing(config, out)
    async with opened as memory:
        if restore:
            if user is None and conversation is None:
                user = choose_user(await memory.list_users())
            back = await memory.restore(conversation_id=conversation, user_id=user)
            if out.as_json:
                out.result({"turns": back.turns, "summaries": back.summaries})
            else:
                out.lines(str(back))
            return 0
        whose = ALL_USERS if user is None and conversation is None else user
        report = await memory.compress(
            whose, conversation_id=conversation, policy=policy, dry_run=dry_run
        )
    out.report(report)
    return 0 if report.ok else FAILED
