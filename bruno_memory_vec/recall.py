"""The read path: candidates from both indexes, turns around them, rankers, rows of the best."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.candidate_pool import columns_for, make_pool, places_around, vectors_of
from bruno_memory_vec.cross_encoder import cross_encoder
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.run import embed_here, embed_texts, is_light
from bruno_memory_vec.hits import Hit, Hits
from bruno_memory_vec.indexers.loop_lock import LoopLock
from bruno_memory_vec.indexers.protocols import (
    Candidates,
    LexicalIndex,
    LexicalQuery,
    RowFilter,
    Scope,
    VectorIndex,
)
from bruno_memory_vec.indexers.schema import COLUMNS, LEXICAL_COLUMNS, micros
from bruno_memory_vec.rankers import (
    CrossScore,
    Pool,
    Profile,
    Question,
    Ranking,
    rank,
    read_question,
)
from bruno_memory_vec.rankers.pool import NO_ROLE
from bruno_memory_vec.rows import MESSAGE_COLUMNS, Row, from_table, record, utc

if TYPE_CHECKING:
    from bruno_memory_vec.writer import Writer

# A writer in another process commits its words this long after its rows, at most (writer.py), so a
# reader waits a little longer, and then takes the index as it is.
_READER_WAITS = 1.0
_READER_LOOKS_EVERY = 0.03
# float32 rounding: identical texts may come to 0.9999999.
_ROUNDING = 1e-6
# What a hit that is a message is made of.
HIT_COLUMNS = (*MESSAGE_COLUMNS, "kind", "turn", "seq")
# Above this many, hits are made in a thread.
_HITS_ON_THE_LOOP = 64


@dataclass(frozen=True, slots=True)
class RecallRequest:
    """One question, checked.

    Attributes:
        query: the question.
        scope: whose rows.
        where: which rows.
        k: how many hits.
        profile: how to rank.
        now: the time to reckon from (timezone-aware).
        min_similarity: only rows whose cosine similarity to the question is at least this.
    """

    query: str
    scope: Scope
    where: RowFilter
    k: int
    profile: Profile
    now: datetime
    min_similarity: float = 0.0


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
        rows: VectorIndex,
        lexical: LexicalIndex,
        embedder: Embedder,
        writer: Writer | None,
        embed_timeout: float | None = None,
    ) -> None:
        self._rows = rows
        self._lexical = lexical
        self._embedder = embedder
        self._writer = writer
        self._embed_timeout = embed_timeout
        self._following = LoopLock()
        # The lexical index's last row when a reader gave up waiting for newer ones.
        self._gave_up_at: int | None = None

    async def recall(self, request: RecallRequest, *, count_use: bool = True) -> Hits:
        """The best hits, best first. ``count_use`` adds to their access counts, later."""
        profile, scope, where = request.profile, request.scope, request.where
        now = micros(request.now)
        await self._freshen(profile)
        if is_light(self._embedder):
            # One visit to a thread for all three: a visit costs more than such an embedder does.
            vector, lexical, question = await asyncio.to_thread(self._read, request, now)
        else:
            vector, (lexical, question) = await asyncio.gather(
                self._vector(request), asyncio.to_thread(self._read_words, request, now)
            )
        semantic = await self._by_meaning(request, vector)
        if not len(lexical) and not len(semantic):
            return Hits()
        again = self._rows.in_memory(scope)
        columns = columns_for(profile, whole=not again)
        if request.min_similarity > 0 and "vector" not in columns:
            columns.append("vector")
        seqs = np.union1d(lexical.seq, semantic.seq)
        places = places_around(lexical, semantic, profile)
        # One read brings what the rankers need, drops hits whose row is gone, and adds neighbours.
        # From disk it brings the hits' rows as well: that takes about 60 % of two reads.
        table = await self._rows.around(scope, where, seqs.tolist(), places, columns)
        if request.min_similarity > 0:
            table = table.filter(
                pa.array(vectors_of(table) @ vector >= request.min_similarity - _ROUNDING)
            )
        uses = {} if self._writer is None else self._writer.pending_uses

        def order() -> tuple[Pool, Ranking]:
            pool = make_pool(table, lexical, semantic, uses, request.query, profile)
            cross = _cross_score(table, request)
            found = rank(
                pool, profile.rank, k=request.k, now=now, question=question, cross_score=cross
            )
            return pool, found

        # Reading texts takes some milliseconds, which are not the event loop's to wait for.
        in_thread = profile.rank.needs_texts
        pool, ranking = await asyncio.to_thread(order) if in_thread else order()

        best = pool.seq[ranking.order]
        shown = HIT_COLUMNS if (pool.role[ranking.order] != NO_ROLE).all() else COLUMNS
        if again:
            table = await self._rows.fetch(scope, best.tolist(), shown)
        else:
            table = table.select(shown).take(pa.array(ranking.order))

        def build() -> Hits:
            rows = {row["seq"]: row for row in from_table(table)}
            return Hits(
                _hit(rows[seq], ranking, i)
                for seq, i in zip(best.tolist(), ranking.order.tolist(), strict=True)
                if seq in rows
            )

        few = len(best) <= _HITS_ON_THE_LOOP
        hits = build() if few else await asyncio.to_thread(build)
        if count_use and self._writer is not None:
            self._writer.use(best.tolist())
        return hits

    async def _vector(self, request: RecallRequest) -> NDArray[np.float32]:
        """The question's vector, float32 (d,); empty where nothing needs it."""
        if not _needs_vector(request):
            return np.empty(0, np.float32)
        vector: NDArray[np.float32] = (
            await embed_texts(self._embedder, [request.query], "query", self._embed_timeout)
        )[0]
        return vector

    async def _by_meaning(self, request: RecallRequest, vector: NDArray[np.float32]) -> Candidates:
        wanted = request.profile.candidates.semantic
        if wanted == 0:
            return Candidates.empty()
        limit = max(wanted, request.k)
        return await self._rows.search(vector, request.scope, request.where, limit)

    def _read(
        self, request: RecallRequest, now: int
    ) -> tuple[NDArray[np.float32], Candidates, Question]:
        vector = np.empty(0, np.float32)
        if _needs_vector(request):
            vector = embed_here(self._embedder, [request.query], "query")[0]
        return vector, *self._read_words(request, now)

    def _read_words(self, request: RecallRequest, now: int) -> tuple[Candidates, Question]:
        """What the words find, and what they ask for. In a thread: both may take long."""
        question = read_question(request.query, now)
        profile = request.profile
        if profile.candidates.lexical == 0:
            return Candidates.empty(), question
        query = LexicalQuery(
            request.query,
            drop_stopwords=profile.query.drop_stopwords,
            phrase_weight=profile.query.phrase_weight,
        )
        limit = max(profile.candidates.lexical, request.k)
        return self._lexical.find(query, request.scope, request.where, limit), question

    async def _freshen(self, profile: Profile) -> None:
        """Let the word index show every row that is stored."""
        if profile.candidates.lexical == 0:
            return
        if self._writer is not None:
            if self._lexical.pending:
                await self._lexical.commit()
            return
        if self._lexical.own:
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


def _needs_vector(request: RecallRequest) -> bool:
    return request.profile.candidates.semantic > 0 or request.min_similarity > 0


def _cross_score(table: pa.Table, request: RecallRequest) -> CrossScore | None:
    """What scores rows of ``table`` by the profile's cross-encoder; None where it has none."""
    settings = request.profile.rank.cross_encoder
    if settings is None:
        return None
    model = cross_encoder(settings.model)

    def score(rows: NDArray[np.int64]) -> NDArray[np.floating]:
        texts = table.column("content").take(pa.array(rows)).to_pylist()
        return model.score(request.query, texts, settings.batch_size)

    return score


def _hit(row: Row, ranking: Ranking, i: int) -> Hit:
    return Hit(
        id=row["id"],
        content=row["content"],
        score=float(ranking.score[i]),
        signals={name: float(part[i]) for name, part in ranking.signals.items()},
        conversation_id=row["conversation_id"],
        turn=row["turn"],
        created_at=utc(row["created_at"]),
        record=record(row),
    )
