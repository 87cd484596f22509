"""Lexical queries and filters as Tantivy queries. Text is analysed; it has no query syntax."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from ..query import AskedTerms, Condition, LexicalQuery, RowFilter, Scope
from ..schema import LEXICAL_COLUMNS, micros, row_schema
from ..text.analysis import Analyser, gram_weight, inverse_document_frequency, is_unspaced
from .documents import MISSING

if TYPE_CHECKING:
    import tantivy

#: In how many rows of a user a term stands, by both.
RowCounts: TypeAlias = dict[tuple[str, str], int]
#: The terms of a question, in how many rows each stands, and two weights of each.
_Terms: TypeAlias = tuple[list[str], dict[str, int], dict[str, float], dict[str, float]]

TOKENIZER = "bruno"
# Of a very long question, such as a pasted document, only the rarest words are used: a thousand
# words cost more than they add.
_MOST_QUERY_TERMS = 64
# Of how many words the terms are kept.
_KNOWN_WORDS = 4_096
# No phrase is made of two words that are each in more than this share of all rows and in more than
# this number of rows: it says little, and the positions in all those rows would have to be read.
_COMMON, _FEW = 0.02, 1_000
#: The columns of which the index knows whether any row has a value (``some_have``). Hardly any has.
RARE = ("expires_at", "archived_at")
_FIELDS = [row_schema(1).field(name) for name in LEXICAL_COLUMNS]
_INTEGERS = frozenset(
    field.name
    for field in _FIELDS
    if pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type)
)


class QueryBuilder:
    """Builds the queries of one index."""

    def __init__(self, module: Any, schema: Any, analyser: Analyser) -> None:
        self._tantivy = module
        self._schema = schema
        self._analyser = analyser
        # A recall weighs single words for its vector, mostly the same common ones.
        self._terms_of_word = lru_cache(_KNOWN_WORDS)(partial(_terms_of_word, analyser))
        self._last: tuple[LexicalQuery, Scope, RowCounts, _Terms] | None = None

    def whole(
        self,
        query: LexicalQuery,
        scope: Scope,
        where: RowFilter,
        searcher: tantivy.Searcher,
        known: RowCounts,
        *,
        held: Collection[str] = RARE,
    ) -> tantivy.Query | None:
        """A query within a scope and a filter; None where nothing can match.

        The scope is added to each word instead of once to all of them. So Tantivy skips to the
        user's rows in each word's posting list; otherwise it would read and join the whole lists.
        ``held`` are those of :data:`RARE` in which some row of the index has a value. ``known`` is
        what was counted in the searcher before, and grows.
        """
        words = self._words(query, scope, searcher, known)
        if not words:
            return None
        make, occur = self._tantivy.Query, self._tantivy.Occur
        own = [(occur.Must, self._condition(asked)) for asked in scope.conditions()]
        if own:
            words = [make.boolean_query([(occur.Must, word), *own]) for word in words]
        anyone: tantivy.Query = make.boolean_query([(occur.Should, word) for word in words])
        filters = [
            (occur.Must, self._condition(asked))
            for asked in where.conditions()
            # Left out where it can be: it reads a field of every row that has a word of the query.
            if asked.op != "alive" or asked.column not in RARE or asked.column in held
        ]
        if filters:
            anyone = make.boolean_query([(occur.Must, anyone), *filters])
        return anyone

    def _words(
        self, query: LexicalQuery, scope: Scope, searcher: tantivy.Searcher, known: RowCounts
    ) -> list[tantivy.Query]:
        """The query's terms, of which any may match, and its adjacent pairs as phrases."""
        make = self._tantivy.Query
        terms, frequency, everyone, own = self._terms(query, scope, searcher, known)
        parts: list[tantivy.Query] = []
        for term, weight in _times(terms, own).items():
            part = make.term_query(self._schema, "content", term, "freq")
            parts.append(make.boost_query(part, weight / everyone[term]))
        # Of a very long question only single words are used.
        few = len(frequency) == len(set(terms))
        if query.phrase_weight > 0 and few and not is_unspaced(query.text):
            most = searcher.num_docs * _COMMON
            for pair in dict.fromkeys(pairwise(terms)):
                if min(frequency[term] for term in pair) > max(most, _FEW):
                    continue
                if pair[0] != pair[1] and pair[0] in own and pair[1] in own:
                    phrase = make.phrase_query(self._schema, "content", list(pair))
                    ratio = sum(own[t] for t in pair) / sum(everyone[t] for t in pair)
                    parts.append(make.boost_query(phrase, query.phrase_weight * ratio))
        return parts

    def term_weights(
        self, query: LexicalQuery, scope: Scope, searcher: tantivy.Searcher, known: RowCounts
    ) -> dict[str, float]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.WeighsTerms`."""
        terms, _, _, own = self._terms(query, scope, searcher, known)
        return _times(terms, own)

    def _terms(
        self, query: LexicalQuery, scope: Scope, searcher: tantivy.Searcher, known: RowCounts
    ) -> _Terms:
        """The terms of a question, repeats included, in how many rows each of those that are used
        stands, and their weights, as of :meth:`_weights`."""
        # One recall asks up to three times: for candidates, for passages and for its confidence.
        # What is counted in other rows is counted in another dictionary.
        last = self._last
        if last is not None and last[2] is known and last[:2] == (query, scope):
            return last[3]
        found = self._terms_anew(query, scope, searcher, known)
        self._last = query, scope, known, found
        return found

    def _terms_anew(
        self, query: LexicalQuery, scope: Scope, searcher: tantivy.Searcher, known: RowCounts
    ) -> _Terms:
        terms = self._analyser.question(query.text, drop_stopwords=query.drop_stopwords)
        frequency = {term: searcher.doc_freq("content", term) for term in dict.fromkeys(terms)}
        if len(frequency) > _MOST_QUERY_TERMS:
            rarest = sorted(
                (term for term in frequency if frequency[term]), key=frequency.__getitem__
            )
            frequency = {term: frequency[term] for term in rarest[:_MOST_QUERY_TERMS]}
        grams = is_unspaced(query.text)
        return terms, frequency, *self._weights(frequency, scope, searcher, known, grams=grams)

    def asked_terms(
        self, query: LexicalQuery, scope: Scope, searcher: tantivy.Searcher, known: RowCounts
    ) -> AskedTerms:
        """As of :class:`~bruno_memory_vec.indexers.protocols.TellsTerms`."""
        terms, frequency, _, _ = self._terms(query, scope, searcher, known)
        times = {term: count for term, count in Counter(terms).items() if term in frequency}
        if scope.user_id is None:
            return AskedTerms(searcher.num_docs, times, frequency)
        having = self._of_user(frequency, scope.user_id, searcher, known)
        # Removed rows are counted until their segment is merged.
        return AskedTerms(searcher.doc_freq("user_id", scope.user_id), times, having)

    def document_frequencies(
        self, words: Sequence[str], scope: Scope, searcher: tantivy.Searcher, known: RowCounts
    ) -> tuple[int, list[int]]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.CountsWords`."""
        terms = [self._terms_of_word(word) for word in words]
        every = {term: searcher.doc_freq("content", term) for each in terms for term in each}
        total, having = searcher.num_docs, every
        if scope.user_id is not None:
            total = searcher.doc_freq("user_id", scope.user_id)
            having = self._of_user(every, scope.user_id, searcher, known)
        # Removed rows are counted until their segment is merged.
        return total, [
            min(min(having[term] for term in each), total) if each else -1 for each in terms
        ]

    def _weights(
        self,
        frequency: Mapping[str, int],
        scope: Scope,
        searcher: tantivy.Searcher,
        known: RowCounts,
        *,
        grams: bool,
    ) -> tuple[dict[str, float], dict[str, float]]:
        """The weight of each term: Tantivy's own, and the one by the rows of the scope's user.

        The second is the inverse document frequency, or :func:`gram_weight` for ``grams``. Tantivy
        weighs terms by all rows; a boost by the ratio of the two makes it weigh them by the user's.
        Other users' rows then hardly change the scores, and recall is better. Terms that the user
        does not have are left out.
        """
        everyone = {
            term: inverse_document_frequency(searcher.num_docs, n)
            for term, n in frequency.items()
            if n
        }
        weigh = gram_weight if grams else inverse_document_frequency
        if scope.user_id is None:
            total = searcher.num_docs
            return everyone, {term: weigh(total, frequency[term]) for term in everyone}
        total = searcher.doc_freq("user_id", scope.user_id)
        having = self._of_user(frequency, scope.user_id, searcher, known)
        own = {term: weigh(total, n) for term, n in having.items() if n}
        return everyone, own

    def _of_user(
        self,
        frequency: Mapping[str, int],
        user_id: str,
        searcher: tantivy.Searcher,
        known: RowCounts,
    ) -> dict[str, int]:
        """In how many of a user's rows each term stands.

        Args:
            frequency: in how many rows of all users.
            user_id: the user.
            searcher: what is searched.
            known: what was counted in it before, which grows.
        """
        make, must = self._tantivy.Query, self._tantivy.Occur.Must
        user: tantivy.Query | None = None
        own = {}
        for term, n in frequency.items():
            key = (user_id, term)
            if n and key not in known:
                user = user or self._condition(Condition("user_id", "in", (user_id,)))
                having = make.term_query(self._schema, "content", term, "basic")
                both = make.boolean_query([(must, having), (must, user)])
                found: Any = searcher.search(both, 1, count=True)
                known[key] = found.count
            own[term] = known[key] if n else 0
        return own

    def average_length(self, searcher: tantivy.Searcher) -> tuple[float, int]:
        """The average number of terms of a row, and of how many rows; removed ones count until
        their segment is merged. 0 where no row has a term."""
        # Tantivy tells it only where it explains the score of a row.
        found = searcher.terms_with_prefix("content", "", limit=1)
        if not found:
            return 0.0, 0
        having = self._tantivy.Query.term_query(self._schema, "content", found[0][0], "freq")
        hits = searcher.search(having, 1, count=False).hits
        if not hits:
            return 0.0, 0
        told = having.explain(searcher, hits[0][1]).to_json()
        return _told(told, "avgdl"), int(_told(told, "N,"))

    def _condition(self, asked: Condition) -> tantivy.Query:
        """A condition as a query that adds nothing to a score."""
        make = self._tantivy.Query
        column, op, value = asked
        if op in ("in", "any"):
            if len(value) == 1:
                query = make.term_query(self._schema, column, _number(value[0]), "basic")
            else:
                query = make.term_set_query(self._schema, column, list(map(_number, value)))
        elif column in _INTEGERS:
            bound = _number(value)
            low, high = {
                "ge": (bound, MISSING - 1),
                "lt": (None, bound - 1),
                "alive": (bound + 1, None),
            }[op]
            kind = self._tantivy.FieldType.Integer
            query = make.range_query(self._schema, column, kind, low, high)
        else:
            kind, bound = self._tantivy.FieldType.Float, float(value)
            if op == "ge":
                query = make.range_query(self._schema, column, kind, bound, None)
            else:
                query = make.range_query(
                    self._schema, column, kind, None, bound, include_upper=False
                )
        same: tantivy.Query = make.const_score_query(query, 0.0)
        return same

    def some_have(self, column: str, searcher: tantivy.Searcher) -> bool:
        """Whether any row has a time in a column. It reads that field of every row."""
        having = self._condition(Condition(column, "lt", MISSING))
        found: Any = searcher.search(having, 1, count=False)
        return bool(found.hits)


def _times(terms: list[str], weights: Mapping[str, float]) -> dict[str, float]:
    """The weights of terms, each times as often as it stands in the question."""
    return {term: n * weights[term] for term, n in Counter(terms).items() if term in weights}


def _told(explanation: str, name: str) -> float:
    """A value of an explanation, by the beginning of its description.

    Raises:
        ValueError: it is not there.
    """
    waiting = [json.loads(explanation)]
    while waiting:
        part = waiting.pop()
        if part["description"].startswith(name):
            return float(part["value"])
        waiting.extend(part.get("details") or ())
    raise ValueError(f"no {name} in the explanation of a score: {explanation}")


def _number(value: Any) -> Any:
    """A time in microseconds, as in the index; a number or a text unchanged."""
    return micros(value) if isinstance(value, datetime) else value


def build_schema(tantivy: Any) -> Any:
    """The fields of a document, one for each column. ``seq`` identifies the row."""
    builder = tantivy.SchemaBuilder()
    for field in _FIELDS:
        name = field.name
        if name == "content":
            builder.add_text_field(name, tokenizer_name=TOKENIZER, index_option="position")
        elif name in _INTEGERS:
            builder.add_integer_field(name, indexed=True, fast=True)
        elif pa.types.is_floating(field.type):
            builder.add_float_field(name, indexed=True, fast=True)
        else:
            # Texts and lists of texts. Candidates need the id of their conversation.
            stored = name == "conversation_id"
            builder.add_text_field(name, stored=stored, tokenizer_name="raw", index_option="basic")
    return builder.build()


def _terms_of_word(analyser: Analyser, word: str) -> tuple[str, ...]:
    return tuple(analyser.question(word, drop_stopwords=False))
