"""``backup``: points in time of a store; what a backup has, whether it is whole, and pruning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bruno_memory_vec.surfaces.cli.options import Embedder, Json, Sessions, Store
from bruno_memory_vec.surfaces.cli.running import FAILED, MISUSED, UNSOUND, CliError, Out, execute

if TYPE_CHECKING:
    from bruno_memory_vec.upkeep.backup.report import BackupReport, PruneBackupReport

# Optional[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP045


def backup(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            help="The backup: a folder, or one file, whose name ends with .backup.",
        ),
    ],
    list_: Annotated[
        bool, typer.Option("--list", help="Show its points; back up nothing.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all of it and check it; back up nothing.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove points, see --keep; back up nothing.")
    ] = False,
    keep: Annotated[
        Optional[int],
        typer.Option(
            "--keep",
            metavar="N",
            min=1,
            help="How many points stay. Without --prune: after a backup that has succeeded.",
        ),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Read every row anew, where --verify has found damage, to mend it."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --prune: say what would go; remove nothing.")
    ] = False,
    store: Store = None,
    sessions: Sessions = None,
    embedder: Embedder = None,
    json: Json = False,
) -> None:
    """Add a point in time to a backup, while the store may be in use.

    The first point has everything, each later one what has changed since. A store of any kind is
    backed up, row by row: a folder, a Qdrant server, a plug-in's. restore makes a store of a point.
    """

    async def work(out: Out) -> int:
        asked = [name for name, given in (("--list", list_), ("--verify", verify)) if given]
        asked += ["--prune"] if prune else []
        if len(asked) > 1:
            raise CliError(f"{' and '.join(asked)} exclude each other", "Give one", code=MISUSED)
        if (dry_run and not prune) or (keep is not None and (list_ or verify)):
            wrong = "--dry-run belongs" if dry_run and not prune else "--keep does not belong"
            raise CliError(f"{wrong} to {'--prune' if dry_run else asked[0]}", code=MISUSED)
        if prune and keep is None:
            raise CliError("--prune needs --keep N", "Say how many points stay", code=MISUSED)
        if list_:
            return await _list(out, target)
        if verify:
            return await _verify(out, target)
        if prune:
            assert keep is not None
            return await _prune(out, target, keep, dry_run)
        return await _backup(out, target, store, sessions, embedder, keep, full)

    execute(json, work)


async def _backup(
    out: Out,
    target: Path,
    store: str | None,
    sessions: str | None,
    embedder: str | None,
    keep: int | None,
    full: bool,
) -> int:
    from bruno_memory_vec.surfaces.cli.opening import bars, configuration, existing
    from bruno_memory_vec.upkeep.backup.making import backup_store
    from bruno_memory_vec.upkeep.backup.pruning import prune_backup

    config = configuration(store, embedder, sessions=sessions)
    await existing(config)
    with bars(out) as progress:
        report = await backup_store(target=target, config=config, full=full, progress=progress)
        pruned = None if keep is None else await prune_backup(target, keep=keep, progress=progress)
    _tell(out, report, pruned)
    return 0 if report.ok else FAILED


async def _list(out: Out, target: Path) -> int:
    from bruno_memory_vec.upkeep.backup.verifying import list_backup

    points = await list_backup(target)
    if out.as_json:
        out.result({"target": str(target), "points": [point.to_dict() for point in points]})
        return 0
    lines = []
    for point in points:
        lines.append(str(point))
        lines.extend(f"      PROBLEM: {problem}" for problem in point.problems)
    out.lines("\n".join(lines) or "no points")
    return 0


async def _verify(out: Out, target: Path) -> int:
    from bruno_memory_vec.surfaces.cli.opening import bars
    from bruno_memory_vec.upkeep.backup.verifying import verify_backup

    with bars(out) as progress:
        check = await verify_backup(target, progress=progress)
    out.report(check)
    return 0 if check.ok else UNSOUND


async def _prune(out: Out, target: Path, keep: int, dry_run: bool) -> int:
    from bruno_memory_vec.surfaces.cli.opening import bars
    from bruno_memory_vec.upkeep.backup.pruning import prune_backup

    with bars(out) as progress:
        report = await prune_backup(target, keep=keep, dry_run=dry_run, progress=progress)
    out.report(report)
    return 0


def _tell(out: Out, report: BackupReport, pruned: PruneBackupReport | None) -> None:
    if out.as_json:
        said: dict[str, Any] = report.to_dict()
        out.result(said if pruned is None else {**said, "pruned": pruned.to_dict()})
        return
    out.lines(f"{report}" if pruned is None else f"{report}\n{pruned}")
