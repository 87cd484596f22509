"""LangChain on a memory: a retriever, and the history of a chat.

``BrunoRetriever`` is a ``BaseRetriever``, ``BrunoChatMessageHistory`` a ``BaseChatMessageHistory``.
A message of LangChain's is a message of ours whose metadata has what LangChain gave, but for the
text, which stands in one place only.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, Final, TypeVar
from uuid import uuid4

from bruno_core.models.message import Message, MessageRole, MessageType
from pydantic import Field, field_validator, model_validator

from bruno_memory_vec.adapters.opened import Given, OpenedMemory, opened
from bruno_memory_vec.adapters.recalling import about, checked_filters, recalled, text_of, view_of
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.portability.readers.content import called
from bruno_memory_vec.recall.hits import Hit
from bruno_memory_vec.rows import checks

try:
    from langchain_core.callbacks import (
        AsyncCallbackManagerForRetrieverRun,
        CallbackManagerForRetrieverRun,
    )
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.documents import Document
    from langchain_core.messages import (
        AIMessage,
        BaseMessage,
        FunctionMessage,
        HumanMessage,
        SystemMessage,
        ToolMessage,
        message_to_dict,
        messages_from_dict,
    )
    from langchain_core.retrievers import BaseRetriever
except ImportError as error:
    raise MissingDependencyError("langchain-core", "langchain", cause=error) from error

H = TypeVar("H", bound="BrunoChatMessageHistory")

# Where a message keeps what LangChain gave.
_GIVEN: Final = "langchain"
_ROLES: Final = {
    "human": MessageRole.USER,
    "ai": MessageRole.ASSISTANT,
    "system": MessageRole.SYSTEM,
    "tool": MessageRole.TOOL,
    "function": MessageRole.FUNCTION,
}
_ROLES_OF_CHAT: Final = {"user": MessageRole.USER, **{role.value: role for role in MessageRole}}
# A message of ours has a text.
_NO_TEXT: Final = "(no text)"


class BrunoRetriever(BaseRetriever):
    """A ``BaseRetriever`` of LangChain on a memory.

    Each document has the text of a message or memory, and in its metadata the score, the signals
    that it is made of, conversation, turn, time (ISO 8601), kind, speaker, and the metadata it was
    stored with.

    Attributes:
        memory: a store, by its folder or URL, or an open memory that others use, too.
        user_id: whose rows. None only where ``memory`` is a user's view. It is of the
            application: ``invoke(..., user_id=...)`` is refused.
        k: how many documents, 1 to 1000; also of a call, ``invoke(question, k=3)``.
        filters: further arguments of :meth:`~bruno_memory_vec.VectorMemory.recall`, such as
            ``{"kinds": "memory", "tags": "health"}``; also of a call, where they count more.
        quoted: give texts as one line without role names and hidden characters, and of a long one
            the passage that answers: for a prompt in which nothing stored may be an instruction.
        settings: as for :func:`~bruno_memory_vec.open_memory`, with a store.

    Raises:
        InvalidInputError: an argument is not usable.
    """

    memory: Any
    user_id: str | None = None
    k: int = 10
    filters: dict[str, Any] = Field(default_factory=dict)
    quoted: bool = False
    # It may hold a key, and LangChain gives the repr of a retriever to whoever traces its runs.
    settings: dict[str, Any] = Field(default_factory=dict, exclude=True, repr=False)

    @field_validator("user_id")
    @classmethod
    def _user(cls, given: str | None) -> str | None:
        return None if given is None else checks.identifier("user_id", given)

    @field_validator("k")
    @classmethod
    def _number(cls, given: int) -> int:
        return checks.limit("k", given)

    @field_validator("filters")
    @classmethod
    def _filters(cls, given: dict[str, Any]) -> dict[str, Any]:
        return checked_filters(given)

    @model_validator(mode="after")
    def _opened_memory(self) -> BrunoRetriever:
        # A copy with another user or k, as configurable_fields() makes them, has the same memory.
        if not isinstance(self.memory, OpenedMemory):
            self.memory = opened(self.memory, self.settings)
        return self

    def close(self) -> None:
        """Write what is pending and release the store, if this object has opened it."""
        self.memory.close()

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        **filters: Any,
    ) -> list[Document]:
        asked = self._asked(query, k, filters)
        return self._documents(self.memory.run(lambda memory: recalled(memory, **asked)))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        **filters: Any,
    ) -> list[Document]:
        asked = self._asked(query, k, filters)
        return self._documents(await self.memory.arun(lambda memory: recalled(memory, **asked)))

    def _asked(self, query: str, k: int | None, filters: dict[str, Any]) -> dict[str, Any]:
        return {
            "query": checks.question("query", query, blank=True),
            "user_id": self.user_id,
            "k": self.k if k is None else checks.limit("k", k),
            "filters": {**self.filters, **checked_filters(filters, "invoke")},
        }

    def _documents(self, hits: Sequence[Hit]) -> list[Document]:
        return [
            Document(id=hit.id, page_content=text_of(hit, quoted=self.quoted), metadata=about(hit))
            for hit in hits
        ]


class BrunoChatMessageHistory(BaseChatMessageHistory):
    """A ``BaseChatMessageHistory`` of LangChain: one conversation of a memory.

    Messages come back as they were given, with tool calls, ids and additional arguments. They are
    messages of the user like any others: :class:`BrunoRetriever` and ``recall`` find them.

    Args:
        memory: a store, by its folder or URL, or an open memory that others use, too. Many
            histories share one open memory.
        session_id: the conversation.
        user_id: whose it is. A conversation has one owner; another user's looks empty, and takes
            no message.
        limit: give only so many of the newest messages; None for all.
        settings: as for :func:`~bruno_memory_vec.open_memory`, with a store.

    Raises:
        InvalidInputError: an argument is not usable.
    """

    def __init__(
        self,
        memory: Given,
        session_id: str,
        *,
        user_id: str,
        limit: int | None = None,
        **settings: Any,
    ) -> None:
        self.session_id = checks.identifier("session_id", session_id)
        self.user_id = checks.identifier("user_id", user_id)
        self._limit = None if limit is None else checks.limit("limit", limit, largest=2**31)
        self._opened = opened(memory, settings)

    def __enter__(self: H) -> H:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is pending and release the store, if this object has opened it."""
        self._opened.close()

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override, unused-ignore]
        """The messages of the conversation, oldest first."""
        return self._opened.run(self._read)

    async def aget_messages(self) -> list[BaseMessage]:
        """The messages of the conversation, oldest first."""
        return await self._opened.arun(self._read)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages, as one commit: all or none.

        Raises:
            InvalidInputError: one of them cannot be kept as it is. None was stored.
            ForeignUserError: the conversation is another user's. None was stored.
        """
        made = self._made(messages)
        self._opened.run(lambda memory: self._store(memory, made))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """As :meth:`add_messages`."""
        made = self._made(messages)
        await self._opened.arun(lambda memory: self._store(memory, made))

    def clear(self) -> None:
        """Delete all messages of the conversation."""
        self._opened.run(self._clear)

    async def aclear(self) -> None:
        """Delete all messages of the conversation."""
        await self._opened.arun(self._clear)

    async def _read(self, memory: VectorMemory) -> list[BaseMessage]:
        view = view_of(memory, self.user_id)
        turns = await view.read_turns(
            self.session_id, limit=self._limit, newest_first=self._limit is not None
        )
        found = [to_langchain(turn.message) for turn in turns]
        return found[::-1] if self._limit is not None else found

    async def _store(self, memory: VectorMemory, messages: Sequence[Message]) -> None:
        if messages:
            await view_of(memory, self.user_id).store_messages(messages, self.session_id)

    async def _clear(self, memory: VectorMemory) -> None:
        view = view_of(memory, self.user_id)
        await view.clear_history(self.session_id, keep_system_messages=False)

    def _made(self, messages: Sequence[BaseMessage]) -> list[Message]:
        return [from_langchain(message) for message in messages]


def from_langchain(message: Any) -> Message:
    """A message of LangChain's as one of ours.

    Raises:
        InvalidInputError: it is none, or has something that cannot be kept.
    """
    if not isinstance(message, BaseMessage):
        raise InvalidInputError(
            "messages", f"has a {type(message).__name__}", fix="Give messages of LangChain."
        )
    given = message_to_dict(message)
    try:
        # RemoveMessage is no message, but says which to remove.
        same = message.type != "remove" and messages_from_dict([given])[0] == message
    except (TypeError, ValueError):
        same = False
    if not same:
        raise InvalidInputError(
            "messages",
            f"has a {type(message).__name__}, which cannot be made again of its fields",
            fix="Give HumanMessage, AIMessage, SystemMessage, ToolMessage or ChatMessage.",
        )
    text = checks.storable_text("messages", _text(message))
    if given["data"].get("content") == text and text.strip() == text:
        del given["data"]["content"]  # it is the text of ours
    role = _ROLES.get(message.type.removesuffix("MessageChunk").lower())
    if role is None:
        role = _ROLES_OF_CHAT.get(str(getattr(message, "role", "")).lower(), MessageRole.USER)
    calls = getattr(message, "tool_calls", None)
    checks.json_dict("messages", {_GIVEN: given})
    return Message(
        id=uuid4(),
        role=role,
        content=text,
        message_type=MessageType.ACTION if calls and text == _called(calls) else MessageType.TEXT,
        timestamp=datetime.now(timezone.utc).replace(tzinfo=None),
        metadata={_GIVEN: given},
    )


def to_langchain(message: Message) -> BaseMessage:
    """A message of ours as LangChain's: as it was given, else by its role and its text."""
    given = message.metadata.get(_GIVEN)
    if isinstance(given, dict) and isinstance(given.get("data"), dict):
        data = {"content": message.content, **given["data"]}
        # Others write metadata, too: what LangChain cannot read is no reason to read nothing.
        with suppress(KeyError, TypeError, ValueError):
            return messages_from_dict([{**given, "data": data}])[0]
    kinds: dict[MessageRole, type[BaseMessage]] = {
        MessageRole.USER: HumanMessage,
        MessageRole.ASSISTANT: AIMessage,
        MessageRole.SYSTEM: SystemMessage,
    }
    id_ = str(message.id)
    if message.role is MessageRole.TOOL:
        call = str(message.metadata.get("tool_call_id", ""))
        return ToolMessage(content=message.content, tool_call_id=call, id=id_)
    if message.role is MessageRole.FUNCTION:
        name = str(message.metadata.get("name", "function"))
        return FunctionMessage(content=message.content, name=name, id=id_)
    return kinds[message.role](content=message.content, id=id_)


def _text(message: BaseMessage) -> str:
    """The text of a message; of one without any, its calls of tools in words."""
    text = str(message.text)
    if text.strip():
        return text.strip()
    return _called(getattr(message, "tool_calls", None) or []) or _NO_TEXT


def _called(calls: Sequence[Any]) -> str:
    return "\n".join(called(str(call.get("name", "")), call.get("args")) for call in calls)
