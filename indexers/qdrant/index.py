"""Rows in a Qdrant collection: a ``RowIndex`` that finds rows by their words, too.

What a reader sees: an upsert of rows that were numbered together is one request, and one entry in
the write-ahead log of each shard that gets rows of it, so a crash leaves all of a shard's part or
nothing of it. While it is being applied, a reader may see some of its rows and not yet the others;
so it may between two requests, into which an upsert of more than 500 rows or 8 MiB is divided. An
upsert returns when all of its rows can be read.

Of two writers of one row the one with the larger ``seq`` prevails, in whatever order they arrive,
as long as the rows of one call were numbered together. Every request may be sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..protocols import Stays
from ..query import EVERYONE, Candidates, LexicalQuery, RowFilter, Scope
from ..schema import COLUMNS, row_schema
from ..text.analysis import Analyser
from . import filters
from .collection import SORTED
from .points import (
    DENSE,
    WORDS,
    changes,
    dense_of,
    fields_of,
    ids_and_payloads,
    plain,
    table,
)
from .server import NAME, PER_USER_WEIGHTS, UPDATE_ONLY, NotFoundInQdrant, Server
from .words import Sparse, Words

if TYPE_CHECKING:
    from qdrant_client.http import models

# How large one request may be: a server takes 32 MiB of JSON, in which a vector's value has some
# twelve characters.
_ROWS_A_REQUEST, _BYTES_A_REQUEST = 500, 8 * 2**20
_JSON_BYTES_A_VALUE = 12
_UPDATES_A_REQUEST = 250
# Rows on one page: with texts or vectors, and without.
_LONG_PAGE, _SHORT_PAGE = 250, 2_000
_LONG = frozenset({"content", "metadata", "extra", "vector"})
# How many values one condition may name.
_VALUES_A_CONDITION = 5_000
# More rows than this are analysed and laid out in a thread.
_ROWS_ON_THE_LOOP = 32
# Rows that score the same as the last one asked for are asked for as well, up to so many, so that
# the newest of them can be chosen.
_SPARE, _GROWTH, _MOST_CANDIDATES = 16, 4, 10_000
_PLACE = ("seq", "conversation_id", "turn")
# How far the sums of the same float32 values may differ, as a share of them.
_ROUNDING = 1e-6


class QdrantIndex:
    """A ``RowIndex`` that is also ``SearchesText``, in one collection.

    Args:
        server: has the collection.
        collection: its own name.
        dimension: of the vectors.
        analyser: how text becomes terms.
        average_length: the average number of words of a row.
    """

    name = NAME

    def __init__(
        self,
        server: Server,
        collection: str,
        dimension: int,
        analyser: Analyser,
        average_length: float,
    ) -> None:
        self.schema = row_schema(dimension)
        self.server = server
        self.collection = collection
        #: How it makes the terms of rows and of questions.
        self.analyser = analyser
        self._dimension = dimension
        self._words = Words(analyser, average_length)

    # Writing

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        await self._upsert(rows)

    async def _upsert(self, rows: pa.Table, *, only_existing: bool = False) -> None:
        for part in _requests(rows, self._dimension):
            if part.num_rows > _ROWS_ON_THE_LOOP:
                operations = await asyncio.to_thread(self._upserts, part, only_existing)
            else:
                operations = self._upserts(part, only_existing)
            await self._write("add rows", operations)

    def _upserts(self, rows: pa.Table, only_existing: bool) -> list[Any]:
        """The operations that add rows: one for each run of ``seq`` without a gap.

        A run was numbered together, and every other writer's rows are before or after all of it. So
        one bound for the run lets none of its rows replace a newer one.
        """
        from qdrant_client.http import models

        order = pc.sort_indices(rows.column("seq"))
        rows = rows.take(order)
        ids, payloads = ids_and_payloads(rows)
        vectors = dense_of(rows, self._dimension)
        points = [
            models.PointStruct(id=one, vector=self._vectors(held["content"], vector), payload=held)
            for one, held, vector in zip(ids, payloads, vectors, strict=True)
        ]
        seqs = [held["seq"] for held in payloads]
        bounds = [0, *(i for i in range(1, len(seqs)) if seqs[i] - seqs[i - 1] > 1), len(seqs)]
        mode = None
        if only_existing and self.server.version >= UPDATE_ONLY:
            mode = models.UpdateMode.UPDATE_ONLY
        return [
            models.UpsertOperation(
                upsert=models.PointsList(
                    points=points[start:end],
                    update_filter=filters.no_newer(seqs[end - 1]),
                    update_mode=mode,
                )
            )
            for start, end in pairwise(bounds)
            if end > start
        ]

    def _vectors(self, content: str, dense: NDArray[np.float32] | None) -> dict[str, Any]:
        vectors: dict[str, Any] = {}
        if dense is not None:
            vectors[DENSE] = dense.tolist()
        words = self._words.of_row(content)
        if words is not None:
            vectors[WORDS] = _sparse(words)
        return vectors

    async def update(self, rows: pa.Table) -> None:
        if {"content", "vector"}.intersection(rows.column_names):
            await self._rewrite(rows)
            return
        from qdrant_client.http import models

        operations = []
        for row in plain(rows):
            seq = row.pop("seq")
            operations.append(
                models.SetPayloadOperation(
                    set_payload=models.SetPayload(
                        payload=changes(row),
                        # By its number, and not by its id: a newer row of its key stays as it is.
                        filter=models.Filter(must=[filters.one_of("seq", (seq,))]),
                    )
                )
            )
        for start in range(0, len(operations), _UPDATES_A_REQUEST):
            await self._write("update rows", operations[start : start + _UPDATES_A_REQUEST])

    async def _rewrite(self, rows: pa.Table) -> None:
        """Set columns that a vector follows from: the rows are read and written whole."""
        for start in range(0, rows.num_rows, _ROWS_A_REQUEST):
            part = rows.slice(start, _ROWS_A_REQUEST)
            seqs = part.column("seq").to_pylist()
            whole = await self.read(EVERYONE, RowFilter(), [*COLUMNS, "vector"], seqs=seqs)
            if not whole.num_rows:
                continue
            where = pc.index_in(whole.column("seq"), part.column("seq"))
            taken = part.take(where)
            for name in part.column_names:
                at = whole.schema.get_field_index(name)
                field = whole.schema.field(at)
                whole = whole.set_column(at, field, taken.column(name).cast(field.type))
            await self._upsert(whole, only_existing=True)

    async def rewrite_words(self, progress: Callable[[str, int, int], None] | None) -> None:
        """Make the sparse vector of every row anew, as after a change of the analysis.

        Rows may be written meanwhile. Killed halfway, it is done again from the beginning.

        Args:
            progress: called with what is done, how many rows are, and how many there are.
        """
        from qdrant_client.http import models

        total, done = await self.count(EVERYONE, RowFilter()), 0
        async for page in self._pages(None, ["seq", "content"]):
            vectors = await asyncio.to_thread(
                lambda page=page: [  # type: ignore[misc]
                    self._words.of_row(record.payload["content"]) for record in page
                ]
            )
            # Rows that are replaced meanwhile have the new words already.
            as_read = filters.one_of("seq", [record.payload["seq"] for record in page])
            points = [
                models.PointVectors(id=record.id, vector={WORDS: _sparse(words)})
                for record, words in zip(page, vectors, strict=True)
                if words is not None
            ]
            if points:
                made = models.UpdateVectors(
                    points=points, update_filter=models.Filter(must=[as_read])
                )
                # A row that was deleted meanwhile is told after all others were updated.
                with suppress(NotFoundInQdrant):
                    update = models.UpdateVectorsOperation(update_vectors=made)
                    await self._write("make words anew", [update])
            done += len(page)
            if progress is not None:
                progress("reading words anew", done, max(done, total))

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        from qdrant_client.http import models

        found = await self.read(scope, where, ["seq"], seqs=seqs)
        gone: NDArray[np.int64] = found.column("seq").to_numpy()
        for start in range(0, len(gone), _VALUES_A_CONDITION):
            part = gone[start : start + _VALUES_A_CONDITION].tolist()
            # Those that were found, by their numbers: what has come since stays.
            asked = filters.within(scope, where, filters.one_of("seq", part))
            assert asked is not None
            selector = models.FilterSelector(filter=asked)
            operation = models.DeleteOperation(delete=selector)
            await self._write("delete rows", [operation])
        return gone

    async def _write(self, operation: str, operations: list[Any]) -> None:
        ordering: Any = self.server.settings.ordering
        if ordering is not None:
            from qdrant_client.http import models

            ordering = models.WriteOrdering(ordering)
        await self.server.call(
            operation,
            lambda client: client.batch_update_points(
                self.collection, update_operations=operations, wait=True, ordering=ordering
            ),
        )

    # Searching

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        if limit <= 0:
            return Candidates.empty()
        if not vector.any():
            return await self._newest(scope, where, limit)
        asked = self._nearest(vector, scope, where)
        return (await self._candidates([(asked, limit)]))[0]

    async def search_text(
        self, query: LexicalQuery, scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        """As of :class:`~bruno_memory_vec.indexers.protocols.SearchesText`."""
        words = self._words.of_question(query)
        if words is None or limit <= 0:
            return Candidates.empty()
        return (await self._candidates([(self._worded(words, scope, where), limit)]))[0]

    async def search_both(
        self,
        vector: NDArray[np.float32],
        query: LexicalQuery,
        scope: Scope,
        where: RowFilter,
        *,
        nearest: int,
        text: int,
    ) -> tuple[Candidates, Candidates]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.SearchesText`."""
        words = self._words.of_question(query)
        if words is None or not vector.any() or nearest <= 0 or text <= 0:
            return (
                await self.search(vector, scope, where, nearest),
                await self.search_text(query, scope, where, text),
            )
        by_vector, by_words = await self._candidates(
            [
                (self._nearest(vector, scope, where), nearest),
                (self._worded(words, scope, where), text),
            ]
        )
        return by_vector, by_words

    def _nearest(self, vector: NDArray[np.float32], scope: Scope, where: RowFilter) -> Any:
        from qdrant_client.http import models

        settings = self.server.settings
        params = None
        if settings.quantization is not None and not settings.is_local:
            again = models.QuantizationSearchParams(
                rescore=True, oversampling=settings.oversampling
            )
            params = models.SearchParams(quantization=again)
        return models.QueryRequest(
            query=np.asarray(vector, np.float32).tolist(),
            using=DENSE,
            filter=filters.within(scope, where),
            params=params,
            with_payload=list(_PLACE),
        )

    def _worded(self, words: Sparse, scope: Scope, where: RowFilter) -> Any:
        from qdrant_client.http import models

        params = None
        own = filters.within(scope.whole, RowFilter())
        if own is not None and self.server.version >= PER_USER_WEIGHTS:
            # Other users' rows hardly change the scores then, as in Tantivy.
            params = models.SearchParams(idf=models.IdfCorpusParams(corpus=own))
        return models.QueryRequest(
            query=_sparse(words),
            using=WORDS,
            filter=filters.within(scope, where),
            params=params,
            with_payload=list(_PLACE),
        )

    async def _candidates(self, asked: Sequence[tuple[Any, int]]) -> list[Candidates]:
        """What each request finds, in one call of the server but where many rows score the same."""
        given = [limit + _SPARE for _, limit in asked]
        found: list[list[Any]] = [[] for _ in asked]
        open_ones = list(range(len(asked)))
        while open_ones:
            requests = [
                asked[i][0].model_copy(update={"limit": given[i]}, deep=False) for i in open_ones
            ]
            answers = await self.server.call(
                "search",
                lambda client, requests=requests: client.query_batch_points(  # type: ignore[misc]
                    self.collection, requests=requests, consistency=self._consistency()
                ),
            )
            for i, answer in zip(open_ones, answers, strict=True):
                found[i] = answer.points
            open_ones = [i for i in open_ones if _cuts_equals(found[i], asked[i][1], given[i])]
            for i in open_ones:
                given[i] = min(given[i] * _GROWTH, _MOST_CANDIDATES)
        return [_best(points, limit) for points, (_, limit) in zip(found, asked, strict=True)]

    async def _newest(self, scope: Scope, where: RowFilter, limit: int) -> Candidates:
        """The newest rows, with a score of 0: every row is as near to a vector of zeros."""
        found = await self.read(scope, where, _PLACE, order_by="seq", limit=limit)
        return Candidates(
            found.column("seq").to_numpy(),
            np.zeros(found.num_rows, np.float32),
            tuple(found.column("conversation_id").to_pylist()),
            found.column("turn").fill_null(-1).to_numpy(),
        )

    def _consistency(self) -> Any:
        asked = self.server.settings.consistency
        if isinstance(asked, str):
            from qdrant_client.http import models

            return models.ReadConsistencyType(asked)
        return asked

    # Reading

    async def read(
        self,
        scope: Scope,
        where: RowFilter,
        columns: Sequence[str],
        *,
        seqs: Sequence[int] | None = None,
        turns: Mapping[str, Sequence[int]] | None = None,
        order_by: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        if seqs is not None or turns is not None:
            parts = list(_named(() if seqs is None else seqs, turns or {}))
        else:
            parts = [None]
        alone = len(parts) == 1
        if limit is not None and limit <= 0:
            parts = []
        needed = list(columns)
        if order_by is not None:
            needed = list(dict.fromkeys((*columns, order_by, "seq")))
        found: dict[Any, Any] = {}
        for part in parts:
            asked = filters.within(scope, where, part)
            if alone and limit is not None and order_by in SORTED and limit <= _MOST_CANDIDATES:
                records = await self._largest(asked, needed, str(order_by), limit)
            else:
                most = limit if alone and order_by is None else None
                records = [one async for page in self._pages(asked, needed, most) for one in page]
            # A row may be named by its number and by its turn.
            found.update((record.id, record) for record in records)
        rows = self._table(list(found.values()), needed)
        if order_by is not None:
            # Rows without a value come last.
            keys = [(name, "descending") for name in dict.fromkeys((order_by, "seq"))]
            rows = rows.take(pc.sort_indices(rows, keys))
        return rows.slice(0, limit).select(list(columns))

    async def _largest(
        self, asked: models.Filter | None, columns: Sequence[str], by: str, limit: int
    ) -> list[Any]:
        """The records with the largest values of a column, of equals the newest; none last."""
        found: list[Any] = await self._sorted(asked, columns, by, limit)
        if by == "seq":
            return found
        if len(found) < limit:
            # The server leaves out those without a value.
            none = filters.within(EVERYONE, RowFilter(), *_parts(asked), filters.missing(by))
            return found + await self._sorted(none, columns, "seq", limit - len(found))
        least = found[-1].payload[by]
        equal = filters.within(EVERYONE, RowFilter(), *_parts(asked), filters.one_of(by, (least,)))
        newest = await self._sorted(equal, columns, "seq", limit)
        return [
            *(one for one in found if one.payload[by] != least),
            *(one for one in newest if one.payload[by] == least),
        ]

    async def _sorted(
        self, asked: models.Filter | None, columns: Sequence[str], by: str, limit: int
    ) -> list[Any]:
        from qdrant_client.http import models

        order = models.OrderBy(key=by, direction=models.Direction.DESC)
        records, _ = await self.server.call(
            "read rows",
            lambda client: client.scroll(
                self.collection,
                scroll_filter=asked,
                limit=limit,
                order_by=order,
                with_payload=fields_of([*columns, by]),
                with_vectors=[DENSE] if "vector" in columns else False,
                consistency=self._consistency(),
            ),
        )
        return list(records)

    async def _pages(
        self, asked: models.Filter | None, columns: Sequence[str], limit: int | None = None
    ) -> AsyncIterator[list[Any]]:
        """Records in pages, in the order of their ids, so a row that is replaced comes once."""
        size = _LONG_PAGE if _LONG.intersection(columns) else _SHORT_PAGE
        offset: Any = None
        while True:
            wanted = size if limit is None else min(size, limit)
            records, offset = await self.server.call(
                "read rows",
                lambda client, wanted=wanted, offset=offset: client.scroll(  # type: ignore[misc]
                    self.collection,
                    scroll_filter=asked,
                    limit=wanted,
                    offset=offset,
                    with_payload=fields_of(columns) or False,
                    with_vectors=[DENSE] if "vector" in columns else False,
                    consistency=self._consistency(),
                ),
            )
            if records:
                yield records
            if limit is not None:
                limit -= len(records)
            if offset is None or limit == 0:
                return

    def _table(self, records: Sequence[Any], columns: Sequence[str]) -> pa.Table:
        vectors = []
        if "vector" in columns:
            vectors = [(record.vector or {}).get(DENSE) for record in records]
        return table(
            [record.payload or {} for record in records], columns, self._dimension, vectors
        )

    async def count(self, scope: Scope, where: RowFilter) -> int:
        asked = filters.within(scope, where)
        found = await self.server.call(
            "count rows",
            lambda client: client.count(self.collection, count_filter=asked, exact=True),
        )
        return int(found.count)

    async def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        asked = filters.within(scope, RowFilter(), filters.newer(seq))
        async for page in self._pages(asked, columns):
            for batch in self._table(page, columns).combine_chunks().to_batches():
                yield batch

    async def last_seq(self) -> int:
        newest = await self._sorted(None, ["seq"], "seq", 1)
        return int(newest[0].payload["seq"]) if newest else -1

    def what_stays(self) -> Sequence[Stays]:
        """As of :class:`~..protocols.TellsWhatStays`."""
        return (
            Stays(
                "the files of Qdrant: its segments, its write-ahead log and its snapshots",
                "a deleted point's bytes stay in its segment until the optimizer rewrites that, by "
                "default when a fifth of it is deleted",
                "Delete the collection's old snapshots, and let the optimizer run, with "
                "optimizers_config.deleted_threshold near 0.",
            ),
        )

    async def health(self) -> dict[str, Any]:
        info = await self.server.call(
            "report its health", lambda client: client.get_collection(self.collection)
        )
        return {
            "engine": self.name,
            "url": self.server.settings.shown,
            "version": self.server.version_text,
            "local": self.server.settings.is_local,
            "collection": self.collection,
            "rows": await self.count(EVERYONE, RowFilter()),
            "status": info.status.value,
            "segments": info.segments_count,
            "indexed_vectors": info.indexed_vectors_count,
            "per_user_weights": self.server.version >= PER_USER_WEIGHTS,
        }

    async def close(self) -> None:
        await self.server.close()


def _requests(rows: pa.Table, dimension: int) -> Iterator[pa.Table]:
    """Rows in parts that a request can hold."""
    texts = sum(
        pc.fill_null(pc.binary_length(rows.column(name)), 0).to_numpy().astype(np.int64)
        for name in ("content", "metadata", "extra")
    )
    sizes = texts + dimension * _JSON_BYTES_A_VALUE
    start = size = 0
    for at, more in enumerate(sizes.tolist()):
        if at > start and (at - start >= _ROWS_A_REQUEST or size + more > _BYTES_A_REQUEST):
            yield rows.slice(start, at - start)
            start, size = at, 0
        size += more
    if rows.num_rows > start:
        yield rows.slice(start)


def _named(
    seqs: Sequence[int], turns: Mapping[str, Sequence[int]]
) -> Iterator[models.Condition | None]:
    """The rows that are named, as conditions of a bearable size each; none where none is."""
    rest = list(seqs)
    while len(rest) > _VALUES_A_CONDITION:
        yield filters.named(rest[:_VALUES_A_CONDITION], {})
        rest = rest[_VALUES_A_CONDITION:]
    last = filters.named(rest, turns)
    if last is not None:
        yield last


def _parts(asked: models.Filter | None) -> Sequence[Any]:
    return [] if asked is None else [asked]


def _sparse(words: Sparse) -> models.SparseVector:
    from qdrant_client.http import models

    return models.SparseVector(indices=words[0], values=words[1])


def _cuts_equals(points: Sequence[Any], limit: int, given: int) -> bool:
    """Whether rows that score like the last one to be kept may have been cut off."""
    if len(points) < given or given >= _MOST_CANDIDATES:
        return False
    least = points[limit - 1].score
    return bool(abs(points[-1].score - least) <= _ROUNDING * abs(least))


def _levelled(score: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores, those that differ by rounding only made equal, float32 (n,).

    A server adds up the terms of each segment in an order of its own.
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    begins = np.ones(len(ranked), bool)
    begins[1:] = ranked[:-1] - ranked[1:] > _ROUNDING * np.abs(ranked[:-1])
    first = np.maximum.accumulate(np.where(begins, np.arange(len(ranked)), 0))
    level = np.empty_like(score)
    level[order] = ranked[first]
    return level


def _best(points: Sequence[Any], limit: int) -> Candidates:
    seq = np.array([point.payload["seq"] for point in points], np.int64)
    score = _levelled(np.array([point.score for point in points], np.float32))
    order = np.lexsort((-seq, -score))[:limit]
    turns = [point.payload.get("turn") for point in points]
    turn = np.array([-1 if one is None else one for one in turns], np.int64)
    conversations = [point.payload.get("conversation_id") for point in points]
    return Candidates(
        seq[order], score[order], tuple(conversations[i] for i in order.tolist()), turn[order]
    )
