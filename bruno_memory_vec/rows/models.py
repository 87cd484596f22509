"""Conversion between bruno-core's models and rows, without loss of any field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
import pyarrow as pa
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole, MessageType
from numpy.typing import NDArray
from pydantic import BaseModel

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.aio import yielding_gil
from bruno_memory_vec.indexers.checksum import (
    row_checksum,
    with_checksums,
    with_contents,
    with_lower_halves,
)
from bruno_memory_vec.indexers.long_texts import long_texts
from bruno_memory_vec.indexers.schema import CHECKSUM, KEPT, MEMORY, MESSAGE, micros, row_schema
from bruno_memory_vec.rankers.cues import read_cues
from bruno_memory_vec.rows import tagged_json as jsonable
from bruno_memory_vec.rows.bounds import Bounds
from bruno_memory_vec.rows.checks import (
    choices,
    identifier,
    json_dict,
    label,
    moment,
    storable_text,
    unit_interval,
)
from bruno_memory_vec.rows.metadata_pairs import pairs_of
from bruno_memory_vec.rows.weight import HEAVY, in_thread_if, is_heavy

#: A row as a dict: a value for each column but ``vector``. Times are microseconds, UTC.
Row = dict[str, Any]

T = TypeVar("T")

# A function's result is what a tool has said.
_ORIGIN_OF = {MessageRole.FUNCTION.value: "tool"}

#: The importance of messages, which have none in bruno-core: neutral in the ranking.
MESSAGE_IMPORTANCE = 0.5

# How one is made, where somebody has given a text or a dict.
_MADE = {
    Message: ', such as Message(role="user", content="...")',
    MemoryEntry: ', such as MemoryEntry(content="...", memory_type="fact", user_id="...")',
}
_TIMES = (
    "created_at",
    "updated_at",
    "last_accessed",
    "expires_at",
    "pinned_at",
    "archived_at",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # bruno-core's times are naive UTC
# In a script without spaces, so many characters count as a word: they say as much as one or two.
_CHARACTERS_A_WORD = 12
_ROWS_AT_ONCE = 64
# Of more rows the checksums are made in arrays, which have a cost of their own.
_CHECKED_ALONE = 128
# Arrow makes so many rows in less than a millisecond, and many in half the time of a few.
_MADE_AT_ONCE = 512
# Rows of more bytes than this are read in a thread.
_READ_ON_THE_LOOP = 64 * 1024
_BOUNDS = Bounds()
_BUT_VECTOR = pa.struct([field for field in row_schema(1) if field.name != "vector"])
_LONGEST_NAME = 100
_MICROSECOND = timedelta(microseconds=1)
_plain_json = json.JSONEncoder(separators=(",", ":")).encode
_LAST_MICRO = micros(datetime.max.replace(tzinfo=timezone.utc))
# Far below 2**63, so that more uses can be added.
_LARGEST_COUNT = 2**53


def message_row(
    message: Message,
    user_id: str,
    conversation_id: str,
    bounds: Bounds = _BOUNDS,
    origin: str | None = None,
) -> Row:
    """The row of a message, still without ``turn`` and ``seq``.

    Args:
        message: what to store.
        user_id: whose.
        conversation_id: where.
        bounds: how much it may be.
        origin: who it comes from; None for its role.

    Raises:
        InvalidInputError: a field cannot be kept.
    """
    _plain(message, Message, "message")
    content = storable_text("message.content", message.content)
    if len(content) > bounds.max_content_chars:
        bounds.content("message.content", len(content))
    zones: dict[str, int] = {}
    created = _micros("message.timestamp", message.timestamp, zones, "created_at")
    # The row always has its conversation. If the message had none, it is returned without one.
    unbound = message.conversation_id is None
    extra = '{"unbound":true}' if unbound else None
    if zones:
        extra = _plain_json({"zones": zones, "unbound": True} if unbound else {"zones": zones})
    metadata = json_dict("message.metadata", message.metadata)
    role = _member("message.role", message.role, MessageRole)
    if len(metadata) > bounds.max_metadata_bytes:
        bounds.metadata("message.metadata", len(metadata))
    return {
        "id": _uuid("message.id", message.id),
        "kind": MESSAGE,
        "user_id": user_id,
        "conversation_id": conversation_id,
        "turn": None,
        "role": role,
        "message_type": _member("message.message_type", message.message_type, MessageType),
        "memory_type": None,
        "content": content,
        "words": count_words(content),
        **cues(content, message.metadata),
        "metadata": metadata,
        "metadata_pairs": pairs_of(message.metadata),
        "extra": extra,
        "source": None,
        "category": None,
        "tags": [],
        "importance": _importance(message.metadata),
        "confidence": 1.0,
        "parent_id": None
        if message.parent_id is None
        else _uuid("message.parent_id", message.parent_id),
        "origin": origin or _ORIGIN_OF.get(role, role),
        "created_at": created,
        "updated_at": created,
        "last_accessed": created,
        "access_count": 0,
        "expires_at": None,
        "pinned_at": None,
        "archived_at": None,
        "seq": None,
        CHECKSUM: None,
    }


def _importance(metadata: Mapping[str, Any]) -> float:
    """The importance that a message's metadata gives it."""
    if not metadata:
        return MESSAGE_IMPORTANCE
    importance = metadata.get("importance", MESSAGE_IMPORTANCE)
    number = isinstance(importance, (int, float)) and not isinstance(importance, bool)
    # Any other "importance" in the metadata, such as a text or 7, is not meant for the ranking.
    return float(importance) if number and 0 <= importance <= 1 else MESSAGE_IMPORTANCE


