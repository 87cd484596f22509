"""The shapes that several operations take and give, and the types of their fields."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timezone
from enum import Enum
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from bruno_core.models.context import SessionContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole, MessageType
from fastapi import Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, Strict
from pydantic import ValidationError as PydanticError

from bruno_memory_vec import Hit
from bruno_memory_vec.errors import InvalidInputError

Kind = Literal["message", "memory"]
RoleName = Literal["system", "user", "assistant", "function", "tool"]
TypeName = Literal["text", "audio", "image", "file", "command", "action"]
MemoryTypeName = Literal["short_term", "long_term", "episodic", "semantic", "procedural", "fact"]
Origin = Literal["user", "assistant", "system", "tool", "given", "extracted", "summary", "imported"]

_AT: Final = "2026-03-01T18:30:00Z"
_ID: Final = "8f3f0b8c-3f5e-4a53-8a50-1d1f4f1c3f0a"


def _text_of_time(value: Any) -> Any:
    if isinstance(value, str) and value[:1].isdigit() and "-" in value[:5]:
        return value
    raise ValueError("give a time as ISO 8601, such as 2026-03-01T18:30:00Z")


def _whole(value: Any) -> Any:
    # 3.0 is a whole number in JSON, too.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("give a whole number")
    return value


#: A time in a request; one without an offset is UTC.
When = Annotated[
    datetime,
    BeforeValidator(_text_of_time, json_schema_input_type=datetime),
]
#: A time in an answer, UTC.
Moment = AwareDatetime
Whole = Annotated[int, BeforeValidator(_whole, json_schema_input_type=int)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Share = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False)]
Flag = Annotated[bool, Strict()]
Metadata = Annotated[
    dict[str, Any], Field(description="Anything that JSON can hold; recall filters by its values.")
]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
After = Annotated[
    str | None, Query(description="The next page: `next` of the one before.", max_length=4096)
]


class Given(BaseModel):
    """What a request gives: a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class Shown(BaseModel):
    """What an answer shows."""

    model_config = ConfigDict(from_attributes=True)


class MessageIn(Given):
    """A message to store."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"role": "user", "content": "We stayed at the Casa do Mar in Lisbon."}]
        },
    )

    id: UUID | None = Field(
        default=None,
        description="Its id. One that is stored again under its id replaces itself, so a call may "
        "be repeated. None: a new one.",
        examples=[_ID],
    )
    role: RoleName = Field(description="Who speaks.")
    content: str = Field(min_length=1, description="What is said.")
    message_type: TypeName = Field(default="text", description="What kind of content it is.")
    timestamp: When | None = Field(
        default=None, description="When it was said. None: now.", examples=[_AT]
    )
    metadata: Metadata = Field(default_factory=dict)
    parent_id: UUID | None = Field(default=None, description="The message that it answers.")

    def model(self, conversation_id: str, id_: UUID | None = None) -> Message:
        """bruno-core's message.

        Args:
            conversation_id: where it is said.
            id_: its id, where the address names it.

        Raises:
            InvalidInputError: it cannot be one.
        """
        given: dict[str, Any] = {
            "role": MessageRole(self.role),
            "content": self.content,
            "message_type": MessageType(self.message_type),
            "metadata": self.metadata,
            "parent_id": self.parent_id,
            "conversation_id": conversation_id,
        }
        if id_ or self.id:
            given["id"] = id_ or self.id
        given["timestamp"] = naive(self.timestamp) or naive(datetime.now(timezone.utc))
        return made(Message, given)


class MessageOut(Shown):
    """A stored message."""

    id: UUID = Field(examples=[_ID])
    role: RoleName
    content: str
    message_type: TypeName
    timestamp: Moment = Field(examples=[_AT])
    metadata: Metadata
    parent_id: UUID | None = None
    conversation_id: str | None = None


class MemoryIn(Given):
    """A memory to store."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"content": "Ana likes the sea.", "memory_type": "fact", "tags": ["sea"]}]
        },
    )

    id: UUID | None = Field(default=None, description="Its id, as of a message.", examples=[_ID])
    content: str = Field(min_length=1, description="What is to be remembered.")
    memory_type: MemoryTypeName = Field(default="long_term", description="Which type it is of.")
    conversation_id: str | None = Field(
        default=None, min_length=1, max_length=1024, description="Where it came up."
    )
    source: str = Field(default="unknown", description="Where it comes from.")
    category: str | None = Field(default=None, max_length=1024, description="One category.")
    tags: list[Annotated[str, Field(max_length=1024)]] = Field(
        default_factory=list, max_length=1000, description="Tags to find it by."
    )
    importance: Share = Field(default=1.0, description="How important it is.")
    confidence: Share = Field(default=1.0, description="How sure it is.")
    custom_fields: Metadata = Field(default_factory=dict)
    created_at: When | None = Field(default=None, description="When it was made. None: now.")
    expires_at: When | None = Field(
        default=None, description="When it ends. None: never; of short_term as the memory is set."
    )

    def model(self, user_id: str, id_: UUID | None = None) -> MemoryEntry:
        """bruno-core's entry.

        Args:
            user_id: whose.
            id_: its id, where the address names it.

        Raises:
            InvalidInputError: it cannot be one.
        """
        about = made(
            MemoryMetadata,
            {
                "source": self.source,
                "category": self.category,
                "tags": self.tags,
                "importance": self.importance,
                "confidence": self.confidence,
                "custom_fields": self.custom_fields,
            },
        )
        at = naive(self.created_at) or naive(datetime.now(timezone.utc))
        given: dict[str, Any] = {
            "content": self.content,
            "memory_type": MemoryType(self.memory_type),
            "user_id": user_id,
            "conversation_id": self.conversation_id,
            "metadata": about,
            "created_at": at,
            "updated_at": at,
            "last_accessed": at,
            "expires_at": naive(self.expires_at),
        }
        if id_ or self.id:
            given["id"] = id_ or self.id
        return made(MemoryEntry, given)


