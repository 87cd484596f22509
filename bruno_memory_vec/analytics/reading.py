"""Rows read as a stream: a few columns, in parts of a few thousand rows, never all texts at once.

The engines give every row of a scope in no particular order (``RowIndex.after``). What is asked for
is chosen from each part here, so it is the same for every engine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE, micros
from bruno_memory_vec.rows import checks
from bruno_memory_vec.rows.models import Row, from_table
from bruno_memory_vec.store.store import Store

#: Rows of one part.
ROWS_AT_ONCE: Final = 4_096


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which rows of a scope are counted.

    Attributes:
        since: created at this time or later; None for no bound.
        until: created before this time; None for no bound.
        kinds: "message", "memory".
        alive_at: leave out what has expired or was archived by this time; None for all rows.
    """

    since: datetime | None = None
    until: datetime | None = None
    kinds: tuple[str, ...] = (MESSAGE, MEMORY)
    alive_at: datetime | None = None

    @classmethod
    def of(
        cls,
        since: Any,
        until: Any,
        kinds: Any = None,
        *,
        alive_at: datetime | None = None,
    ) -> Chosen:
        """What arguments ask for.

        Raises:
            InvalidInputError: one of them is not usable.
        """
        start = None if since is None else checks.moment("since", since)
        end = None if until is None else checks.moment("until", until)
        if start is not None and end is not None and start >= end:
            raise InvalidInputError("until", "is not after since", fix="Give a later time.")
        named = checks.names("kinds", kinds, (MESSAGE, MEMORY))
        return cls(start, end, named or (MESSAGE, MEMORY), alive_at)

    def among(self, rows: pa.Table) -> pa.Table:
        """Those of the rows; they have the columns that :attr:`columns` names."""
        parts = []
        if self.since is not None:
            parts.append(pc.greater_equal(_numbers(rows, "created_at"), micros(self.since)))
        if self.until is not None:
            parts.append(pc.less(_numbers(rows, "created_at"), micros(self.until)))
        if len(self.kinds) == 1:
            parts.append(pc.equal(rows.column("kind"), self.kinds[0]))
        if self.alive_at is not None:
            now = micros(self.alive_at)
            parts += [
                pc.fill_null(pc.greater(_numbers(rows, name), now), True)
                for name in ("expires_at", "archived_at")
            ]
        for part in parts[1:]:
            parts[0] = pc.and_(parts[0], part)
        return rows.filter(parts[0]) if parts else rows

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns by which they are chosen."""
        asked = []
        if self.since is not None or self.until is not None:
            asked.append("created_at")
        if len(self.kinds) == 1:
            asked.append("kind")
        if self.alive_at is not None:
            asked += ["expires_at", "archived_at"]
        return tuple(asked)


async def parts(
    store: Store, scope: Scope, chosen: Chosen, columns: Sequence[str]
) -> AsyncIterator[pa.Table]:
    """The chosen rows of a scope, in tables of :data:`ROWS_AT_ONCE` rows at most.

    Args:
        store: the open store.
        scope: whose rows.
        chosen: which of them.
        columns: these, and those by which rows are chosen.

    Raises:
        EngineError: an engine failed.
    """
    asked = tuple(dict.fromkeys((*columns, *chosen.columns)))
    async for batch in store.rows.after(-1, asked, scope):
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            part = pa.Table.from_batches([batch.slice(start, ROWS_AT_ONCE)])
            found = chosen.among(part)
            if found.num_rows:
                yield found


async def rows_by_seq(
    store: Store, scope: Scope, seqs: Sequence[int], columns: Sequence[str]
) -> dict[int, Row]:
    """Columns of a few rows, by their ``seq``. One that was deleted meanwhile is not there."""
    if not seqs:
        return {}
    asked = tuple(dict.fromkeys(("seq", *columns)))
    found = await store.rows.read(scope, RowFilter(), asked, seqs=list(seqs))
    return {row["seq"]: row for row in from_table(found)}


def numbers(rows: pa.Table, column: str) -> NDArray[np.int64]:
    """A column of whole numbers or times as int64 (n,): times in microseconds, -1 for null."""
    held = pc.fill_null(_numbers(rows, column), -1)
    found: NDArray[np.int64] = held.combine_chunks().to_numpy(zero_copy_only=False)
    return found


def vectors(rows: pa.Table) -> NDArray[np.float32]:
    """The vectors of rows, float32 (n, d), each of length 1; a zero vector stays zero."""
    held = rows.column("vector").combine_chunks()
    flat = held.flatten().to_numpy(zero_copy_only=False)
    found = np.array(flat, np.float32).reshape(rows.num_rows, -1)
    return normalised(found)


def normalised(found: NDArray[Any]) -> NDArray[np.float32]:
    """Vectors of length 1, float32 (n, d); a zero vector, or one that is not finite, is zero."""
    found = np.where(np.isfinite(found).all(axis=1, keepdims=True), found, 0)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (found / np.where(length > 0, length, 1)).astype(np.float32)
    return unit


class Codes:
    """A number for each text, in the order in which they are first seen; -1 for None."""

    __slots__ = ("names", "of")

    def __init__(self) -> None:
        self.of: dict[str | None, int] = {None: -1}
        self.names: list[str] = []

    def __len__(self) -> int:
        return len(self.names)

    def codes(self, rows: pa.Table, column: str) -> NDArray[np.int64]:
        """The numbers of a column's texts, int64 (n,)."""
        held = rows.column(column).combine_chunks().dictionary_encode()
        known = np.array([self.code(one) for one in held.dictionary.to_pylist()], np.int64)
        places = pc.fill_null(held.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        if not len(known):
            return np.full(rows.num_rows, -1, np.int64)
        found: NDArray[np.int64] = np.where(places < 0, -1, known[places])
        return found

    def code(self, name: str | None) -> int:
        """The number of a text."""
        number = self.of.get(name)
        if number is None:
            assert name is not None
            number = self.of[name] = len(self.names)
            self.names.append(name)
        return number


def _numbers(rows: pa.Table, column: str) -> pa.ChunkedArray:
    held = rows.column(column)
    return held if held.type == pa.int64() else held.cast(pa.int64())
