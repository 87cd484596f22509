"""A cache of what get_context read, so that the next call needs neither SQLite nor JSON.

It has two bounded parts. One has messages by their stored text, which never become wrong. The
other has whole contexts by conversation. Only a process that is the only writer keeps these:
every change goes through its session store, which calls :meth:`HotCache.changed`.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from bruno_core.models.context import SessionContext, UserContext
from bruno_core.models.message import Message

from bruno_memory_vec.rows import tagged_json as jsonable
from bruno_memory_vec.rows.models import Row, message_from_json, to_message, utc
from bruno_memory_vec.sessions.protocol import ContextRecord, Conversation, HotTurn
from bruno_memory_vec.sessions.waiting import Commit

# Limit in characters of stored text. The objects take up to eight times as much memory: a short
# message is 300 characters and an object of 2 kB.
_MOST_CHARACTERS = 2 * 2**20
_MOST_CONTEXTS = 2_000
# Characters of a stored message besides what it says.
_AROUND = 260


@dataclass(frozen=True, slots=True)
class Parts:
    """A context as read from SQLite, with its messages. Callers get copies."""

    conversation: Conversation | None
    user: str | None
    current: str | None
    session: str | None
    messages: tuple[Message, ...]
    characters: int
    touched: datetime | None = None
    # How many characters of stored text each message has; empty where that is not known.
    sizes: tuple[int, ...] = ()
    # The user and the session as they are read from their texts, once.
    read: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def record(self) -> ContextRecord:
        """A record of copies, which the caller may change."""
        user = session = None
        if self.user is not None:
            user = UserContext.model_construct(**self._values("user", self.user))
        if self.session is not None:
            session = SessionContext.model_construct(**self._values("session", self.session))
        messages = [_copy(message) for message in self.messages]
        return ContextRecord(self.conversation, user, self.current, session, messages, self.touched)

    def longer(
        self, user_id: str, turns: Sequence[HotTurn], most: int, touched: datetime | None
    ) -> Parts | None:
        """These and newer messages of the user's, ``most`` at most.

        None where they do not go on from these, or it is not known whether they do.
        """
        known = self.conversation or Conversation(user_id, 0, 0)
        if known.user_id != user_id or known.stale or len(self.sizes) != len(self.messages):
            return None
        expected = range(known.next_turn, known.next_turn + len(turns))
        if [(turn.turn, turn.user_id) for turn in turns] != [(at, user_id) for at in expected]:
            return None
        if self.conversation is None and self.messages:
            return None
        messages = (*self.messages, *(to_message(turn.row) for turn in turns))[-most:]
        sizes = (*self.sizes, *(_size_of(turn.row) for turn in turns))[-most:]
        return replace(
            self,
            conversation=Conversation(user_id, expected.stop, 0),
            messages=messages,
            sizes=sizes,
            characters=self.characters - sum(self.sizes) + sum(sizes),
            touched=touched or self.touched,
        )

    def _values(self, name: str, text: str) -> dict[str, Any]:
        """A copy of the values of a text."""
        values = self.read.get(name)
        if values is None:
            values = self.read[name] = jsonable.loads(text)
        copied: dict[str, Any] = _copied(values)
        return copied


class Reading:
    """A running read, and whether its context has changed since it began."""

    def __init__(self, user_id: str, conversation_id: str) -> None:
        self.user_id = user_id
        self.conversation_id = conversation_id
        self.spoiled = False


class HotCache:
    """Contexts that were read and have not changed since.

    Args:
        keeps: whether contexts are kept; False if another process may write.
    """

    def __init__(self, *, keeps: bool) -> None:
        self._keeps = keeps
        self._contexts: OrderedDict[str, tuple[str, int, Parts]] = OrderedDict()
        self._messages: OrderedDict[str, Message] = OrderedDict()
        self._context_characters = self._message_characters = 0
        self._readings: set[Reading] = set()
        self._hits = self._misses = 0
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    def find(self, user_id: str, conversation_id: str, limit: int) -> Parts | None:
        """A user's context, if it was read with this limit and has not changed."""
        loop = asyncio.get_running_loop()
        if self._loop is None or self._loop() is not loop:
            # A write of an ended event loop may have completed without a call of changed().
            self._loop = weakref.ref(loop)
            self.changed()
        user, its_limit, parts = self._contexts.get(conversation_id, (None, 0, None))
        if parts is None or user != user_id or its_limit != limit:
            self._misses += 1
            return None
        self._hits += 1
        self._contexts.move_to_end(conversation_id)
        return parts

    @property
    def lookups(self) -> tuple[int, int]:
        """How many calls found theirs, and how many did not."""
        return self._hits, self._misses

    def health(self) -> dict[str, Any]:
        """How many contexts are kept, and how many calls found theirs."""
        return {
            "contexts": len(self._contexts),
            "hits": self._hits,
            "misses": self._misses,
            "hit_rate": self._hits / max(self._hits + self._misses, 1),
        }

    @contextmanager
    def reading(self, user_id: str, conversation_id: str) -> Iterator[Reading]:
        """Wraps a read of SQLite whose result is to be kept."""
        reading = Reading(user_id, conversation_id)
        self._readings.add(reading)
        try:
            yield reading
        finally:
            self._readings.discard(reading)

    def keep(self, reading: Reading, limit: int, parts: Parts) -> None:
        """Keep what was read, unless it has changed meanwhile."""
        if not self._keeps or reading.spoiled or parts.characters > _MOST_CHARACTERS // 8:
            return
        self._put(reading.conversation_id, reading.user_id, limit, parts)

    def _put(self, conversation_id: str, user_id: str, limit: int, parts: Parts) -> None:
        self._drop(conversation_id)
        self._contexts[conversation_id] = user_id, limit, parts
        self._context_characters += parts.characters
        while len(self._contexts) > _MOST_CONTEXTS or self._context_characters > _MOST_CHARACTERS:
            self._drop(next(iter(self._contexts)))

    def said(self, commit: Commit, max_messages: int) -> None:
        """Add the messages of a commit to the contexts that are kept, where they just go on.

        Args:
            commit: it only adds rows, and is acknowledged after this.
            max_messages: how many turns are hot.
        """
        for name, group in commit.turns.items():
            user, limit, parts = self._contexts.get(name, ("", 0, None))
            if parts is None:
                continue
            at = commit.touched.get(name)
            touched = None if at is None else utc(at)
            longer = parts.longer(user, group, min(limit, max_messages), touched)
            if longer is None or longer.characters > _MOST_CHARACTERS // 8:
                self._drop(name)
            else:
                self._put(name, user, limit, longer)
        for name in commit.noted:
            user, _, parts = self._contexts.get(name, ("", 0, None))
            if parts is not None and parts.conversation is None:
                self._drop(name)
        for reading in self._readings:
            if reading.conversation_id in commit.turns or reading.conversation_id in commit.noted:
                reading.spoiled = True

    def changed(
        self,
        conversations: Collection[str] | None = None,
        users: Collection[str] | None = None,
    ) -> None:
        """Drop what a write may have changed, even if it failed; everything if none is named.

        It is called when the write has ended. A caller that is answered before that gets the state
        before the write, which was not acknowledged yet.
        """
        if conversations is None and users is None:
            self._contexts.clear()
            self._context_characters = 0
            for reading in self._readings:
                reading.spoiled = True
            return
        names, owners = conversations or (), users or ()
        for name in names:
            self._drop(name)
        if owners:
            for name in [name for name, kept in self._contexts.items() if kept[0] in owners]:
                self._drop(name)
        for reading in self._readings:
            if reading.conversation_id in names or reading.user_id in owners:
                reading.spoiled = True

    def messages(self, texts: Sequence[str]) -> tuple[Message, ...]:
        """The message of each stored text. They are shared: copy them before a change."""
        return tuple(self._message(text) for text in texts)

    def _message(self, text: str) -> Message:
        known = self._messages.get(text)
        if known is not None:
            self._messages.move_to_end(text)
            return known
        made = message_from_json(text)
        self._messages[text] = made
        self._message_characters += len(text)
        while self._message_characters > _MOST_CHARACTERS:
            gone, _ = self._messages.popitem(last=False)
            self._message_characters -= len(gone)
        return made

    def _drop(self, conversation_id: str) -> None:
        _, _, parts = self._contexts.pop(conversation_id, (None, 0, None))
        if parts is not None:
            self._context_characters -= parts.characters


def _size_of(row: Row) -> int:
    """About how many characters the stored text of a message has."""
    return _AROUND + len(row["content"]) + len(row["metadata"] or "") + len(row["extra"] or "")


def _copy(message: Message) -> Message:
    """A copy of a message. Of its fields, only the metadata is mutable and is copied too."""
    copy = message.model_copy()
    copy.__dict__["metadata"] = _copied(message.metadata)
    return copy


def _copied(value: Any) -> Any:
    """A deep copy of metadata: collections are copied, other values are immutable."""
    if isinstance(value, dict):
        return {key: _copied(held) for key, held in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(_copied(held) for held in value)
    return value
