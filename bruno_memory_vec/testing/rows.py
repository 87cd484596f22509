"""Rows for tests of engines, with defaults for all columns that a test does not name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.indexers.checksum import with_checksums
from bruno_memory_vec.indexers.schema import CHECKSUM, MEMORY, MESSAGE, row_schema
from bruno_memory_vec.rows.models import cues

#: The time of the row with ``seq`` 0; each later one is a minute younger.
START = datetime(2024, 1, 1, tzinfo=timezone.utc)


def message(seq: int, content: str = "hello", **changes: Any) -> dict[str, Any]:
    """A message's row, as plain values (times as aware datetimes), without vector and checksum.

    Its id, its turn and its time follow from ``seq``; ``changes`` are other columns.
    """
    at = START + timedelta(minutes=seq % 1_000_000)
    row = {
        "id": str(UUID(int=seq)),
        "kind": MESSAGE,
        "user_id": "ana",
        "conversation_id": "talk",
        "turn": seq,
        "role": "user",
        "message_type": "text",
        "memory_type": None,
        "content": content,
        "words": len(content.split()),
        **cues(content, {}),
        "metadata": "{}",
        "metadata_pairs": [],
        "extra": None,
        "source": None,
        "category": None,
        "tags": [],
        "importance": 0.5,
        "confidence": 1.0,
        "parent_id": None,
        "origin": "user",
        "created_at": at,
        "updated_at": at,
        "last_accessed": at,
        "access_count": 0,
        "expires_at": None,
        "pinned_at": None,
        "archived_at": None,
        "seq": seq,
    }
    return {**row, **changes}


def memory(seq: int, content: str = "hello", **changes: Any) -> dict[str, Any]:
    """A memory's row, as :func:`message`."""
    own = {
        "kind": MEMORY,
        "conversation_id": None,
        "turn": None,
        "role": None,
        "message_type": None,
        "memory_type": "fact",
        "source": "test",
        "origin": "given",
    }
    return message(seq, content, **{**own, **changes})


def table(
    rows: Sequence[Mapping[str, Any]],
    dimension: int,
    vectors: NDArray[np.float32] | None = None,
) -> pa.Table:
    """Rows as the Arrow table that an engine takes.

    Args:
        rows: made by :func:`message` and :func:`memory`.
        dimension: length of a vector.
        vectors: float32 (n, dimension); made from the contents where not given.
    """
    if vectors is None:
        vectors = HashEmbedder(dimension).embed([row["content"] for row in rows])
    whole = [
        {**row, "vector": vector, CHECKSUM: 0} for row, vector in zip(rows, vectors, strict=True)
    ]
    return with_checksums(pa.Table.from_pylist(whole, schema=row_schema(dimension)))
