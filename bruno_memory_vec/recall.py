"""The read path: candidates from both indexes, turns around them, rankers, rows of the best."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.run import embed_texts
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
from bruno_memory_vec.indexers.schema import COLUMNS, LEXICAL_COLUMNS, LIGHT_COLUMNS, micros
from bruno_memory_vec.rankers import Pool, Profile, Ranking, RankSettings, rank
from bruno_memory_vec.rows import Row, from_table, record, utc

if TYPE_CHECKING:
    from bruno_memory_vec.writer import Writer

# A writer in another process commits its words this long after its rows, at most (writer.py), so a
# reader waits a little longer, and then takes the index as it is.
_READER_WAITS = 0.6
_READER_LOOKS_EVERY = 0.03
# float32 rounding: identical texts may come to 0.9999999.
_ROUNDING = 1e-6
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
    """

    def __init__(
        self,
        rows: VectorIndex,
        lexical: LexicalIndex,
        embedder: Embedder,
        writer: Writer | None,
    ) -> None:
        self._rows = rows
        self._lexical = lexical
        self._embedder = embedder
        self._writer = writer
        self._following = LoopLock()
        # The lexical index's last row when a reader gave up waiting for newer ones.
        self._gave_up_at: int | None = None

    async def recall(self, request: RecallRequest, *, count_use: bool = True) -> Hits:
        """The best hits, best first. ``count_use`` adds to their access counts, later."""
        profile, scope, where = request.profile, request.scope, request.where
        (vector, semantic), lexical = await asyncio.gather(
            self._by_meaning(request), self._by_words(request)
        )
        if not len(lexical) and not len(semantic):
            return Hits()
        columns = list(LIGHT_COLUMNS)
        if request.min_similarity > 0:
            columns.append("vector")
        seqs = np.union1d(lexical.seq, semantic.seq)
        places = _places_around(lexical, semantic, profile)
        # One read brings what the rankers need, drops hits whose row is gone, and adds neighbours.
        table = await self._rows.around(scope, where, seqs.tolist(), places, columns)
        if request.min_similarity > 0:
            table = table.filter(
                pa.array(_similarity(table, vector) >= request.min_similarity - _ROUNDING)
            )
        uses = {} if self._writer is None else self._writer.pending_uses
        pool = _pool(table, lexical, semantic, uses)
        ranking = rank(pool, profile.rank, k=request.k, now=micros(request.now))
        best = [int(pool.seq[i]) for i in ranking.order]
        found = await self._rows.fetch(scope, best, COLUMNS)

        def build() -> tuple[Hits, list[int]]:
            rows = {row["seq"]: row for row in from_table(found)}
            # A row may have been deleted while we ranked.
            kept = [i for i in ranking.order if int(pool.seq[i]) in rows]
            hits = Hits(_hit(rows[int(pool.seq[i])], ranking, int(i)) for i in kept)
            return hits, [int(pool.seq[i]) for i in kept]

        few = found.num_rows <= _HITS_ON_THE_LOOP
        hits, used = build() if few else await asyncio.to_thread(build)
        if count_use and self._writer is not None:
            self._writer.use(used)
        return hits

    async def _by_meaning(self, request: RecallRequest) -> tuple[NDArray[np.float32], Candidates]:
        """The question's vector, and the rows nearest to it."""
        wanted = request.profile.candidates.semantic
        if wanted == 0 and request.min_similarity == 0:
            return np.empty(0, np.float32), Candidates.empty()
        vector = (await embed_texts(self._embedder, [request.query], "query"))[0]
        if wanted == 0:
            return vector, Candidates.empty()
        limit = max(wanted, request.k)
        return vector, await self._rows.search(vector, request.scope, request.where, limit)

    async def _by_words(self, request: RecallRequest) -> Candidates:
        profile = request.profile
        if profile.candidates.lexical == 0:
            return Candidates.empty()
        await self._freshen()
        query = LexicalQuery(
            request.query,
            drop_stopwords=profile.query.drop_stopwords,
            phrase_weight=profile.query.phrase_weight,
        )
        limit = max(profile.candidates.lexical, request.k)
        return await self._lexical.search(query, request.scope, request.where, limit)

    async def _freshen(self) -> None:
        """Let the word index show every row that is stored."""
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


def _places_around(
    lexical: Candidates, semantic: Candidates, profile: Profile
) -> dict[str, list[int]]:
    """The turns next to the best candidates, by conversation."""
    settings = profile.candidates
    if profile.rank.neighbours is None or settings.neighbours_of == 0:
        return {}
    both = [lexical, semantic]
    seqs, first = np.unique(np.concatenate([side.seq for side in both]), return_index=True)
    conversations = [c for side in both for c in side.conversation_id]
    turns = np.concatenate([side.turn for side in both])[first]
    n = len(seqs)
    pool = Pool(
        seq=seqs,
        lexical=_aligned(seqs, lexical),
        semantic=_aligned(seqs, semantic),
        conversation=np.full(n, -1, np.int64),
        turn=turns,
        words=np.zeros(n, np.int64),
        created_at=np.zeros(n, np.int64),
        importance=np.ones(n, np.float32),
        access_count=np.zeros(n, np.int64),
    )
    alone = RankSettings(profile.rank.fusion, None, None, None, None, None)
    best = rank(pool, alone, k=settings.neighbours_of, now=0).order
    places: dict[str, set[int]] = {}
    for i in best:
        conversation, turn = conversations[first[i]], int(turns[i])
        if conversation is None or turn < 0:
            continue
        around = range(turn - settings.neighbour_distance, turn + settings.neighbour_distance + 1)
        places.setdefault(conversation, set()).update(t for t in around if t >= 0)
    return {conversation: sorted(turns) for conversation, turns in places.items()}


def _pool(
    table: pa.Table, lexical: Candidates, semantic: Candidates, uses: Mapping[int, int]
) -> Pool:
    seq = table.column("seq").to_numpy()
    recent = np.array([uses.get(int(one), 0) for one in seq], np.int64)
    conversation = table.column("conversation_id").combine_chunks().dictionary_encode()
    return Pool(
        seq=seq,
        lexical=_aligned(seq, lexical),
        semantic=_aligned(seq, semantic),
        conversation=conversation.indices.fill_null(-1).to_numpy().astype(np.int64),
        turn=table.column("turn").fill_null(-1).to_numpy(),
        words=table.column("words").to_numpy(),
        created_at=table.column("created_at").cast(pa.int64()).to_numpy(),
        importance=table.column("importance").to_numpy().astype(np.float32),
        access_count=table.column("access_count").to_numpy() + recent,
    )


def _aligned(seqs: NDArray[np.int64], candidates: Candidates) -> NDArray[np.float32]:
    """The candidates' scores in the order of ``seqs``, NaN for what they do not hold."""
    scores = np.full(len(seqs), np.nan, np.float32)
    if len(candidates):
        order = np.argsort(candidates.seq)
        places = np.searchsorted(candidates.seq, seqs, sorter=order).clip(max=len(order) - 1)
        found = order[places]
        held = candidates.seq[found] == seqs
        scores[held] = candidates.score[found[held]]
    return scores


def _similarity(table: pa.Table, vector: NDArray[np.float32]) -> NDArray[np.float32]:
    flat: NDArray[np.float32] = table.column("vector").combine_chunks().flatten().to_numpy()
    similarity: NDArray[np.float32] = flat.reshape(-1, len(vector)) @ vector
    return similarity
