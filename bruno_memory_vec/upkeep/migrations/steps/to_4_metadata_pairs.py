"""Format 4 added the metadata's pairs, which filters compare.

They follow from the metadata alone, so going back loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from bruno_memory_vec.rows import tagged_json
from bruno_memory_vec.rows.metadata_pairs import pairs_of
from bruno_memory_vec.upkeep.migrations.steps.step import Losses

BELOW = 3
CHANGES: tuple[str, ...] = ()


def forward(rows: pa.Table) -> pa.Table:
    """Make them from the metadata."""
    made = []
    for said in rows.column("metadata").to_pylist():
        metadata = tagged_json.loads(said)
        made.append(pairs_of(metadata) if isinstance(metadata, Mapping) else [])
    return rows.append_column("metadata_pairs", pa.array(made, pa.list_(pa.string())))


def backward(rows: pa.Table) -> pa.Table:
    """Leave them out."""
    return rows.drop_columns(["metadata_pairs"])


def losses(rows: pa.Table) -> Losses:
    """Nothing."""
    return {}


def left_out(rows: Iterable[pa.Table]) -> frozenset[int]:
    """None."""
    return frozenset()
