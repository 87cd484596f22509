"""BM25 in SQL, exact: weights, number of rows and average length are those of the scope's user.

A row has the 64-bit hashes of its terms, and of its pairs of adjacent terms, in order and repeats
included, each mixed with the hash of its user (exclusive or). So one index over them finds the
rows of one user that have a term, and no other user's, and a term's frequency is how often its
hash is in the row. k1 is 1.2 and b .75.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.text.analysis import Analyser, is_unspaced

from .statement import Statement, hash_of
from .texts import stored

K1, B = 1.2, 0.75
#: Of a longer question only so many terms are used, the rarest.
MOST_TERMS = 64
_BETWEEN = "\x1f"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question asks for.

    Attributes:
        times: by term, how often the question has it.
        pairs: its pairs of adjacent, different terms; none where phrases do not count.
        phrase_weight: how much a pair counts.
        grams: its terms are characters and bigrams, of which common ones hardly count.
    """

    times: dict[str, int]
    pairs: tuple[tuple[str, str], ...]
    phrase_weight: float
    grams: bool

    def rarest(self, having: Sequence[int]) -> Asked:
        """The rarest of the terms, by in how many rows each stands, without pairs."""
        ranked = sorted((n, term) for n, term in zip(having, self.times, strict=True) if n)
        kept = {term: self.times[term] for _, term in ranked[:MOST_TERMS]}
        return Asked(kept, (), 0.0, self.grams)


def asked_of(query: LexicalQuery, analyser: Analyser) -> Asked:
    """What a question asks for, by the terms of its text."""
    terms = analyser.question(query.text, drop_stopwords=query.drop_stopwords)
    grams = is_unspaced(query.text)
    pairs: tuple[tuple[str, str], ...] = ()
    if query.phrase_weight > 0 and not grams:
        pairs = tuple(pair for pair in dict.fromkeys(pairwise(terms)) if pair[0] != pair[1])
    return Asked(dict(Counter(terms)), pairs, query.phrase_weight, grams)


def hashes_of(terms: Sequence[str], owner: int) -> tuple[list[int], list[int]]:
    """The hashes of a row's terms and of its pairs, mixed with that of its user."""
    single = [hash_of_term(term) ^ owner for term in terms]
    return single, [hash_of_pair(*pair) ^ owner for pair in pairwise(terms)]


@lru_cache(maxsize=65_536)
def hash_of_term(term: str) -> int:
    """64 bits of a term, as an int8."""
    return hash_of(stored(term))


@lru_cache(maxsize=65_536)
def hash_of_pair(first: str, second: str) -> int:
    """64 bits of a pair of terms, as an int8."""
    return hash_of(stored(f"{first}{_BETWEEN}{second}"))


def best(
    statement: Statement, rows: str, asked: Asked, scope: Scope, where: RowFilter, limit: int
) -> str:
    """A query for ``seq, conversation_id, turn, score`` of the best rows.

    Args:
        statement: gets the values.
        rows: the table.
        asked: one term at least.
        scope: whose rows.
        where: which of them.
        limit: at most so many.
    """
    terms = list(asked.times)
    user = _user(statement, scope)
    mixed = _mixed(statement, scope, [hash_of_term(term) for term in terms])
    pairs = _mixed(statement, scope, [hash_of_pair(*pair) for pair in asked.pairs])
    counts = [f"{_count('terms', one)} AS t{i}" for i, one in enumerate(mixed)]
    counts += [f"{_count('pairs', one)} AS p{i}" for i, one in enumerate(pairs)]
    weights = [f"{_weight(f't{i}', asked.grams)} AS w{i}" for i in range(len(terms))]
    parts = [
        f"{statement.bind(float(asked.times[term]), 'float8')} * w{i} * {_saturated(f't{i}')}"
        for i, term in enumerate(terms)
    ]
    place = {term: i for i, term in enumerate(terms)}
    phrase = statement.bind(asked.phrase_weight, "float8") if pairs else ""
    parts += [
        f"{phrase} * (w{place[first]} + w{place[second]}) * {_saturated(f'p{i}')}"
        for i, (first, second) in enumerate(asked.pairs)
    ]
    return f"""
WITH size AS MATERIALIZED (
    SELECT count(*)::float8 AS total, coalesce(avg(length), 0)::float8 AS average
    FROM {rows} WHERE {_owners(statement, scope)}
), found AS MATERIALIZED (
    SELECT seq, conversation_id, turn, ({statement.within(scope, where)}) AS matches,
        {K1} * ({1 - B} + {B} * length / greatest(average, 1e-9)) AS norm, {", ".join(counts)}
    FROM {rows}, size WHERE {user} AND terms && ARRAY[{", ".join(mixed)}]
), weights AS (
    SELECT {", ".join(weights)} FROM found, size GROUP BY total
)
SELECT seq, conversation_id, turn, ({" + ".join(parts)})::float8 AS score
FROM found, weights WHERE matches ORDER BY score DESC, seq DESC
LIMIT {statement.bind(limit, "int8")}"""


def numbers(statement: Statement, rows: str, asked: Asked, scope: Scope) -> str:
    """A query for ``at, n``: in how many rows of the scope's user each term stands, in order."""
    hashes = statement.bind([hash_of_term(term) for term in asked.times], "int8[]")
    user = _user(statement, scope)
    owner = statement.bind(_owner(scope), "int8") if _is_of_one(scope) else "owner"
    return f"""
SELECT at, count(seq) AS n FROM unnest({hashes}) WITH ORDINALITY AS asked (term, at)
LEFT JOIN {rows} ON {user} AND terms && ARRAY[term # {owner}]
GROUP BY at ORDER BY at"""


def _is_of_one(scope: Scope) -> bool:
    return scope.user_id is not None and not scope.also


def _owner(scope: Scope) -> int:
    assert scope.user_id is not None
    return hash_of(stored(scope.user_id))


def _user(statement: Statement, scope: Scope) -> str:
    """The condition of the scope's users alone: their other rows count for the weights, too."""
    return statement.within(scope.whole, RowFilter())


def _owners(statement: Statement, scope: Scope) -> str:
    """The condition of the scope's user by its hash alone, which an index answers without a row.

    Another user of the same hash, one in 2 ** 64, would move the weights a little.
    """
    if scope.users is None:
        return "TRUE"
    owners = [statement.bind(hash_of(stored(user)), "int8") for user in scope.users]
    return f"owner IN ({', '.join(owners)})"


def _mixed(statement: Statement, scope: Scope, hashes: Sequence[int]) -> list[str]:
    """Hashes as rows have them: of one user a value, of several an expression of the row."""
    if not _is_of_one(scope):
        return [f"(owner # {statement.bind(one, 'int8')})" for one in hashes]
    owner = _owner(scope)
    return [statement.bind(one ^ owner, "int8") for one in hashes]


def _count(column: str, value: str) -> str:
    return f"nullif(cardinality(array_positions({column}, {value})), 0)::float8"


def _weight(count: str, grams: bool) -> str:
    """As ``inverse_document_frequency`` and ``gram_weight`` of ``indexers.text.analysis``."""
    having = f"count({count})"
    plain = f"ln(1 + (greatest(total - {having}, 0) + 0.5) / ({having} + 0.5))"
    if not grams:
        return plain
    return f"{plain} * (1 - least({having} / greatest(total, 1), 1)) ^ 4"


def _saturated(count: str) -> str:
    return f"coalesce({count} * {K1 + 1} / ({count} + norm), 0)"
