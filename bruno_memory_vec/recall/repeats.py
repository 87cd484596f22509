"""Repeats: what was said several times takes one place, and what repeats the question takes none.

Rows say the same where their plain words are equal (``rankers.plain``) and the same role of the
same user said them. As with copies, of those among the candidates only the newest is kept, so that
thirty equal rows do not displace other candidates.

Who asks again and again fills the candidates with the question, and with "I don't know" after it.
These are found by their words, too (``rankers.steps.asked_before`` says what becomes of them).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.indexers.schema import MEMORY
from bruno_memory_vec.indexers.snapshot import NOTED, Snapshot
from bruno_memory_vec.rankers import AskedBefore, Question, Repeats
from bruno_memory_vec.rankers.plain import MAX_CHARS, asks, hashed, plain_words, shared, units
from bruno_memory_vec.rankers.unknown import MOST_WORDS, says_unknown
from bruno_memory_vec.recall.request import RecallRequest

# The lowest bits of a key: how many words the text has, at most so many.
_WORDS = 63
# A row of which more than this is no question does not merely ask.
_ASKING = 0.5
# Of so many rows at most their words are kept; each takes about a kilobyte.
_MOST_KEPT = 20_000
# What repeats the question is near the best of each side that proposed it. Only of such rows the
# text is read, and of turns beside others, which no side proposed.
_NEAR = 0.6


def text_keys(snapshot: Snapshot, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each row, the same where rows say the same. Its lowest bits are their words.

    It holds in this process only. It is kept in the snapshot, as reading a text takes some
    microseconds.

    Args:
        snapshot: rows in memory.
        rows: int64 (n,).

    Returns:
        int64 (n,).
    """
    noted = snapshot.columns[NOTED]
    keys: NDArray[np.int64] = noted[rows]
    new = np.flatnonzero(keys == 0)
    if len(new):
        asked = rows[new]
        noted[asked] = keys[new] = _keys(snapshot, asked)
    return keys


def _keys(snapshot: Snapshot, rows: NDArray[np.int64]) -> list[int]:
    # One more character than is read, which tells a longer text.
    texts = snapshot.beginnings(rows, MAX_CHARS + 1)
    roles, codes = snapshot.names["role"], snapshot.columns["role"][rows].tolist()
    users = snapshot.rows(rows, ("user_id",)) if snapshot.mixed else None
    keys = []
    for place, (row, text, code) in enumerate(zip(rows.tolist(), texts, codes, strict=True)):
        words = plain_words(text)
        rest: tuple[object, ...] = ()
        if len(text) > MAX_CHARS:
            rest = (int(snapshot.columns["words"][row]), snapshot.vectors[row].tobytes())
        user = None if users is None else users[place]["user_id"]
        keys.append(_key(user, MEMORY if code < 0 else roles[code], words, *rest))
    return keys


def _key(user: str | None, role: str, words: tuple[str, ...], *rest: object) -> int:
    # Never 0, which says that none is noted yet.
    key = hash((user, role, words, *rest)) & ~_WORDS | _WORDS + 1
    return key | min(units(words), _WORDS)


def same_words(
    snapshot: Snapshot, rows: NDArray[np.int64], step: Repeats
) -> NDArray[np.int64] | None:
    """A number for each row, int64 (n,), the same where rows say the same; None where none do."""
    keys = text_keys(snapshot, rows)
    numbers = np.where(keys & _WORDS < step.least_words, -1 - rows, keys)
    ordered = np.sort(numbers)
    return numbers if (ordered[1:] == ordered[:-1]).any() else None


def by_period(
    number: NDArray[np.int64], created_at: NDArray[np.int64], question: Question
) -> NDArray[np.int64]:
    """The numbers, of which each is another for what was said in a period that the question names.

    Of what was said then and said again later, the newest may be no answer.
    """
    for place, period in enumerate(question.periods, start=1):
        inside = (created_at >= period.start) & (created_at < period.end)
        number = np.where(inside, number ^ (place << 48), number)
    return number


class Again(NamedTuple):
    """Which of n rows repeat the question.

    Attributes:
        asks: bool (n,), which merely repeat it.
        unknown: bool (n,), which come after one that does, and answer that it is not known.
    """

    asks: NDArray[np.bool_]
    unknown: NDArray[np.bool_]


# A recall asks for these up to six times.
_words_asked = lru_cache(16)(plain_words)
_hashes_asked = lru_cache(16)(hashed)


@lru_cache(16)
def _keys_of(
    words: tuple[str, ...], users: tuple[str | None, ...], roles: tuple[str, ...]
) -> frozenset[int]:
    """The keys of rows that have these words, whoever of the users says them."""
    return frozenset(_key(user, role, words) for user in users for role in roles)


