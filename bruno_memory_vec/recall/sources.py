"""The sources of candidates: rows in memory, or an engine. A recall works the same with both."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import Candidates, RowFilter
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.indexers.snapshot import HeldRows, Snapshot
from bruno_memory_vec.rankers import Profile
from bruno_memory_vec.rankers.fusion import fuse
from bruno_memory_vec.recall.request import READ_CHARACTERS, RecallRequest


class Loaded(NamedTuple):
    """Rows in memory that include the candidates and the turns around them.

    Attributes:
        snapshot: the rows.
        matching: bool (n,), which of them match the scope and the filter; None for all.
    """

    snapshot: Snapshot
    matching: NDArray[np.bool_] | None


class CandidateSource(Protocol):
    """Proposes candidates by vector, and loads the rows that a ranking reads."""

    async def nearest(self, limit: int, where: RowFilter) -> Candidates:
        """The rows nearest to the question, within its scope and a filter."""
        ...

    async def count(self, where: RowFilter) -> int:
        """How many rows of the question's scope match a filter."""
        ...

    async def load(
        self, lexical: Candidates, semantic: Candidates, others: NDArray[np.int64]
    ) -> Loaded:
        """Rows that include candidates, if they still exist, and the turns around the best.

        Args:
            lexical: the candidates of the lexical index.
            semantic: the candidates by vector.
            others: ``seq`` of more rows, int64.
        """
        ...


class SnapshotSource:
    """All rows of the user, in memory. Its coroutines never wait and may run in any thread.

    Args:
        snapshot: the rows.
        request: the question.
        vector: its vector, float32 (d,).
    """

    def __init__(
        self, snapshot: Snapshot, request: RecallRequest, vector: NDArray[np.float32]
    ) -> None:
        self._vector = vector
        self._scope = request.scope
        self._snapshot = snapshot
        self._among: NDArray[np.bool_] | None = None
        if request.among is not None:
            self._among = np.isin(snapshot.columns["seq"], request.among.seqs)
        self._masks: dict[RowFilter, NDArray[np.bool_] | None] = {}
        self._loaded = Loaded(snapshot, self._matching(request.where))

    async def nearest(self, limit: int, where: RowFilter) -> Candidates:
        """As of :class:`CandidateSource`, exactly."""
        nearest = self._snapshot.nearest(self._vector, self._matching(where), limit)
        return self._snapshot.candidates(*nearest)

    async def count(self, where: RowFilter) -> int:
        """As of :class:`CandidateSource`."""
        matching = self._matching(where)
        return len(self._snapshot) if matching is None else int(np.count_nonzero(matching))

    def _matching(self, where: RowFilter) -> NDArray[np.bool_] | None:
        if where not in self._masks:
            matching, among = self._snapshot.matching(self._scope, where), self._among
            if among is not None:
                matching = among if matching is None else matching & among
            self._masks[where] = matching
        return self._masks[where]

    async def load(
        self, lexical: Candidates, semantic: Candidates, others: NDArray[np.int64]
    ) -> Loaded:
        """All rows of the snapshot, whatever the candidates."""
        return self._loaded


class EngineSource:
    """An engine that is queried for each question.

    Args:
        rows: the engine.
        request: the question.
        vector: its vector, float32 (d,).
        first: its ``semantic_limit`` nearest rows, where they came with the words' candidates.
    """

    def __init__(
        self,
        rows: RowIndex,
        request: RecallRequest,
        vector: NDArray[np.float32],
        first: Candidates | None = None,
    ) -> None:
        self._rows = rows
        self._request = request
        self._vector = vector
        self._first = first

    async def nearest(self, limit: int, where: RowFilter) -> Candidates:
        """As of :class:`CandidateSource`."""
        asked = self._request.semantic_limit, self._request.where
        if self._first is not None and (limit, where) == asked:
            return self._first
        return await self._rows.search(self._vector, self._request.scope, where, limit)

    async def count(self, where: RowFilter) -> int:
        """As of :class:`CandidateSource`."""
        return await self._rows.count(self._request.scope, where)

    async def load(
        self, lexical: Candidates, semantic: Candidates, others: NDArray[np.int64]
    ) -> Loaded:
        """The rows of the candidates and of the turns around the best of them, in one read.

        They include the rows of the hits, so no second read is needed: that takes about 60 % of
        the time of two reads.
        """
        request = self._request
        columns = list(COLUMNS)
        if request.profile.rank.needs_vectors or request.min_similarity > 0:
            columns.append("vector")
        seqs = np.unique(np.concatenate([lexical.seq, semantic.seq, others])).tolist()
        turns = turns_around(lexical, semantic, request.profile)
        table = await self._rows.read(request.scope, request.where, columns, seqs=seqs, turns=turns)
        vectors = None
        if "vector" not in columns:
            vectors = np.empty((table.num_rows, 0), np.float32)
        return Loaded(HeldRows(table, mixed=True, vectors=vectors).snapshot(), None)


def aligned(
    rows: NDArray[np.int64], some: NDArray[np.int64], score: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The scores of ``some`` of ``rows``, NaN for the others; ``rows`` is ascending."""
    scores = np.full(len(rows), np.nan, np.float32)
    scores[np.searchsorted(rows, some)] = score
    return scores


def best_of(
    rows: NDArray[np.int64],
    lexical: NDArray[np.float32],
    semantic: NDArray[np.float32],
    profile: Profile,
) -> NDArray[np.int64]:
    """The indices of the best candidates by fusion, of equals the newest.

    The turns around these join the pool.

    Args:
        rows: int64 (n,), ascending in the order of ``seq``.
        lexical: float32 (n,), NaN where the lexical index did not propose the row.
        semantic: float32 (n,), NaN where the vector search did not propose the row.
        profile: how many, and by which fusion.
    """
    shares = fuse(lexical, semantic, profile.rank.fusion)
    score = sum(shares.values(), start=np.zeros(len(rows), np.float64))
    order: NDArray[np.int64] = np.lexsort((-rows, -score))[: profile.candidates.neighbours_of]
    return order


def turns_around(
    lexical: Candidates, semantic: Candidates, profile: Profile
) -> dict[str, list[int]]:
    """The turns around the best candidates, by conversation."""
    distance = profile.candidates.neighbour_distance
    if profile.candidates.neighbours_of == 0 or distance == 0:
        return {}
    sides = (lexical, semantic)
    seqs, first = np.unique(np.concatenate([side.seq for side in sides]), return_index=True)
    conversations = [name for side in sides for name in side.conversation_id]
    turns = np.concatenate([side.turn for side in sides])[first]
    scores = [aligned(seqs, side.seq, side.score) for side in sides]
    wanted: dict[str, set[int]] = {}
    for i in best_of(seqs, scores[0], scores[1], profile).tolist():
        conversation, turn = conversations[first[i]], int(turns[i])
        if conversation is not None and turn >= 0:
            around = range(max(turn - distance, 0), turn + distance + 1)
            wanted.setdefault(conversation, set()).update(around)
    return {conversation: sorted(turns) for conversation, turns in wanted.items()}


def texts_of(snapshot: Snapshot, rows: NDArray[np.int64]) -> list[str]:
    """The contents of some rows, of long ones the first :data:`READ_CHARACTERS`."""
    return snapshot.beginnings(rows, READ_CHARACTERS)
