"""The read path: candidates from both indexes, turns around them, rankers, rows of the best."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.run import embed_here, embed_texts, is_light
from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import HoldsRows, LexicalIndex, Refreshes, RowIndex
from bruno_memory_vec.indexers.query import Candidates, Scope
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS, micros
from bruno_memory_vec.indexers.snapshot import Snapshot
from bruno_memory_vec.rankers import Pool, Profile, Question, Ranking, rank, read_question
from bruno_memory_vec.recall import copies
from bruno_memory_vec.recall.cross_encoder import cross_score
from bruno_memory_vec.recall.hits import Hits
from bruno_memory_vec.recall.in_memory import ROUNDING, recall_in_memory
from bruno_memory_vec.recall.making_hits import columns_of, make_hits
from bruno_memory_vec.recall.pool import columns_for, make_pool, places_around, vectors_of
from bruno_memory_vec.recall.request import RecallRequest
from bruno_memory_vec.rows.models import from_table

if TYPE_CHECKING:
    from bruno_memory_vec.writing.writer import Writer

# A writer in another process commits its words this long after its rows, at most (writer.py), so a
# reader waits a little longer, and then takes the index as it is.
_READER_WAITS = 1.0
_READER_LOOKS_EVERY = 0.03
# Above this many, hits are made in a thread.
_HITS_ON_THE_LOOP = 64

First = TypeVar("First")
Second = TypeVar("Second")


class _Read(NamedTuple):
    """A question, read: its vector (float32 (d,)), what its words find, and what they ask for."""

    vector: NDArray[np.float32]
    lexical: Candidates
    question: Question


class Retriever:
    """Answers recalls from a store's indexes.

    Args:
        rows: the rows and their vectors.
        lexical: the word index.
        embedder: makes the question's vector.
        writer: takes access counts; None for a reader.
        embed_timeout: how long the embedder may take, see :func:`embed_texts`.
    """

    def __init__(
        self,
        rows: RowIndex,
        lexical: LexicalIndex,
        embedder: Embedder,
        writer: Writer | None,
        embed_timeout: float | None = None,
    ) -> None:
        self._rows = rows
        self._held = capability(rows, HoldsRows)
        self._lexical = lexical
        self._embedder = embedder
        self._writer = writer
        self._embed_timeout = embed_timeout
        self._following = LoopLock()
        # The lexical index's last row when a reader gave up waiting for newer ones.
        self._gave_up_at: int | None = None

    async def recall(self, request: RecallRequest, *, count_use: bool = True) -> Hits:
        """The best hits, best first. ``count_use`` adds to their access counts, later."""
        await self._freshen(request.profile)
        hits, seqs = await self._recall(request)
        if count_use and self._writer is not None:
            self._writer.use(seqs.tolist())
        return hits

    async def _recall(self, request: RecallRequest) -> tuple[Hits, NDArray[np.int64]]:
        light = is_light(self._embedder)
        held = self._held
        if light and held is not None and held.holds(request.scope):
            # One visit to a thread for everything: a visit costs more than most of its parts.
            snapshot = await held.snapshot(request.scope)
            if snapshot is not None:
                return await asyncio.to_thread(self._read_in_memory, snapshot, request)
        # The user's rows may have to be read from disk, which nothing else waits for.
        read, snapshot = await _both(
            asyncio.to_thread(self._read, request) if light else self._asked(request),
            self._snapshot(request.scope),
        )
        if snapshot is not None:
            return await asyncio.to_thread(self._from_memory, snapshot, request, read)
        return await self._from_engine(request, read)

    def _read_in_memory(
        self, snapshot: Snapshot, request: RecallRequest
    ) -> tuple[Hits, NDArray[np.int64]]:
        return self._from_memory(snapshot, request, self._read(request, places=False))

    async def _snapshot(self, scope: Scope) -> Snapshot | None:
        return None if self._held is None else await self._held.snapshot(scope)

    def _from_memory(
        self, snapshot: Snapshot, request: RecallRequest, read: _Read
    ) -> tuple[Hits, NDArray[np.int64]]:
        return recall_in_memory(
            snapshot,
            request,
            read.vector,
            read.lexical,
            read.question,
            self._pending_uses,
            lambda limit: self._find_words(request, limit, places=False),
        )

    async def _from_engine(
        self, request: RecallRequest, read: _Read
    ) -> tuple[Hits, NDArray[np.int64]]:
        profile = request.profile
        lexical, semantic, table = await self._proposed(request, read)
        if not table.num_rows:
            return Hits(), np.empty(0, np.int64)
        if request.min_similarity > 0:
            alike = vectors_of(table) @ read.vector >= request.min_similarity - ROUNDING
            table = table.filter(pa.array(alike))
        uses = self._pending_uses

        def order() -> tuple[Pool, Ranking]:
            pool = make_pool(table, lexical, semantic, uses, request.query, profile)
            found = rank(
                pool,
                profile.rank,
                k=request.k,
                now=micros(request.now),
                question=read.question,
                cross_score=cross_score(
                    lambda rows: table.column("content").take(pa.array(rows)).to_pylist(), request
                ),
            )
            return pool, found

        # Reading texts takes some milliseconds, which are not the event loop's to wait for.
        in_thread = profile.rank.needs_texts
        pool, ranking = await asyncio.to_thread(order) if in_thread else order()
        shown = table.select(columns_of(pool, ranking.order)).take(pa.array(ranking.order))

        def build() -> Hits:
            return make_hits(from_table(shown), ranking, ranking.order)

        few = len(ranking.order) <= _HITS_ON_THE_LOOP
        hits = build() if few else await asyncio.to_thread(build)
        return hits, pool.seq[ranking.order]

    async def _proposed(
        self, request: RecallRequest, read: _Read
    ) -> tuple[Candidates, Candidates, pa.Table]:
        """What both indexes propose, of copies the newest; these rows and those around them."""
        lexical, semantic = read.lexical, await self._search(request, read, times=1)
        times = 1
        while True:
            table = await self._rows_of(request, lexical, semantic)
            proposed = table.filter(
                pc.is_in(table.column("seq"), pa.array(np.union1d(lexical.seq, semantic.seq)))
            )
            number = copies.numbered(proposed)
            if number is None:
                return lexical, semantic, table
            cut = (
                len(lexical) == request.lexical_limit * times > 0,
                len(semantic) == request.semantic_limit * times > 0,
            )
            older = copies.older_copies(proposed.column("seq").to_numpy(), number)
            lexical = _without(lexical, older, request.lexical_limit)
            semantic = _without(semantic, older, request.semantic_limit)
            missing = (
                cut[0] and len(lexical) < request.lexical_limit,
                cut[1] and len(semantic) < request.semantic_limit,
            )
            if not any(missing) or times == copies.MOST:
                # Read again: other turns stand around the candidates that are left.
                return lexical, semantic, await self._rows_of(request, lexical, semantic)
            times *= copies.MORE
            if request.lexical_limit:
                lexical = await asyncio.to_thread(
                    self._find_words, request, request.lexical_limit * times, places=True
                )
            semantic = await self._search(request, read, times=times)

    async def _search(self, request: RecallRequest, read: _Read, *, times: int) -> Candidates:
        if not request.semantic_limit:
            return Candidates.empty()
        limit = request.semantic_limit * times
        return await self._rows.search(read.vector, request.scope, request.where, limit)

    async def _rows_of(
        self, request: RecallRequest, lexical: Candidates, semantic: Candidates
    ) -> pa.Table:
        """The rows of candidates, and those around the best of them."""
        columns = columns_for(request.profile)
        if request.min_similarity > 0 and "vector" not in columns:
            columns.append("vector")
        seqs = np.union1d(lexical.seq, semantic.seq)
        places = places_around(lexical, semantic, request.profile)
        # One read brings what the rankers need, drops hits whose row is gone, adds neighbours, and
        # brings the hits' rows as well: that takes about 60 % of two reads.
        return await self._rows.read(
            request.scope, request.where, columns, seqs=seqs.tolist(), turns=places
        )

    @property
    def _pending_uses(self) -> Mapping[int, int]:
        return {} if self._writer is None else self._writer.pending_uses

    async def _asked(self, request: RecallRequest) -> _Read:
        """The same as :meth:`_read`, for an embedder that takes its time."""
        vector, (lexical, question) = await _both(
            self._vector(request), asyncio.to_thread(self._read_words, request, places=True)
        )
        return _Read(vector, lexical, question)

    async def _vector(self, request: RecallRequest) -> NDArray[np.float32]:
        """The question's vector, float32 (d,); empty where nothing needs it."""
        if not request.needs_vector:
            return np.empty(0, np.float32)
        vector: NDArray[np.float32] = (
            await embed_texts(self._embedder, [request.query], "query", self._embed_timeout)
        )[0]
        return vector

    def _read(self, request: RecallRequest, *, places: bool = True) -> _Read:
        """All that the question says. ``places``: where the word index's hits were said."""
        vector = np.empty(0, np.float32)
        if request.needs_vector:
            vector = embed_here(self._embedder, [request.query], "query")[0]
        return _Read(vector, *self._read_words(request, places=places))

    def _read_words(self, request: RecallRequest, *, places: bool) -> tuple[Candidates, Question]:
        """What the words find, and what they ask for. In a thread: both may take long."""
        question = read_question(request.query, micros(request.now))
        limit = request.lexical_limit
        if not limit:
            return Candidates.empty(), question
        return self._find_words(request, limit, places=places), question

    def _find_words(self, request: RecallRequest, limit: int, *, places: bool) -> Candidates:
        query, scope, where = request.lexical_query, request.scope, request.where
        return self._lexical.search(query, scope, where, limit, places=places)

    async def _freshen(self, profile: Profile) -> None:
        """Let the word index show every row that is stored."""
        if profile.candidates.lexical == 0:
            return
        if self._writer is not None:
            if self._lexical.pending:
                await self._lexical.commit()
            return
        if not isinstance(self._lexical, Refreshes):
            # It is this object's alone: nobody else brings it the writer's rows.
            async with self._following:
                newest = await self._lexical.last_seq()
                async for batch in self._rows.after(newest, list(LEXICAL_COLUMNS)):
                    self._lexical.add(pa.Table.from_batches([batch]))
                if self._lexical.pending:
                    await self._lexical.commit()
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _READER_WAITS
        while True:
            await self._lexical.refresh()
            indexed = await self._lexical.last_seq()
            if indexed == self._gave_up_at or not await self._newer_than(indexed):
                return
            if loop.time() >= deadline:
                # The writer is gone or slow: its next start brings the words, vectors serve now.
                self._gave_up_at = indexed
                return
            await asyncio.sleep(_READER_LOOKS_EVERY)

    async def _newer_than(self, seq: int) -> bool:
        async for batch in self._rows.after(seq, ["seq"]):
            if batch.num_rows:
                return True
        return False


def _without(candidates: Candidates, seqs: NDArray[np.int64], limit: int) -> Candidates:
    """The best ``limit`` of candidates without some."""
    kept = np.flatnonzero(~np.isin(candidates.seq, seqs))[:limit]
    conversations = tuple(candidates.conversation_id[i] for i in kept.tolist())
    return Candidates(
        candidates.seq[kept], candidates.score[kept], conversations, candidates.turn[kept]
    )


async def _both(first: Awaitable[First], second: Awaitable[Second]) -> tuple[First, Second]:
    return await asyncio.gather(first, second)
