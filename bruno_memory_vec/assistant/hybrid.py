"""``HybridMemory``: messages in two memories, a fast cache in front of a persistent one.

The persistent memory has everything, and decides: whose a conversation is, whether a write is
accepted, what is recalled. The cache has whole conversations, and answers when their messages are
read. What has to hold:

- A write goes to the persistent memory first. What is acknowledged is there.
- A conversation is read from the cache only where all of it is there: it began through this object,
  or was read through it. A write or a deletion that the cache failed at makes that untrue.
- A failure of the cache is no failure of the call. ``health()`` tells of it.
- What is deleted is deleted in both. What the cache failed to delete is not read any more, and is
  deleted as soon as the cache works again.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from bruno_core.interfaces.memory import MemoryInterface
from bruno_core.models.context import ConversationContext, SessionContext
from bruno_core.models.memory import MemoryEntry, MemoryQuery
from bruno_core.models.message import Message

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.rows import checks

if TYPE_CHECKING:
    from bruno_memory_vec.context import BuiltContext
    from bruno_memory_vec.recall.hits import Hits

_log = get_logger(__name__)

#: A longer conversation is not copied into the cache when it is read.
LONGEST_CONVERSATION: Final = 2_000


class HybridMemory(MemoryInterface):
    """A cache and a persistent memory as one, with the methods of bruno-core.

    Sessions, contexts, memories (``MemoryEntry``) and whatever is recalled or searched are the
    persistent memory's. Whoever changes messages goes through this object: what others change in
    the persistent memory, the cache does not see until :meth:`drop_cache`.

    Args:
        cache: holds the messages of some conversations, such as
            ``VectorMemory("memory://", embedder="hash")``: it is not asked to recall. It is this
            object's alone.
        persistent: holds everything, such as ``VectorMemory("./memory")``.
        conversations: how many conversations the cache holds; beyond, the one that was used longest
            ago is removed.

    Raises:
        InvalidInputError: one of the two is no ``VectorMemory``, or both are the same.
    """

    def __init__(
        self, cache: VectorMemory, persistent: VectorMemory, *, conversations: int = 1_000
    ) -> None:
        for field, memory in (("cache", cache), ("persistent", persistent)):
            if not isinstance(memory, VectorMemory):
                raise InvalidInputError(
                    field, f"is a {type(memory).__name__}", fix="Give a VectorMemory."
                )
        if cache is persistent:
            raise InvalidInputError(
                "cache", "is the persistent memory, too", fix='Give VectorMemory("memory://").'
            )
        self.cache = cache
        self.persistent = persistent
        self._most = checks.limit("conversations", conversations, largest=10_000_000)
        # The conversations that the cache has whole, with their owners; the one that was used last
        # stands last.
        self._whole: OrderedDict[str, str | None] = OrderedDict()
        # Those that are known to have had messages before they were written to here.
        self._old: set[str] = set()
        # Deletions that the cache has failed at, by what they delete.
        self._owed: dict[str, Callable[[], Awaitable[Any]]] = {}
        self._locks: weakref.WeakValueDictionary[str, LoopLock] = weakref.WeakValueDictionary()
        # Counts deletions, at their begin and end: what a call knew before one may be gone.
        self._deletions = 0
        self._failures = 0
        self._problem: str | None = None

    # Life

    async def connect(self) -> HybridMemory:
        """Open both. That the cache cannot be opened is a problem in :meth:`health`.

        Raises: as :meth:`.VectorMemory.connect`, of the persistent memory.
        """
        await self.persistent.connect()
        await self._try(self.cache.connect)
        return self

    async def close(self) -> None:
        """Close both."""
        await self._pay()
        try:
            await self.persistent.close()
        finally:
            await self._try(self.cache.close)

    async def __aenter__(self) -> HybridMemory:
        return await self.connect()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def initialize(self) -> None:
        """As :meth:`connect`."""
        await self.connect()

    async def shutdown(self) -> None:
        """As :meth:`close`."""
        await self.close()

    async def health(self) -> dict[str, Any]:
        """The health of the persistent memory, and under "cache" how the cache does.

        "status" is "degraded" where the last call of the cache failed, or it has yet to delete
        something; "problems" says so.
        """
        report = await self.persistent.health()
        problems = dict(report.get("problems", {}))
        if self._problem is not None:
            problems["cache"] = self._problem
        if self._owed:
            problems["deletions"] = (
                f"{len(self._owed)} deletions are not made in the cache yet, which does not work. "
                "They are made with the next write, or by drop_cache()."
            )
        cache = {
            "conversations": len(self._whole),
            "failures": self._failures,
            "deletions_to_make": len(self._owed),
        }
        status = "degraded" if problems else report["status"]
        return {**report, "status": status, "problems": problems, "cache": cache}

    async def drop_cache(self) -> None:
        """Empty the cache; conversations come back as they are read."""
        for conversation_id in list(self._whole):
            await self._forget(conversation_id)
        await self._pay()

    # Messages, in both

    async def store_message(
        self, message: Message, conversation_id: str, *, user_id: str | None = None
    ) -> None:
        """Store one message in both, see :meth:`.VectorMemory.store_message`.

        Raises: as that method, of the persistent memory.
        """
        await self.store_messages([message], conversation_id, user_id=user_id)

    async def store_messages(
        self, messages: Sequence[Message], conversation_id: str, *, user_id: str | None = None
    ) -> None:
        """Store messages in both, see :meth:`.VectorMemory.store_messages`.

        Raises: as that method, of the persistent memory.
        """
        place = await self._place(conversation_id)
        async with self._lock(place):
            deletions = self._deletions
            whole = place in self._whole or await self._is_new(place)
            # Not while it is under way: it may be stored although the call fails.
            self._whole.pop(place, None)
            await self.persistent.store_messages(messages, conversation_id, user_id=user_id)
            if not (whole and await self._is_usable()):
                return
            owner = await self.persistent.conversation_owner(place)
            if await self._try(lambda: self.cache.store_messages(messages, place, user_id=owner)):
                await self._hold(place, owner, deletions)

    async def retrieve_messages(
        self, conversation_id: str, limit: int | None = None
    ) -> list[Message]:
        """The newest messages, newest first: from the cache where it has the whole conversation.

        Raises: as :meth:`.VectorMemory.retrieve_messages`, of the persistent memory.
        """
        found: list[Message] = []

        async def read() -> None:
            found.extend(await self.cache.retrieve_messages(conversation_id, limit))

        if await self._from_cache(conversation_id, read):
            return found
        place = await self._place(conversation_id)
        async with self._lock(place):
            deletions = self._deletions
            found = await self.persistent.retrieve_messages(conversation_id, limit)
            complete = limit is None or len(found) < limit
            if complete and found and len(found) <= LONGEST_CONVERSATION:
                await self._fill(place, found[::-1], deletions)
        return found

    async def retrieve_context(
        self, user_id: str, query: str, limit: int = 10, conversation_id: str | None = None
    ) -> list[Message]:
        """As :meth:`.VectorMemory.retrieve_context`; with a blank query and a conversation that the
        cache has whole, from there."""
        found: list[Message] = []

        async def read() -> None:
            found.extend(await self.cache.retrieve_context(user_id, query, limit, conversation_id))

        blank = isinstance(query, str) and not query.strip()
        if (
            blank
            and conversation_id is not None
            and self._whole.get(conversation_id) == user_id
            and await self._from_cache(conversation_id, read)
        ):
            return found
        return await self.persistent.retrieve_context(user_id, query, limit, conversation_id)

    async def clear_history(self, conversation_id: str, keep_system_messages: bool = True) -> None:
        """Delete a conversation's messages in both, see :meth:`.VectorMemory.clear_history`."""
        place = await self._place(conversation_id)
        async with self._lock(place), _Deleting(self):
            try:
                await self.persistent.clear_history(conversation_id, keep_system_messages)
            finally:
                # Also where this failed: it may be gone all the same.
                self._old.discard(place)
                await self._forget(place)

    async def clear_conversation(self, user_id: str, conversation_id: str) -> None:
        """Delete every message of a user's conversation, in both.

        Raises:
            ForeignUserError: the conversation is another user's.
        """
        place = await self._place(conversation_id)
        async with self._lock(place), _Deleting(self):
            try:
                await self.persistent.clear_conversation(user_id, conversation_id)
            finally:
                # Also where this failed: it may be gone all the same.
                self._old.discard(place)
                await self._forget(place)

    async def delete_messages(
        self, message_ids: str | UUID | Sequence[str | UUID], conversation_id: str | None = None
    ) -> int:
        """Delete messages by id, in both, see :meth:`.VectorMemory.delete_messages`.

        Returns:
            How many rows of the persistent memory were deleted.
        """
        ids = list(checks.uuids("message_ids", message_ids))
        place = None if conversation_id is None else await self._place(conversation_id)
        async with _Deleting(self):
            try:
                deleted = await self.persistent.delete_messages(ids, conversation_id)
            except BaseException:
                # They may be gone all the same.
                for held in list(self._whole) if place is None else [place]:
                    await self._forget(held)
                raise
            if ids:
                what = f"messages {','.join(ids)} of {place or 'all conversations'}"
                await self._owe(what, lambda: self.cache.delete_messages(ids, place))
        return deleted

    # What is the persistent memory's

    async def store_memory(self, memory_entry: MemoryEntry) -> None:
        """As :meth:`.VectorMemory.store_memory`. Memories are found by recall, which is the
        persistent memory's, so the cache has none."""
        await self.persistent.store_memory(memory_entry)

    async def retrieve_memories(self, query: MemoryQuery) -> list[MemoryEntry]:
        """As :meth:`.VectorMemory.retrieve_memories`."""
        return await self.persistent.retrieve_memories(query)

    async def delete_memory(self, memory_id: str) -> None:
        """As :meth:`.VectorMemory.delete_memory`."""
        await self.persistent.delete_memory(memory_id)

    async def search_messages(
        self, query: str, user_id: str | None = None, limit: int = 10
    ) -> list[Message]:
        """As :meth:`.VectorMemory.search_messages`."""
        return await self.persistent.search_messages(query, user_id, limit)

    async def search_memories(self, user_id: str, query: str, limit: int = 5) -> list[MemoryEntry]:
        """As :meth:`.VectorMemory.search_memories`."""
        return await self.persistent.search_memories(user_id, query, limit)

    async def recall(self, query: str, **options: Any) -> Hits:
        """As :meth:`.VectorMemory.recall`."""
        return await self.persistent.recall(query, **options)

    async def build_context(self, query: str | Message, **options: Any) -> BuiltContext:
        """As :meth:`.VectorMemory.build_context`."""
        return await self.persistent.build_context(query, **options)

    async def create_session(
        self, user_id: str, metadata: dict[str, Any] | None = None
    ) -> SessionContext:
        """As :meth:`.VectorMemory.create_session`."""
        return await self.persistent.create_session(user_id, metadata)

    async def get_session(self, session_id: str) -> SessionContext | None:
        """As :meth:`.VectorMemory.get_session`."""
        return await self.persistent.get_session(session_id)

    async def end_session(self, session_id: str) -> None:
        """As :meth:`.VectorMemory.end_session`."""
        await self.persistent.end_session(session_id)

    async def get_context(self, user_id: str, session_id: str | None = None) -> ConversationContext:
        """As :meth:`.VectorMemory.get_context`: what is recalled into it is the persistent
        memory's."""
        return await self.persistent.get_context(user_id, session_id)

    async def get_statistics(self, user_id: str) -> dict[str, Any]:
        """As :meth:`.VectorMemory.get_statistics`."""
        return await self.persistent.get_statistics(user_id)

    # The cache

    async def _place(self, conversation_id: str) -> str:
        """The conversation that an id names, which may be a session's."""
        checks.identifier("conversation_id", conversation_id)
        if conversation_id in self._whole:  # a conversation never has a session's id
            return conversation_id
        session = await self.persistent.get_session(conversation_id)
        return conversation_id if session is None else session.conversation_id

    async def _is_new(self, conversation_id: str) -> bool:
        """Whether a conversation has no message yet."""
        if conversation_id in self._old:
            return False
        new = await self.persistent.conversation_owner(conversation_id) is None or not (
            await self.persistent.retrieve_messages(conversation_id, 1)
        )
        if not new:
            if len(self._old) >= self._most:
                self._old.clear()
            self._old.add(conversation_id)
        return new

    def _lock(self, conversation_id: str) -> LoopLock:
        return self._locks.setdefault(conversation_id, LoopLock())

    async def _from_cache(self, conversation_id: str, read: Callable[[], Awaitable[None]]) -> bool:
        """Read a conversation that the cache has whole; whether that went well."""
        if conversation_id not in self._whole or not await self._is_usable():
            return False
        deletions = self._deletions
        if not await self._try(read):
            self._whole.pop(conversation_id, None)
            return False
        if conversation_id not in self._whole or deletions != self._deletions:
            return False  # it was changed meanwhile
        self._whole.move_to_end(conversation_id)
        return True

    async def _fill(
        self, conversation_id: str, messages: Sequence[Message], deletions: int
    ) -> None:
        """Put a conversation, oldest message first, in place of what the cache has of it."""
        if not await self._is_usable():
            return
        owner = await self.persistent.conversation_owner(conversation_id)

        async def fill() -> None:
            await self.cache.clear_history(conversation_id, keep_system_messages=False)
            await self.cache.store_messages(messages, conversation_id, user_id=owner)

        if await self._try(fill):
            await self._hold(conversation_id, owner, deletions)

    async def _hold(self, conversation_id: str, owner: str | None, deletions: int) -> None:
        """Note that the cache has all of a conversation, and remove one where it has too many."""
        if deletions != self._deletions:
            # What was deleted meanwhile may have been put there again.
            await self._forget(conversation_id)
            return
        self._whole[conversation_id] = owner
        while len(self._whole) > self._most:
            await self._forget(next(iter(self._whole)))

    async def _forget(self, conversation_id: str) -> None:
        """Delete what the cache has of a conversation, now or as soon as it works again."""
        self._whole.pop(conversation_id, None)
        await self._owe(
            f"conversation {conversation_id}",
            lambda: self.cache.clear_history(conversation_id, keep_system_messages=False),
        )

    async def _owe(self, what: str, delete: Callable[[], Awaitable[Any]]) -> bool:
        done = await self._try(delete)
        if done:
            self._owed.pop(what, None)
        else:
            self._owed[what] = delete
        return done

    async def _is_usable(self) -> bool:
        """Whether the cache may be read and written: not before it has deleted what it has to."""
        await self._pay()
        return not self._owed

    async def _pay(self) -> None:
        """Make the deletions that the cache has failed at; at its first failure, no more."""
        for what, delete in list(self._owed.items()):
            if not await self._try(delete):
                return
            self._owed.pop(what, None)

    async def _try(self, call: Callable[[], Awaitable[Any]]) -> bool:
        """Ask the cache; whether it worked. What it raises is no failure of the call."""
        try:
            await call()
        except Exception as error:
            self._failures += 1
            self._problem = f"the cache failed: {error}"
            _log.warning("cache_failed", error=str(error))
            return False
        self._problem = None
        return True


class _Deleting:
    """Something is deleted: what was read before its end is not put into the cache."""

    def __init__(self, memory: HybridMemory) -> None:
        self._memory = memory

    async def __aenter__(self) -> None:
        self._memory._deletions += 1

    async def __aexit__(self, *_: object) -> None:
        self._memory._deletions += 1
