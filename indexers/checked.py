"""An index that gives out no row that is not as it was stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from .checksum import changed
from .forwarding import ForwardingRowIndex, capability
from .protocols import RowIndex
from .query import EVERYONE, RowFilter, Scope
from .schema import COLUMNS

# More rows than this are checked in a thread.
_ROWS_ON_THE_LOOP = 100
_WHOLE = frozenset(COLUMNS)


class CheckedIndex(ForwardingRowIndex):
    """An index in front of another one that checks the checksum of each row it gives out.

    A row is checked where all its columns are read, with or without the vector; so is each row of
    which a message or a memory is made. Rows that have changed since they were stored are left out,
    and :attr:`damaged` has them until they are mended. Where only some columns are read, they are
    as they are, but text that is no UTF-8 is made readable.

    Args:
        inner: the index with the rows.
    """

    def __init__(self, inner: RowIndex) -> None:
        super().__init__(inner)
        #: The ``seq`` of each row that was found changed.
        self.damaged: set[int] = set()

    async def read(
        self,
        scope: Scope,
        where: RowFilter,
        columns: Sequence[str],
        *,
        seqs: Sequence[int] | None = None,
        turns: Mapping[str, Sequence[int]] | None = None,
        order_by: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        table = await self.inner.read(
            scope, where, columns, seqs=seqs, turns=turns, order_by=order_by, limit=limit
        )
        return await self._undamaged(table) if _WHOLE.issubset(columns) else readable(table)

    async def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        whole = _WHOLE.issubset(columns)
        async for batch in self.inner.after(seq, columns, scope):
            table = pa.Table.from_batches([batch])
            table = await self._undamaged(table) if whole else readable(table)
            for part in table.to_batches():
                yield part

    async def health(self) -> dict[str, Any]:
        return {**await self.inner.health(), "damaged": sorted(self.damaged)}

    async def _undamaged(self, table: pa.Table) -> pa.Table:
        many = table.num_rows > _ROWS_ON_THE_LOOP
        unlike = await asyncio.to_thread(changed, table) if many else changed(table)
        if not unlike.any():
            return table
        self.damaged.update(table.column("seq").filter(pa.array(unlike)).to_pylist())
        return table.filter(pa.array(~unlike))


def readable(rows: pa.Table) -> pa.Table:
    """Rows whose texts can be read: in a damaged row, bytes may be no UTF-8."""
    try:
        rows.validate(full=True)
    except pa.ArrowInvalid:
        for at, field in enumerate(rows.schema):
            if pa.types.is_string(field.type):
                said = rows.column(at).cast(pa.binary()).to_pylist()
                texts = [None if one is None else one.decode("utf-8", "replace") for one in said]
                rows = rows.set_column(at, field, pa.array(texts, field.type))
    return rows


def unchecked(rows: RowIndex) -> RowIndex:
    """An index that gives out damaged rows, too, from behind ``rows``."""
    checked = capability(rows, CheckedIndex)
    return rows if checked is None else checked.inner


def note_damaged(rows: RowIndex, seqs: Iterable[int]) -> None:
    """Let ``rows`` know which rows are damaged, and that no others are."""
    checked = capability(rows, CheckedIndex)
    if checked is not None:
        checked.damaged = set(seqs)
