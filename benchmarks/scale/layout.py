"""Whose rows a corpus has: users of uneven size, their conversations, and what these are about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.scale.words import TOPICS
from bruno_memory_vec.errors import InvalidInputError

#: Turns of a conversation, which are written together. A user's last one may be shorter.
CONVERSATION = 50
#: Sizes that some user has exactly, where the corpus is large enough.
NAMED = (1_000, 100_000)
#: The user of the larger size.
LARGE_USER = f"u-{NAMED[-1]}"
# A corpus has a named user only if it makes at most this share of it.
_NAMED_SHARE = 0.5
# User number i has a share of i ** -_UNEVEN of the rows. At a million rows and a thousand users the
# largest has 20,000, and half of the users have 500 to 2,000.
_UNEVEN = 0.6
_FEWEST_TOPICS = 3
_CONVERSATIONS_A_TOPIC = 5


@dataclass(frozen=True)
class Layout:
    """Conversations in the order in which they are written.

    Attributes:
        names: the users' ids.
        sizes: rows of each user, int64 (users,).
        owner: index into ``names`` of each conversation, int32 (conversations,).
        start: first row of each conversation and, last, the number of rows; int64.
        topic: the two topics of each conversation, int32 (conversations, 2).
    """

    names: tuple[str, ...]
    sizes: NDArray[np.int64]
    owner: NDArray[np.int32]
    start: NDArray[np.int64]
    topic: NDArray[np.int32]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.start[-1])

    def conversation(self, start: int, stop: int) -> NDArray[np.int64]:
        """The conversation of each of the rows from ``start`` to before ``stop``."""
        rows = np.arange(start, stop)
        found: NDArray[np.int64] = np.searchsorted(self.start, rows, side="right") - 1
        return found

    def rows_of(self, user: str) -> NDArray[np.int64]:
        """The rows of a user, in their order, int64 (n,)."""
        own = np.flatnonzero(self.owner == self.index[user])
        return np.concatenate([np.arange(self.start[one], self.start[one + 1]) for one in own])

    def conversations_of(self, user: str) -> list[str]:
        """The ids of a user's conversations, in their order."""
        own = np.flatnonzero(self.owner == self.index[user])
        return [conversation_id(one) for one in own.tolist()]

    @cached_property
    def index(self) -> dict[str, int]:
        """Each user's place in ``names``."""
        return {name: place for place, name in enumerate(self.names)}

    def nearest(self, size: int) -> list[str]:
        """Every user, the one whose number of rows is nearest to ``size`` (as a factor) first."""
        distance = np.abs(np.log(self.sizes / size))
        return [self.names[place] for place in np.argsort(distance, kind="stable")]


def conversation_id(number: int) -> str:
    """The id of a conversation by its place in the layout."""
    return f"c-{number:06d}"


def make_layout(rows: int, users: int, seed: int) -> Layout:
    """Lay out ``rows`` rows of ``users`` users.

    Where there are several users, "u-1000" has exactly 1,000 rows and "u-100000" exactly
    100,000, if that is at most half of all rows. A single user is named by the number of rows.

    Raises:
        InvalidInputError: there are fewer rows than users, or no user.
    """
    if not 1 <= users <= rows:
        raise InvalidInputError(
            "users", f"{users} cannot share {rows} rows", fix="Give each user at least one row."
        )
    names, sizes = _users(rows, users)
    rng = np.random.default_rng([seed, 2])
    owner, length = [], []
    for user, size in enumerate(sizes):
        whole, rest = divmod(int(size), CONVERSATION)
        lengths = [CONVERSATION] * whole + [rest] * (rest > 0)
        owner += [user] * len(lengths)
        length += lengths
    order = rng.permutation(len(owner))
    owners = np.array(owner, np.int32)[order]
    starts = np.concatenate([[0], np.cumsum(np.array(length, np.int64)[order])])
    return Layout(names, sizes, owners, starts, _topics(owners, rng))


def _users(rows: int, users: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    if users == 1:
        return (f"u-{rows}",), np.array([rows], np.int64)
    named = [size for size in NAMED if size <= rows * _NAMED_SHARE][: users - 1]
    left, others = rows - sum(named), users - len(named)
    if left < others:
        named, left, others = [], rows, users
    share = np.arange(1, others + 1, dtype=np.float64) ** -_UNEVEN
    # Each has one row; the rest is shared, and what rounding leaves over is the largest's.
    sizes = 1 + np.floor((left - others) * share / share.sum()).astype(np.int64)
    sizes[0] += left - sizes.sum()
    names = [f"u-{size}" for size in named] + [f"user-{place:04d}" for place in range(others)]
    return tuple(names), np.concatenate([np.array(named, np.int64), sizes])


def _topics(owner: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    topic = np.empty((len(owner), 2), np.int32)
    for user in np.unique(owner):
        own = np.flatnonzero(owner == user)
        # Who talks more, talks about more; and about some things more than about others.
        known = min(TOPICS, _FEWEST_TOPICS + len(own) // _CONVERSATIONS_A_TOPIC)
        interests = rng.choice(TOPICS, known, replace=False)
        weight = 1.0 / np.arange(1, known + 1) ** 0.5
        topic[own] = rng.choice(interests, (len(own), 2), p=weight / weight.sum())
    return topic
