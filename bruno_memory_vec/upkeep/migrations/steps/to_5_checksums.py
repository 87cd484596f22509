"""Format 5 added a checksum of each row; its sessions have another schema (``sessions.py``).

A checksum follows from the row, so going back loses nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from bruno_memory_vec.upkeep.migrations.formats import with_checksums
from bruno_memory_vec.upkeep.migrations.steps.step import Losses

BELOW = 4
CHANGES: tuple[str, ...] = ()


def forward(rows: pa.Table) -> pa.Table:
    """Make them."""
    return with_checksums(rows, 5)


def backward(rows: pa.Table) -> pa.Table:
    """Leave them out."""
    return rows.drop_columns(["checksum"])


def losses(rows: pa.Table) -> Losses:
    """Nothing."""
    return {}


def left_out(rows: Iterable[pa.Table]) -> frozenset[int]:
    """None."""
    return frozenset()
