"""Whether every piece of a backup is as it was written, and which points are whole."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.checksum import changed
from bruno_memory_vec.indexers.schema import CHECKSUM
from bruno_memory_vec.upkeep.backup.chunks import rows_of_parts, unpacked
from bruno_memory_vec.upkeep.backup.contents import read_held_list
from bruno_memory_vec.upkeep.backup.keys import opening
from bruno_memory_vec.upkeep.backup.people import read_people
from bruno_memory_vec.upkeep.backup.places import repository
from bruno_memory_vec.upkeep.backup.points import Held, Point, Points, read_points
from bruno_memory_vec.upkeep.backup.report import BackupCheck
from bruno_memory_vec.upkeep.backup.repository import PEOPLE, Repository, damaged, plainly
from bruno_memory_vec.upkeep.backup.sealing import Sealing
from bruno_memory_vec.writing.projections import Progress


async def verify_backup(
    target: str | Path,
    *,
    sealing: Sealing | None = None,
    key: Any = None,
    progress: Progress | None = None,
) -> BackupCheck:
    """Read everything of a backup, and compare it with its checksums.

    Args:
        target: the backup.
        sealing: what its pieces passed; None for what the backup says.
        key: the key of the encrypted store that was backed up; None for that of the environment.
        progress: called with the progress of long work.

    Raises:
        NotAStoreError: there is no backup.
        BackendUnavailable: the place cannot be read.
        StoreError: the backup's key is not given.
        WrongKeyError: it is another one.
    """
    async with repository("target", target) as place:
        if sealing is None:
            last = (await asyncio.to_thread(read_points, place)).last
            sealing = await asyncio.to_thread(opening, place, last, key)
        return await _Verification(place, sealing, progress).run()


async def list_backup(target: str | Path) -> list[Point]:
    """The points of a backup, the oldest first.

    Raises:
        NotAStoreError: there is no backup.
        EngineError: it cannot be read, or a point is damaged.
    """
    async with repository("target", target) as place:
        return (await asyncio.to_thread(read_points, place)).points


class _Verification:
    """One call."""

    def __init__(self, place: Repository, sealing: Sealing, progress: Progress | None) -> None:
        self._place = place
        self._sealing = sealing
        self._progress = progress
        self._started = time.perf_counter()
        self._problems: list[str] = []
        self._rows = self._erased = 0

    async def run(self) -> BackupCheck:
        place = self._place
        self._problems += await asyncio.to_thread(place.damage)
        points = await asyncio.to_thread(self._points)
        names = await asyncio.to_thread(place.names)
        chunks = {held.chunk: held for point in points.points for held in point.chunks}
        wanted = points.pieces()
        bad: dict[str, str] = {}
        # Also those that no point names: what lies there is told, whoever needs it.
        every = sorted(wanted | set(names))
        for done, name in enumerate(every):
            try:
                await self._check(name, chunks.get(name))
            except EngineError as error:
                bad[name] = plainly(error)
            if self._progress is not None:
                self._progress("verifying the backup", done + 1, len(every))
        broken = {
            point.number: sorted(bad[name] for name in point.pieces() & bad.keys())
            for point in points.points
        }
        broken = {number: found for number, found in broken.items() if found}
        for name, problem in sorted(bad.items()):
            numbers = [str(p.number) for p in points.points if name in p.pieces()]
            needed = f", which {_points(numbers)} needs" if len(numbers) == 1 else ""
            needed = f", which {_points(numbers)} need" if len(numbers) > 1 else needed
            self._problems.append(f"{problem}{needed}")
        return BackupCheck(
            target=place.path,
            points=tuple(points.points),
            pieces=len(every),
            rows=self._rows,
            erased=self._erased,
            bytes=await asyncio.to_thread(place.size),
            broken=broken,
            problems=tuple(dict.fromkeys(self._problems)),
            seconds=time.perf_counter() - self._started,
        )

    def _points(self) -> Points:
        """The points that can be read."""
        points = read_points(self._place)
        self._problems += points.unreadable
        if points.head_damaged is not None:
            self._problems.append(
                f"the list of points is damaged ({points.head_damaged}); the points were found "
                "without it, and the next backup writes it anew"
            )
        followed = zip(points.points, points.points[1:], strict=False)
        for before, point in followed if not points.unreadable else ():
            if point.previous != before.name:
                self._problems.append(f"point {point.number} does not follow {before.number}")
        return points

    async def _check(self, name: str, held: Held | None) -> None:
        if held is None:
            await asyncio.to_thread(self._place.read, name)
            if name.startswith(f"{PEOPLE}/"):
                await read_people(self._place, self._sealing, [name])
            return
        rows, erased = await asyncio.to_thread(self._check_chunk, held)
        self._rows += rows
        self._erased += erased

    def _check_chunk(self, held: Held) -> tuple[int, int]:
        """Compare a chunk with its list and its rows with their checksums."""
        parts = unpacked(self._place.read(held.chunk), held.chunk)
        seq, checksum = read_held_list(self._place, self._sealing, held)
        rows = erased = at = 0
        for count, table in rows_of_parts(parts, self._sealing, held.chunk):
            if table is None:
                erased += count
            else:
                same = np.array_equal(table.column("seq").to_numpy(), seq[at : at + count])
                sums = table.column(CHECKSUM).to_numpy()
                if not same or not np.array_equal(sums, checksum[at : at + count]):
                    raise damaged(f"{held.chunk} has other rows than {held.listed}")
                if changed(table).any():
                    raise damaged(f"rows of {held.chunk} are not as they were stored")
            rows += count
            at += count
        if rows != held.rows:
            raise damaged(f"{held.chunk} holds {rows} rows, not {held.rows}")
        return rows, erased


def _points(numbers: list[str]) -> str:
    if len(numbers) > 1:
        return f"the points {', '.join(numbers[:-1])} and {numbers[-1]}"
    return f"point {numbers[0]}"
