"""Commits of the rows that SQLite has not taken yet: many of them are one transaction.

A transaction costs a switch to SQLite's thread, some statements and a write: a fifth of a small
commit. So the writing process keeps what a commit adds for a moment, and writes what came meanwhile
together (``SQLiteSessionStore.apply``). Whatever changes the file or reads of it what they concern
writes that first, so the order stays and nobody in this process sees less than what was
acknowledged. After a kill the rows tell what the file lacks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bruno_memory_vec.sessions.protocol import NOTHING, HotTurn

#: So many rows are written without a further wait.
MANY = 512
#: So many never wait: they are written before the next commit is acknowledged.
MOST = 4096


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit of the rows, or several, mean for the sessions.

    Attributes:
        turns: the last messages of each conversation, as of ``SessionStore.apply``.
        last_seq: the largest ``seq``.
        noted: owners of conversations that memories name.
        added: the ``seq`` of the rows.
        removed: the ``seq`` of rows that were replaced.
        touched: by conversation, when a message was last stored in it, in microseconds.
    """

    turns: Mapping[str, Sequence[HotTurn]]
    last_seq: int
    noted: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    added: Sequence[int] = ()
    removed: Sequence[int] = ()
    touched: Mapping[str, int] = field(default_factory=dict)

    @property
    def only_adds(self) -> bool:
        """Whether it replaces nothing, so that nothing depends on when it is written."""
        said = (turn for group in self.turns.values() for turn in group)
        return not self.removed and not any(turn.again for turn in said)


def commit_of(
    turns: Iterable[HotTurn],
    last_seq: int,
    noted: Mapping[str, str],
    added: Iterable[int],
    removed: Iterable[int],
    now: int,
) -> Commit:
    """A commit, as ``SessionStore.apply`` is told of it at a time, ``now``, in microseconds."""
    groups: dict[str, list[HotTurn]] = {}
    for turn in turns:
        groups.setdefault(turn.conversation_id, []).append(turn)
    # A message that replaces itself, as where rows are archived, is no sign of life.
    touched = {talk: now for talk, group in groups.items() if not all(turn.again for turn in group)}
    return Commit(groups, last_seq, noted, list(added), list(removed), touched)


def together(commits: Sequence[Commit]) -> Commit:
    """Commits in their order as one; at least one."""
    if len(commits) == 1:
        return commits[0]
    turns: dict[str, list[HotTurn]] = {}
    noted: dict[str, str] = {}
    touched: dict[str, int] = {}
    for commit in commits:
        for talk, group in commit.turns.items():
            turns.setdefault(talk, []).extend(group)
        noted.update(commit.noted)
        touched.update(commit.touched)
    return Commit(
        turns,
        max(commit.last_seq for commit in commits),
        noted,
        [seq for commit in commits for seq in commit.added],
        [seq for commit in commits for seq in commit.removed],
        touched,
    )


def first_owners(commits: Iterable[Commit]) -> dict[str, str]:
    """By conversation, the user of its first row in these commits, who owns it if nobody does."""
    owners: dict[str, str] = {}
    for commit in commits:
        for talk, group in commit.turns.items():
            owners.setdefault(talk, group[-1].user_id)
        for talk, owner in commit.noted.items():
            owners.setdefault(talk, owner)
    return owners


def last_of_each_turn(turns: Iterable[HotTurn]) -> list[HotTurn]:
    """Messages by their turn; of several with the same turn, the one that was stored last."""
    by_turn = {turn.turn: turn for turn in turns}
    return [by_turn[turn] for turn in sorted(by_turn)]


class Waiting:
    """The commits that wait, in their order.

    The event loop adds them. The thread of SQLite takes them, and drops them when they are written.
    """

    def __init__(self) -> None:
        self._commits: list[Commit] = []

    def __len__(self) -> int:
        return len(self._commits)

    @property
    def rows(self) -> int:
        """How many rows they have added."""
        return sum(len(commit.added) for commit in self._commits)

    def concern(self, conversations: Collection[str]) -> bool:
        """Whether one of them adds to one of these conversations."""
        names = frozenset(conversations)
        # A copy, as the thread of SQLite may be dropping some.
        return any(
            not names.isdisjoint(commit.turns) or not names.isdisjoint(commit.noted)
            for commit in list(self._commits)
        )

    def add(self, commit: Commit) -> None:
        """Let a commit wait."""
        self._commits.append(commit)

    def first(self, count: int) -> list[Commit]:
        """The oldest of them, ``count`` at most."""
        return self._commits[:count]

    def written(self, commits: Sequence[Commit]) -> None:
        """The oldest ones, which :meth:`first` gave, are in the file."""
        del self._commits[: len(commits)]
