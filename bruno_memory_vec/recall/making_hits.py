"""From rows in their order to what a recall gives back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.rankers import Pool, Ranking
from bruno_memory_vec.rankers.pool import NO_ROLE
from bruno_memory_vec.recall.hits import Hit, Hits
from bruno_memory_vec.rows.models import MESSAGE_COLUMNS, Row, record, utc

# What a hit that is a message is made of.
_MESSAGE = (*MESSAGE_COLUMNS, "kind", "turn", "seq")


def columns_of(pool: Pool, best: NDArray[np.int64]) -> tuple[str, ...]:
    """The columns that hits are made of: fewer where all of them are messages.

    Args:
        pool: the candidates.
        best: int64 (k,), which of them are shown.
    """
    return _MESSAGE if (pool.role[best] != NO_ROLE).all() else COLUMNS


def make_hits(rows: Iterable[Row], ranking: Ranking, places: NDArray[np.int64]) -> Hits:
    """The hits of some rows.

    Args:
        rows: k rows, with :func:`columns_of` them.
        ranking: their scores and signals are in it.
        places: int64 (k,), the place of each row in the ranking.
    """
    names = list(ranking.signals)
    scores = ranking.score[places].tolist()
    if names:
        parts = np.stack([ranking.signals[name][places] for name in names], axis=1).tolist()
    else:
        parts = [[] for _ in scores]
    return Hits(
        Hit(
            id=row["id"],
            content=row["content"],
            score=score,
            signals=dict(zip(names, part, strict=True)),
            conversation_id=row["conversation_id"],
            turn=row["turn"],
            created_at=utc(row["created_at"]),
            record=record(row),
        )
        for row, score, part in zip(rows, scores, parts, strict=True)
    )
