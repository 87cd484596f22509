"""The queries of an engine (scope, filter, lexical query), and the candidates it proposes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

#: How a column is compared with a value. See :class:`Condition`.
Op = Literal["in", "any", "ge", "lt", "alive"]


class Condition(NamedTuple):
    """A condition on one column of a row.

    ====== ===================================== ==========================================
    op     a row matches where its column        value
    ====== ===================================== ==========================================
    in     is one of the values                  a tuple of texts or numbers
    any    is a list that has one of the values  a tuple of texts
    ge     is this or more                       a number or a time, as the column has
    lt     is less than this                     a number or a time, as the column has
    alive  is null, or later than this           a time
    ====== ===================================== ==========================================

    A row with null in the column matches only "alive". Engines implement these operators for any
    column of the schema, and do not depend on the fields of a filter. Times are timezone-aware; a
    column of integers is compared with integers.
    """

    column: str
    op: Op
    value: Any


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows a call may see. Make one with :meth:`user`, :meth:`several` or :meth:`all_users`.

    Engines apply it before ranking, so rows outside it do not count towards a limit. Who reads only
    ``user_id`` sees too little of a scope of several users, and never too much.

    Attributes:
        user_id: whose; the first of several; None for all users.
        conversation_id: only this conversation; None for all.
        also: the other users.
        before_turn: only messages of turns before this one; None for all rows.
    """

    user_id: str | None
    conversation_id: str | None = None
    also: tuple[str, ...] = ()
    before_turn: int | None = None

    @classmethod
    def user(cls, user_id: str) -> Scope:
        """The rows of one user."""
        return cls(user_id)

    @classmethod
    def several(cls, users: Sequence[str]) -> Scope:
        """The rows of these users, at least one."""
        first, *others = dict.fromkeys(users)
        return cls(first, also=tuple(others))

    @property
    def users(self) -> tuple[str, ...] | None:
        """Whose rows; None for everybody's."""
        return None if self.user_id is None else (self.user_id, *self.also)

    @classmethod
    def all_users(cls) -> Scope:
        """Every row of the store. It must be named, so that nobody gets it by omission."""
        return cls(None)

    @property
    def whole(self) -> Scope:
        """All rows of the scope's users, whatever it is narrowed to."""
        return Scope(self.user_id, also=self.also)

    def within(self, conversation_id: str | None) -> Scope:
        """The same scope, narrowed to one conversation (None leaves it as it is)."""
        if conversation_id is None:
            return self
        return replace(self, conversation_id=conversation_id)

    def conditions(self) -> list[Condition]:
        """The conditions that the rows of the scope fulfil."""
        found = []
        if self.user_id is not None:
            found.append(Condition("user_id", "in", (self.user_id, *self.also)))
        if self.conversation_id is not None:
            found.append(Condition("conversation_id", "in", (self.conversation_id,)))
        if self.before_turn is not None:
            found.append(Condition("turn", "lt", self.before_turn))
        return found


#: The scope of all rows.
EVERYONE = Scope.all_users()


class On(NamedTuple):
    """The condition that a field of a filter stands for; the field holds its value.

    With ``each``, every value in the field is a condition of its own.
    """

    column: str
    op: Op
    each: bool = False