def check_message(message: Message, conversation_id: str) -> None:
    """Refuse a message that a memory would refuse to store.

    Raises:
        InvalidInputError: a field cannot be stored; the error names it.
    """
    message_row(message, "", identifier("conversation_id", conversation_id))


def memory_row(
    entry: MemoryEntry,
    short_term_ttl: timedelta | None = None,
    bounds: Bounds = _BOUNDS,
    origin: str = "given",
) -> Row:
    """The row of a memory, still without ``seq``.

    Args:
        entry: what to store.
        short_term_ttl: how long a SHORT_TERM memory without ``expires_at`` lives.
        bounds: how much it may be.
        origin: who it comes from, one of ``ORIGINS``.

    Raises:
        InvalidInputError: a field cannot be kept.
    """
    _plain(entry, MemoryEntry, "memory")
    content = storable_text("memory.content", entry.content)
    bounds.content("memory.content", len(content))
    metadata = entry.metadata
    _plain(metadata, MemoryMetadata, "memory.metadata")
    zones: dict[str, int] = {}
    created = _micros("memory.created_at", entry.created_at, zones, "created_at")
    expires = None
    if entry.expires_at is not None:
        expires = _micros("memory.expires_at", entry.expires_at, zones, "expires_at")
    elif short_term_ttl is not None and entry.memory_type is MemoryType.SHORT_TERM:
        # If it would expire after the year 9999, it does not expire.
        expires = created + short_term_ttl // timedelta(microseconds=1)
        expires = expires if expires <= _LAST_MICRO else None
    extra: dict[str, Any] = {}
    if metadata.embedding is not None:
        extra["embedding"] = _numbers("memory.metadata.embedding", metadata.embedding)
    related = _list("memory.metadata.related_memories", metadata.related_memories)
    if related:
        extra["related"] = [_uuid("memory.metadata.related_memories", one) for one in related]
    row = {
        "id": _uuid("memory.id", entry.id),
        "kind": MEMORY,
        "user_id": identifier("memory.user_id", entry.user_id),
        "conversation_id": None
        if entry.conversation_id is None
        else identifier("memory.conversation_id", entry.conversation_id),
        "turn": None,
        "role": None,
        "message_type": None,
        "memory_type": _member("memory.memory_type", entry.memory_type, MemoryType),
        "content": content,
        "words": count_words(content),
        **cues(content, metadata.custom_fields),
        "metadata": json_dict("memory.metadata.custom_fields", metadata.custom_fields),
        "metadata_pairs": pairs_of(metadata.custom_fields),
        "extra": None,
        "source": storable_text("memory.metadata.source", metadata.source, blank=True),
        "category": None
        if metadata.category is None
        else label("memory.metadata.category", metadata.category),
        "tags": [
            label("memory.metadata.tags", tag)
            for tag in _list("memory.metadata.tags", metadata.tags)
        ],
        "importance": unit_interval("memory.metadata.importance", metadata.importance),
        "confidence": unit_interval("memory.metadata.confidence", metadata.confidence),
        "parent_id": None,
        "origin": origin,
        "created_at": created,
        "updated_at": _micros("memory.updated_at", entry.updated_at, zones, "updated_at"),
        "last_accessed": _micros(
            "memory.last_accessed", entry.last_accessed, zones, "last_accessed"
        ),
        "access_count": _count("memory.metadata.access_count", metadata.access_count),
        "expires_at": expires,
        "pinned_at": None,
        "archived_at": None,
        "seq": None,
        CHECKSUM: None,
    }
    if zones:
        extra["zones"] = zones
    row["extra"] = jsonable.dumps(extra) if extra else None
    bounds.metadata("memory.metadata.custom_fields", len(row["metadata"]))
    bounds.metadata("memory.metadata.tags", sum(len(tag) + 3 for tag in row["tags"]))
    bounds.metadata("memory.metadata.source", len(row["source"]))
    bounds.metadata("memory.metadata.embedding and related_memories", len(row["extra"] or ""))
    return row


