"""The base class of wrappers around an engine, and the look-up of capabilities through wrappers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .protocols import KeepsUserFiles, RowIndex
from .query import EVERYONE, Candidates, RowFilter, Scope

Capability = TypeVar("Capability")


class ForwardingRowIndex:
    """A ``RowIndex`` that forwards every call to another one. Subclasses override some.

    Args:
        inner: the index that gets the calls.
    """

    def __init__(self, inner: RowIndex) -> None:
        self.inner: RowIndex = inner

    @property
    def name(self) -> str:
        return self.inner.name

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        await self.inner.upsert(rows, all_new=all_new)

    async def update(self, rows: pa.Table) -> None:
        await self.inner.update(rows)

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        return await self.inner.delete(scope, where, seqs=seqs)

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        return await self.inner.search(vector, scope, where, limit)

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
        return await self.inner.read(
            scope, where, columns, seqs=seqs, turns=turns, order_by=order_by, limit=limit
        )

    async def count(self, scope: Scope, where: RowFilter) -> int:
        return await self.inner.count(scope, where)

    def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        return self.inner.after(seq, columns, scope)

    async def last_seq(self) -> int:
        return await self.inner.last_seq()

    async def health(self) -> dict[str, Any]:
        return await self.inner.health()

    async def close(self) -> None:
        await self.inner.close()


def capability(rows: RowIndex, kind: type[Capability]) -> Capability | None:
    """The outermost index with a capability, from ``rows`` inwards; None where none has it.

    Args:
        rows: an index, which may be a :class:`ForwardingRowIndex`.
        kind: a capability, such as ``Compacts``.
    """
    while not isinstance(rows, kind):
        if not isinstance(rows, ForwardingRowIndex):
            return None
        rows = rows.inner
    return rows


async def drop_user_files(rows: RowIndex, *, for_good: bool = False) -> None:
    """As of :class:`~.protocols.KeepsUserFiles`, where ``rows`` keep such files."""
    keeps = capability(rows, KeepsUserFiles)
    if keeps is not None:
        await keeps.drop_user_files(for_good=for_good)
