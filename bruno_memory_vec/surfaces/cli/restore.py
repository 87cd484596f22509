"""``restore``: a store as it was at a point of a backup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bruno_memory_vec.surfaces.cli.copy import tell
from bruno_memory_vec.surfaces.cli.options import (
    DryRun,
    Json,
    Merge,
    Mirror,
    NewEmbedder,
    TargetSessions,
    others,
)
from bruno_memory_vec.surfaces.cli.running import FAILED, Out, execute
from bruno_memory_vec.surfaces.cli.times import moment

if TYPE_CHECKING:
    from datetime import datetime

# Optional[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP045


def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="The backup: folder or file.")],
    to: Annotated[
        str, typer.Argument(metavar="STORE", help="Where to: a folder, or the URL of a store.")
    ],
    at: Annotated[
        Optional[str],
        typer.Option(
            "--at",
            metavar="TIME",
            help="The newest point by this time, or a point's number; "
            "see backup --list.  [default: the newest point]",
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        Optional[str], typer.Option("--user", "-u", metavar="USER", help="Restore only this user.")
    ] = None,
    embedder: NewEmbedder = None,
    merge: Merge = False,
    mirror: Mirror = False,
    dry_run: DryRun = False,
    sessions: TargetSessions = None,
    json: Json = False,
) -> None:
    """Make a store of a point of a backup, and compare every row with it.

    Without --merge and --mirror the store has to be new, or to have only rows of the point. A
    restore that was stopped goes on with the same command.
    """

    async def work(out: Out) -> int:
        asked: dict[str, Any] = {
            "at": None if at is None else _at(at),
            "user_id": user,
            "embedder": embedder,
            "others": others(merge, mirror),
            "dry_run": dry_run,
            **({} if sessions is None else {"sessions": sessions}),
        }
        return await _restore(out, source, to, asked)

    execute(json, work)


async def _restore(out: Out, source: Path, to: str, asked: dict[str, Any]) -> int:
    from bruno_memory_vec.surfaces.cli.opening import bars
    from bruno_memory_vec.upkeep.backup.restoring import restore_backup

    with bars(out) as progress:
        report = await restore_backup(source, to, progress=progress, **asked)
    tell(out, report)
    return 0 if report.ok else FAILED


def _at(text: str) -> datetime | int:
    try:
        return int(text)
    except ValueError:
        return moment(text)