async def rows_of(
    field: str, models: Sequence[T], make: Callable[[T], Row], bounds: Bounds = _BOUNDS
) -> list[Row]:
    """A row of each model, made in a thread if they are many or large.

    Raises:
        InvalidInputError: ``models`` is no list, or too many, or one of them cannot be stored.
    """
    if isinstance(models, (str, bytes)) or not isinstance(models, Sequence):
        raise InvalidInputError(
            field, f"expected a list, not {type(models).__name__}", fix="Give a list."
        )
    bounds.rows(field, len(models))
    heavy = len(models) > _ROWS_AT_ONCE or (not _are_light(models) and is_heavy(*models))
    return await in_thread_if(heavy, lambda: [make(model) for model in yielding_gil(models)])


def _are_light(models: Sequence[Any]) -> bool:
    """Whether all are messages of short texts without metadata, as most are: told at once."""
    characters = 0
    for model in models:
        if type(model) is not Message or type(model.content) is not str:
            return False
        if type(model.metadata) is not dict or model.metadata:
            return False
        characters += len(model.content)
    return characters < HEAVY // 2


def to_table(
    rows: Sequence[Row],
    vectors: NDArray[np.float32],
    schema: pa.Schema,
    *,
    placed: bool = True,
) -> pa.Table:
    """Rows and their vectors, float32 (n, d), as one Arrow table of ``schema``.

    Each row, which has its turn and its ``seq`` by now, gets its checksum. Where they are not
    ``placed`` yet, :func:`with_positions` completes it.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    few = len(rows) <= _CHECKED_ALONE
    for number, row in enumerate(yielding_gil(rows)):
        # In many rows they are set below, which takes half as long a row, and longer for a few.
        row[CHECKSUM] = row_checksum(row, vectors[number]) if few else 0
    # Dicts as they are: columns made of them in Python take longer, for few rows and for many.
    starts = range(0, len(rows) or 1, _MADE_AT_ONCE)
    # In parts, because Arrow does not release the interpreter lock meanwhile.
    parts = [
        pa.array(rows[start : start + _MADE_AT_ONCE], _BUT_VECTOR)
        for start in (yielding_gil(starts, 1) if len(starts) > 1 else starts)
    ]
    whole = parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
    flat = pa.array(vectors.ravel())
    vector = pa.FixedSizeListArray.from_arrays(flat, schema.field("vector").type.list_size)
    # Its fields are those of the schema in their order, the vector last.
    batch = pa.RecordBatch.from_arrays([*whole.flatten(), vector], schema=schema)
    table = pa.Table.from_batches([batch])
    if few:
        return table
    return with_checksums(table) if placed else with_lower_halves(table)


def with_positions(table: pa.Table, rows: Sequence[Row]) -> pa.Table:
    """What :func:`to_table` gave, with what the rows have got since in their commit.

    That is their turn, their ``seq``, their user, and what a row keeps that is stored again; of the
    checksum, what stands for these.
    """
    for name in ("seq", "turn", "user_id", *KEPT):
        field = table.schema.field(name)
        values = pa.array([row[name] for row in rows], field.type)
        table = table.set_column(table.schema.get_field_index(name), field, values)
    return with_contents(table)


def from_table(table: pa.Table) -> Iterator[Row]:
    """Rows read from an engine, with times as microseconds."""
    for name in _TIMES:
        index = table.schema.get_field_index(name)
        if index >= 0:
            # Arrow's datetimes take ten times as long, and cannot be before year 1.
            table = table.set_column(index, name, table.column(index).cast(pa.int64()))
    # In small parts, because Arrow does not release the interpreter lock meanwhile.
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield from batch.to_pylist()


async def read_all(table: pa.Table, make: Callable[[Row], T]) -> list[T]:
    """A model of each row, made in a thread if there are many or large ones."""

    def work() -> list[T]:
        return [make(row) for row in yielding_gil(from_table(table))]

    heavy = table.num_rows > _ROWS_AT_ONCE or table.nbytes > _READ_ON_THE_LOOP
    return await in_thread_if(heavy, work)


async def read_one(row: Row | None, make: Callable[[Row], T]) -> T | None:
    """The model of a row, made in a thread if it is large; None of none."""
    if row is None:
        return None
    return await in_thread_if(is_heavy(*row.values()), lambda: make(row))


def record(row: Mapping[str, Any]) -> Message | MemoryEntry:
    """The message or memory that was stored."""
    return to_message(row) if row["kind"] == MESSAGE else to_memory(row)


def to_message(row: Mapping[str, Any]) -> Message:
    """The message of a row, made without validation: it was validated when it was stored."""
    extra = _message_extra(row["extra"]) if row["extra"] else {}
    return Message.model_construct(
        id=UUID(row["id"]),
        role=MessageRole(row["role"]),
        content=row["content"],
        message_type=MessageType(row["message_type"]),
        timestamp=_datetime(row["created_at"], extra.get("zones", {}).get("created_at")),
        metadata=jsonable.loads(row["metadata"]),
        parent_id=None if row["parent_id"] is None else UUID(row["parent_id"]),
        conversation_id=None if extra.get("unbound") else row["conversation_id"],
    )


def episode(message: Message, user_id: str, conversation_id: str | None) -> MemoryEntry:
    """A message as a memory of what was said, for those who ask for memories only."""
    return MemoryEntry.model_construct(
        id=message.id,
        content=message.content,
        memory_type=MemoryType.EPISODIC,
        user_id=user_id,
        conversation_id=conversation_id,
        metadata=MemoryMetadata(
            source="message",
            importance=_importance(message.metadata),
            custom_fields={**message.metadata, "role": message.role.value},
        ),
        created_at=message.timestamp,
        updated_at=message.timestamp,
        last_accessed=message.timestamp,
        expires_at=None,
    )


def to_entry(row: Mapping[str, Any]) -> MemoryEntry:
    """The memory of a row; of a message's, the :func:`episode`."""
    if row["kind"] == MEMORY:
        return to_memory(row)
    return episode(to_message(row), row["user_id"], row["conversation_id"])


