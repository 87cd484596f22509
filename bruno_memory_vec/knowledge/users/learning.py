"""What is learned of users, kept up to date with the rows: a projection of them.

- Before rows are deleted, what was learned from them is dropped from the saved profile, and again
  after it, in case another process has just saved it. So nothing that was deleted is quoted by a
  profile, also where the process is killed in between.
- Where memories that say something come, change or go, the profile is taken from the rows anew half
  a second later, in the background. That it is behind is saved with the commit, so a process that
  is killed before leaves it to the next one.
- How a user writes is counted anew now and then, by the number of messages, and in a tenth of the
  time at most.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from bruno_core.models.context import ConversationContext, UserContext

from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE
from bruno_memory_vec.knowledge.turns import Turns
from bruno_memory_vec.knowledge.users.aggregation import entries_of, says_something
from bruno_memory_vec.knowledge.users.record import (
    KEY,
    Learned,
    joined,
    learned_of,
    with_learned,
)
from bruno_memory_vec.knowledge.users.refreshing import refresh
from bruno_memory_vec.knowledge.users.saving import change_user
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.writing.projections import Change, Problem, Progress, RowFacts, Standing

_WORK: Final = "learn about users"
# Seconds from a commit until the profile follows.
_DELAY: Final = 0.5
# So many messages of a user's more, or so large a part of those counted, and the style is counted.
_MESSAGES_MORE, _PART_MORE = 20, 0.2
# At least so many seconds between two counts of one user, and so many times what a count took.
_BETWEEN_COUNTS, _TIMES_AS_LONG = 60.0, 10.0
# A context of so many messages is of a user of whom something can be learned.
_MESSAGES_SEEN = 10
_USERS_AT_ONCE, _MOST_USERS = 16, 10_000


@dataclass(slots=True)
class _Loss:
    """What a user's rows are about to lose, or to say no more."""

    memories: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)
    #: By memory that is stored again: what it says now, as (key, value).
    changed: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    #: Whether memories that say something come.
    told: bool = False


