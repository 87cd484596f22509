"""Old points, removed, and with them the bytes of what no point has any more.

A chunk of which some rows are in no point that stays is written anew without them. So what was
deleted from the store is gone from the backup once the last point that had it is pruned.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.rows import checks
from bruno_memory_vec.upkeep.backup.chunks import (
    Part,
    packed,
    rows_of_parts,
    table_to_bytes,
    unpacked,
)
from bruno_memory_vec.upkeep.backup.contents import read_held_list
from bruno_memory_vec.upkeep.backup.keys import opening
from bruno_memory_vec.upkeep.backup.places import repository
from bruno_memory_vec.upkeep.backup.points import Held, Point, ranges, read_points
from bruno_memory_vec.upkeep.backup.report import PruneBackupReport
from bruno_memory_vec.upkeep.backup.repository import CHUNKS, LISTS, POINTS, Repository
from bruno_memory_vec.upkeep.backup.sealing import Sealing
from bruno_memory_vec.writing.projections import Progress

# More points than anybody makes.
_MOST = 1_000_000


async def prune_backup(
    target: str | Path,
    *,
    keep: int,
    dry_run: bool = False,
    sealing: Sealing | None = None,
    key: Any = None,
    progress: Progress | None = None,
) -> PruneBackupReport:
    """Remove all points but the newest, and everything that only they needed.

    Killed at any moment, it has removed them or not; the points that stay are whole.

    Args:
        target: the backup.
        keep: how many points stay, at least 1.
        dry_run: say which would go; remove nothing.
        sealing: what its pieces passed; None for what the backup says.
        key: the key of the encrypted store that was backed up; None for that of the environment.
        progress: called with the progress of long work.

    Raises:
        InvalidInputError: ``keep`` is not usable.
        NotAStoreError: there is no backup.
        StoreLockedError: a backup to it is under way.
        StoreError: the backup's key is not given.
        WrongKeyError: it is another one.
        EngineError: a piece is damaged, or the place cannot be written.
    """
    keep = checks.limit("keep", keep, largest=_MOST)
    # So that a place without a backup is not made one.
    async with repository("target", target):
        pass
    async with repository("target", target, write=True) as place:
        points = await asyncio.to_thread(read_points, place)
        before = await asyncio.to_thread(place.size)
        removed, kept = points.points[:-keep], points.points[-keep:]
        rewritten = 0
        if sealing is None:
            sealing = await asyncio.to_thread(opening, place, points.last, key)
        if not dry_run and kept:
            work = Pruning(place, sealing, progress)
            fresh = await to_its_end(asyncio.to_thread(work.without_others, kept))
            if [point.name for point in fresh] != [point.name for point in points.points]:
                points.points = fresh
                await to_its_end(asyncio.to_thread(points.write, place))
            # It is also what takes away the rest of a killed backup.
            await to_its_end(asyncio.to_thread(place.keep_only, points.pieces()))
            rewritten, kept = work.rewritten, fresh
        return PruneBackupReport(
            target=place.path,
            removed=tuple(removed),
            kept=tuple(kept),
            rewritten=rewritten,
            bytes_before=before,
            bytes=await asyncio.to_thread(place.size),
            dry_run=dry_run,
        )


class Pruning:
    """One call; its methods block."""

    def __init__(self, place: Repository, sealing: Sealing, progress: Progress | None) -> None:
        self._place = place
        self._sealing = sealing
        self._progress = progress
        self.rewritten = 0

    def without_others(self, points: list[Point]) -> list[Point]:
        """The points, written anew where a chunk of theirs has rows that none of them has."""
        alive: dict[str, NDArray[np.bool_]] = {}
        held: dict[str, Held] = {}
        for point in points:
            for one in point.chunks:
                held[one.chunk] = one
                had = alive.setdefault(one.chunk, np.zeros(one.rows, bool))
                had |= _alive(one)
        moved: dict[str, tuple[Held, NDArray[np.int64]]] = {}
        for done, (name, rows) in enumerate(alive.items()):
            if not rows.all():
                found = self._rewritten(held[name], rows)
                if found is not None:
                    moved[name] = found
            if self._progress is not None:
                self._progress("pruning the backup", done + 1, len(alive))
        fresh: list[Point] = []
        for point in points:
            chunks = tuple(_moved(one, moved.get(one.chunk)) for one in point.chunks)
            previous = fresh[-1].name if fresh else None
            if chunks == point.chunks and previous == point.previous:
                fresh.append(point)
                continue
            anew = replace(point, chunks=chunks, previous=previous, name="")
            fresh.append(replace(anew, name=self._place.write(POINTS, anew.to_bytes())))
        return fresh

    def _rewritten(
        self, held: Held, alive: NDArray[np.bool_]
    ) -> tuple[Held, NDArray[np.int64]] | None:
        """A chunk with these rows only, and where each of the old ones is now, -1 for nowhere.

        None where all that would go cannot be opened, since its key was destroyed.
        """
        parts = unpacked(self._place.read(held.chunk), held.chunk)
        seq, checksum = read_held_list(self._place, self._sealing, held)
        kept, stays, at = [], alive.copy(), 0
        for part, (count, table) in zip(
            parts, rows_of_parts(parts, self._sealing, held.chunk), strict=True
        ):
            own = stays[at : at + count]
            if table is None:
                own[:] = True
            if own.all():
                kept.append(part)
            elif own.any():
                assert table is not None
                rows = table.filter(pa.array(own))
                user = rows.column("user_id")[0].as_py() if self._sealing.by_user else None
                sealed = self._sealing.seal(table_to_bytes(rows), user)
                kept.append(Part(rows.num_rows, sealed))
            at += count
        if stays.all():
            return None
        listed = np.stack([seq[stays], checksum[stays]]).astype("<i8").tobytes()
        fresh = Held(
            self._place.write(CHUNKS, packed(kept)),
            self._place.write(LISTS, self._sealing.seal(listed, None)),
            int(stays.sum()),
        )
        self.rewritten += 1
        places = np.where(stays, np.cumsum(stays) - 1, -1).astype(np.int64)
        return fresh, places


def _alive(held: Held) -> NDArray[np.bool_]:
    alive = np.ones(held.rows, bool)
    for start, end in held.dead:
        alive[start:end] = False
    return alive


def _moved(held: Held, to: tuple[Held, NDArray[np.int64]] | None) -> Held:
    if to is None:
        return held
    fresh, places = to
    alive = np.zeros(fresh.rows, bool)
    alive[places[_alive(held)]] = True
    return replace(fresh, dead=ranges(np.flatnonzero(~alive).tolist()))
