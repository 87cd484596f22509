"""The read path: reads a question, collects candidates, ranks them and returns hits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timezone
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.acts import current_watch
from bruno_memory_vec.embedders.protocol import Embedder, KnowsShare, WeighsWords
from bruno_memory_vec.embedders.run import embed_here, embed_texts, is_light
from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.aio import LoopLock, LoopSemaphore, without_waiting
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import (
    CountsWords,
    HoldsRows,
    LexicalIndex,
    Refreshes,
    RowIndex,
    SearchesPending,
    SearchesText,
    TellsTerms,
    WeighsTerms,
)
from bruno_memory_vec.indexers.query import AskedTerms, Candidates, RowFilter
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS, micros
from bruno_memory_vec.indexers.snapshot import CONTENT_BYTES, Snapshot
from bruno_memory_vec.indexers.words.snapshot_words import SnapshotWords
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.observability.observer import Observer
from bruno_memory_vec.observability.stages import Stages, timed
from bruno_memory_vec.rankers import Question, read_question
from bruno_memory_vec.recall.exact import (
    among,
    held_in_memory,
    newest_hits,
    rows_holding,
    words_among,
)
from bruno_memory_vec.recall.held_words import HeldWords
from bruno_memory_vec.recall.hits import Hits
from bruno_memory_vec.recall.in_period import FindWords
from bruno_memory_vec.recall.passages.reading import PassageReader
from bruno_memory_vec.recall.passages.scores import BestPassages, Look, best_passages
from bruno_memory_vec.recall.passages.windows import LEAST_BYTES
from bruno_memory_vec.recall.pool import ReadQuestion, finish, propose
from bruno_memory_vec.recall.pool_terms import terms_in_pool, weights_of
from bruno_memory_vec.recall.request import RecallRequest
from bruno_memory_vec.recall.sources import CandidateSource, EngineSource, SnapshotSource
from bruno_memory_vec.recall.word_rarity import weighted_vector

if TYPE_CHECKING:
    from bruno_memory_vec.writing.writer import Writer

#: What finds rows by their words. Below, `SnapshotWords` stands first where it is asked what they
#: can do: it can do all, and asking a protocol takes some twenty microseconds.
Words: TypeAlias = LexicalIndex | SnapshotWords

_log = get_logger(__name__)

# Seconds that a reader waits for the lexical index, a little longer than the delay of a writer in
# another process (writer.py). Then it uses the index as it is.
_READER_WAITS = 1.0
_READER_LOOKS_EVERY = 0.03
# How many recalls may have their candidates loaded from an engine at the same time. Each has some
# hundred rows whole in memory, which may be long; more at once are no faster.
_LOADING = 8


class Retriever:
    """Answers recalls from a store's indexes.

    Args:
        rows: the rows and their vectors.
        lexical: the lexical index; for rows that search text themselves, an empty one in memory.
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
        self._text = capability(rows, SearchesText)
        self._lexical = lexical
        pending = lexical if isinstance(lexical, SearchesPending) else None
        # None where the lexical index does not say how it makes and weighs terms.
        self._held_words: HeldWords | None = None
        if self._text is not None:
            tells = self._text if isinstance(self._text, SearchesPending) else None
            self._held_words = HeldWords(self._text.analyser, tells, self._failed)
        elif pending is not None:
            self._held_words = HeldWords(pending.analyser, pending, self._failed)
        self._embedder = embedder
        self._sharing = embedder if isinstance(embedder, KnowsShare) else None
        self._weighs_words = embedder if isinstance(embedder, WeighsWords) else None
        self._writer = writer
        self._embed_timeout = embed_timeout
        self._reader: PassageReader | None = None
        if isinstance(lexical, WeighsTerms):
            embed = partial(embed_here, embedder) if is_light(embedder) else None
            self._reader = PassageReader(embed, lexical.terms)
        self._indexing = LoopLock()
        self._loading = LoopSemaphore(_LOADING)
        # The lexical index's last row when a reader gave up waiting for newer ones.
        self._gave_up_at: int | None = None
        self._words_failed: EngineError | None = None
        #: Why the last recall found by meaning only; None if it did not.
        self.problem: str | None = None
        #: Measures and traces recalls; None where nobody wants that.
        self.observer: Observer | None = None

    def health(self) -> dict[str, Any]:
        """Figures of the words that are held in memory, where the engine searches text itself."""
        if self._text is None or self._held_words is None:
            return {}
        return {"held_words": self._held_words.health()}

    def _failed(self, error: EngineError) -> None:
        self._words_failed = error

    async def recall(self, request: RecallRequest, *, count_use: bool = True) -> Hits:
        """The best hits, best first. With ``count_use``, their access counts grow, later."""
        if self.observer is None:
            hits, seqs = await self._found(request)
        else:
            stages, watch = Stages(), current_watch()
            hits, seqs = await self._found(replace(request, stages=stages))
            lost = self._words_failed is not None
            self.observer.recalled(watch, stages, request.query, hits, without_words=lost)
        self._note_failure()
        if count_use and self._writer is not None:
            self._writer.use(seqs.tolist())
        return hits

    async def _found(self, request: RecallRequest) -> tuple[Hits, NDArray[np.int64]]:
        """The hits, and the ``seq`` of each."""
        within: Snapshot | None = None
        if request.phrase is not None:
            scope = request.scope
            snapshot = await self._snapshot(request)
            holding = await rows_holding(request.phrase, self._rows, scope, request.where, snapshot)
            if not request.query.strip() or not len(holding.seq):
                hits, seqs = await newest_hits(holding, self._rows, scope, request.k)
                return Hits(hits), seqs
            within, seqs = await held_in_memory(holding, self._rows, scope)
            request = replace(request, among=among(seqs, within))
        if self._text is not None and self._held_words is not None:
            return await self._recall_by_text(request, self._text, self._held_words, within)
        return await self._recall(request, within)

    async def _recall(
        self, request: RecallRequest, within: Snapshot | None
    ) -> tuple[Hits, NDArray[np.int64]]:
        """The hits; ``within`` are the rows in memory that they are of, where those are known."""
        light = is_light(self._embedder)
        held = self._held
        snapshot = within
        if snapshot is None and held is not None and held.holds(request.scope):
            with timed(request.stages, "rows"):
                snapshot = await held.snapshot(request.scope, request.where)
        in_memory = None if snapshot is None else self._words_of(request, snapshot)
        words: Words = self._lexical if in_memory is None else in_memory
        if in_memory is None:
            try:
                with timed(request.stages, "freshen"):
                    await self._freshen(request)
            except EngineError as error:
                if error.engine != self._lexical.name:
                    raise
                self._words_failed = error
        if snapshot is not None and (light or within is not None):
            # Everything in one thread call, which costs more than most of the steps in it. It is a
            # thread also for few rows: twenty recalls at once on the event loop would hold it for
            # as long as all of them take, and a single one there is no faster.
            asked = None if light else await self._asked(request, words)
            return await asyncio.to_thread(self._from_memory, snapshot, request, words, asked)
        # Concurrently, because the user's rows may have to be read from disk.
        read, snapshot = await asyncio.gather(
            asyncio.to_thread(self._read, request, words) if light else self._asked(request, words),
            self._snapshot(request),
        )
        if snapshot is not None:
            if self._held_words is not None:
                self._held_words.ready(snapshot)  # for the next recall
            return await asyncio.to_thread(self._from_memory, snapshot, request, words, read)
        request = request.trusting(read.known)
        async with self._loading:
            source = EngineSource(self._rows, request, read.vector)
            find = self._find_words(request, words, turns=True)

            async def find_words(limit: int, where: RowFilter) -> Candidates:
                return await asyncio.to_thread(find, limit, where)

            proposed = await propose(source, request, read, find_words)
            if proposed is None:
                return Hits(), np.empty(0, np.int64)
            look = self._look(request, read.vector, words)
            return await asyncio.to_thread(
                finish, proposed, request, read, self._pending_uses, look
            )

    async def _recall_by_text(
        self,
        request: RecallRequest,
        engine: SearchesText,
        held_words: HeldWords,
        within: Snapshot | None,
    ) -> tuple[Hits, NDArray[np.int64]]:
        """As :meth:`_recall`, of an engine that searches text itself."""
        user, snapshot = request.scope.user_id, within
        if snapshot is None:
            snapshot = await self._snapshot(request)
        if snapshot is None or snapshot.mixed or user is None:
            return await self._from_engine(request, engine, within)
        words = held_words.of(snapshot, user)
        read = None if is_light(self._embedder) else await self._asked(request, words)
        return await asyncio.to_thread(self._from_memory, snapshot, request, words, read)

    async def _from_engine(
        self, request: RecallRequest, engine: SearchesText, within: Snapshot | None
    ) -> tuple[Hits, NDArray[np.int64]]:
        """The hits of rows that are not in memory: both sides' candidates in one round trip.

        Where the rows that they are of are in memory (``within``), only their words are asked for.
        """
        vector = await self._vector(request)
        query, scope, analyser = request.lexical_query, request.scope, engine.analyser
        question = read_question(
            request.query, micros(request.now), request.now.tzinfo or timezone.utc
        )
        known = self._known(request)
        request = request.trusting(known)
        async with self._loading:

            async def search(limit: int, where: RowFilter) -> Candidates:
                return await engine.search_text(query, scope, where, limit)

            find_words: FindWords = search
            source: CandidateSource
            if within is not None and request.among is not None:
                find_words = words_among(request.among, search)
                reach, lexical = request.lexical_reach, Candidates.empty()
                if reach:
                    lexical = await find_words(reach, request.where)
                source = SnapshotSource(within, request, vector)
            else:
                with timed(request.stages, "search"):
                    nearest, lexical = await engine.search_both(
                        vector,
                        query,
                        scope,
                        request.where,
                        nearest=request.semantic_limit,
                        text=request.lexical_reach,
                    )
                source = EngineSource(self._rows, request, vector, nearest)
            read = ReadQuestion(vector, vector, lexical, question, known)
            proposed, total = await asyncio.gather(
                propose(source, request, read, find_words),
                self._rows.count(scope.whole, RowFilter()),
            )
            if proposed is None:
                return Hits(), np.empty(0, np.int64)
            found = proposed

            def finished() -> tuple[Hits, NDArray[np.int64]]:
                terms, weights = None, dict[str, float]()
                if request.lexical_limit:
                    terms = terms_in_pool(found.loaded.snapshot, query, analyser, total)
                    weights = weights_of(terms, query)
                look = self._look(request, vector, weights)
                return finish(found, request, read._replace(terms=terms), self._pending_uses, look)

            return await asyncio.to_thread(finished)

    def _note_failure(self) -> None:
        """The words are derived from the rows: without them a recall still finds by meaning."""
        failed, self._words_failed = self._words_failed, None
        if failed is not None and self.problem is None:
            _log.error("recalled_without_words", error=str(failed))
        self.problem = None if failed is None else str(failed)
        if failed is not None and self._writer is not None:
            self._writer.failed_to_find(failed)

    def _words_of(self, request: RecallRequest, snapshot: Snapshot) -> SnapshotWords | None:
        """The words of rows in memory; None where they are not made yet, so the index answers."""
        user, held_words = request.scope.user_id, self._held_words
        if user is None or held_words is None or not held_words.ready(snapshot):
            return None
        return held_words.of(snapshot, user)

    async def _snapshot(self, request: RecallRequest) -> Snapshot | None:
        if self._held is None:
            return None
        with timed(request.stages, "rows"):
            return await self._held.snapshot(request.scope, request.where)

    def _from_memory(
        self,
        snapshot: Snapshot,
        request: RecallRequest,
        words: Words,
        read: ReadQuestion | None = None,
    ) -> tuple[Hits, NDArray[np.int64]]:
        long = bool((snapshot.columns[CONTENT_BYTES] >= LEAST_BYTES).any())
        read = read or self._read(request, words, turns=False, long=long)
        request = request.trusting(read.known)
        source = SnapshotSource(snapshot, request, read.vector)
        find = self._find_words(request, words, turns=False)

        async def find_words(limit: int, where: RowFilter) -> Candidates:
            return find(limit, where)

        proposed = without_waiting(propose(source, request, read, find_words))
        if proposed is None:
            return Hits(), np.empty(0, np.int64)
        look = self._look(request, read.vector, words) if long else None
        return finish(proposed, request, read, self._pending_uses, look)

    def _look(
        self,
        request: RecallRequest,
        vector: NDArray[np.float32],
        weighs: Words | dict[str, float],
    ) -> Look | None:
        """What reads the passages of long rows; None where the profile does not want them.

        Args:
            request: the question.
            vector: its vector.
            weighs: the weights of its terms, or what tells them.
        """
        reader = self._reader
        if "passages" not in request.profile.rank.needs or reader is None:
            return None

        def weights() -> Mapping[str, float]:
            if isinstance(weighs, dict):
                return weighs
            if not request.lexical_limit or not isinstance(weighs, (SnapshotWords, WeighsTerms)):
                return {}
            try:
                return weighs.term_weights(request.lexical_query, request.scope)
            except EngineError as error:
                self._words_failed = error
                return {}

        def look(snapshot: Snapshot, rows: NDArray[np.int64]) -> BestPassages | None:
            if not len(rows):
                return None
            passages = reader.read(snapshot, rows)
            return best_passages(snapshot, rows, passages, weights(), vector)

        return look

    @property
    def _pending_uses(self) -> Mapping[int, int]:
        return {} if self._writer is None else self._writer.pending_uses

    async def _asked(self, request: RecallRequest, words: Words) -> ReadQuestion:
        """As :meth:`_read`, for an embedder that is not light."""
        vector, (lexical, question, terms) = await asyncio.gather(
            self._vector(request), asyncio.to_thread(self._read_words, request, words, turns=True)
        )
        return ReadQuestion(vector, vector, lexical, question, self._known(request), terms)

    async def _vector(self, request: RecallRequest) -> NDArray[np.float32]:
        """The question's vector, float32 (d,); empty where nothing needs it."""
        if not request.needs_vector:
            return np.empty(0, np.float32)
        with timed(request.stages, "embedding"):
            vectors = await embed_texts(
                self._embedder, [request.query], "query", self._embed_timeout
            )
        vector: NDArray[np.float32] = vectors[0]
        return vector

    def _read(
        self, request: RecallRequest, words: Words, *, turns: bool = True, long: bool = True
    ) -> ReadQuestion:
        """The question's vector, lexical candidates and cues. Call it in a thread.

        Args:
            request: the question.
            words: finds rows by their words.
            turns: whether the candidates need their conversation and turn, as for an engine.
            long: whether there may be long rows, to look for behind the candidates.
        """
        plain = weighted = np.empty(0, np.float32)
        if request.needs_vector:
            with timed(request.stages, "embedding"):
                found = self._weighted(request, words)
                # The plain one is for a least similarity; mostly it is not asked for.
                if found is None or request.min_similarity > 0:
                    plain = embed_here(self._embedder, [request.query], "query")[0]
                weighted = plain if found is None else found
        lexical, question, terms = self._read_words(request, words, turns=turns, long=long)
        return ReadQuestion(weighted, plain, lexical, question, self._known(request), terms)

    def _known(self, request: RecallRequest) -> float:
        """The share of the question that the embedder knows."""
        return 1.0 if self._sharing is None else self._sharing.known_share(request.query)

    def _weighted(self, request: RecallRequest, words: Words) -> NDArray[np.float32] | None:
        """The question's vector with its rare words weighted; None where profile or engines do not
        do that."""
        embedder, power = self._weighs_words, request.profile.query.rarity
        if not power or embedder is None or not isinstance(words, (SnapshotWords, CountsWords)):
            return None
        try:
            return weighted_vector(embedder, request.query, words, request.scope, power)
        except EngineError as error:
            self._words_failed = error
            return None

    def _read_words(
        self, request: RecallRequest, words: Words, *, turns: bool, long: bool = True
    ) -> tuple[Candidates, Question, AskedTerms | None]:
        """The lexical candidates, the cues of the question, and its terms, counted."""
        question = read_question(
            request.query, micros(request.now), request.now.tzinfo or timezone.utc
        )
        if not request.lexical_limit:
            return Candidates.empty(), question, None
        find = self._find_words(request, words, turns=turns)
        limit = request.lexical_reach if long else request.lexical_limit
        with timed(request.stages, "lexical"):
            return find(limit, request.where), question, self._terms(request, words)

    def _terms(self, request: RecallRequest, words: Words) -> AskedTerms | None:
        """The terms of the question, counted; None where the lexical index cannot tell them."""
        if not isinstance(words, (SnapshotWords, TellsTerms)):
            return None
        try:
            return words.asked_terms(request.lexical_query, request.scope)
        except EngineError as error:
            self._words_failed = error
            return None

    def _find_words(
        self, request: RecallRequest, words: Words, *, turns: bool
    ) -> Callable[[int, RowFilter], Candidates]:
        """A function that asks the lexical index for a number of candidates within a filter."""
        query, scope, some = request.lexical_query, request.scope, request.among

        def find(limit: int, where: RowFilter) -> Candidates:
            try:
                return words.search(query, scope, where, limit, turns=turns)
            except EngineError as error:
                self._words_failed = error
                return Candidates.empty()

        if some is None:
            return find

        async def find_words(limit: int, where: RowFilter) -> Candidates:
            return find(limit, where)

        only = words_among(some, find_words)
        return lambda limit, where: without_waiting(only(limit, where))

    async def _freshen(self, request: RecallRequest) -> None:
        """Bring the lexical index up to date with the rows, where it does not find new ones by
        itself."""
        if not request.needs_words:
            return
        if self._writer is not None:
            if self._lexical.pending and not isinstance(self._lexical, SearchesPending):
                # On a full disk it cannot be committed. Newer rows are then found by vector only.
                with self._writer.tolerating_old_words():
                    try:
                        await self._lexical.commit()
                    except EngineError as error:
                        self._words_failed = error
                        raise
            if self._writer.writes_alone:
                return
        if not isinstance(self._lexical, Refreshes):
            # The index is in this process's memory only, so the new rows are added here.
            async with self._indexing:
                indexed = await self._lexical.last_seq()
                async for batch in self._rows.after(indexed, list(LEXICAL_COLUMNS)):
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
                # The writer has ended or is slow. Until it commits, newer rows are found by vector
                # only.
                self._gave_up_at = indexed
                return
            await asyncio.sleep(_READER_LOOKS_EVERY)

    async def _newer_than(self, seq: int) -> bool:
        async for batch in self._rows.after(seq, ["seq"]):
            if batch.num_rows:
                return True
        return False