class MemoryOut(Shown):
    """A stored memory."""

    id: UUID = Field(examples=[_ID])
    content: str
    memory_type: MemoryTypeName
    user_id: str
    conversation_id: str | None = None
    source: str
    category: str | None = None
    tags: list[str]
    importance: float
    confidence: float
    access_count: int = Field(description="How often it was recalled.")
    related_memories: list[UUID] = Field(description="Of a summary, what it stands for.")
    custom_fields: Metadata
    created_at: Moment
    updated_at: Moment
    last_accessed: Moment
    expires_at: Moment | None = None


class HitOut(Shown):
    """One message or memory that was found, and why."""

    id: str = Field(examples=[_ID])
    kind: Kind
    speaker: str = Field(description="The role of a message, the type of a memory.")
    content: str
    passage: dict[str, int] | None = Field(
        default=None, description="Where in a long content the part stands that answers best."
    )
    score: float = Field(description="Comparable within one recall only.")
    signals: dict[str, float] = Field(
        description="What each ranker contributed; they add up to the score."
    )
    conversation_id: str | None = None
    turn: int | None = Field(default=None, description="The position there, from 0.")
    created_at: Moment
    repeats: int = Field(description="For how many others that said the same it stands.")
    origin: Origin
    pinned: bool
    archived: bool
    user_id: str | None = None
    message: MessageOut | None = Field(default=None, description="The message, where asked for.")
    memory: MemoryOut | None = Field(default=None, description="The memory, where asked for.")


class SessionOut(Shown):
    """A session of a conversation."""

    session_id: str
    user_id: str
    conversation_id: str
    started_at: Moment
    ended_at: Moment | None = None
    last_activity: Moment
    is_active: bool
    state: dict[str, Any]
    metadata: dict[str, Any]


class Ids(Given):
    """Which messages or memories."""

    ids: list[UUID] = Field(min_length=1, max_length=10_000, examples=[[_ID]])


class Stored(Shown):
    """What was stored."""

    ids: list[UUID] = Field(description="The ids, in the order of the request.")


class Count(Shown):
    """How many."""

    count: int = Field(description="How many messages and memories it was about.")


# From the library's values to these


def message_out(message: Message, conversation_id: str | None = None) -> MessageOut:
    """A message as an answer shows it."""
    return MessageOut(
        id=message.id,
        role=message.role.value,
        content=message.content,
        message_type=message.message_type.value,
        timestamp=aware(message.timestamp),
        metadata=plain(message.metadata),
        parent_id=message.parent_id,
        conversation_id=conversation_id or message.conversation_id,
    )


def memory_out(entry: MemoryEntry) -> MemoryOut:
    """A memory as an answer shows it."""
    about = entry.metadata
    return MemoryOut(
        id=entry.id,
        content=entry.content,
        memory_type=entry.memory_type.value,
        user_id=entry.user_id,
        conversation_id=entry.conversation_id,
        source=about.source,
        category=about.category,
        tags=about.tags,
        importance=about.importance,
        confidence=about.confidence,
        access_count=about.access_count,
        related_memories=about.related_memories,
        custom_fields=plain(about.custom_fields),
        created_at=aware(entry.created_at),
        updated_at=aware(entry.updated_at),
        last_accessed=aware(entry.last_accessed),
        expires_at=None if entry.expires_at is None else aware(entry.expires_at),
    )


def hit_out(hit: Hit, *, records: bool = False) -> HitOut:
    """A hit as an answer shows it.

    Args:
        hit: the hit.
        records: with its message or memory.
    """
    message = memory = None
    if records and isinstance(hit.record, Message):
        message = message_out(hit.record, hit.conversation_id)
    elif records and isinstance(hit.record, MemoryEntry):
        memory = memory_out(hit.record)
    return HitOut(**hit.to_dict(), message=message, memory=memory)


def session_out(session: SessionContext) -> SessionOut:
    """A session as an answer shows it."""
    return SessionOut(
        session_id=session.session_id,
        user_id=session.user_id,
        conversation_id=session.conversation_id,
        started_at=aware(session.started_at),
        ended_at=None if session.ended_at is None else aware(session.ended_at),
        last_activity=aware(session.last_activity),
        is_active=session.is_active,
        state=plain(session.state),
        metadata=plain(session.metadata),
    )


def made(kind: Any, given: Mapping[str, Any]) -> Any:
    """A model of bruno-core.

    Raises:
        InvalidInputError: it refuses a field.
    """
    try:
        return kind(**given)
    except PydanticError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidInputError(
            name, str(first["msg"]).removeprefix("Value error, "), fix="Mend it.", cause=error
        ) from error


def aware(moment: datetime) -> datetime:
    """A time of bruno-core, which is UTC without saying so, with its zone."""
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment


def naive(moment: datetime | None) -> datetime | None:
    """A time as bruno-core has it: in UTC, without a zone.

    Raises:
        InvalidInputError: it lies outside the years 1 to 9999.
    """
    if moment is None or moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(timezone.utc).replace(tzinfo=None)
    except OverflowError as error:
        raise InvalidInputError(
            "timestamp", "lies outside the years 1 to 9999 in UTC", fix="Mend it.", cause=error
        ) from error


def plain(value: Any) -> Any:
    """A value of metadata as JSON can hold it: times as ISO 8601, what is no number as null."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
        return [plain(one) for one in value]
    return str(value)
