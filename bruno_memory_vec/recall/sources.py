"""Where candidates come from: rows in memory, or an engine. A recall is the same over both."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import Candidates
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.indexers.snapshot import HeldRows, Snapshot
from bruno_memory_vec.rankers import Profile
from bruno_memory_vec.rankers.fusion import fuse
from bruno_memory_vec.recall.request import RecallRequest


class Loaded(NamedTuple):
    """Rows in memory, of which candidates and the turns around them are some.

    Attributes:
        snapshot: the rows.
        matching: bool (n,), which of them the scope and the filter let pass; None for all.
    """

    snapshot: Snapshot
    matching: NDArray[np.bool_] | None


class CandidateSource(Protocol):
    """Proposes rows by their vectors, and has the rows that a ranking reads."""

    async def nearest(self, limit: int) -> Candidates:
        """The rows nearest to the question, within its scope and filter."""
        ...

    async def load(self, lexical: Candidates, semantic: Candidates) -> Loaded:
        """Rows among which these candidates are, if they still exist, and the turns around them."""
        ...


class SnapshotSource:
    """All rows of the user in memory. Nothing is waited for: run it in a thread.

    Args:
        snapshot: the rows.
        request: the question.
        vector: its vector, float32 (d,).
    """

    def __init__(
        self, snapshot: Snapshot, request: RecallRequest, vector: NDArray[np.float32]
    ) -> None:
        self._vector = vector
        self._loaded = Loaded(snapshot, snapshot.matching(request.scope, request.where))

    async def nearest(self, limit: int) -> Candidates:
        """As of :class:`CandidateSource`, exactly."""
        snapshot, matching = self._loaded
        return snapshot.candidates(*snapshot.nearest(self._vector, matching, limit))

    async def load(self, lexical: Candidates, semantic: Candidates) -> Loaded:
        """All of them, whatever is asked for."""
        return self._loaded


class EngineSource:
    """An engine that is asked for each question.

    Args:
        rows: the engine.
        request: the question.
        vector: its vector, float32 (d,).
    """

    def __init__(self, rows: RowIndex, request: RecallRequest, vector: NDArray[np.float32]) -> None:
        self._rows = rows
        self._request = request
        self._vector = vector

    async def nearest(self, limit: int) -> Candidates:
        """As of :class:`CandidateSource`."""
        request = self._request
        return await self._rows.search(self._vector, request.scope, request.where, limit)

    async def load(self, lexical: Candidates, semantic: Candidates) -> Loaded:
        """One read brings the rows of the candidates and those around the best of them.

        It drops what is gone, and the rows of the hits are among them: that takes about 60 % of
        two reads.
        """
        request = self._request
        columns = list(COLUMNS)
        if request.profile.rank.needs_vectors or request.min_similarity > 0:
            columns.append("vector")
        seqs = np.union1d(lexical.seq, semantic.seq).tolist()
        turns = turns_around(lexical, semantic, request.profile)
        table = await self._rows.read(request.scope, request.where, columns, seqs=seqs, turns=turns)
        vectors = None
        if "vector" not in columns:
            vectors = np.empty((table.num_rows, 0), np.float32)
        return Loaded(HeldRows(table, mixed=True, vectors=vectors).snapshot(), None)


def aligned(
    rows: NDArray[np.int64], some: NDArray[np.int64], score: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The scores of some of the rows, NaN for the others; ``rows`` is in ascending order."""
    scores = np.full(len(rows), np.nan, np.float32)
    scores[np.searchsorted(rows, some)] = score
    return scores


def best_of(
    rows: NDArray[np.int64],
    words: NDArray[np.float32],
    meaning: NDArray[np.float32],
    profile: Profile,
) -> NDArray[np.int64]:
    """Which candidates bring the turns around them: the best by fusion, of equals the newest.

    Args:
        rows: int64 (n,), ascending in the order of ``seq``.
        words: float32 (n,), NaN where the lexical index did not propose the row.
        meaning: float32 (n,), the same of the vectors.
        profile: how many, and by which fusion.
    """
    shares = fuse(words, meaning, profile.rank.fusion)
    score = np.sum(list(shares.values()), axis=0)
    order: NDArray[np.int64] = np.lexsort((-rows, -score))[: profile.candidates.neighbours_of]
    return order


def turns_around(
    lexical: Candidates, semantic: Candidates, profile: Profile
) -> dict[str, list[int]]:
    """The turns next to the best candidates, by conversation."""
    distance = profile.candidates.neighbour_distance
    if profile.candidates.neighbours_of == 0 or distance == 0:
        return {}
    sides = (lexical, semantic)
    seqs, first = np.unique(np.concatenate([side.seq for side in sides]), return_index=True)
    conversations = [name for side in sides for name in side.conversation_id]
    turns = np.concatenate([side.turn for side in sides])[first]
    words, meaning = (aligned(seqs, side.seq, side.score) for side in sides)
    wanted: dict[str, set[int]] = {}
    for i in best_of(seqs, words, meaning, profile).tolist():
        conversation, turn = conversations[first[i]], int(turns[i])
        if conversation is not None and turn >= 0:
            around = range(max(turn - distance, 0), turn + distance + 1)
            wanted.setdefault(conversation, set()).update(around)
    return {conversation: sorted(turns) for conversation, turns in wanted.items()}


def texts_of(snapshot: Snapshot, rows: NDArray[np.int64]) -> list[str]:
    """The contents of some rows."""
    texts: list[str] = snapshot.table.column("content").take(pa.array(rows)).to_pylist()
    return texts
