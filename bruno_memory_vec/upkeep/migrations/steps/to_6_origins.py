"""Format 6 says who a row comes from, and whether it is pinned or archived.

A message comes from its role, and a memory of an older store counts as given by its caller. Going
back loses pins, archiving and every other origin. The checksum is of these columns, too, and is
made anew either way.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from bruno_memory_vec.upkeep.migrations.formats import with_checksums
from bruno_memory_vec.upkeep.migrations.steps.step import Losses

BELOW = 5
CHANGES = ("checksum",)
_TIME = pa.timestamp("us", tz="UTC")


def forward(rows: pa.Table) -> pa.Table:
    """Derive the origins; nothing is pinned or archived."""
    nothing = pa.nulls(rows.num_rows, _TIME)
    rows = rows.append_column("origin", _derived(rows))
    rows = rows.append_column("pinned_at", nothing).append_column("archived_at", nothing)
    return with_checksums(rows, 6)


def backward(rows: pa.Table) -> pa.Table:
    """Leave them out."""
    return with_checksums(rows.drop_columns(["origin", "pinned_at", "archived_at"]), 5)


def losses(rows: pa.Table) -> Losses:
    """Pins, archiving, and origins that do not follow from the row."""
    other = pc.sum(pc.not_equal(rows.column("origin"), _derived(rows))).as_py() or 0
    held = {name: len(rows) - rows.column(name).null_count for name in ("pinned_at", "archived_at")}
    return {
        "rows that are pinned, and will not be": held["pinned_at"],
        "rows that are archived, and will be recalled again": held["archived_at"],
        "rows that were extracted, imported or made as summaries, and will not say so": other,
    }


def left_out(rows: Iterable[pa.Table]) -> frozenset[int]:
    """None."""
    return frozenset()


def _derived(rows: pa.Table) -> pa.ChunkedArray:
    role = rows.column("role")
    said = pc.if_else(pc.fill_null(pc.equal(role, "function"), False), "tool", role)
    return pc.if_else(pc.equal(rows.column("kind"), "message"), said, "given")