class Learning:
    """Follows the rows with what is learned of their users. One for a memory and its views."""

    name: Final = "users"

    def __init__(self) -> None:
        self.turns = Turns()
        self._store: Store | None = None
        # By user, whether the style is to be counted, too.
        self._waiting: dict[str, bool] = {}
        self._written: Counter[str] = Counter()
        self._counted: dict[str, tuple[float, int]] = {}
        self._refreshing = LoopLock()

    def opened(self, store: Store) -> None:
        """Follow the rows of this store."""
        self._store = store

    # Where something is due

    def seen(self, context: ConversationContext) -> None:
        """Join what was learned to the user of a context that is about to be given out."""
        user = context.user
        text = user.metadata.get(KEY)
        if text is None:
            # Of a user that has written before, and of whom nothing is known.
            if len(context.messages) >= _MESSAGES_SEEN and user.user_id not in self._counted:
                self.wants(user.user_id, style=True)
            return
        learned = learned_of(user)
        if user.user_id not in self._waiting and _is_behind(learned):
            self.wants(user.user_id, style=learned.style is not None)
        joined(user)

    def wants(self, user_id: str, *, style: bool) -> None:
        """Take a user's profile from the rows soon, in the background."""
        store = self._store
        if store is None or store.writer is None or len(self._waiting) >= _MOST_USERS:
            return
        self._waiting[user_id] = style or self._waiting.get(user_id, False)
        store.writer.do_later(_DELAY, _WORK, self._refresh_some)

    async def wait(self) -> None:
        """Take the profiles that are behind from the rows now, and return when that is done.

        Raises:
            EngineError: the rows cannot be read, or a result not be saved.
        """
        store = self._store
        if store is None or store.writer is None:
            return
        # What the background has begun is waited for as well.
        async with self._refreshing:
            for user_id in list(self._waiting):
                await refresh(store, user_id, self.turns, style=False)
                if not self._waiting.get(user_id):
                    self._waiting.pop(user_id, None)

    async def _refresh_some(self) -> None:
        async with self._refreshing:
            await self._refresh_first()

    async def _refresh_first(self) -> None:
        store, pause = self._store, 0.0
        if store is None:
            return
        try:
            for user_id in list(self._waiting)[:_USERS_AT_ONCE]:
                style = self._waiting.pop(user_id)
                began = time.monotonic()
                saved = await refresh(store, user_id, self.turns, style=style)
                if style:
                    self._note_counted(user_id, saved)
                    pause = (time.monotonic() - began) * _TIMES_AS_LONG
                    break
        finally:
            if self._waiting and store.writer is not None:
                store.writer.do_later(max(pause, 0.001), _WORK, self._refresh_some)

    def _note_counted(self, user_id: str, saved: UserContext) -> None:
        style = learned_of(saved).style
        if len(self._counted) >= _MOST_USERS:
            self._counted.clear()
            self._written.clear()
        self._counted[user_id] = time.monotonic(), 0 if style is None else style.messages
        self._written.pop(user_id, None)

    # The projection

    async def standing(self) -> Standing:
        """As of :class:`Projection`. It holds no rows."""
        return Standing(-1)

    async def before(self, change: Change) -> None:
        """Drop what the rows that go have said, before they go."""
        await self._follow(change)

    async def apply(self, change: Change) -> None:
        """Drop it once more, and note whose profile is to be taken from the rows anew."""
        for user_id in await self._follow(change):
            self.wants(user_id, style=False)
        if change.table is None:
            for user_id, loss in self._losses(change):
                if loss.messages:
                    self.wants(user_id, style=True)
            return
        said = Counter(row["user_id"] for row in change.rows if row["role"] == "user")
        for user_id, messages in said.items():
            self._written[user_id] += messages
            at, counted = self._counted.get(user_id, (0.0, 0))
            due = max(_MESSAGES_MORE, counted * _PART_MORE)
            if self._written[user_id] >= due and time.monotonic() - at >= _BETWEEN_COUNTS:
                self.wants(user_id, style=True)

    async def forget_user(self, user_id: str) -> None:
        """As of :class:`~bruno_memory_vec.writing.erasure.ForgettingProjection`.

        A profile that is being taken from the rows is saved first, so that none is saved later.
        """
        async with self._refreshing:
            self._waiting.pop(user_id, None)
            self._written.pop(user_id, None)
            self._counted.pop(user_id, None)

    async def settle(self) -> bool:
        """Does nothing: what is left for later is done in the background."""
        return False

    async def catch_up(self, rows: RowIndex, progress: Progress | None) -> Sequence[int]:
        """Does nothing: what is saved says itself that it is behind."""
        return ()

    async def compare(self, facts: RowFacts, stood: Standing) -> Sequence[Problem]:
        """As of :class:`Projection`."""
        return ()

    async def health(self) -> dict[str, Any]:
        """How many users' profiles are to be taken from the rows anew."""
        return {"waiting": len(self._waiting)}

    async def close(self) -> None:
        """As of :class:`Projection`."""
        self._store = None

    # How it is done

    async def _follow(self, change: Change) -> list[str]:
        """Drop what a change takes away; returns the users whose profile is behind now."""
        store = self._store
        behind: list[str] = []
        if store is None:
            return behind
        for user_id, loss in self._losses(change):
            saved = await change_user(
                store.sessions, self.turns, user_id, partial(_without, loss=loss)
            )
            if learned_of(saved).behind:
                behind.append(user_id)
        return behind

    @staticmethod
    def _losses(change: Change) -> Iterator[tuple[str, _Loss]]:
        losses: dict[str, _Loss] = {}
        if change.gone is not None:
            gone = change.gone
            columns = (gone.column(name).to_pylist() for name in ("user_id", "kind", "id"))
            for user_id, kind, id_ in zip(*columns, strict=True):
                loss = losses.setdefault(user_id, _Loss())
                (loss.messages if kind == MESSAGE else loss.memories).add(id_)
        for row in change.rows:
            if row["kind"] != MEMORY:
                continue
            again, says = row["seq"] in change.again, says_something(row)
            if not again and not says:
                continue
            loss = losses.setdefault(row["user_id"], _Loss())
            loss.told = loss.told or says
            if again:
                loss.changed[row["id"]] = _says(row)
        yield from losses.items()


def _is_behind(learned: Learned) -> bool:
    return learned.behind or learned.expired


def _says(row: Row) -> list[tuple[str, Any]]:
    """What a memory says now; nothing if it was archived."""
    if not says_something(row) or row["archived_at"] is not None:
        return []
    return [(entry.key, entry.value) for _, entry in entries_of(row)]


def _without(user: UserContext, loss: _Loss) -> UserContext:
    learned = learned_of(user)
    left = _left(learned, loss)
    return user if left == learned else with_learned(user, left)


def _left(learned: Learned, loss: _Loss) -> Learned:
    """What is left of what was learned, marked as behind where something may be missing."""
    left = learned
    if loss.memories or loss.messages:
        left = left.without_sources(loss.memories, loss.messages)
    if loss.changed:
        left = left.without_changed(loss.changed)
    counted = bool(loss.messages) and left.style is not None
    if left != learned or loss.told or counted:
        left = replace(left, behind=True)
    return left
