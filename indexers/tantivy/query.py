"""Lexical queries and filters as Tantivy queries. Text is analysed; it has no query syntax."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pyarrow as pa

from ..query import AskedTerms, Condition, LexicalQuery, RowFilter, Scope
from ..schema import LEXICAL_COLUMNS, micros, row_schema
from ..text.analysis import Analyser, gram_weight, inverse_document_frequency, is_unspaced
from ..words.question import COMMON, FEW, MOST_TERMS, QuestionTerms
from .documents import MISSING

if TYPE_CHECKING:
    import tantivy

    from .pending import PendingRows

#: In how many rows of a user a term stands, by both.
RowCounts: TypeAlias = dict[tuple[str, str], int]


class Lengths(NamedTuple):
    """What Tantivy's BM25 takes of all committed rows.

    Attributes:
        average: how many terms a row has on average.
        rows: how many there are, with removed ones until their segment is merged.
    """

    average: float
    rows: int


class Weighed(NamedTuple):
    """A question, weighed in a scope.

    Attributes:
        terms: its terms, in order, repeats included.
        committed: in how many committed rows of all users each term stands that is used, each once.
        having: in how many rows of the scope's user each of these stands, pending ones included.
        total: how many rows the user has, pending ones included.
        everyone: Tantivy's own weight of each that stands in a committed row.
        own: the weight by the rows of the user of each that stands in one.
        pairs: the weight of each two adjacent terms that are asked as a phrase.
    """

    terms: Sequence[str]
    committed: Mapping[str, int]
    having: Mapping[str, int]
    total: int
    everyone: Mapping[str, float]
    own: Mapping[str, float]
    pairs: Mapping[tuple[str, str], float]

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each term, times as often as it stands in the question."""
        times = Counter(self.terms)
        return {term: n * self.own[term] for term, n in times.items() if term in self.own}


