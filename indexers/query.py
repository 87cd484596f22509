"""What is asked of an engine: whose rows, which of them, by what words; and what it proposes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows a call may see. Make one with :meth:`user` or :meth:`all_users`.

    Engines apply it before ranking, so a row outside it never takes a place.
    """

    user_id: str | None
    conversation_id: str | None = None

    @classmethod
    def user(cls, user_id: str) -> Scope:
        """The rows of one user."""
        return cls(user_id)

    @classmethod
    def all_users(cls) -> Scope:
        """Every row of the store. Spelled out, so that it is never an oversight."""
        return cls(None)

    def within(self, conversation_id: str | None) -> Scope:
        """The same scope, narrowed to one conversation (None leaves it as it is)."""
        if conversation_id is None:
            return self
        return replace(self, conversation_id=conversation_id)


#: The scope of who works on all rows.
EVERYONE = Scope.all_users()


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows of a scope. An empty tuple or None means no condition.

    A condition on a column that a row does not have (a role, for a memory)
    leaves the row out.

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
        ids: only these ids.
    """

    kinds: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    memory_types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    min_importance: float = 0.0
    min_confidence: float = 0.0
    alive_at: datetime | None = None
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """A question for a lexical index. ``text`` is analysed, never parsed.

    Attributes:
        text: the user's words, in any form.
        drop_stopwords: leave out question words ("what", "did"), unless nothing else is left.
        phrase_weight: extra weight of adjacent question words that are adjacent in a row too.
    """

    text: str
    drop_stopwords: bool = True
    phrase_weight: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What one engine proposes, best first.

    Attributes:
        seq: int64 (n,), names the rows.
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
        """No candidate."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float32), (), np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.seq)

    def without(self, seqs: NDArray[np.int64], limit: int) -> Candidates:
        """The best ``limit`` of them that are not among ``seqs``."""
        kept = np.flatnonzero(~np.isin(self.seq, seqs))[:limit]
        conversations = tuple(self.conversation_id[i] for i in kept.tolist())
        return Candidates(self.seq[kept], self.score[kept], conversations, self.turn[kept])
