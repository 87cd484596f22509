"""``migrate``: bring a store to another format."""

from __future__ import annotations

import asyncio
from typing import Annotated, Optional

import typer

from bruno_memory_vec.surfaces.cli.options import Json
from bruno_memory_vec.surfaces.cli.running import Out, execute


def migrate(
    # Optional and not a union: typer reads the annotation, and on Python 3.10 too.
    store: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            metavar="STORE", help="The store's folder. Default: BRUNO_MEMORY_URL, ./bruno-memory."
        ),
    ] = None,
    to: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--to", metavar="N", help="The format. Default: the one this version reads."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be done and lost; change nothing.")
    ] = False,
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Go back although something is lost.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Only end or take back what was interrupted.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="List the formats, and the store's own.")
    ] = False,
    json: Json = False,
) -> None:
    """Bring a store to another format, forward or back.

    Everything is made and compared beside the store, which changes over at the end, at once. If
    the command is stopped before, the store is as it was.
    """
    execute(json, lambda out: _migrate(out, store, to, dry_run, allow_loss, resume, listed))


async def _migrate(
    out: Out,
    store: str | None,
    to: int | None,
    dry_run: bool,
    allow_loss: bool,
    resume: bool,
    listed: bool,
) -> int:
    from bruno_memory_vec.surfaces.cli.opening import bars, configuration
    from bruno_memory_vec.upkeep.migrations.run import migrate as move

    config = configuration(store)
    if listed:
        return await _list(out, config.url, named=store is not None)
    with bars(out) as progress:
        try:
            report = await move(
                config.url,
                to=to,
                dry_run=dry_run,
                allow_loss=allow_loss,
                resume=resume,
                progress=progress,
            )
        except asyncio.CancelledError:
            out.say("stopped: the store is as it was")
            raise
    out.report(report)
    return 0


async def _list(out: Out, url: str, *, named: bool) -> int:
    from bruno_memory_vec.store.manifest import FILE, folder_of
    from bruno_memory_vec.upkeep.migrations.run import listing

    folder = folder_of(url)
    there = folder is not None and (named or (folder / FILE).exists())
    formats = await asyncio.to_thread(listing, folder if there else None)
    if out.as_json:
        out.result({"formats": formats})
        return 0
    for one in formats:
        marks = [name for name in ("store", "read") if one[name]]
        told = {"store": "the store's", "read": "this version's"}
        said = f"  <- {', '.join(told[name] for name in marks)}" if marks else ""
        out.lines(f"{one['format']}  {one['about']}{said}")
    return 0