@lru_cache(maxsize=1_024)
def _message_extra(text: str) -> Mapping[str, Any]:
    """A message's ``extra``. Cached, since nearly all are one of a few texts: only read it."""
    extra: dict[str, Any] = jsonable.loads(text)
    return extra


def to_memory(row: Mapping[str, Any]) -> MemoryEntry:
    """The memory of a row, made without validation: it was validated when it was stored."""
    extra = jsonable.loads(row["extra"]) if row["extra"] else {}
    zones = extra.get("zones", {})
    return MemoryEntry.model_construct(
        id=UUID(row["id"]),
        content=row["content"],
        memory_type=MemoryType(row["memory_type"]),
        user_id=row["user_id"],
        conversation_id=row["conversation_id"],
        metadata=MemoryMetadata.model_construct(
            source=row["source"],
            category=row["category"],
            tags=list(row["tags"]),
            confidence=row["confidence"],
            importance=row["importance"],
            access_count=row["access_count"],
            embedding=extra.get("embedding"),
            related_memories=[UUID(related) for related in extra.get("related", [])],
            custom_fields=jsonable.loads(row["metadata"]),
        ),
        created_at=_datetime(row["created_at"], zones.get("created_at")),
        updated_at=_datetime(row["updated_at"], zones.get("updated_at")),
        last_accessed=_datetime(row["last_accessed"], zones.get("last_accessed")),
        expires_at=None
        if row["expires_at"] is None
        else _datetime(row["expires_at"], zones.get("expires_at")),
    )


