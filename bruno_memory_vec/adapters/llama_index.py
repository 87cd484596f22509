"""LlamaIndex on a memory: a block of its ``Memory``, and a retriever.

``BrunoMemoryBlock`` is a ``BaseMemoryBlock``: what ``Memory`` drops from the short-term history is
stored here, and what answers the user's last message comes back into the prompt, quoted.
``BrunoRetriever`` is a ``BaseRetriever``, for query engines and chat engines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, Final
from uuid import uuid4

from bruno_core.models.message import Message, MessageRole, MessageType
from pydantic import Field, field_validator, model_validator

from bruno_memory_vec.adapters.opened import Given, OpenedMemory, opened
from bruno_memory_vec.adapters.recalling import about, checked_filters, recalled, text_of, view_of
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.portability.readers.content import called
from bruno_memory_vec.prompts.notes import Note, notes_block
from bruno_memory_vec.recall.hits import Hit
from bruno_memory_vec.rows import checks

try:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.callbacks.base import CallbackManager
    from llama_index.core.memory.memory import BaseMemoryBlock
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
    from llama_index.core.utils import get_tokenizer
except ImportError as error:
    raise MissingDependencyError("llama-index-core", "llama-index", cause=error) from error

#: The conversation of messages that name no session.
NO_SESSION: Final = "llama-index"

# Where a message keeps what LlamaIndex gave; how `Memory` names the session on each message.
_GIVEN: Final = "llama_index"
_SESSION: Final = "session_id"
_ROLES: Final = {
    "user": MessageRole.USER,
    "assistant": MessageRole.ASSISTANT,
    "model": MessageRole.ASSISTANT,
    "chatbot": MessageRole.ASSISTANT,
    "system": MessageRole.SYSTEM,
    "developer": MessageRole.SYSTEM,
    "tool": MessageRole.TOOL,
    "function": MessageRole.FUNCTION,
}
_NO_TEXT: Final = "(no text)"
# What a model is shown of a node beside its text.
_SHOWN: Final = ("speaker", "created_at")
# How a note begins in a block of notes.
_NOTE: Final = "- "


class BrunoMemoryBlock(BaseMemoryBlock[str]):
    """A memory block of LlamaIndex on a memory: ``Memory.from_defaults(memory_blocks=[...])``.

    Attributes:
        memory: a store, by its folder or URL, or an open memory that others use, too.
        user_id: whose the messages are.
        k: how many are recalled at most.
        tokens: how long what comes back may be, by ``tokenizer_fn``.
        filters: further arguments of :meth:`~bruno_memory_vec.VectorMemory.recall`.
        only_session: recall from the session of the ``Memory`` alone, not from all of the user's.
        tokenizer_fn: cuts a text into tokens; give the one of the ``Memory``, where that is not
            LlamaIndex's default.
        settings: as for :func:`~bruno_memory_vec.open_memory`, with a store.

    Raises:
        InvalidInputError: an argument is not usable.
    """

    name: str = Field(default="recalled")
    memory: Any = Field(exclude=True)
    user_id: str
    k: int = Field(default=10)
    tokens: int = Field(default=600)
    filters: dict[str, Any] = Field(default_factory=dict)
    only_session: bool = Field(default=False)
    tokenizer_fn: Callable[[str], Sequence[Any]] = Field(
        default_factory=get_tokenizer, exclude=True
    )
    # It may hold a key.
    settings: dict[str, Any] = Field(default_factory=dict, exclude=True, repr=False)

    @field_validator("user_id")
    @classmethod
    def _user(cls, given: str) -> str:
        return checks.identifier("user_id", given)

    @field_validator("k")
    @classmethod
    def _number(cls, given: int) -> int:
        return checks.limit("k", given)

    @field_validator("tokens")
    @classmethod
    def _budget(cls, given: int) -> int:
        return checks.limit("tokens", given, largest=2**31)

    @field_validator("filters")
    @classmethod
    def _filters(cls, given: dict[str, Any]) -> dict[str, Any]:
        return checked_filters(given)

    @model_validator(mode="after")
    def _opened_memory(self) -> BrunoMemoryBlock:
        if not isinstance(self.memory, OpenedMemory):
            self.memory = opened(self.memory, self.settings)
        return self

    def close(self) -> None:
        """Write what is pending and release the store, if this object has opened it."""
        self.memory.close()

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        """What answers the last message of the user, as quoted notes; empty where nothing does."""
        session = block_kwargs.get(_SESSION)
        question = _last_question(messages or ())
        if not question:
            return ""
        filters = dict(self.filters)
        if self.only_session and session is not None:
            filters["conversation_id"] = session
        hits = await self.memory.arun(
            lambda memory: _recalled(memory, question, self.user_id, self.k, filters)
        )
        # What is still in the history is before the model's eyes.
        there = {text.strip() for text in (one.content for one in messages or ()) if text}
        notes = (
            Note(hit.created_at, hit.speaker, hit.excerpt)
            for hit in hits
            if hit.content.strip() not in there
        )
        block = notes_block(notes, self.tokens, self._count)
        return "" if block is None else block[0]

    async def _aput(self, messages: list[ChatMessage]) -> None:
        """Store messages, each in the conversation of its session."""
        by_session: dict[str, list[Message]] = {}
        for message in messages:
            made_of_it = from_llama_index(message)
            session = message.additional_kwargs.get(_SESSION, NO_SESSION)
            by_session.setdefault(session, []).append(made_of_it)
        for session, made in by_session.items():
            await self.memory.arun(
                lambda memory, session=session, made=made: view_of(
                    memory, self.user_id
                ).store_messages(made, session)
            )

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """The notes without the last ones, as many as it takes; None where none is left.

        The first note answers best.
        """
        lines = content.split("\n") if content else []
        room = self._count(content) - tokens_to_truncate if content else 0
        while any(line.startswith(_NOTE) for line in lines):
            if self._count("\n".join(lines)) <= room:
                return "\n".join(lines)
            last = max(at for at, line in enumerate(lines) if line.startswith(_NOTE))
            del lines[last]
        return None

    def _count(self, text: str) -> int:
        return len(self.tokenizer_fn(text))


class BrunoRetriever(BaseRetriever):
    """A ``BaseRetriever`` of LlamaIndex on a memory: ``RetrieverQueryEngine.from_args(retriever)``.

    Each node is a message or a memory, with the score, the signals that it is made of,
    conversation, turn, time (ISO 8601), kind and speaker in its metadata. A model is shown the
    speaker and the time of it.

    Args:
        memory: a store, by its folder or URL, or an open memory that others use, too.
        user_id: whose rows. None only where ``memory`` is a user's view.
        similarity_top_k: how many nodes, 1 to 1000.
        filters: further arguments of :meth:`~bruno_memory_vec.VectorMemory.recall`, such as
            ``{"kinds": "memory", "tags": "health"}``.
        quoted: give texts as one line without role names and hidden characters, and of a long one
            the passage that answers.
        callback_manager: of LlamaIndex.
        settings: as for :func:`~bruno_memory_vec.open_memory`, with a store.

    Raises:
        InvalidInputError: an argument is not usable.
    """

    def __init__(
        self,
        memory: Given,
        *,
        user_id: str | None = None,
        similarity_top_k: int = 10,
        filters: dict[str, Any] | None = None,
        quoted: bool = False,
        callback_manager: CallbackManager | None = None,
        **settings: Any,
    ) -> None:
        self._user = None if user_id is None else checks.identifier("user_id", user_id)
        self._most = checks.limit("similarity_top_k", similarity_top_k)
        self._filters = checked_filters(filters or {})
        self._quoted = checks.flag("quoted", quoted)
        self._opened = opened(memory, settings)
        super().__init__(callback_manager=callback_manager)

    def close(self) -> None:
        """Write what is pending and release the store, if this object has opened it."""
        self._opened.close()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        asked = checks.question("query", query_bundle.query_str, blank=True)
        return self._nodes(
            self._opened.run(
                lambda memory: recalled(memory, asked, self._user, self._most, self._filters)
            )
        )

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        asked = checks.question("query", query_bundle.query_str, blank=True)
        return self._nodes(
            await self._opened.arun(
                lambda memory: recalled(memory, asked, self._user, self._most, self._filters)
            )
        )

    def _nodes(self, hits: Sequence[Hit]) -> list[NodeWithScore]:
        return [NodeWithScore(node=self._node(hit), score=hit.score) for hit in hits]

    def _node(self, hit: Hit) -> TextNode:
        told = about(hit)
        hidden = [name for name in told if name not in _SHOWN]
        return TextNode(
            id_=hit.id,
            text=text_of(hit, quoted=self._quoted),
            metadata=told,
            excluded_llm_metadata_keys=hidden,
            excluded_embed_metadata_keys=list(told),
        )


def from_llama_index(message: Any) -> Message:
    """A message of LlamaIndex's as one of ours; its text, and in its metadata all of it.

    Raises:
        InvalidInputError: it is none, or has something that cannot be kept.
    """
    if not isinstance(message, ChatMessage):
        raise InvalidInputError(
            "messages", f"has a {type(message).__name__}", fix="Give ChatMessages."
        )
    text = checks.storable_text("messages", message.content or "", blank=True).strip()
    try:
        given = message.model_dump(mode="json")
    except ValueError as error:  # of pydantic: it holds what JSON cannot
        raise InvalidInputError(
            "messages",
            f"has a message that cannot be kept: {error}",
            fix="Give texts, numbers, lists and dicts.",
            cause=error,
        ) from error
    given["additional_kwargs"].pop(_SESSION, None)
    if text and [one.get("text") for one in given["blocks"]] == [text]:
        del given["blocks"]  # it is the text of ours
    calls = "" if text else _called(given)
    return Message(
        id=uuid4(),
        role=_ROLES.get(str(message.role.value), MessageRole.USER),
        content=text or calls or _NO_TEXT,
        message_type=MessageType.ACTION if calls else MessageType.TEXT,
        timestamp=datetime.now(timezone.utc).replace(tzinfo=None),
        metadata={_GIVEN: given},
    )


def to_llama_index(message: Message) -> ChatMessage:
    """A message of ours as LlamaIndex's: as it was given, else by its role and its text."""
    given = message.metadata.get(_GIVEN)
    # Others write metadata, too: what LlamaIndex cannot read is no reason to read nothing.
    with suppress(TypeError, ValueError):
        if isinstance(given, dict):
            text = {} if "blocks" in given else {"content": message.content}
            return ChatMessage(**text, **given)
    return ChatMessage(role=message.role.value, content=message.content)


async def _recalled(
    memory: VectorMemory, question: str, user_id: str, k: int, filters: dict[str, Any]
) -> Sequence[Hit]:
    session = filters.get("conversation_id")
    view = view_of(memory, user_id)
    if session is not None and await view.conversation_owner(session) is None:
        return []  # nothing of this session was stored yet
    return await recalled(memory, question, user_id, k, filters)


def _last_question(messages: Sequence[ChatMessage]) -> str:
    """The last text of the user; where there is none, the last text."""
    texts = [(str(one.role.value), (one.content or "").strip()) for one in messages]
    of_user = [text for role, text in texts if role == "user" and text]
    return (of_user or [text for _, text in texts if text] or [""])[-1]


def _called(given: dict[str, Any]) -> str:
    """The calls of tools that a message has, in words."""
    blocks = [one for one in given.get("blocks", ()) if one.get("block_type") == "tool_call"]
    return "\n".join(
        called(str(one.get("tool_name", "")), one.get("tool_kwargs")) for one in blocks
    )
