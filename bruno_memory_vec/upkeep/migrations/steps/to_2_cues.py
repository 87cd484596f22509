"""Format 2 added the cues: what the rankers know of a text without reading it.

They follow from the text and its metadata alone, so going back loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from bruno_memory_vec.rows import tagged_json
from bruno_memory_vec.rows.models import cues
from bruno_memory_vec.upkeep.migrations.steps.step import Losses

BELOW = 1
CHANGES: tuple[str, ...] = ()
_CUES = {
    "speaker": pa.string(),
    "question_share": pa.float32(),
    "ends_with_question": pa.bool_(),
    "names_time": pa.bool_(),
    "tells_change": pa.bool_(),
}


def forward(rows: pa.Table) -> pa.Table:
    """Read the cues from the texts."""
    contents = rows.column("content").to_pylist()
    metadata = rows.column("metadata").to_pylist()
    read = [
        cues(content, tagged_json.loads(said))
        for content, said in zip(contents, metadata, strict=True)
    ]
    for name, kind in _CUES.items():
        rows = rows.append_column(name, pa.array([one[name] for one in read], kind))
    return rows


def backward(rows: pa.Table) -> pa.Table:
    """Leave them out."""
    return rows.drop_columns(list(_CUES))


def losses(rows: pa.Table) -> Losses:
    """Nothing."""
    return {}


def left_out(rows: Iterable[pa.Table]) -> frozenset[int]:
    """None."""
    return frozenset()