#: A row that has a time in a column has this or a later one.
EVER = datetime(1, 1, 1, tzinfo=timezone.utc)
# No row has it.
_NO_ID = ("",)


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows of a scope. An empty tuple, None or 0 means no condition.

    Of ``ids`` only None does: who has an empty list of ids means no row, and not all of them.

    A condition on a column that a row does not have (a role, for a memory) leaves the row out.

    Each field declares its condition, and engines only use :meth:`conditions`. So a new field is
    one line here. Its column has to be in the schema and, for a lexical index, in
    ``LEXICAL_COLUMNS``.

    Attributes:
        kinds: "message", "memory".
        roles: values of ``MessageRole``.
        memory_types: values of ``MemoryType``.
        tags: rows that have any of these.
        categories: rows whose category is one of these.
        since: created at this time or later (timezone-aware).
        until: created before this time (timezone-aware).
        min_importance: 0..1, inclusive.
        min_confidence: 0..1, inclusive.
        alive_at: leave out rows that have expired at this time (timezone-aware).
        expired_before: only rows that expired before this time (timezone-aware).
        unarchived_at: leave out rows that were archived by this time (timezone-aware).
        archived_since: only rows that were archived at this time or later (timezone-aware).
        pinned_since: only rows that were pinned at this time or later (timezone-aware).
        origins: values of ``ORIGINS``.
        ids: only these ids; an empty tuple lets no row through.
        metadata: rows that have all of these key-value pairs, written as in the column
            ``metadata_pairs``.
    """

    kinds: Annotated[tuple[str, ...], On("kind", "in")] = ()
    roles: Annotated[tuple[str, ...], On("role", "in")] = ()
    memory_types: Annotated[tuple[str, ...], On("memory_type", "in")] = ()
    tags: Annotated[tuple[str, ...], On("tags", "any")] = ()
    categories: Annotated[tuple[str, ...], On("category", "in")] = ()
    since: Annotated[datetime | None, On("created_at", "ge")] = None
    until: Annotated[datetime | None, On("created_at", "lt")] = None
    min_importance: Annotated[float, On("importance", "ge")] = 0.0
    min_confidence: Annotated[float, On("confidence", "ge")] = 0.0
    alive_at: Annotated[datetime | None, On("expires_at", "alive")] = None
    expired_before: Annotated[datetime | None, On("expires_at", "lt")] = None
    unarchived_at: Annotated[datetime | None, On("archived_at", "alive")] = None
    archived_since: Annotated[datetime | None, On("archived_at", "ge")] = None
    pinned_since: Annotated[datetime | None, On("pinned_at", "ge")] = None
    origins: Annotated[tuple[str, ...], On("origin", "in")] = ()
    ids: Annotated[tuple[str, ...] | None, On("id", "in")] = None
    metadata: Annotated[tuple[str, ...], On("metadata_pairs", "any", each=True)] = ()

    def conditions(self) -> list[Condition]:
        """The conditions that a matching row fulfils."""
        found: list[Condition] = []
        for name, column, op, each in _asked(type(self)):  # type: ignore[arg-type]  # it is hashable
            value = getattr(self, name)
            if value == () and name == "ids":
                value = _NO_ID
            if not value:
                continue
            if each:
                found.extend(Condition(column, op, (one,)) for one in value)
            else:
                found.append(Condition(column, op, value))
        return found


@cache
def _asked(kind: type) -> tuple[tuple[str, str, Op, bool], ...]:
    """The name, column, operator and ``each`` of every field of a filter class."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple((name, *hint.__metadata__[0]) for name, hint in hints.items())


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """A query of a lexical index. ``text`` is analysed; it has no query syntax.

    Attributes:
        text: the user's words, in any form.
        drop_stopwords: leave out question words ("what", "did"), unless nothing else is left.
        phrase_weight: extra weight of adjacent question words that are adjacent in a row too.
    """

    text: str
    drop_stopwords: bool = True
    phrase_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class AskedTerms:
    """The terms that a question is searched by, and how many of a user's rows have each.

    Attributes:
        total: how many rows the user has.
        times: by term, how often the question has it.
        having: by the same terms, in how many of those rows each stands; 0 for a term of none.
    """

    total: int
    times: Mapping[str, int]
    having: Mapping[str, int]

    def joined(self, other: AskedTerms) -> AskedTerms:
        """The same of the rows of both, none of which is in both."""
        terms = {**self.times, **other.times}
        having = {term: self.having.get(term, 0) + other.having.get(term, 0) for term in terms}
        return AskedTerms(self.total + other.total, terms, having)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The rows that one engine proposes, best first.

    Attributes:
        seq: int64 (n,), identifies the rows.
        score: float32 (n,), BM25 or cosine similarity.
        conversation_id: n conversation ids, None for a row without one.
        turn: int64 (n,), -1 for a row without one.
    """

    seq: NDArray[np.int64]
    score: NDArray[np.float32]
    conversation_id: tuple[str | None, ...]
    turn: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Candidates:
        """Candidates with n = 0."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float32), (), np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.seq)

    def joined(self, other: Candidates, limit: int) -> Candidates:
        """The best ``limit`` of these and of others, none of which is here.

        Of equal scores, the row that was written last comes first.
        """
        if not len(self):
            return other
        seq = np.concatenate([self.seq, other.seq])
        score = np.concatenate([self.score, other.score])
        order = np.lexsort((-seq, -score))[:limit]
        conversations = (*self.conversation_id, *other.conversation_id)
        turn = np.concatenate([self.turn, other.turn])
        return Candidates(
            seq[order], score[order], tuple(conversations[i] for i in order.tolist()), turn[order]
        )

    def first(self, limit: int) -> Candidates:
        """The best ``limit`` candidates."""
        if len(self) <= limit:
            return self
        return Candidates(
            self.seq[:limit],
            self.score[:limit],
            self.conversation_id[:limit],
            self.turn[:limit],
        )

    def after(self, count: int) -> Candidates:
        """The candidates behind the best ``count``."""
        if not count:
            return self
        return Candidates(
            self.seq[count:], self.score[count:], self.conversation_id[count:], self.turn[count:]
        )

    def without(self, seqs: NDArray[np.int64], limit: int) -> Candidates:
        """The best ``limit`` candidates that are not in ``seqs``."""
        if not len(seqs):
            return self.first(limit)
        # For a few hundred, as here, np.isin takes longer.
        gone = np.sort(seqs)
        at = np.searchsorted(gone, self.seq)
        np.minimum(at, len(gone) - 1, out=at)
        kept = np.flatnonzero(gone[at] != self.seq)[:limit]
        if len(kept) == len(self):
            return self
        conversations = tuple(self.conversation_id[i] for i in kept.tolist())
        return Candidates(self.seq[kept], self.score[kept], conversations, self.turn[kept])
