"""Erases what was deleted from files that nothing reads any more (``store.leftovers``)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bruno_memory_vec.errors import BackendUnavailable, EngineError
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.sealed.index import SealedIndex
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.store import leftovers, manifest, moves
from bruno_memory_vec.store.manifest import Manifest, folder_of
from bruno_memory_vec.upkeep.reembedding.move import Move

if TYPE_CHECKING:
    from bruno_memory_vec.store.store import Store

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What :func:`erase_leftovers` did.

    Attributes:
        removed: the files that had been set aside and are deleted now, below the store's folder.
        kept: why something that may hold what was deleted was kept; None where nothing was.
    """

    removed: tuple[str, ...] = ()
    kept: str | None = None


async def erase_leftovers(store: Store, *, keep_set_aside: bool) -> Leftovers:
    """Delete what was set aside and old rows, and erase in the copy of an unfinished re-embedding.

    Args:
        store: the open store.
        keep_set_aside: do nothing where files are set aside.

    Raises:
        EngineError: a file cannot be read or deleted.
    """
    folder = folder_of(store.config.url)
    if folder is None:
        return Leftovers()
    aside = await asyncio.to_thread(leftovers.set_aside, folder)
    if aside and keep_set_aside:
        return Leftovers(kept="damaged files were just set aside, and are kept")
    if store.stop_move is not None:
        return Leftovers(kept="a re-embedding is under way, and its copy holds rows, too")
    for replaced in store.replaced:
        await replaced.remove()
    found = await asyncio.to_thread(manifest.read, folder)
    if found is not None:
        await _erase_in_copy(store, folder, found)
        for path in await asyncio.to_thread(moves.left_over, folder, found):
            await asyncio.to_thread(_remove, path)
    gone = await asyncio.to_thread(leftovers.remove_set_aside, folder)
    if gone:
        _log.warning("set_aside_removed", files=[str(path) for path in gone])
    return Leftovers(tuple(str(path.relative_to(folder)) for path in gone))


async def _erase_in_copy(store: Store, folder: Path, found: Manifest) -> None:
    """Erase in the copy of a re-embedding that was stopped; it can still be continued."""
    from bruno_memory_vec.indexers.lance.index import LanceIndex

    begun = await asyncio.to_thread(moves.begun, folder, found)
    if begun is None or not await asyncio.to_thread((folder / begun.rows).exists):
        return
    try:
        path, dimension = str(folder / begun.rows), begun.fingerprint.dimension
        sealing = capability(store.rows, SealedIndex)
        width = dimension if sealing is None else sealing.stored(dimension)
        copy = await LanceIndex.open(path, width, fsync=store.config.fsync)
        try:
            moved = copy if sealing is None else sealing.of_vectors(copy, dimension)
            await Move(store.rows, moved, store.embedder, None).forget_deleted()
            if copy.erasable_since is not None:
                await to_its_end(copy.erase())
        finally:
            await copy.close()
    except BackendUnavailable:
        raise
    except EngineError as error:
        # Only the time that it took is lost: the next re-embedding begins anew.
        _log.warning("reembed_discarded", reason=str(error))
        await asyncio.to_thread(moves.forget, folder)
        await asyncio.to_thread(_remove, folder / begun.rows)


def _remove(path: Path) -> None:
    moves.remove(path)
    if path.exists():
        raise BackendUnavailable(
            "folder",
            "delete rows that nothing uses any more",
            f"{path} is still there",
            fix="It may hold what was deleted from the store: delete it.",
        )
