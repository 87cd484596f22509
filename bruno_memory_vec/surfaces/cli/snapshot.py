"""``snapshot``: a consistent copy of a store that may be open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bruno_memory_vec.surfaces.cli.options import Json, Store
from bruno_memory_vec.surfaces.cli.running import FAILED, Out, execute


def snapshot(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to copy it: a new or empty folder.")
    ],
    store: Store = None,
    json: Json = False,
) -> None:
    """Copy a store, whole and verified, even while another process writes to it.

    The copy is a store like any other: name it with --store, or put it in the place of a damaged
    one. It shares no file with the store; as a backup it belongs on another disk.
    """
    execute(json, lambda out: _snapshot(out, folder, store))


async def _snapshot(out: Out, folder: Path, store: str | None) -> int:
    from bruno_memory_vec.config import masked
    from bruno_memory_vec.surfaces.cli.opening import bars, configuration, existing
    from bruno_memory_vec.upkeep.snapshots import snapshot_store

    config = configuration(store)
    await existing(config)
    with bars(out) as progress:
        report = await snapshot_store(config=config, folder=folder, progress=progress)
    out.report(report, store=masked(config.url))
    return 0 if report.ok else FAILED
