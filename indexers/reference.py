"""Reference engines, in brute-force numpy and plain BM25, to test the other engines against.

Every search reads every row, one after the other, so they are for tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .query import EVERYONE, AskedTerms, Candidates, Condition, LexicalQuery, RowFilter, Scope
from .schema import LEXICAL_COLUMNS, Key, key_of, row_schema
from .text.analysis import Analyser, gram_weight, inverse_document_frequency, is_unspaced

_K1, _B = 1.2, 0.75


#: Each operator, as a function of the row's value in the column and the condition's value.
_HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "in": lambda held, values: held in values,
    "any": lambda held, values: held is not None and not set(values).isdisjoint(held),
    "ge": lambda held, value: held is not None and bool(held >= value),
    "lt": lambda held, value: held is not None and bool(held < value),
    "alive": lambda held, value: held is None or bool(held > value),
}


def matches(row: Mapping[str, Any], conditions: Iterable[Condition]) -> bool:
    """Whether a row fulfils conditions. ``row`` has their columns, with times as datetimes."""
    return all(_HOLDS[op](row[column], value) for column, op, value in conditions)


class ReferenceIndex:
    """A ``RowIndex`` that compares the question with every row of its scope."""

    name = "reference"

    def __init__(self, dimension: int) -> None:
        self.schema = row_schema(dimension)
        self._rows: dict[Key, dict[str, Any]] = {}

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        vectors = rows.column("vector").combine_chunks().flatten().to_numpy()
        vectors = vectors.reshape(rows.num_rows, -1)
        for row, vector in zip(rows.drop_columns(["vector"]).to_pylist(), vectors, strict=True):
            self._rows[key_of(row)] = {**row, "vector": vector.copy()}

    async def update(self, rows: pa.Table) -> None:
        changes = {row["seq"]: row for row in rows.to_pylist()}
        for row in self._rows.values():
            row.update(changes.get(row["seq"], {}))

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        conditions = (*scope.conditions(), *where.conditions())
        gone = [
            key
            for key, row in self._rows.items()
            if matches(row, conditions) and (seqs is None or row["seq"] in seqs)
        ]
        return np.array([self._rows.pop(key)["seq"] for key in gone], np.int64)

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        rows = self._matching(scope, where)
        scores = [float(np.dot(row["vector"], vector)) for row in rows]
        return _best(rows, scores, limit)

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
        rows = self._matching(scope, where)
        if seqs is not None or turns is not None:
            named_seqs, named_turns = set(seqs or ()), turns or {}
            rows = [
                row
                for row in rows
                if row["seq"] in named_seqs
                or row["turn"] in named_turns.get(row["conversation_id"] or "", ())
            ]
        if order_by is not None:
            rows.sort(
                key=lambda row: (row[order_by] is not None, row[order_by], row["seq"]), reverse=True
            )
        return self._table(rows[:limit], columns)

    async def count(self, scope: Scope, where: RowFilter) -> int:
        return len(self._matching(scope, where))

    async def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        rows = [row for row in self._matching(scope, RowFilter()) if row["seq"] > seq]
        for batch in self._table(rows, columns).to_batches():
            yield batch

    async def last_seq(self) -> int:
        return max((row["seq"] for row in self._rows.values()), default=-1)

    async def health(self) -> dict[str, Any]:
        return {"engine": self.name, "rows": len(self._rows)}

    async def close(self) -> None:
        self._rows.clear()

    def _matching(self, scope: Scope, where: RowFilter) -> list[dict[str, Any]]:
        conditions = (*scope.conditions(), *where.conditions())
        return [row for row in self._rows.values() if matches(row, conditions)]

    def _table(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pa.Table:
        schema = pa.schema([self.schema.field(column) for column in columns])
        return pa.table({name: [row[name] for row in rows] for name in columns}, schema=schema)


class SearchingReferenceIndex(ReferenceIndex):
    """A ``ReferenceIndex`` that ``SearchesText``: it makes a lexical index for every search."""

    def __init__(self, dimension: int, analyser: Analyser) -> None:
        super().__init__(dimension)
        self.analyser = analyser

    async def search_text(
        self, query: LexicalQuery, scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        """As of :class:`~.protocols.SearchesText`."""
        index = ReferenceLexicalIndex(self.analyser)
        index.add(self._table(list(self._rows.values()), LEXICAL_COLUMNS))
        await index.commit()
        # By all columns: a lexical index has only some.
        kept = {row["seq"] for row in self._matching(scope, where)}
        left_out = [row["seq"] for row in self._rows.values() if row["seq"] not in kept]
        every = index.search(query, scope, RowFilter(), len(self._rows))
        return every.without(np.array(left_out, np.int64), limit)

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
        """As of :class:`~.protocols.SearchesText`."""
        by_vector = Candidates.empty()
        if nearest:
            by_vector = await self.search(vector, scope, where, nearest)
        return by_vector, await self.search_text(query, scope, where, text)


class ReferenceLexicalIndex:
    """A ``LexicalIndex``: BM25 (k1 = 1.2, b = 0.75) over exact document lengths.

    Term weights come from the rows of the scope's user, the average length from all rows.
    """

    name = "reference"

    def __init__(self, analyser: Analyser) -> None:
        self._analyser = analyser
        self._rows: dict[int, dict[str, Any]] = {}
        self._changes: list[pa.Table | list[int]] = []

    def add(self, rows: pa.Table) -> None:
        self._changes.append(rows)

    def remove(self, seqs: Sequence[int]) -> None:
        self._changes.append([int(seq) for seq in seqs])

    @property
    def pending(self) -> int:
        return sum(len(change) for change in self._changes)

    async def commit(self) -> None:
        changes, self._changes = self._changes, []
        for change in changes:
            if isinstance(change, list):
                for seq in change:
                    self._rows.pop(seq, None)
                continue
            for row in change.select(list(LEXICAL_COLUMNS)).to_pylist():
                row["terms"] = self._analyser.terms(row["content"])
                self._rows[row["seq"]] = row

    def search(
        self,
        query: LexicalQuery,
        scope: Scope,
        where: RowFilter,
        limit: int,
        *,
        turns: bool = True,
    ) -> Candidates:
        terms = self._analyser.question(query.text, drop_stopwords=query.drop_stopwords)
        wanted = Counter(terms)
        unspaced = is_unspaced(query.text)
        pairs = {} if unspaced else dict.fromkeys(pairwise(terms))
        weigh = gram_weight if unspaced else inverse_document_frequency
        idf = {term: self._weight(term, scope, weigh) for term in wanted}
        lengths = [len(row["terms"]) for row in self._rows.values()]
        average = sum(lengths) / max(len(lengths), 1)
        conditions = (*scope.conditions(), *where.conditions())
        rows, scores = [], []
        for row in self._rows.values():
            if not matches(row, conditions):
                continue
            counts = Counter(row["terms"])
            norm = _K1 * (1 - _B + _B * len(row["terms"]) / max(average, 1e-9))
            score = sum(
                times * idf[term] * _saturated(counts[term], norm) for term, times in wanted.items()
            )
            found = Counter(pairwise(row["terms"]))
            if query.phrase_weight > 0:
                score += query.phrase_weight * sum(
                    (idf[a] + idf[b]) * _saturated(found[a, b], norm) for a, b in pairs if a != b
                )
            if any(counts[term] for term in wanted):
                rows.append(row)
                scores.append(score)
        return _best(rows, scores, limit)

    def document_frequencies(
        self, words: Sequence[str], scope: Scope
    ) -> tuple[int, NDArray[np.int64]]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.CountsWords`."""
        found = []
        rows, terms = self._terms(scope), self._analyser.question
        for word in words:
            having = [
                sum(term in row for row in rows) for term in terms(word, drop_stopwords=False)
            ]
            found.append(min(having, default=-1))
        return len(rows), np.array(found, np.int64)

    def terms(self, text: str) -> list[str]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.WeighsTerms`."""
        return self._analyser.terms(text)

    def term_weights(self, query: LexicalQuery, scope: Scope) -> dict[str, float]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.WeighsTerms`."""
        terms = self._analyser.question(query.text, drop_stopwords=query.drop_stopwords)
        weigh = gram_weight if is_unspaced(query.text) else inverse_document_frequency
        held = {term for row in self._terms(scope) for term in row}
        wanted = {term: times for term, times in Counter(terms).items() if term in held}
        return {term: times * self._weight(term, scope, weigh) for term, times in wanted.items()}

    def asked_terms(self, query: LexicalQuery, scope: Scope) -> AskedTerms:
        """As of :class:`~bruno_memory_vec.indexers.protocols.TellsTerms`."""
        rows = self._terms(scope)
        times = Counter(self._analyser.question(query.text, drop_stopwords=query.drop_stopwords))
        having = {term: sum(term in row for row in rows) for term in times}
        return AskedTerms(len(rows), dict(times), having)

    def _weight(self, term: str, scope: Scope, weigh: Callable[[int, int], float]) -> float:
        """The weight of a term by the rows of the scope's user, and by how many have it."""
        rows = self._terms(scope)
        return weigh(len(rows), sum(term in row for row in rows))

    def _terms(self, scope: Scope) -> list[list[str]]:
        """The terms of each row of the scope's user."""
        user = scope.whole.conditions()
        return [row["terms"] for row in self._rows.values() if matches(row, user)]

    async def last_seq(self) -> int:
        return max(self._rows, default=-1)

    async def seqs(self) -> NDArray[np.int64]:
        return np.array(list(self._rows), np.int64)

    async def count(self) -> int:
        return len(self._rows)

    async def health(self) -> dict[str, Any]:
        return {"engine": self.name, "rows": len(self._rows), "pending": self.pending}

    async def close(self) -> None:
        self._rows.clear()


def _saturated(count: int, norm: float) -> float:
    return count * (_K1 + 1) / (count + norm) if count else 0.0


def _best(rows: Sequence[Mapping[str, Any]], scores: Sequence[float], limit: int) -> Candidates:
    """The best rows by score; of equal scores, the row that was written last."""
    score = np.array(scores, np.float32)
    seq = np.array([row["seq"] for row in rows], np.int64)
    order = np.lexsort((-seq, -score))[:limit]
    turn = np.array([-1 if row["turn"] is None else row["turn"] for row in rows], np.int64)
    return Candidates(
        seq[order], score[order], tuple(rows[i]["conversation_id"] for i in order), turn[order]
    )