def message_to_json(row: Row) -> str:
    """A message's row as JSON for the hot context."""
    # The values are checked texts, numbers and None, which need no tags.
    return _plain_json({name: row[name] for name in MESSAGE_COLUMNS})


def message_from_json(text: str) -> Message:
    """The message that :func:`message_to_json` was given."""
    row = json.loads(text)
    # Callers who ask for the same context at the same time have one copy of a long text.
    row["content"] = long_texts.shared(row["content"])
    return to_message(row)


#: The columns that a message is made from.
MESSAGE_COLUMNS = (
    "id",
    "role",
    "message_type",
    "content",
    "metadata",
    "extra",
    "parent_id",
    "conversation_id",
    "created_at",
)


def cues(content: str, metadata: Any) -> Row:
    """The cue columns. A speaker in the metadata takes precedence over one in the text."""
    found = read_cues(content)
    named = metadata.get("speaker") if metadata and isinstance(metadata, Mapping) else None
    if isinstance(named, str) and 0 < len(named.strip()) <= _LONGEST_NAME:
        speaker: str | None = named.strip()
    else:
        speaker = found.speaker
    return {
        "speaker": speaker,
        "question_share": found.question_share,
        "ends_with_question": found.ends_with_question,
        "names_time": found.names_time,
        "tells_change": found.tells_change,
    }


def count_words(text: str) -> int:
    """Length in words; for a script without spaces, by its characters."""
    return max(len(text.split()), len(text) // _CHARACTERS_A_WORD)


def utc(value: int) -> datetime:
    """An aware datetime of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=value)


def _datetime(value: int, offset: int | None) -> datetime:
    """A naive UTC datetime, as in bruno-core; an aware one if given an offset (microseconds)."""
    if offset is None:
        return _NAIVE_EPOCH + timedelta(microseconds=value)
    zone = timezone(timedelta(microseconds=offset))
    return (_NAIVE_EPOCH + timedelta(microseconds=value + offset)).replace(tzinfo=zone)


def _micros(field: str, value: Any, zones: dict[str, int], column: str) -> int:
    if type(value) is datetime and value.tzinfo is None:  # as bruno-core's default
        return (value - _NAIVE_EPOCH) // _MICROSECOND
    at = moment(field, value)
    offset = value.utcoffset()
    if offset is not None:
        zones[column] = offset // timedelta(microseconds=1)
    return micros(at)


def _uuid(field: str, value: Any) -> str:
    if not isinstance(value, UUID):
        raise InvalidInputError(
            field, f"expected a UUID, not {type(value).__name__}", fix="Give a uuid.UUID."
        )
    return str(value)


def _member(field: str, value: Any, enum: type[Enum]) -> str:
    if type(value) is enum:
        # Not by its descriptor ``value``, which takes as long as all the rest here.
        return str(value._value_)
    found = choices(field, value, enum)
    if len(found) != 1:
        raise InvalidInputError(field, "is missing", fix=f"Give a {enum.__name__}.")
    return found[0]


def _list(field: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInputError(
            field, f"expected a list, not {type(value).__name__}", fix="Give a list."
        )
    return value


def _numbers(field: str, value: Any) -> list[float]:
    numbers = _list(field, value)
    if not all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in numbers):
        raise InvalidInputError(field, "holds what is not a number", fix="Give floats.")
    return [float(one) for one in numbers]


def _count(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_COUNT:
        raise InvalidInputError(
            field, f"{value!r} is out of range", fix=f"Give an int from 0 to {_LARGEST_COUNT}."
        )
    return value


def _plain(value: Any, model: type[BaseModel], field: str) -> None:
    """Refuse objects of another class, and of subclasses with fields that no column has."""
    if type(value) is model:
        return
    if not isinstance(value, model):
        raise InvalidInputError(
            field,
            f"expected a {model.__name__}, not {type(value).__name__}",
            fix=f"Make a bruno_core {model.__name__}{_MADE.get(model, '')}.",
        )
    unknown = set(type(value).model_fields) - set(model.model_fields)
    if unknown:
        raise InvalidInputError(
            field,
            f"{type(value).__name__} has fields that cannot be kept: {', '.join(sorted(unknown))}",
            fix="Put them into the metadata.",
        )
