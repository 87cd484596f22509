"""Tantivy: BM25 over the rows' text, in a folder or in memory.

It is derived from the rows and brought up to date lazily. ``seq`` is a fast integer field, so that
a hit reads nothing from the document store but the conversation's id.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..aio import LoopLock
from ..errors import BackendUnavailable, EngineError, IndexDamaged
from ..forks import spare_in_children
from ..query import AskedTerms, Candidates, Condition, LexicalQuery, RowFilter, Scope
from ..text.analysis import Analyser
from . import files
from .documents import MISSING, documents
from .pending import Change, PendingChanges, PendingRows
from .positions import positions
from .query import RARE, TOKENIZER, Lengths, QueryBuilder, RowCounts, Weighed, build_schema

if TYPE_CHECKING:
    import tantivy

_HEAP_BYTES = 32_000_000
# The file that names the segments of an index.
_META, _NO_DELETES = "meta.json", {"num_deleted_docs": 0}
# At opening, files up to this size are compared with their checksums; it takes 15 ms. The others
# are compared afterwards, by check().
_READ_AT_OPENING = 2**25
# How often the files are looked at that a writer may be replacing, and the seconds between.
_LOOKS_OF_A_READER, _BETWEEN_LOOKS = 3, 0.05
_REASONS_KEPT = 20
# Additions are joined up to so many rows.
_JOINED_ROWS = 2_048
# How many counts of a user's rows with a term are kept: about 2 MB.
_MOST_COUNTS = 10_000
# Where removed rows stand in the way of others, so many times as many are asked for.
_MORE = 4

_NO_LENGTHS = Lengths(0.0, 0)

_log = logging.getLogger(__name__)


class _Loaded:
    """The committed rows as of a reload, and what was found out of them, which any thread may ask.

    They are kept together: counts of other rows would give weights that are far off.

    Args:
        searcher: finds them.
    """

    def __init__(self, searcher: tantivy.Searcher) -> None:
        self.searcher = searcher
        #: What BM25 takes of them; None until it is asked for.
        self.lengths: Lengths | None = None
        # The words of a question are counted for its vector and for its search.
        self._counts: RowCounts = {}

    def known(self) -> RowCounts:
        """What was counted in them, which grows."""
        counts = self._counts
        if len(counts) > _MOST_COUNTS:
            # Replaced, not cleared: other threads may be using it.
            counts = self._counts = {}
        return counts


class TantivyIndex:
    """A :class:`~bruno_memory_vec.indexers.protocols.LexicalIndex` in a Tantivy folder.

    Args:
        path: an existing folder, or None to keep the index in memory.
        analyser: splits text into terms. With another analyser the index has to be rebuilt.

    Raises:
        IndexDamaged: the folder holds an index that cannot be opened.
        BackendUnavailable: another writer holds it, or the folder cannot be used.
    """

    name = "tantivy"
    # A reader does not take the writer's lock.
    _read_only: ClassVar[bool] = False

    def __init__(self, path: str | Path | None, analyser: Analyser) -> None:
        import tantivy

        self._tantivy = tantivy
        self._analyser = analyser
        self._path = None if path is None else str(path)
        self._query = self._build(tantivy)
        self._schema = self._query.schema
        self._writer: tantivy.IndexWriter | None = None
        self._closed = False
        self._changes = PendingChanges(analyser)
        # One thread at a time changes the index; searches need no lock.
        self._lock = threading.Lock()
        self._committing = LoopLock()
        # Whether a commit failed, so that it is not known what it has committed.
        self._uncertain = False
        # The columns of RARE in which a row that was added here has a value. A reader would have to
        # check at every refresh, so it always assumes that there is one.
        self._held = set(RARE if self._read_only else ())
        # Those in which a row has one that was there at the first search; None before that search.
        self._held_before: frozenset[str] | None = None
        #: Called before each commit, to raise where the folder's path does not lead to this index
        #: any more: Tantivy finds its files by their paths.
        self.watch: Callable[[], None] = lambda: None
        #: Why it was begun anew, the oldest reason first.
        self.rebuilt: list[str] = []
        #: Why it is in memory in place of its folder; None where it is not.
        self.displaced: str | None = None
        if not self._read_only:
            spare_in_children(self)
        self._index = self._open()
        # Replaced at each reload, never changed: other threads may be using it.
        self._loaded = _Loaded(self._index.searcher())
        # What BM25 took of the rows that were asked last.
        self._former: Lengths | None = None

    def _build(self, tantivy: Any) -> QueryBuilder:
        """What knows the fields, and makes queries of them."""
        return QueryBuilder(tantivy, build_schema(tantivy), self._analyser)

    @property
    def _tokenizer(self) -> tantivy.TextAnalyzer:
        """Splits what :meth:`_documents` has made of texts."""
        return self._analyser.tokenizer

    def _documents(self, rows: pa.Table) -> Iterator[str]:
        """Each row in JSON, as it is indexed."""
        return documents(rows, self._analyser.prepare)

    def _open(self) -> tantivy.Index:
        """The index of the folder, compared with its checksums, and a writer of it."""
        with self._errors("open"):
            if self._path is not None:
                folder = Path(self._path)
                if not self._read_only:
                    files.sweep(folder)
                for look in reversed(range(_LOOKS_OF_A_READER if self._read_only else 1)):
                    damage = files.damage(folder, largest=_READ_AT_OPENING)
                    if damage is None:
                        break
                    if not look:
                        raise self._damaged("open", damage, None)
                    # The writer may have just removed what it has merged.
                    time.sleep(_BETWEEN_LOOKS)
            if self._read_only and self._path is not None:
                index = self._tantivy.Index.open(self._path)
                if index.schema != self._schema:
                    raise self._damaged("open", "it has other fields", None)
            else:
                index = self._tantivy.Index(self._schema, self._path)
            index.register_tokenizer(TOKENIZER, self._tokenizer)
            index.config_reader("manual")
            if not self._read_only:
                self._writer = index.writer(heap_size=_HEAP_BYTES, num_threads=1)
            index.reload()
        return index

    async def begin_anew(self, reason: str, *, in_memory: bool = False) -> None:
        """As of :class:`~bruno_memory_vec.indexers.protocols.BeginsAnew`."""
        async with self._committing:
            await asyncio.to_thread(self._begin_anew, reason, in_memory)
            self._changes.clear()
            self._uncertain = False
            self.rebuilt.append(reason)
            del self.rebuilt[:-_REASONS_KEPT]

    def _begin_anew(self, reason: str, in_memory: bool) -> None:
        with self._lock:
            if self._closed or self._read_only:
                raise EngineError(
                    self.name, "begin anew", "it is closed or read-only", fix="Open it to write."
                )
            writer, self._writer = self._writer, None
            if writer is not None:
                try:
                    with self._errors("end its writer"):
                        writer.wait_merging_threads()
                except EngineError as error:
                    _log.warning("the writer of a damaged index ended with: %s", error)
                del writer
            if in_memory:
                self._path, self.displaced = None, reason
            elif self._path is not None:
                # Not in a folder that has taken the place of ours.
                self.watch()
                with self._errors("open a new folder"):
                    files.clear(Path(self._path))
            self._index = self._open()
            self._loaded, self._former = _Loaded(self._index.searcher()), None

    async def check(self) -> None:
        """As of :class:`~bruno_memory_vec.indexers.protocols.BeginsAnew`."""
        if self._path is None:
            return
        folder = Path(self._path)
        with self._errors("open"):
            for look in reversed(range(_LOOKS_OF_A_READER)):
                damage = await asyncio.to_thread(files.damage, folder)
                if damage is None:
                    return
                if not look:
                    raise self._damaged("check its files", damage, None)
                # A merge may have just removed it.
                await asyncio.sleep(_BETWEEN_LOOKS)

    @property
    def checked(self) -> bool:
        """As of :class:`~bruno_memory_vec.indexers.protocols.BeginsAnew`."""
        return self._path is None or files.size(Path(self._path)) <= _READ_AT_OPENING

    # Writing

    def add(self, rows: pa.Table) -> None:
        for name in RARE:
            if rows.column(name).null_count < rows.num_rows:
                self._held.add(name)
        if rows.num_rows:
            self._changes.add(rows)

    def remove(self, seqs: Sequence[int]) -> None:
        if len(seqs):
            self._changes.add([int(seq) for seq in seqs])

    @property
    def pending(self) -> int:
        return self._changes.count

    async def commit(self) -> None:
        # If the caller is cancelled, the commit itself still completes.
        await asyncio.shield(asyncio.ensure_future(self._commit_waiting()))

    async def _commit_waiting(self) -> None:
        async with self._committing:
            # Taken on the event loop, where changes are added, and not in the thread.
            changes = self._changes.take()
            anew, self._uncertain = self._uncertain, True
            try:
                await asyncio.to_thread(self._commit, changes, anew)
            except BaseException:
                # The changes stay pending for the next attempt, which does not know what this one
                # has committed.
                self._changes.failed()
                raise
            self._uncertain = False
            self._changes.committed()

    def _commit(self, changes: Sequence[Change], anew: bool) -> None:
        with self._lock:
            if not changes:
                return
            self.watch()
            writer = self._open_writer()
            try:
                with self._errors("commit"):
                    for change in _joined(changes):
                        if isinstance(change, list) or anew:
                            seqs = change if isinstance(change, list) else _seqs(change)
                            for seq in seqs:
                                writer.delete_documents_by_term("seq", seq)
                        if not isinstance(change, list):
                            self._add_documents(writer, change)
                    writer.commit()
                    self._reload()
            except EngineError:
                self._take_back(writer)
                raise

    def _open_writer(self) -> tantivy.IndexWriter:
        if self._writer is None:
            if self._closed or self._read_only:
                raise EngineError(
                    self.name, "commit", "it is closed or read-only", fix="Open it to write."
                )
            with self._errors("open a writer again"):
                self._writer = self._index.writer(heap_size=_HEAP_BYTES, num_threads=1)
        return self._writer

    def _take_back(self, writer: tantivy.IndexWriter) -> None:
        """Roll back a failed commit, so that the next attempt begins from the last good one."""
        try:
            with self._errors("take a commit back"):
                writer.rollback()
        except EngineError:
            # The writer's lock is released with it; the next attempt opens another writer.
            self._writer = None

    def _add_documents(self, writer: tantivy.IndexWriter, rows: pa.Table) -> None:
        for document in self._documents(rows):
            writer.add_json(document)

    # Removed rows: they are marked, and their words stay in their segment as long as it has others

    async def beside_removed(self) -> NDArray[np.int64]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.DropsRemoved`."""

        def find() -> NDArray[np.int64]:
            with self._lock, self._errors("look for removed rows"):
                return self._beside_removed()

        return await asyncio.to_thread(find)

    def _beside_removed(self) -> NDArray[np.int64]:
        none = np.empty(0, np.int64)
        if self._path is None:
            return none
        meta = json.loads((Path(self._path) / _META).read_text(encoding="utf-8"))
        # A searcher has the segments in the order of the file that names them.
        named = [(one["max_doc"], (one["deletes"] or _NO_DELETES)) for one in meta["segments"]]
        alive = np.array([rows - deletes["num_deleted_docs"] for rows, deletes in named], np.int64)
        with_removed = np.array([deletes["num_deleted_docs"] > 0 for _, deletes in named], bool)
        if not with_removed.any():
            return none
        searcher = self._index.searcher()
        seqs, segment = positions(searcher, self._schema, self._newest(searcher))
        if not np.array_equal(np.bincount(segment, minlength=len(alive)), alive):
            # A merge has ended since this searcher was made: all segments are taken.
            return seqs
        beside: NDArray[np.int64] = seqs[with_removed[segment]]
        return beside

    async def settle_files(self) -> None:
        """As of :class:`~bruno_memory_vec.indexers.protocols.DropsRemoved`."""

        def settle() -> None:
            self.watch()
            with self._lock, self._errors("delete old files"):
                # The only call that waits for merges ends the writer.
                writer, self._writer = self._open_writer(), None
                writer.wait_merging_threads()
                self._open_writer().garbage_collect_files()
                self._reload()

        async with self._committing:
            await asyncio.to_thread(settle)

    def _reload(self) -> None:
        self._index.reload()
        self._loaded = _Loaded(self._index.searcher())

    # Reading

    @property
    def analyser(self) -> Analyser:
        """Makes the terms of rows and of questions."""
        return self._analyser

    def average_length(self, terms: Sequence[str]) -> float | None:
        """As of :class:`~bruno_memory_vec.indexers.protocols.SearchesPending`."""
        with self._errors("read its average length"):
            told = self._lengths_of(self._loaded, terms) or self._former or _NO_LENGTHS
        rows, tokens = self._changes.lengths(told.rows)
        return (told.average * told.rows + tokens) / max(told.rows + rows, 1) or None

    def _lengths_of(self, loaded: _Loaded, terms: Sequence[str]) -> Lengths | None:
        """What BM25 takes of committed rows; None where none has any of ``terms``."""
        told = loaded.lengths
        if told is None:
            told = self._query.lengths(loaded.searcher, terms)
            if told is not None:
                loaded.lengths = self._former = told
        return told

    def search(
        self,
        query: LexicalQuery,
        scope: Scope,
        where: RowFilter,
        limit: int,
        *,
        turns: bool = True,
    ) -> Candidates:
        with self._errors("search"):
            # In this order: what a commit in between makes searchable is found twice, not missed.
            pending = self._changes.rows(None if scope.also else scope.user_id)
            loaded = self._loaded
            searcher, weighed = loaded.searcher, self._weighed(query, scope, loaded, pending)
            held = self._held_columns(searcher)
            whole = self._query.whole(weighed, scope, where, held=held)
            left = tuple(
                asked
                for asked in self._query.unindexed(scope, where)
                if asked.op != "alive" or asked.column not in RARE or asked.column in held
            )
            if pending is None:
                return self._committed(searcher, whole, limit, turns, left)
            found = self._without_removed(searcher, whole, limit, turns, pending, left)
            if not pending.total or not weighed.own:
                return found
            told = self._lengths_of(loaded, list(weighed.having)) or self._former
            average = None if told is None else told.average
            conditions = (*scope.conditions(), *where.conditions())
            more = pending.search(weighed.weights, weighed.pairs, average, conditions, limit)
            return found.joined(more.without(found.seq, limit), limit)

    def _committed(
        self,
        searcher: tantivy.Searcher,
        whole: tantivy.Query | None,
        limit: int,
        turns: bool,
        left: Sequence[Condition],
    ) -> Candidates:
        """The best committed rows of a query that fulfil what is left of its conditions."""
        if whole is None or searcher.num_docs == 0:
            return Candidates.empty()
        hits = searcher.search(whole, min(limit, searcher.num_docs), count=False).hits
        if not hits:
            return Candidates.empty()
        addresses = [address for _, address in hits]
        seq = np.array(searcher.fast_field_values("seq", addresses), np.int64)
        score = np.array([score for score, _ in hits], np.float32)
        order = np.lexsort((-seq, -score))
        turn = np.full(len(hits), -1, np.int64)
        conversations: list[str | None] = [None] * len(hits)
        if turns:
            turn = np.array(searcher.fast_field_values("turn", addresses), np.int64)
            turn[turn == MISSING] = -1
            conversations = [
                searcher.doc(address).get_first("conversation_id") for address in addresses
            ]
        return Candidates(
            seq[order], score[order], tuple(conversations[i] for i in order), turn[order]
        )

    def _without_removed(
        self,
        searcher: tantivy.Searcher,
        whole: tantivy.Query | None,
        limit: int,
        turns: bool,
        pending: PendingRows,
        left: Sequence[Condition],
    ) -> Candidates:
        """The best committed rows that no pending change removes or replaces."""
        reach = limit
        while True:
            found = self._committed(searcher, whole, reach, turns, left)
            if not pending.removed:
                return found
            gone = [seq for seq in found.seq.tolist() if seq in pending.removed]
            if len(found) < reach or len(found) - len(gone) >= limit:
                return found.without(np.array(gone, np.int64), limit)
            reach *= _MORE

    def document_frequencies(
        self, words: Sequence[str], scope: Scope
    ) -> tuple[int, NDArray[np.int64]]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.CountsWords`."""
        with self._errors("count words"):
            pending = self._changes.rows(None if scope.also else scope.user_id)
            loaded = self._loaded
            counted = self._query.document_frequencies(
                words, scope, loaded.searcher, loaded.known(), pending
            )
        return counted[0], np.array(counted[1], np.int64)

    def terms(self, text: str) -> list[str]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.WeighsTerms`."""
        return self._analyser.terms(text)

    def term_weights(self, query: LexicalQuery, scope: Scope) -> dict[str, float]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.WeighsTerms`."""
        with self._errors("weigh terms"):
            return self._weighed_now(query, scope).weights

    def asked_terms(self, query: LexicalQuery, scope: Scope) -> AskedTerms:
        """As of :class:`~bruno_memory_vec.indexers.protocols.TellsTerms`."""
        with self._errors("count terms"):
            return self._query.asked_terms(self._weighed_now(query, scope))

    def _weighed(
        self, query: LexicalQuery, scope: Scope, loaded: _Loaded, pending: PendingRows | None
    ) -> Weighed:
        return self._query.weighed(
            query,
            scope,
            loaded.searcher,
            loaded.known(),
            pending,
            lambda terms: self._lengths_of(loaded, terms),
        )

    def _weighed_now(self, query: LexicalQuery, scope: Scope) -> Weighed:
        # In this order, as in search().
        pending = self._changes.rows(None if scope.also else scope.user_id)
        return self._weighed(query, scope, self._loaded, pending)

    def _held_columns(self, searcher: tantivy.Searcher) -> Collection[str]:
        """Those of :data:`RARE` in which some row has a value: the query needs no condition on the
        others."""
        if len(self._held) == len(RARE):
            return self._held
        if self._held_before is None:
            # Not stored in _held, to which add() may add meanwhile.
            some_have = self._query.some_have
            self._held_before = frozenset(name for name in RARE if some_have(name, searcher))
        return self._held_before | self._held

    async def last_seq(self) -> int:
        with self._errors("read its last row"):
            return await asyncio.to_thread(lambda: self._newest(self._index.searcher()))

    def _newest(self, searcher: tantivy.Searcher) -> int:
        everything = self._tantivy.Query.all_query()
        hits: Any = searcher.search(everything, 1, count=False, order_by_field="seq").hits
        return int(hits[0][0]) if hits else -1

    async def seqs(self) -> NDArray[np.int64]:
        def every() -> NDArray[np.int64]:
            searcher = self._index.searcher()
            return positions(searcher, self._schema, self._newest(searcher))[0]

        with self._errors("list its rows"):
            return await asyncio.to_thread(every)

    async def count(self) -> int:
        return int(self._index.searcher().num_docs)

    async def health(self) -> dict[str, Any]:
        searcher = self._index.searcher()
        return {
            "engine": self.name,
            "rows": searcher.num_docs,
            "segments": searcher.num_segments,
            "pending": self.pending,
            "analyser": self._analyser.name,
            "rebuilt": list(self.rebuilt),
            "problem": self.displaced,
        }

    async def close(self) -> None:
        if not self._closed and not self._read_only:
            try:
                await self.commit()
            finally:
                await asyncio.to_thread(self._release)

    def _release(self) -> None:
        with self._lock:
            self._closed = True
            writer, self._writer = self._writer, None
            if writer is not None:
                # This releases the folder's lock now, not when the garbage is collected.
                writer.wait_merging_threads()

    @contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        """Turn every failure of Tantivy into an :class:`EngineError`."""
        try:
            yield
        except EngineError:
            raise
        except (ValueError, OSError, RuntimeError, TypeError) as error:
            problem = str(error)
            if any(word in problem.lower() for word in _NOT_DAMAGE):
                raise self._failed(BackendUnavailable, operation, problem, error) from error
            if not operation.startswith("open"):
                raise self._failed(EngineError, operation, problem, error) from error
            raise self._damaged(operation, problem, error) from error
        except BaseException as error:
            # Tantivy panics on files that it did not write.
            if type(error).__name__ != "PanicException":
                raise
            raise self._damaged(operation, str(error), None) from error

    def _damaged(self, operation: str, problem: str, cause: Exception | None) -> IndexDamaged:
        return IndexDamaged(
            self.name,
            operation,
            problem,
            fix="Open the store without read_only: it rebuilds the index from the rows.",
            cause=cause,
        )

    def _failed(
        self, kind: type[EngineError], operation: str, problem: str, cause: Exception
    ) -> EngineError:
        return kind(
            self.name,
            operation,
            problem,
            fix=f"Check that {self._path or 'memory'} has free space and may be written.",
            cause=cause,
        )


class TantivyReader(TantivyIndex):
    """A Tantivy folder that another process may be writing.

    Args:
        path: the folder.
        analyser: the writer's.

    Raises: as :class:`TantivyIndex`.
    """

    _read_only = True

    async def refresh(self) -> None:
        with self._errors("refresh"):
            await asyncio.to_thread(self._reload)


# "Writer was killed" says that its thread met one of the others before.
_NOT_DAMAGE = (
    "lockbusy",
    "lock busy",
    "permission",
    "no space",
    "read-only",
    "writer was killed",
    "storagefull",
    "too many open files",
)


def _joined(changes: Sequence[Change]) -> Iterator[Change]:
    """The changes in their order; additions behind each other as one, since each has its costs."""
    added: list[pa.Table] = []
    for change in changes:
        if isinstance(change, list):
            if added:
                yield pa.concat_tables(added).combine_chunks()
                added = []
            yield change
        else:
            added.append(change)
            if sum(len(table) for table in added) >= _JOINED_ROWS:
                yield pa.concat_tables(added).combine_chunks()
                added = []
    if added:
        yield pa.concat_tables(added).combine_chunks()


def _seqs(rows: pa.Table) -> list[int]:
    seqs: list[int] = rows.column("seq").to_pylist()
    return seqs
