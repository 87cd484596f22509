"""A user who is forgotten, in every point of a backup.

In each point their rows count as rows that it does not have, and are left out of its people. Then
everything is written anew that only these needed, as in pruning. Of a sealed backup their key is
destroyed as well.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bruno_memory_vec.access import AUTHOR, SPACE
from bruno_memory_vec.conversations.groups import groups_of, without_member
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.rows.metadata_pairs import pair
from bruno_memory_vec.store.keys.keyring import destroy_in, has_keys
from bruno_memory_vec.store.keys.master import as_master
from bruno_memory_vec.upkeep.backup.chunks import rows_of_parts, unpacked
from bruno_memory_vec.upkeep.backup.keys import opening
from bruno_memory_vec.upkeep.backup.people import Person, people_to_pieces, read_people
from bruno_memory_vec.upkeep.backup.places import repository
from bruno_memory_vec.upkeep.backup.points import Held, Point, ranges, read_points
from bruno_memory_vec.upkeep.backup.pruning import Pruning
from bruno_memory_vec.upkeep.backup.repository import PEOPLE, Repository
from bruno_memory_vec.upkeep.backup.sealing import Sealing

# No piece has this name, so a point that names it as the one before is written anew.
_CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class _Theirs:
    """The user's rows of a chunk: where they are, and which of them are messages."""

    rows: NDArray[np.bool_]
    messages: NDArray[np.bool_]


async def forget_in_backup(target: str | Path, user_id: str, key: Any = None) -> int:
    """Forget a user in every point of a backup.

    Killed at any moment, the points are as they were or without the user; calling again ends it.

    Args:
        target: the backup.
        user_id: who.
        key: the key of the store that it is of; None for a plain one.

    Returns:
        In how many points there was something of the user.

    Raises:
        NotAStoreError: there is no backup.
        StoreLockedError: a backup to it is under way.
        StoreError: a key is needed, or is another one.
        EngineError: a piece is damaged, or the place cannot be written.
    """
    async with repository("target", target):
        pass  # so that a place without a backup is not made one
    async with repository("target", target, write=True) as place:
        points = await asyncio.to_thread(read_points, place)
        sealing = await asyncio.to_thread(opening, place, points.last, key)
        work = _Forgetting(place, sealing, user_id)
        changed = [await work.without(point) for point in points.points]
        count = sum(fresh is not point for fresh, point in zip(changed, points.points, strict=True))
        if count:
            pruning = Pruning(place, sealing, None)
            points.points = await to_its_end(asyncio.to_thread(pruning.without_others, changed))
            await to_its_end(asyncio.to_thread(points.write, place))
            await to_its_end(asyncio.to_thread(place.keep_only, points.pieces()))
        if place.keys is not None and key is not None and has_keys(place.keys):
            master = as_master(key)
            count += await to_its_end(asyncio.to_thread(destroy_in, place.keys, master, user_id))
        return count


class _Forgetting:
    """One call."""

    def __init__(self, place: Repository, sealing: Sealing, user_id: str) -> None:
        self._place = place
        self._sealing = sealing
        self._user = user_id
        self._chunks: dict[str, _Theirs] = {}
        self._people: dict[tuple[str, ...], tuple[str, ...]] = {}

    async def without(self, point: Point) -> Point:
        """A point without the user; the same one where it has nothing of theirs."""
        chunks, rows, messages = [], 0, 0
        for held in point.chunks:
            fresh, gone, said = await asyncio.to_thread(self._of_others, held)
            chunks.append(fresh)
            rows, messages = rows + gone, messages + said
        people = await self._people_of_others(point.people)
        if not rows and people == point.people:
            return point
        return replace(
            point,
            chunks=tuple(chunks),
            people=people,
            rows=point.rows - rows,
            messages=point.messages - messages,
            users=max(0, point.users - bool(rows)),
            previous=_CHANGED,
        )

    def _of_others(self, held: Held) -> tuple[Held, int, int]:
        """A chunk as a point has it, and how many rows and messages of the user that had."""
        theirs = self._chunks.get(held.chunk)
        if theirs is None:
            theirs = self._chunks[held.chunk] = self._find(held)
        dead = np.zeros(held.rows, bool)
        for start, end in held.dead:
            dead[start:end] = True
        gone = theirs.rows & ~dead
        if not gone.any():
            return held, 0, 0
        fresh = replace(held, dead=ranges(np.flatnonzero(dead | theirs.rows).tolist()))
        return fresh, int(gone.sum()), int((gone & theirs.messages).sum())

    def _find(self, held: Held) -> _Theirs:
        parts = unpacked(self._place.read(held.chunk), held.chunk)
        theirs, messages = [], []
        for count, table in rows_of_parts(parts, self._sealing, held.chunk):
            if table is None:
                theirs.append(np.zeros(count, bool))
                messages.append(np.zeros(count, bool))
                continue
            theirs.append(self._mask(table))
            messages.append(_numpy(pc.equal(table.column("kind"), MESSAGE)))
        return _Theirs(np.concatenate(theirs), np.concatenate(messages))

    def _mask(self, table: pa.Table) -> NDArray[np.bool_]:
        users = table.column("user_id")
        own = _numpy(pc.equal(users, self._user))
        spaces = _numpy(pc.starts_with(users, SPACE))
        if not spaces.any():
            return own
        wanted = pair(AUTHOR, self._user)
        said = [wanted in (pairs or ()) for pairs in table.column("metadata_pairs").to_pylist()]
        return np.logical_or(own, np.logical_and(spaces, np.array(said, np.bool_)))

    async def _people_of_others(self, names: tuple[str, ...]) -> tuple[str, ...]:
        known = self._people.get(names)
        if known is not None:
            return known
        found, _ = await read_people(self._place, self._sealing, names)
        kept: dict[str, Person] = {}
        changed = False
        for person in found:
            if person.user_id in (self._user, groups_of(self._user)):
                changed = True
                continue
            if person.profile is not None and person.user_id.startswith(SPACE):
                metadata = without_member(person.profile.metadata, self._user)
                if metadata is not None:
                    changed = True
                    person.profile = person.profile.model_copy(update={"metadata": metadata})
            kept[person.user_id] = person
        fresh = names
        if changed:
            pieces = await people_to_pieces(self._sealing, kept)
            written = [await asyncio.to_thread(self._place.write, PEOPLE, one) for one in pieces]
            fresh = tuple(written)
        self._people[names] = fresh
        return fresh


def _numpy(mask: pa.ChunkedArray) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.array(pc.fill_null(mask, False).to_pylist(), np.bool_)
    return found
