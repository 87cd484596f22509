"""What an engine's vector search finds, against what is nearest: approximate search is not free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.embedders import embed_texts
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.recall.profiles import load_profile

_K = 10
_EVERYWHERE = Scope.all_users()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question's text, and the scope in which it is asked."""

    text: str
    scope: Scope


async def ann_recall(memory: VectorMemory, asked: Sequence[Asked]) -> dict[str, float]:
    """The share of the ten nearest rows that are among the engine's ten best.

    The engine is asked for as many candidates as a recall asks for, with a recall's filter. What
    is nearest is computed with numpy from the vectors that the store holds.

    Returns:
        "ann_recall@10": the mean over the questions; "ann_recall@10_min": the least;
        "asked": how many questions.
    """
    store = await memory._lazy.get()
    where = RowFilter(alive_at=datetime.now(timezone.utc))
    limit = load_profile(memory.config.profile).candidates.semantic
    vectors = await embed_texts(store.embedder, [one.text for one in asked], "query")
    found = []
    for one, vector in zip(asked, vectors, strict=True):
        candidates = await store.rows.search(vector, one.scope, where, limit)
        found.append(candidates.seq[:_K])
    nearest = await _nearest(store.rows, vectors, [one.scope for one in asked])
    shares = [
        len(np.intersect1d(ours, best)) / len(best)
        for ours, best in zip(found, nearest, strict=True)
        if len(best)
    ]
    return {
        "ann_recall@10": round(float(np.mean(shares)), 4),
        "ann_recall@10_min": round(min(shares), 4),
        "asked": len(shares),
    }


async def _nearest(
    rows: RowIndex, vectors: NDArray[np.float32], scopes: Sequence[Scope]
) -> list[NDArray[np.int64]]:
    """The ``seq`` of the ten rows nearest to each vector within its scope, nearest first."""
    best = [_Best() for _ in scopes]
    for scope in set(scopes):
        own = [place for place, one in enumerate(scopes) if one == scope]
        if scope == _EVERYWHERE:
            # In batches: the vectors of a large store are not held at once.
            async for batch in rows.after(-1, ["seq", "vector"]):
                _offer(best, own, vectors, pa.Table.from_batches([batch]))
        else:
            _offer(best, own, vectors, await rows.read(scope, RowFilter(), ["seq", "vector"]))
    return [one.seq for one in best]


class _Best:
    """The best so far."""

    def __init__(self) -> None:
        self.seq = np.empty(0, np.int64)
        self._score = np.empty(0, np.float32)

    def offer(self, seq: NDArray[np.int64], score: NDArray[np.float32]) -> None:
        seq, score = np.concatenate([self.seq, seq]), np.concatenate([self._score, score])
        order = np.argsort(-score, kind="stable")[:_K]
        self.seq, self._score = seq[order], score[order]


def _offer(
    best: Sequence[_Best], own: Sequence[int], vectors: NDArray[np.float32], table: pa.Table
) -> None:
    if not table.num_rows:
        return
    seq = table.column("seq").to_numpy()
    flat = table.column("vector").combine_chunks().flatten().to_numpy()
    score = flat.reshape(len(seq), -1) @ vectors[own].T
    for column, place in enumerate(own):
        top = np.argpartition(-score[:, column], min(_K, len(seq)) - 1)[:_K]
        best[place].offer(seq[top], score[top, column])
