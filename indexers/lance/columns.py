"""Columns without a value in any row, by which no row has to be compared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pyarrow as pa

#: Columns that recalls compare with the time, and that hardly any row has a value in.
RARE = ("expires_at", "archived_at")


class ColumnsWithoutValues:
    """Which of :data:`RARE` are null in every row of a table that only this process writes."""

    def __init__(self) -> None:
        # Those that were null in all rows when they were looked at; None before that.
        self._found: frozenset[str] | None = None
        self._written: set[str] = set()

    @property
    def learnt(self) -> bool:
        """Whether there is nothing more to find out."""
        return self._found is not None or self._written.issuperset(RARE)

    @property
    def known(self) -> frozenset[str]:
        """Those in which no row has a value, as far as is known."""
        return frozenset() if self._found is None else self._found - self._written

    def written(self, rows: pa.Table) -> None:
        """Note rows before they are written, whether or not that succeeds."""
        for name in RARE:
            if name in rows.column_names and rows.column(name).null_count < rows.num_rows:
                self._written.add(name)

    async def learn(self, has_value: Callable[[str], Awaitable[bool]]) -> None:
        """Find out which they are.

        Args:
            has_value: looks whether any row of the table has a value in a column.
        """
        # A value that is written while this looks is in _written, too.
        self._found = frozenset([name for name in RARE if not await has_value(name)])
