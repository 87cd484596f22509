"""What stands behind the door: opening at first use, and whose call it is.

A :class:`~bruno_memory_vec.memory.VectorMemory` and all its views share one
``Door``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from bruno_core.models.config import MemoryConfig as BrunoMemoryConfig
from bruno_core.models.context import ConversationContext
from bruno_core.models.message import Message, MessageRole
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.conversations.context import (
    HandedOut,
    put_recalled,
    recalled_message,
    worth_telling,
)
from bruno_memory_vec.conversations.owners import Conversations, foreign_conversation
from bruno_memory_vec.embedders.cache import CachedEmbedder
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.errors import (
    EmbeddingError,
    ForeignUserError,
    InvalidInputError,
    ReadOnlyError,
    StoreClosedError,
)
from bruno_memory_vec.indexers.aio import LoopLock, in_breaths
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.recall import RecallRequest
from bruno_memory_vec.recall.profiles import load_profile
from bruno_memory_vec.rows import checks as validation
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.store.folder import Store, open_store
from bruno_memory_vec.upkeep.health import health_of
from bruno_memory_vec.upkeep.maintenance import MaintenanceReport, maintain_store
from bruno_memory_vec.writing.projections import Progress
from bruno_memory_vec.writing.throttle import Pace

if TYPE_CHECKING:
    from bruno_memory_vec.embedders.protocol import Embedder
    from bruno_memory_vec.rankers import Profile
    from bruno_memory_vec.writing.writer import Writer

_log = get_logger(__name__)

Kind = Literal["message", "memory"]
T = TypeVar("T")

# Above this much text, models are made into rows in a thread.
_CHARACTERS_ON_THE_LOOP = 20_000
_MODELS_ON_THE_LOOP = 64
_RECALL_PROBLEM = "recall into a context"


class AllUsers(Enum):
    """The type of :data:`ALL_USERS`."""

    ALL_USERS = "all users"


#: Given as ``user_id`` to search every user's rows. Spelled out, so that it is never an oversight.
ALL_USERS: Final = AllUsers.ALL_USERS


@dataclass(slots=True)
class Door:
    """Shared by a memory and its views. Make one with :meth:`build`."""

    config: MemoryConfig
    embedder: Any
    profile: Profile
    progress: Progress | None = None
    handed_out: HandedOut = field(default_factory=HandedOut)
    pace: Pace = field(default_factory=Pace)
    _store: Store | None = None
    _conversations: Conversations | None = None
    _opening: LoopLock = field(default_factory=LoopLock)
    _closed: bool = False
    _closing: asyncio.Future[None] | None = None
    _problem: str | None = None
    _maintained: dict[str, Any] | None = None

    @classmethod
    def build(
        cls,
        url: str | None,
        embedder: Any,
        profile: str | Profile | None,
        read_only: bool | None,
        config: MemoryConfig | None,
        progress: Progress | None,
        settings: dict[str, Any],
    ) -> Door:
        """Bring settings from arguments, the environment and a config into one."""
        given = dict(settings)
        if url is not None:
            given["url"] = str(url)
        if isinstance(embedder, str):
            given["embedder"] = embedder
        if isinstance(profile, str):
            given["profile"] = profile
        if read_only is not None:
            given["read_only"] = read_only
        if isinstance(config, BrunoMemoryConfig):
            config = MemoryConfig.from_bruno(config)
        if config is not None and not isinstance(config, MemoryConfig):
            raise InvalidInputError(
                "config", f"is a {type(config).__name__}", fix="Give a MemoryConfig."
            )
        if config is None:
            config = MemoryConfig.build(**given)
        elif given:
            raise InvalidInputError(
                "config",
                f"was given beside {', '.join(sorted(given))}",
                fix="Give either a config or single settings.",
            )
        validation.identifier("default_user", config.default_user)
        chosen = config.embedder if embedder is None or isinstance(embedder, str) else embedder
        ranking = config.profile if profile is None or isinstance(profile, str) else profile
        return cls(config, chosen, load_profile(ranking), progress)

    # Opening and closing

    async def store(self) -> Store:
        """The open store; opened now if this is its first use."""
        if self._closed:
            raise StoreClosedError("the memory is closed", fix="Open it again.")
        if self._store is None:
            async with self._opening:
                if self._closed:
                    raise StoreClosedError("the memory is closed", fix="Open it again.")
                if self._store is None:
                    embedder = await self._resolve_embedder()
                    store = await open_store(self.config, embedder, self.progress)
                    self._conversations = Conversations(store)
                    self._store = store
        return self._store

    async def _resolve_embedder(self) -> Embedder:
        try:
            cache, limit = self.config.embedding_cache, self.config.embedding_cache_mb * 2**20
            return await asyncio.to_thread(
                resolve_embedder, self.embedder, cache=cache, cache_bytes=limit
            )
        except BrunoError:
            raise
        except Exception as error:  # whatever a user's provider raises
            raise EmbeddingError(
                f"the embedder {self.embedder!r} cannot be used: {error}",
                fix="Check that its provider answers.",
                cause=error,
            ) from error

    async def writer(self) -> Writer:
        """The store's writer.

        Raises:
            ReadOnlyError: the store was opened to read.
        """
        writer = (await self.store()).writer
        if writer is None:
            raise ReadOnlyError(
                "the memory was opened with read_only=True", fix="Open it without, to write."
            )
        return writer

    async def conversations(self) -> Conversations:
        """The store's conversations."""
        await self.store()
        assert self._conversations is not None
        return self._conversations

    async def close(self) -> None:
        """Close the store, if it was ever opened. A closed memory stays closed.

        A caller that is cancelled leaves the closing itself to finish; calling again waits for it.
        """
        if self._closing is None or self._closing.cancelled():
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._closed = True
        async with self._opening:
            store, self._store = self._store, None
            if store is not None:
                await store.close()
                if isinstance(store.embedder, CachedEmbedder):
                    await asyncio.to_thread(store.embedder.close)

    # Whose call it is

    def may_serve(self, bound: str | None, user_id: str | None) -> str | None:
        """Who a call is for: a view's user, else the one named, if any.

        Raises:
            ForeignUserError: a view is asked to act for another user.
        """
        if user_id is not None:
            validation.identifier("user_id", user_id)
        if bound is None:
            return user_id
        if user_id is not None and user_id != bound:
            raise ForeignUserError(
                f"this memory serves the user {bound!r} only, not {user_id!r}",
                fix="Use for_user() of the whole memory.",
            )
        return bound

    def serve(self, bound: str | None, user_id: str) -> str:
        """The same, for a call that has to name its user."""
        return self.may_serve(bound, validation.identifier("user_id", user_id)) or user_id

    def own_scope(self, bound: str | None) -> Scope:
        """What a caller may see: a view its user's rows, the whole memory all."""
        return Scope.all_users() if bound is None else Scope.user(bound)

    async def scope(
        self, bound: str | None, user_id: str | AllUsers | None, conversation_id: str | None
    ) -> Scope:
        """The scope of a search.

        Raises:
            InvalidInputError: nothing says whose rows to search.
            ForeignUserError: the conversation is another user's.
        """
        if conversation_id is not None:
            validation.identifier("conversation_id", conversation_id)
            conversation_id = await self.resolve(conversation_id)
        if user_id is ALL_USERS:
            if bound is not None:
                raise ForeignUserError(
                    f"this memory serves the user {bound!r} only",
                    fix="Use the whole memory to search all users' rows.",
                )
            return Scope.all_users().within(conversation_id)
        user = self.may_serve(bound, user_id)
        if user is None:
            raise InvalidInputError(
                "user_id",
                "is missing, so that it is not clear whose rows to search",
                fix="Give user_id=..., use for_user(), or spell out user_id=ALL_USERS.",
            )
        if conversation_id is not None and not await self.owned(conversation_id, user):
            if bound is not None:
                # In a view, another user's conversation is as if it had never been.
                return Scope.user(user).within(conversation_id)
            raise foreign_conversation(conversation_id, user)
        return Scope.user(user).within(conversation_id)

    async def owned(self, conversation_id: str, user_id: str | None) -> bool:
        """Whether a conversation is this user's (anyone's for None), or has not begun."""
        owner = await (await self.conversations()).owner(conversation_id)
        return owner is None or user_id is None or owner == user_id

    async def claim(
        self, conversation_id: str, user_id: str | None, messages: Sequence[Message]
    ) -> tuple[str, bool]:
        """The owner of a conversation that is about to be written, and whether bound just now."""
        conversations = await self.conversations()
        otherwise = self.config.default_user
        if user_id is None and await conversations.owner(conversation_id) is None:
            named = [message.metadata.get("user_id") for message in messages]
            users = sorted({one for one in named if isinstance(one, str) and one.strip()})
            field = 'message.metadata["user_id"]'
            if len(users) > 1:
                raise InvalidInputError(
                    field,
                    f"names {users[0]!r} and {users[1]!r} in one conversation",
                    fix="Give user_id=..., or store each user's messages by themselves.",
                )
            otherwise = validation.identifier(field, users[0]) if users else otherwise
        return await conversations.claim(conversation_id, user_id, otherwise)

    async def resolve(self, conversation_id: str) -> str:
        """The conversation that an id names, be it a session's id."""
        return await (await self.conversations()).resolve(conversation_id)

    @asynccontextmanager
    async def claimed(self, owners: Mapping[str, str]) -> AsyncIterator[None]:
        """Bind conversations to their owners; what was free is free again if the write fails."""
        conversations = await self.conversations()
        fresh: list[tuple[str, str]] = []
        async with self._freed_on_failure(fresh):
            for conversation_id, owner in owners.items():
                if (await conversations.claim(conversation_id, owner, owner))[1]:
                    fresh.append((conversation_id, owner))
            yield

    @asynccontextmanager
    async def _freed_on_failure(self, bound: Sequence[tuple[str, str]]) -> AsyncIterator[None]:
        # Where nothing was written, nothing was said in a conversation: it is nobody's yet.
        try:
            yield
        except Exception:
            for conversation_id, owner in bound:
                await (await self.conversations()).release(conversation_id, owner)
            raise

    async def write_messages(
        self,
        rows: list[Row],
        messages: Sequence[Message],
        conversation_id: str,
        user_id: str | None,
    ) -> None:
        """Write one conversation's rows, and recall beside it where an assistant waits for that."""
        writer = await self.writer()
        owner, fresh = await self.claim(conversation_id, user_id, messages)
        for row in rows:
            row["user_id"] = owner
        contexts = self.contexts_waiting_for(conversation_id, messages[-1])
        async with self._freed_on_failure([(conversation_id, owner)] if fresh else []):
            if contexts:
                recalling = self.recall_into(contexts, owner, messages[-1])
                await asyncio.gather(writer.write(rows), recalling)
            else:
                await writer.write(rows)

    async def check_owner(
        self, conversation_id: str, user_id: str | None, owners: dict[str, str]
    ) -> None:
        """Refuse a memory from another user's conversation; collect who will own which."""
        assert user_id is not None
        if owners.setdefault(conversation_id, user_id) != user_id or not await self.owned(
            conversation_id, user_id
        ):
            raise foreign_conversation(conversation_id, user_id)

    # Work for the door

    async def convert(self, models: Sequence[T], make: Callable[[T], Row]) -> list[Row]:
        """Models as rows, in a thread where there are many or they are long."""
        if isinstance(models, (str, bytes)) or not isinstance(models, Sequence):
            raise InvalidInputError(
                "messages", f"expected a list, not {type(models).__name__}", fix="Give a list."
            )
        length = sum(len(str(getattr(model, "content", ""))) for model in models[:100])
        if len(models) <= _MODELS_ON_THE_LOOP and length <= _CHARACTERS_ON_THE_LOOP:
            return [make(model) for model in models]
        return await asyncio.to_thread(lambda: [make(model) for model in in_breaths(models)])

    def contexts_waiting_for(
        self, conversation_id: str, message: Message
    ) -> list[ConversationContext]:
        """The contexts that were handed out, and now end with this message of a user."""
        if message.role is not MessageRole.USER or not self.config.recall_in_context:
            return []
        return self.handed_out.waiting_for(conversation_id, message)

    async def recall_into(
        self, contexts: Sequence[ConversationContext], user_id: str, message: Message
    ) -> None:
        """Put what memory has about a user's message into contexts."""
        store = await self.store()
        shown = {str(seen.id) for context in contexts for seen in context.messages}
        now = datetime.now(timezone.utc)
        request = RecallRequest(
            query=message.content,
            scope=Scope.user(user_id),
            where=RowFilter(alive_at=now),
            k=2 * self.config.recall_k + len(shown),
            profile=self.profile,
            now=now,
        )
        try:
            hits = await store.retriever.recall(request, count_use=False)
        except BrunoError as error:
            # The message itself is stored; a prompt without old memories beats no answer at all.
            self._problem = str(error)
            _log.warning("recall_into_context_failed", error=str(error))
            return
        self._problem = None
        fresh = worth_telling((hit for hit in hits if hit.id not in shown), self.config.recall_k)
        recalled = recalled_message(fresh, self.config.recall_tokens)
        for context in contexts:
            put_recalled(context, recalled)

    async def maintain(self, bound: str | None, progress: Progress | None) -> MaintenanceReport:
        """Do all upkeep of the store; ``health()`` tells of it from now on."""
        report = await maintain_store(await self.store(), progress, view_of=bound)
        self._maintained = report.to_dict()
        return report

    async def health(self) -> dict[str, Any]:
        """The state of each engine, and what went wrong."""
        store = await self.store()
        problems = {} if self._problem is None else {_RECALL_PROBLEM: self._problem}
        about = {"profile": self.profile.name, "maintenance": self._maintained}
        return await health_of(store, about, problems)
