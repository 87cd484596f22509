"""Repair of a store: rows torn by a power cut, messages without a turn, and the projections."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.config import MemoryConfig, one_config
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.forwarding import drop_user_files
from bruno_memory_vec.indexers.schema import LOG
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.sessions.damage import problem_of
from bruno_memory_vec.sessions.sqlite import mark_all_stale
from bruno_memory_vec.store import manifest, moves
from bruno_memory_vec.store.keys.keyring import Keyring
from bruno_memory_vec.store.keys.opening import keys_of
from bruno_memory_vec.store.lock import WriterLock
from bruno_memory_vec.store.manifest import Manifest
from bruno_memory_vec.store.store import Store, open_store
from bruno_memory_vec.upkeep.doubled import fold
from bruno_memory_vec.upkeep.losses import LossReport, settle_losses
from bruno_memory_vec.upkeep.maintenance import MaintenanceReport, maintain_store
from bruno_memory_vec.upkeep.ownership import mend_owners
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.projections import Progress
from bruno_memory_vec.writing.projections.sessions import SessionsProjection

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SteppedBack:
    """Versions of the rows that could not be read and were put aside.

    Attributes:
        put_aside: their numbers, the newest first.
        kept_in: the folder that keeps their files.
        version: the version that is now the newest.
        rows: how many rows it has.
    """

    put_aside: tuple[int, ...]
    kept_in: str
    version: int
    rows: int

    def __str__(self) -> str:
        """A sentence for people."""
        one = len(self.put_aside) == 1
        numbers = ", ".join(str(number) for number in reversed(self.put_aside))
        return (
            f"stepped back: {'version' if one else 'versions'} {numbers} of the rows could not be "
            f"read and {'is' if one else 'are'} put aside, kept in {self.kept_in}. The store now "
            f"has version {self.version}, with {counted(self.rows, 'row')}. With fsync=True, "
            "nothing of what was put aside after a power cut had ever been acknowledged; without "
            "it, some of it may have been."
        )


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What :func:`repair_store` did.

    Attributes:
        stepped_back: which versions of the rows were put aside; None where the newest was whole.
        turns_given: how many messages without a turn got one.
        owners_given: how many conversations had another owner than their rows, and have it now.
        rebuilt: what was damaged and is made anew from the rows, with what was wrong.
        losses: rows that were lost or damaged, and what became of them; false for none.
        maintenance: the report of the upkeep at the end, which verified the store.
    """

    stepped_back: SteppedBack | None
    turns_given: int
    owners_given: int
    rebuilt: tuple[str, ...]
    losses: LossReport
    maintenance: MaintenanceReport

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong any more."""
        return self.maintenance.ok


async def repair_store(
    url: str | None = None,
    *,
    config: MemoryConfig | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> RepairReport:
    """Repair a store that no process writes to, and verify it.

    It puts versions of the rows aside that a power cut tore, brings the projections up to date by
    opening the store, gives a turn to each message without one and to each conversation the owner
    that its rows have, and does all upkeep. Rows that are lost are given up, damaged ones mended or
    removed; ``losses.jsonl`` in the store keeps a record of that.

    Args:
        url: the store's folder. Default: ``BRUNO_MEMORY_URL``, else ``./bruno-memory``.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings.
        progress: called with the progress of each piece of work.
        settings: any other field of the config; ``embedder`` if the store does not have the default
            one.

    Raises:
        NotAStoreError: there is no store.
        StoreLockedError: another process writes to it.
        StoreError, EngineError: it cannot be repaired. If versions were put aside before that,
            ``error.details["stepped_back"]`` is the :class:`SteppedBack`.
        InvalidInputError: a setting is not usable.
    """
    named = {} if url is None else {"url": str(url)}
    config = manifest.of_one(one_config(config, {**named, **settings}), "a repair")
    folder = manifest.folder_of(config.url)
    stepped = None
    if folder is not None:
        if await asyncio.to_thread(manifest.read, folder) is None:
            raise manifest.no_store(folder)
        stepped = await _step_back(folder, config)
    try:
        embedder = await asyncio.to_thread(resolve_embedder, config.embedder)
        store = await open_store(config.model_copy(update={"read_only": False}), embedder, progress)
        try:
            assert store.writer is not None
            # What follows changes rows behind the cache, and some were lost.
            await drop_user_files(store.rows, for_good=True)
            async with store.writer.exclusive:
                given = await SessionsProjection(store.sessions).mend_turns(store.rows)
                await store.projections.rewritten(store.rows, given)
                # Before rows get other numbers and checksums, by which damage would not show.
                losses = await settle_losses(store, await _put_log_aside(folder))
                folded = await fold(store)
                store.writer.behind(await store.projections.catch_up(store.rows, progress))
                owners = await mend_owners(store.rows, store.sessions)
            report = await maintain_store(store, progress, keep_set_aside=True)
            rebuilt = await _rebuilt(store)
            if folded:
                rebuilt = (f"rows that were there twice: {folded.problem().found}", *rebuilt)
        finally:
            await store.close()
    except BrunoError as error:
        if stepped is not None:
            error.details = {**(error.details or {}), "stepped_back": stepped}
        raise
    return RepairReport(stepped, len(given), owners, rebuilt, losses, report)


async def _rebuilt(store: Store) -> tuple[str, ...]:
    """What was damaged and is made anew since the store was opened."""
    rebuilt = list((await store.rows.health()).get("indexes_rebuilt", ()))
    for projection in store.projections:
        rebuilt.extend((await projection.health()).get("rebuilt", ()))
    return tuple(rebuilt)


async def _salvage(folder: Path, found: Manifest, keys: Keyring | None) -> None:
    """Copy the rows that can be read into a new folder, where no version of them is whole.

    The caller holds the writer's lock. The damaged rows are kept in the new folder's ``set-aside``.
    """
    from bruno_memory_vec.indexers.lance.index import LanceIndex
    from bruno_memory_vec.indexers.lance.recovery import ASIDE
    from bruno_memory_vec.indexers.lance.salvage import any_readable, readable_rows

    dimension = found.stored_dimension
    damaged = folder / found.rows
    if not await any_readable(damaged, dimension):
        return
    fresh = await asyncio.to_thread(moves.next_folder, folder, found)
    rows = await LanceIndex.open(str(fresh), dimension, fsync=True)
    known = np.empty(0, np.int64)
    try:
        async for part in readable_rows(damaged, dimension):
            seqs = part.column("seq").to_numpy()
            new = ~np.isin(seqs, known)
            known = np.concatenate([known, seqs[new]])
            await rows.upsert(part.filter(pa.array(new)), all_new=True)
    finally:
        await rows.close()

    def switch() -> None:
        if (damaged / LOG).is_dir():
            shutil.copytree(damaged / LOG, fresh / LOG)
        moves.settle(fresh, set())
        replace(found, rows=fresh.name).write(folder)
        (fresh / ASIDE).mkdir()
        damaged.rename(fresh / ASIDE / damaged.name)

    await mark_all_stale(folder / found.sessions, _key(keys))
    await to_its_end(asyncio.to_thread(switch))
    _log.warning("rows_salvaged", rows=len(known), kept_in=str(fresh / ASIDE))


def _key(keys: Keyring | None) -> bytes | None:
    return None if keys is None else keys.sessions_key


async def _put_log_aside(folder: Path | None) -> str | None:
    """Put damaged files of the log aside, whose whole rows are replayed; None without any."""
    from bruno_memory_vec.indexers.lance.recovery import put_aside
    from bruno_memory_vec.indexers.lance.write_ahead_log import set_aside

    found = None if folder is None else await asyncio.to_thread(manifest.read, folder)
    if folder is None or found is None:
        return None
    rows = folder / found.rows
    damaged = await asyncio.to_thread(set_aside, rows / LOG)
    aside = await asyncio.to_thread(put_aside, rows, damaged)
    return None if aside is None else str(aside)


async def _step_back(folder: Path, config: MemoryConfig) -> SteppedBack | None:
    """Put unreadable versions of the rows aside; None where the newest version is whole."""
    from bruno_memory_vec.indexers.lance.recovery import newest_whole, step_back

    lock = await asyncio.to_thread(WriterLock, folder)
    try:
        # Read again under the lock, because a move to another embedder may have just ended.
        found = await asyncio.to_thread(manifest.read, folder)
        if found is None:
            return None
        keys = await asyncio.to_thread(keys_of, folder, config, encrypted=found.encrypted)
        rows = folder / found.rows
        if not await asyncio.to_thread((rows / "rows.lance" / "_versions").is_dir):
            return None
        whole = await newest_whole(rows)
        if whole is None or not whole.rows:
            await _salvage(folder, found, keys)
            return None
        if not whole.unreadable:
            return None
        # Before the step, so that outdated hot contexts are marked even if the process is killed
        # after it.
        sessions, key = folder / found.sessions, _key(keys)
        if await asyncio.to_thread(problem_of, sessions, key) is None:
            await mark_all_stale(sessions, key)
        aside = await asyncio.to_thread(step_back, rows, whole)
        return SteppedBack(whole.torn, str(aside), whole.version, whole.rows)
    finally:
        await asyncio.to_thread(lock.release)
