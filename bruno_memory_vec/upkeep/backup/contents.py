"""Where each row of a backup is: told by the lists beside its chunks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.errors import EngineError, StoreError
from bruno_memory_vec.upkeep.backup.chunks import read_list
from bruno_memory_vec.upkeep.backup.points import Held, ranges
from bruno_memory_vec.upkeep.backup.repository import Repository, damaged
from bruno_memory_vec.upkeep.backup.sealing import Sealing
from bruno_memory_vec.upkeep.copying.comparison import ODD

Integers = NDArray[np.int64]


@dataclass(slots=True)
class Contents:
    """The rows of some chunks.

    Attributes:
        chunks: the chunks, with their lists and sizes.
        seq: int64 (n,), of each row of these, chunk by chunk.
        checksum: int64 (n,), of the same.
        chunk: int64 (n,), in which of the chunks it is.
        place: int64 (n,), where in that.
    """

    chunks: list[Held] = field(default_factory=list)
    seq: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    checksum: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    chunk: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    place: Integers = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def read(
        cls,
        repository: Repository,
        sealing: Sealing,
        chunks: Iterable[Held],
        *,
        only_whole: bool = False,
    ) -> Contents:
        """Of chunks as a point has them; rows that are dead there are not among them.

        Args:
            repository: where they are.
            sealing: what they passed.
            chunks: which.
            only_whole: leave out chunks that are missing, or whose lists are missing or damaged.

        Raises:
            EngineError: a list is damaged.
            StoreError: the key is another one.
        """
        found = cls()
        parts: list[tuple[Integers, Integers, Integers, Integers]] = []
        for held in chunks:
            if only_whole and not repository.has(held.chunk):
                continue
            try:
                seq, checksum = read_held_list(repository, sealing, held)
            except EngineError:
                if not only_whole:
                    raise
                continue
            alive = np.ones(held.rows, bool)
            for start, end in held.dead:
                alive[start:end] = False
            places = np.flatnonzero(alive).astype(np.int64)
            number = np.full(len(places), len(found.chunks), np.int64)
            parts.append((seq[places], checksum[places], number, places))
            found.chunks.append(Held(held.chunk, held.listed, held.rows))
        found._extend(parts)
        return found

    def add(self, held: Held, seq: Integers, checksum: Integers) -> None:
        """Add a chunk with all its rows."""
        number = np.full(len(seq), len(self.chunks), np.int64)
        self.chunks.append(held)
        self._extend([(seq, checksum, number, np.arange(len(seq), dtype=np.int64))])

    def _extend(self, parts: list[tuple[Integers, Integers, Integers, Integers]]) -> None:
        for at, name in enumerate(("seq", "checksum", "chunk", "place")):
            whole = np.concatenate([getattr(self, name), *(part[at] for part in parts)])
            setattr(self, name, whole)

    def find(self, seq: Integers, checksum: Integers) -> Integers:
        """Which row each of these is, int64 (n,); -1 for none. Of several, any."""
        if not len(self.seq):
            return np.full(len(seq), -1, np.int64)
        mine, theirs = _mixed(self.seq, self.checksum), _mixed(seq, checksum)
        order = np.argsort(mine)
        at = order[np.searchsorted(mine, theirs, sorter=order).clip(max=len(mine) - 1)]
        same = (self.seq[at] == seq) & (self.checksum[at] == checksum)
        found: Integers = np.where(same, at, -1)
        return found

    def held(self, rows: Integers) -> tuple[Held, ...]:
        """The chunks in which these rows are, each with what is dead in it."""
        if not len(rows):
            return ()
        found = []
        order = np.lexsort((self.place[rows], self.chunk[rows]))
        rows = rows[order]
        numbers, starts = np.unique(self.chunk[rows], return_index=True)
        ends = [*starts[1:].tolist(), len(rows)]
        for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
            whole = self.chunks[number]
            alive = np.zeros(whole.rows, bool)
            alive[self.place[rows[start:end]]] = True
            dead = ranges(np.flatnonzero(~alive).tolist())
            found.append(Held(whole.chunk, whole.listed, whole.rows, dead))
        return tuple(found)


def read_held_list(
    repository: Repository, sealing: Sealing, held: Held
) -> tuple[Integers, Integers]:
    """The ``seq`` and checksum of each row of a chunk.

    Raises:
        EngineError: the list is damaged, or not that chunk's.
        StoreError: the key is another one, or was destroyed.
    """
    data = sealing.open(repository.read(held.listed))
    if data is None:
        raise StoreError(f"the key of {repository.path} was destroyed", fix="Begin another backup.")
    seq, checksum = read_list(data, held.listed)
    if len(seq) != held.rows:
        raise damaged(f"{held.listed} has {len(seq)} rows, not {held.rows}")
    return seq, checksum


def _mixed(seq: Integers, checksum: Integers) -> Integers:
    with np.errstate(over="ignore"):
        mixed: Integers = checksum ^ (seq * ODD)
    return mixed
