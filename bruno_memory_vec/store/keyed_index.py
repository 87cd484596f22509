"""Switching the keyed index of an encrypted store on and off: its rows are written beside them.

With it the engine has codes of the vectors, and there is a lexical index of hashed words. The new
rows are whole and synced before ``store.json`` names them, in one write; what it names no more is
removed then. The words follow from the rows, as of any store.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import Flushes, RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.indexers.sealed.index import SealedIndex
from bruno_memory_vec.indexers.sealed.rotation import Rotation
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.store import manifest, moves
from bruno_memory_vec.store.keys.keyring import Keyring
from bruno_memory_vec.store.manifest import Manifest

_log = get_logger(__name__)

_ROWS_A_COMMIT = 20_000


async def switched(
    rows: RowIndex, folder: Path, found: Manifest, keys: Keyring, wanted: bool | None
) -> Manifest:
    """Give a store the keyed index that the settings want, or take it.

    The caller holds the writer's lock, and opens the rows anew if the manifest is another one.

    Args:
        rows: the store's rows, opened to write.
        folder: the store's.
        found: its manifest.
        keys: its keys.
        wanted: whether it is to have one; None for as it is.

    Returns:
        The manifest from now on.

    Raises:
        BackendUnavailable: the folder cannot be written.
        EngineError: the rows cannot be read.
    """
    if wanted is None or wanted == found.keyed:
        return found
    sealing = capability(rows, SealedIndex)
    assert sealing is not None
    flushes = capability(rows, Flushes)
    if flushes is not None:
        await flushes.flush()
    path = await asyncio.to_thread(moves.next_folder, folder, found)
    after = replace(found, rows=path.name, keyed=wanted)
    rotation = Rotation(keys.rotation_key, found.fingerprint.dimension) if wanted else None
    await _written(sealing, path, after.stored_dimension, rotation)

    def switch() -> None:
        moves.settle(path, set())
        # A copy of another embedder that was begun is of the other form.
        moves.forget(folder)
        lexical = folder / moves.LEXICAL
        try:
            if lexical.is_symlink() or lexical.exists():
                from bruno_memory_vec.indexers.tantivy.files import clear

                clear(lexical)
        except OSError as error:
            raise manifest.unwritable(folder, error) from error
        after.write(folder)

    await to_its_end(asyncio.to_thread(switch))
    _log.info("keyed_index_switched", on=wanted)
    return after


async def _written(
    sealing: SealedIndex, path: Path, dimension: int, rotation: Rotation | None
) -> None:
    from bruno_memory_vec.indexers.lance.index import LanceIndex

    source = sealing.inner
    target = await LanceIndex.open(str(path), dimension, fsync=True)
    try:
        waiting: list[pa.Table] = []

        async def store() -> None:
            if waiting:
                await to_its_end(target.upsert(pa.concat_tables(waiting), all_new=True))
                waiting.clear()

        async for batch in source.after(-1, [*COLUMNS, "vector"]):
            table = pa.Table.from_batches([batch])
            waiting.append(await asyncio.to_thread(sealing.recoded, table, rotation))
            if sum(len(one) for one in waiting) >= _ROWS_A_COMMIT:
                await store()
        await store()
        made, there = [await one.count(EVERYONE, RowFilter()) for one in (target, source)]
        if made != there:
            raise EngineError(
                target.name,
                "write the rows with another index",
                f"{made:,} of {there:,} were written",
                fix="The store is as it was. Run: bruno-memory-vec doctor",
            )
    finally:
        await target.close()
