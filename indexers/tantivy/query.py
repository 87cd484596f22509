"""Questions and filters as Tantivy queries. Text is analysed, never parsed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..query import LexicalQuery, RowFilter, Scope
from ..schema import micros
from ..text.analysis import Analyser, inverse_document_frequency

if TYPE_CHECKING:
    import tantivy

TOKENIZER = "bruno"
#: Stands for "does not expire", so that a range finds it.
NEVER = 2**62
# A pasted document as a question: its rarest words carry it; a thousand cost more than they add.
_MOST_QUERY_TERMS = 64
# Two words that are each in more than this share of all rows, and in more than a few, say little as
# a phrase, and it has to be looked for in the positions of all those rows.
_COMMON, _FEW = 0.02, 1_000
_LISTS = (
    ("kinds", "kind"),
    ("roles", "role"),
    ("memory_types", "memory_type"),
    ("tags", "tags"),
    ("categories", "category"),
    ("ids", "id"),
)


class QueryBuilder:
    """Builds the queries of one index."""

    def __init__(self, module: Any, schema: Any, analyser: Analyser) -> None:
        self._tantivy = module
        self._schema = schema
        self._analyser = analyser

    def whole(
        self,
        query: LexicalQuery,
        scope: Scope,
        where: RowFilter,
        searcher: tantivy.Searcher,
        *,
        some_expire: bool = True,
    ) -> tantivy.Query | None:
        """A question within a scope and a filter; None where nothing can match.

        The scope stands beside each word and not once beside all of them. So Tantivy jumps to the
        user's rows in each word's list; else it would read the lists whole, to join them first.
        Without ``some_expire`` no row of the index has a time at which it expires.
        """
        words = self._words(query, scope, searcher)
        if not words:
            return None
        make, occur = self._tantivy.Query, self._tantivy.Occur
        own = [(occur.Must, part) for part in self._scope(scope)]
        if own:
            words = [make.boolean_query([(occur.Must, word), *own]) for word in words]
        anyone: tantivy.Query = make.boolean_query([(occur.Should, word) for word in words])
        filters = [(occur.Must, part) for part in self._filters(where, some_expire)]
        if filters:
            anyone = make.boolean_query([(occur.Must, anyone), *filters])
        return anyone

    def _words(
        self, query: LexicalQuery, scope: Scope, searcher: tantivy.Searcher
    ) -> list[tantivy.Query]:
        """The question's terms, any of which may match, and its adjacent pairs as phrases."""
        make = self._tantivy.Query
        terms = self._analyser.question(query.text, drop_stopwords=query.drop_stopwords)
        counts = Counter(terms)
        if len(counts) > _MOST_QUERY_TERMS:
            held = {term: searcher.doc_freq("content", term) for term in counts}
            rarest = sorted((term for term in counts if held[term]), key=held.__getitem__)
            counts = Counter({term: counts[term] for term in rarest[:_MOST_QUERY_TERMS]})
            terms = []
        frequency = {term: searcher.doc_freq("content", term) for term in counts}
        everyone, own = self._idf(frequency, scope, searcher)
        parts: list[tantivy.Query] = []
        for term, count in counts.items():
            if term in own:
                part = make.term_query(self._schema, "content", term, "freq")
                boost = count * own[term] / everyone[term]
                parts.append(make.boost_query(part, boost))
        if query.phrase_weight > 0:
            most = searcher.num_docs * _COMMON
            for pair in dict.fromkeys(pairwise(terms)):
                if min(frequency[term] for term in pair) > max(most, _FEW):
                    continue
                if pair[0] != pair[1] and pair[0] in own and pair[1] in own:
                    phrase = make.phrase_query(self._schema, "content", list(pair))
                    ratio = sum(own[t] for t in pair) / sum(everyone[t] for t in pair)
                    parts.append(make.boost_query(phrase, query.phrase_weight * ratio))
        return parts

    def _idf(
        self, frequency: Mapping[str, int], scope: Scope, searcher: tantivy.Searcher
    ) -> tuple[dict[str, float], dict[str, float]]:
        """How telling each term is, among all rows and among the scope's user's own.

        Tantivy weighs terms by all rows. A boost by the ratio of the two makes it
        weigh them by the user's: what others have stored then hardly moves a user's
        scores, and more is found. Terms that the user does not have are left out.
        """
        make, must = self._tantivy.Query, self._tantivy.Occur.Must
        everyone = {
            term: inverse_document_frequency(searcher.num_docs, n)
            for term, n in frequency.items()
            if n
        }
        if scope.user_id is None:
            return everyone, everyone
        total = searcher.doc_freq("user_id", scope.user_id)
        user = self._exactly("user_id", scope.user_id)
        own = {}
        for term in everyone:
            having = make.term_query(self._schema, "content", term, "basic")
            both = make.boolean_query([(must, having), (must, user)])
            found: Any = searcher.search(both, 1, count=True)
            n = found.count
            if n:
                own[term] = inverse_document_frequency(total, n)
        return everyone, own

    def _scope(self, scope: Scope) -> Iterator[tantivy.Query]:
        if scope.user_id is not None:
            yield self._exactly("user_id", scope.user_id)
        if scope.conversation_id is not None:
            yield self._exactly("conversation_id", scope.conversation_id)

    def _filters(self, where: RowFilter, some_expire: bool) -> Iterator[tantivy.Query]:
        """A filter as queries that add nothing to a score."""
        make, kind = self._tantivy.Query, self._tantivy.FieldType
        for attribute, field in _LISTS:
            values = getattr(where, attribute)
            if values:
                query = make.term_set_query(self._schema, field, list(values))
                yield make.const_score_query(query, 0.0)
        if where.since is not None:
            yield self._range("created_at", kind.Integer, micros(where.since), None)
        if where.until is not None:
            yield self._range("created_at", kind.Integer, None, micros(where.until) - 1)
        if where.alive_at is not None and some_expire:
            yield self._range("expires_at", kind.Integer, micros(where.alive_at) + 1, None)
        if where.min_importance > 0:
            yield self._range("importance", kind.Float, float(where.min_importance), None)
        if where.min_confidence > 0:
            yield self._range("confidence", kind.Float, float(where.min_confidence), None)

    def some_expire(self, searcher: tantivy.Searcher) -> bool:
        """Whether any row expires at some time. It reads that field of every row."""
        expiring = self._range("expires_at", self._tantivy.FieldType.Integer, None, NEVER - 1)
        found: Any = searcher.search(expiring, 1, count=False)
        return bool(found.hits)

    def _exactly(self, field: str, value: str) -> Any:
        query = self._tantivy.Query.term_query(self._schema, field, value, "basic")
        return self._tantivy.Query.const_score_query(query, 0.0)

    def _range(self, field: str, kind: Any, low: Any, high: Any) -> Any:
        query = self._tantivy.Query.range_query(self._schema, field, kind, low, high)
        return self._tantivy.Query.const_score_query(query, 0.0)


def build_schema(tantivy: Any) -> Any:
    """The fields of a document; ``seq`` names the row."""
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("seq", indexed=True, fast=True)
    builder.add_integer_field("turn", fast=True)
    builder.add_integer_field("created_at", indexed=True, fast=True)
    builder.add_integer_field("expires_at", indexed=True, fast=True)
    builder.add_float_field("importance", indexed=True, fast=True)
    builder.add_float_field("confidence", indexed=True, fast=True)
    for name in ("id", "kind", "user_id", "role", "memory_type", "category", "tags"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    builder.add_text_field(
        "conversation_id", stored=True, tokenizer_name="raw", index_option="basic"
    )
    builder.add_text_field("content", tokenizer_name=TOKENIZER, index_option="position")
    return builder.build()
