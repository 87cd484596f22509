"""Rows by their time, without a question: the newest, the oldest, those nearest to a time."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.conversations.listing import Page, not_a_cursor
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.recall import copies
from bruno_memory_vec.recall.hits import Hit, make_hit
from bruno_memory_vec.rows import checks
from bruno_memory_vec.rows.models import Row, read_all

#: Which end of a timeline comes first.
Order: TypeAlias = Literal["newest", "oldest"]

_ORDERS: Final[tuple[str, ...]] = get_args(Order)
# What places a row among those of the same time.
_PLACE: Final = ("conversation_id", "turn", "user_id", "id")
_READ: Final = ("seq", "created_at", "kind", *_PLACE)
_Place: TypeAlias = tuple[int, str, int, str, str]


def order(value: Any, around: Any) -> str:
    """The order of a timeline: "newest" (for None), "oldest", or "nearest" where ``around`` is
    given.

    Raises:
        InvalidInputError: it is not known, or given beside ``around``.
    """
    if value is not None and (not isinstance(value, str) or value not in _ORDERS):
        raise InvalidInputError(
            "order", f"{checks.shown(value)} is not known", fix=f"Choose from {', '.join(_ORDERS)}."
        )
    if around is None:
        return "newest" if value is None else str(value)
    if value is not None:
        raise InvalidInputError(
            "order",
            "is given beside around, where the nearest come first",
            fix="Give one of the two.",
        )
    return "nearest"


async def timeline(
    rows: RowIndex,
    scope: Scope,
    where: RowFilter,
    by: str,
    *,
    around: int | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> Page[Hit]:
    """A page of the rows that match; a message that is in several conversations once.

    It reads seven small columns of every row that matches, then the rows of the page.

    Args:
        rows: the rows.
        scope: whose.
        where: which of them.
        by: as of :func:`order`.
        around: the time that "nearest" refers to, in microseconds since 1970, UTC.
        limit: how many at most; None for all.
        after: the ``next`` of the page before.
    """
    begin = None if after is None else _read_cursor(after)
    table = await rows.read(scope, where, _READ)
    # A timeline may have very many rows.
    chosen, following = await asyncio.to_thread(_page, table, by, around, limit, begin)
    found = await rows.read(scope, RowFilter(), COLUMNS, seqs=chosen)
    hits = dict(await read_all(found, _hit))
    # What was deleted meanwhile is left out.
    return Page((hits[seq] for seq in chosen if seq in hits), following)


def _hit(row: Row) -> tuple[int, Hit]:
    return row["seq"], make_hit(row)


def _page(
    table: pa.Table, by: str, around: int | None, limit: int | None, after: _Place | None
) -> tuple[list[int], str | None]:
    """The ``seq`` of the rows of a page, in order, and the cursor of the next one."""
    number = copies.numbered(table)
    if number is not None:
        older = copies.older_copies(table.column("seq").to_numpy(), number)
        table = table.filter(pa.array(~np.isin(table.column("seq").to_numpy(), older)))
    for name, missing in (("conversation_id", ""), ("turn", -1)):
        filled = table.column(name).fill_null(missing)
        table = table.set_column(table.schema.get_field_index(name), name, filled)
    places = _Places(table, by, around)
    begin = 0 if after is None else places.number_up_to(after)
    chosen = places.order[begin : None if limit is None else begin + limit]
    more = begin + len(chosen) < len(places.order)
    following = json.dumps(places.place(int(chosen[-1]))) if more and len(chosen) else None
    return table.column("seq").to_numpy()[chosen].tolist(), following


class _Places:
    """The places of rows on a timeline.

    Args:
        table: the rows, with the columns :data:`_READ`, without nulls.
        by: "newest", "oldest" or "nearest".
        around: the time that "nearest" refers to.
    """

    def __init__(self, table: pa.Table, by: str, around: int | None) -> None:
        self._table = table
        self._ascending = by == "oldest"
        self._around = around
        self._created = table.column("created_at").cast(pa.int64()).to_numpy()
        # Of one time, the later turn is the newer one. By what a row is and not by its `seq`, which
        # is another one when it is changed between two pages.
        direction = "ascending" if self._ascending else "descending"
        placed = table.select(_PLACE).append_column("row", pa.array(np.arange(len(table))))
        by_place = placed.sort_by([(name, direction) for name in _PLACE]).column("row").to_numpy()
        distance, time = self._keys(self._created[by_place])
        #: int64 (n,), the index of each row, in order.
        self.order: NDArray[np.int64] = by_place[np.lexsort((time, distance))]

    def _keys(self, created: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of times: how far from ``around`` they are, and what orders those that are as far."""
        distance = np.abs(created - self._around) if self._around is not None else 0 * created
        return distance, created if self._ascending else -created

    def place(self, row: int) -> _Place:
        """The place of a row: its time in microseconds, and what counts among those of one time."""
        conversation, turn, user, id_ = (self._table.column(name)[row].as_py() for name in _PLACE)
        return int(self._created[row]), conversation, turn, user, id_

    def number_up_to(self, place: _Place) -> int:
        """How many rows stand at a place or before it."""
        distance, time = self._keys(self._created)
        (far,), (at,) = self._keys(np.array([place[0]], np.int64))
        before = int(np.count_nonzero((distance < far) | ((distance == far) & (time < at))))
        while before < len(self.order):
            other = self.place(int(self.order[before]))
            after = other > place if self._ascending else other < place
            if other[0] != place[0] or after:
                break
            before += 1
        return before


def _read_cursor(text: str) -> _Place:
    """The place of a text that was the ``next`` of a page.

    Raises:
        InvalidInputError: the text is no such cursor.
    """
    try:
        at, conversation, turn, user, id_ = json.loads(text if isinstance(text, str) else "[]")
        if any(type(one) is not int for one in (at, turn)) or abs(at) >= 2**62:
            raise ValueError
        if not all(isinstance(one, str) for one in (conversation, user, id_)):
            raise ValueError
    except (RecursionError, TypeError, ValueError) as error:
        raise not_a_cursor() from error
    return at, conversation, turn, user, id_
