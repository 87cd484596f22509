"""What a step between two formats is: a module with these names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import pyarrow as pa

#: By what is lost, in words for people: how often.
Losses = Mapping[str, int]


class Step(Protocol):
    """A module that leads from one format of the rows to the next one, and back."""

    BELOW: int
    """The older format; the newer one has the next number."""

    CHANGES: tuple[str, ...]
    """The columns that both formats have and that the step gives other values."""

    def forward(self, rows: pa.Table) -> pa.Table:
        """Rows of the older format as rows of the newer one; any order of the columns."""
        ...

    def backward(self, rows: pa.Table) -> pa.Table:
        """Rows of the newer format as rows of the older one."""
        ...

    def losses(self, rows: pa.Table) -> Losses:
        """What :meth:`backward` loses of these rows, and :meth:`forward` cannot bring back."""
        ...

    def left_out(self, rows: Iterable[pa.Table]) -> frozenset[int]:
        """The ``seq`` of rows that the older format cannot hold at all.

        Args:
            rows: all rows of the store, in parts, with the columns that identify them.
        """
        ...