def may_ask_again(request: RecallRequest) -> bool:
    """Whether rows may repeat the question: it asks, and the profile wants to know."""
    asked = _words_asked(request.query)
    wanted = request.profile.rank.get(AskedBefore) is not None
    return wanted and bool(asked) and asks(request.query, asked)


def asked_before(
    snapshot: Snapshot,
    rows: NDArray[np.int64],
    lexical: NDArray[np.float32],
    semantic: NDArray[np.float32],
    request: RecallRequest,
) -> Again | None:
    """Which rows merely repeat the question, or answer that it is not known; None where none does.

    Args:
        snapshot: rows in memory.
        rows: int64 (n,), ascending.
        lexical: float32 (n,), BM25, NaN where the lexical index did not propose the row.
        semantic: float32 (n,), cosine, NaN where the vector search did not propose it.
        request: the question and the profile.
    """
    step = request.profile.rank.get(AskedBefore)
    if step is None or not may_ask_again(request):
        return None
    asked = _words_asked(request.query)
    near = np.flatnonzero(_may_be_near(lexical) & _may_be_near(semantic))
    asking = np.zeros(len(rows), np.bool_)
    asking[near] = _ask_again(snapshot, rows[near], asked, request, step)
    if not asking.any():
        return None
    # By row, one more than there are: that one stands for no row, as -1 does.
    seen, asks_it = np.zeros((2, len(snapshot) + 1), np.bool_)
    seen[rows] = seen[-1] = True
    asks_it[rows] = asking
    # Also of a row that did not come with the one before it: that may have been left out.
    short = np.flatnonzero(~asking & (snapshot.columns["words"][rows] <= MOST_WORDS))
    before = _turns_before(snapshot, rows[short])
    others = before[~seen[before]]
    asks_it[others] = _ask_again(snapshot, others, asked, request, step)
    places = short[asks_it[before]]
    unknown = np.zeros(len(rows), np.bool_)
    unknown[places] = [says_unknown(text) for text in snapshot.beginnings(rows[places], MAX_CHARS)]
    return Again(asking, unknown)


def _ask_again(
    snapshot: Snapshot,
    rows: NDArray[np.int64],
    asked: tuple[str, ...],
    request: RecallRequest,
    step: AskedBefore,
) -> NDArray[np.bool_]:
    """Which rows merely repeat the question, whose plain words are ``asked``; bool (n,)."""
    columns = snapshot.columns
    again = np.zeros(len(rows), np.bool_)
    short = columns["words"][rows] <= 2 * len(request.query.split()) + 4
    part = columns["question_share"][rows]
    # Without a question mark only what has the very words is known to ask.
    plain = np.flatnonzero(short & (part == 0))
    if len(plain):
        users = (request.scope.users or (None,)) if snapshot.mixed else (None,)
        roles = (MEMORY, *snapshot.names["role"])
        mine = _keys_of(asked, users, roles)
        again[plain] = [key in mine for key in text_keys(snapshot, rows[plain]).tolist()]
    some = np.flatnonzero(short & (part >= _ASKING))
    if len(some):
        ours = _hashes_asked(asked)
        theirs = _words_of(snapshot, rows[some])
        again[some] = [shared(ours, words) >= step.share for words in theirs]
    return again


def _words_of(snapshot: Snapshot, rows: NDArray[np.int64]) -> list[frozenset[int]]:
    """The hashed plain words of some rows, kept in the snapshot as :func:`text_keys` are."""
    kept = snapshot.asking
    if len(kept) > _MOST_KEPT:
        kept.clear()
    seqs = snapshot.columns["seq"][rows].tolist()
    found = list(map(kept.get, seqs))
    missing = [place for place, words in enumerate(found) if words is None]
    if missing:
        texts = snapshot.beginnings(rows[missing], MAX_CHARS)
        for place, text in zip(missing, texts, strict=True):
            kept[seqs[place]] = found[place] = hashed(plain_words(text))
    return [words for words in found if words is not None]


def _turns_before(snapshot: Snapshot, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of the turn before each row, -1 where there is none; int64 (n,)."""
    conversations = snapshot.columns["conversation_id"][rows].tolist()
    turns = snapshot.columns["turn"][rows].tolist()
    held, count = snapshot.row_of_turn, len(snapshot)
    found = [
        held[code].get(turn - 1, -1) if code >= 0 and turn > 0 else -1
        for code, turn in zip(conversations, turns, strict=True)
    ]
    before = np.array(found, np.int64)
    # What is behind the end was added later.
    return np.where(before < count, before, -1)


def _may_be_near(score: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows are near the best of a side, or were not proposed by it."""
    best = np.fmax.reduce(score, initial=np.float32(-np.inf))
    near: NDArray[np.bool_] = ~(score < _NEAR * best)
    return near
