"""Format 3 added the write-ahead log, and a message is a row in each of its conversations.

Before, a message was one row of its user, whatever its conversation. Going back leaves of a message
that is in several conversations the row that was stored last, and flushes the log. Cues that an
opening of format 2 had not read yet are read.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from bruno_memory_vec.upkeep.migrations.steps import to_2_cues
from bruno_memory_vec.upkeep.migrations.steps.step import Losses

BELOW = 2
CHANGES: tuple[str, ...] = ()


def forward(rows: pa.Table) -> pa.Table:
    """The rows as they are, with all cues."""
    if not pc.any(pc.is_null(rows.column("question_share"))).as_py():
        return rows
    return to_2_cues.forward(to_2_cues.backward(rows))


def backward(rows: pa.Table) -> pa.Table:
    """The rows as they are; those of :func:`left_out` are gone before."""
    return rows


def losses(rows: pa.Table) -> Losses:
    """Nothing of a row that stays."""
    return {}


def left_out(rows: Iterable[pa.Table]) -> frozenset[int]:
    """Of a message in several conversations all rows but the newest."""
    newest: dict[tuple[str, str, str], int] = {}
    older: set[int] = set()
    for part in rows:
        columns = [part.column(name).to_pylist() for name in ("user_id", "kind", "id", "seq")]
        for user, kind, name, seq in zip(*columns, strict=True):
            before = newest.get((user, kind, name))
            if before is not None:
                older.add(min(before, seq))
            newest[user, kind, name] = seq if before is None else max(before, seq)
    return frozenset(older)