TOKENIZER = "bruno"
# Stands for no term: all rows of a user. A term is never empty.
_ROWS = ""
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
        self._schema = self.schema = schema
        self._terms = QuestionTerms(analyser)
        self._last: tuple[LexicalQuery, Scope, RowCounts, PendingRows | None, Weighed] | None = None

    def whole(
        self,
        weighed: Weighed,
        scope: Scope,
        where: RowFilter,
        *,
        held: Collection[str] = RARE,
    ) -> tantivy.Query | None:
        """A query within a scope and a filter; None where nothing committed can match.

        The scope is added to each word instead of once to all of them. So Tantivy skips to the
        user's rows in each word's posting list; otherwise it would read and join the whole lists.
        ``held`` are those of :data:`RARE` in which some row of the index has a value.
        """
        words = self._words(weighed)
        if not words:
            return None
        make, occur = self._tantivy.Query, self._tantivy.Occur
        left = self.unindexed(scope, where)
        own = [
            (occur.Must, self._condition(asked))
            for asked in scope.conditions()
            if asked not in left
        ]
        if own:
            words = [make.boolean_query([(occur.Must, word), *own]) for word in words]
        anyone: tantivy.Query = make.boolean_query([(occur.Should, word) for word in words])
        filters = [
            (occur.Must, self._condition(asked))
            for asked in where.conditions()
            # Left out where it can be: it reads a field of every row that has a word of the query.
            if asked.op != "alive" or asked.column not in RARE or asked.column in held
            if asked not in left
        ]
        if filters:
            anyone = make.boolean_query([(occur.Must, anyone), *filters])
        return anyone

    def _words(self, weighed: Weighed) -> list[tantivy.Query]:
        """The question's terms, of which any may match, and its adjacent pairs as phrases.

        Tantivy weighs terms by all committed rows; a boost by the ratio of the two weights makes it
        weigh them by the user's.
        """
        make, everyone = self._tantivy.Query, weighed.everyone
        parts: list[tantivy.Query] = []
        for term, weight in weighed.weights.items():
            if term in everyone:
                part = self._having(term, "freq")
                parts.append(make.boost_query(part, weight / everyone[term]))
        for pair, weight in weighed.pairs.items():
            if pair[0] in everyone and pair[1] in everyone:
                phrase = make.phrase_query(
                    self._schema, "content", [self._as_indexed(term) for term in pair]
                )
                ratio = weight / sum(everyone[term] for term in pair)
                parts.append(make.boost_query(phrase, ratio))
        return parts

    def weighed(
        self,
        query: LexicalQuery,
        scope: Scope,
        searcher: tantivy.Searcher,
        known: RowCounts,
        pending: PendingRows | None,
        lengths: Callable[[Sequence[str]], Lengths | None],
    ) -> Weighed:
        """The terms of a question, and their weights by the rows of the scope's user.

        Other users' rows then hardly change the scores, and recall is better. The weights are
        inverse document frequencies, or :func:`gram_weight` of a question in an unspaced script.

        Args:
            query: the question.
            scope: whose rows.
            searcher: the committed rows.
            known: what was counted in the searcher before, which grows.
            pending: the scope's rows that are not committed.
            lengths: tells those of the committed rows, given some terms.
        """
        # One recall asks up to three times: for candidates, for passages and for its confidence.
        # What is counted in other rows is counted in another dictionary.
        last = self._last
        same = last is not None and last[2] is known and last[3] is pending
        if last is not None and same and last[:2] == (query, scope):
            return last[4]
        found = self._weighed_anew(query, scope, searcher, known, pending, lengths)
        self._last = query, scope, known, pending, found
        return found

    def _weighed_anew(
        self,
        query: LexicalQuery,
        scope: Scope,
        searcher: tantivy.Searcher,
        known: RowCounts,
        pending: PendingRows | None,
        lengths: Callable[[Sequence[str]], Lengths | None],
    ) -> Weighed:
        terms = self._terms.of(query)
        each = list(dict.fromkeys(terms))
        waiting = dict.fromkeys(each, 0) if pending is None else pending.having(each)
        committed = {term: self._frequency(searcher, term) for term in each}
        few = len(each) <= MOST_TERMS
        if not few:
            every = {term: committed[term] + waiting[term] for term in each}
            rarest = sorted((term for term in each if every[term]), key=every.__getitem__)
            committed = {term: committed[term] for term in rarest[:MOST_TERMS]}
        total, having = self._counted(committed, scope, searcher, known)
        if pending is not None:
            total += pending.total
            having = {term: n + waiting[term] for term, n in having.items()}
        told = lengths(each)
        rows = searcher.num_docs if told is None else told.rows
        everyone = {term: inverse_document_frequency(rows, n) for term, n in committed.items() if n}
        grams = is_unspaced(query.text)
        weigh = gram_weight if grams else inverse_document_frequency
        own = {term: weigh(total, n) for term, n in having.items() if n}
        pairs: dict[tuple[str, str], float] = {}
        # Of a very long question only single words are used.
        if query.phrase_weight > 0 and few and not grams:
            most = max(searcher.num_docs * COMMON, FEW)
            for first, second in dict.fromkeys(pairwise(terms)):
                known_ones = first != second and first in own and second in own
                if known_ones and min(committed[first], committed[second]) <= most:
                    weight = query.phrase_weight * (own[first] + own[second])
                    pairs[first, second] = weight
        return Weighed(terms, committed, having, total, everyone, own, pairs)

    def asked_terms(self, weighed: Weighed) -> AskedTerms:
        """As of :class:`~bruno_memory_vec.indexers.protocols.TellsTerms`."""
        times = Counter(weighed.terms)
        used = {term: count for term, count in times.items() if term in weighed.having}
        return AskedTerms(weighed.total, used, weighed.having)

    def document_frequencies(
        self,
        words: Sequence[str],
        scope: Scope,
        searcher: tantivy.Searcher,
        known: RowCounts,
        pending: PendingRows | None,
    ) -> tuple[int, list[int]]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.CountsWords`."""
        terms = [self._terms.of_word(word) for word in words]
        every = {term: self._frequency(searcher, term) for each in terms for term in each}
        total, having = self._counted(every, scope, searcher, known)
        if pending is not None:
            total += pending.total
            waiting = pending.having(list(having))
            having = {term: n + waiting[term] for term, n in having.items()}
        return total, [
            min(min(having[term] for term in each), total) if each else -1 for each in terms
        ]

    def _counted(
        self,
        frequency: Mapping[str, int],
        scope: Scope,
        searcher: tantivy.Searcher,
        known: RowCounts,
    ) -> tuple[int, dict[str, int]]:
        """How many committed rows the scope's users have, and in how many of them each term stands.

        Of all users, a term's removed rows are counted until their segment is merged.
        """
        if scope.users is None:
            return searcher.num_docs, dict(frequency)
        total, having = 0, dict.fromkeys(frequency, 0)
        for user_id in scope.users:
            key = (user_id, _ROWS)
            if key not in known:
                user = self._condition(Condition("user_id", "in", (user_id,)))
                found: Any = searcher.search(user, 1, count=True)
                known[key] = found.count
            total += known[key]
            for term, n in self._of_user(frequency, user_id, searcher, known).items():
                having[term] += n
        return total, having

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
                having = self._having(term, "basic")
                both = make.boolean_query([(must, having), (must, user)])
                found: Any = searcher.search(both, 1, count=True)
                known[key] = found.count
            own[term] = known[key] if n else 0
        return own

    def lengths(self, searcher: tantivy.Searcher, terms: Sequence[str]) -> Lengths | None:
        """What BM25 divides and counts by; None where no row has any of ``terms``: Tantivy tells it
        only where it explains a score."""
        counts = {term: self._frequency(searcher, term) for term in terms}
        rarest = min((term for term in counts if counts[term]), key=counts.__getitem__, default="")
        if not rarest:
            return None
        having = self._having(rarest, "freq")
        hits = searcher.search(having, 1, count=False).hits
        if not hits:
            return None
        return _lengths(having.explain(searcher, hits[0][1]).to_json())

    def _as_indexed(self, term: str) -> str:
        """A term as the index has it."""
        return term

    def _frequency(self, searcher: tantivy.Searcher, term: str) -> int:
        """In how many committed rows a term stands."""
        return searcher.doc_freq("content", self._as_indexed(term))

    def _having(self, term: str, option: str) -> tantivy.Query:
        """The rows with a term."""
        found: tantivy.Query = self._tantivy.Query.term_query(
            self._schema, "content", self._as_indexed(term), option
        )
        return found

    def unindexed(self, scope: Scope, where: RowFilter) -> tuple[Condition, ...]:
        """The conditions that :meth:`whole` leaves out, as the index has not what they are of."""
        return ()

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


def _lengths(explanation: str) -> Lengths:
    """The average length and the number of rows in an explanation of a score.

    Raises:
        ValueError: they are not there.
    """
    told: dict[str, float] = {}
    waiting = [json.loads(explanation)]
    while waiting:
        part = waiting.pop()
        told[part["description"].split(",")[0]] = part["value"]
        waiting.extend(part.get("details") or ())
    if not {"avgdl", "N"} <= told.keys():
        raise ValueError(f"no average length in the explanation of a score: {explanation}")
    return Lengths(float(told["avgdl"]), int(told["N"]))


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
