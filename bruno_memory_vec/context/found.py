"""What a context may show: a row, a hit or a line of the user's profile, in one form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bruno_core.models.memory import MemoryEntry
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.access import AUTHOR, author_of
from bruno_memory_vec.context.report import Source
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.prompts.notes import HINT
from bruno_memory_vec.prompts.quoting import quotable
from bruno_memory_vec.recall.hits import Hit, may_have
from bruno_memory_vec.rows import tagged_json
from bruno_memory_vec.rows.models import Row, to_message, utc

#: The category of a memory that sums up messages.
SUMMARY = "summary"
# Per token, a long text holds less of what answers. Beyond so many words, a score counts less by
# the text's length to this power: at 2,000 tokens more of the evidence fits of RealMem (.02) and of
# LifeBench (.01), and of chats with short turns as much as without it (docs/benchmarks.md).
_SHORT_WORDS = 50
_LENGTH_POWER = 0.3
#: The origin of facts.
EXTRACTED = "extracted"
# The key of a message's metadata that names the tools it calls.
_CALLS = "tool_calls"
_RESULTS = (MessageRole.TOOL.value, MessageRole.FUNCTION.value)


@dataclass(frozen=True, slots=True)
class Found:
    """Something that a context may show.

    Attributes:
        source: the part of the context it is for.
        kind: "message", "memory" or "user".
        id: of the row; None for what is no row.
        text: as it would be shown.
        speaker: the role of a message, the type of a memory ("summary" of one), the name of a line
            of the profile.
        conversation_id: where it was said.
        turn: its position there.
        at: when, UTC; None for the profile.
        whole: whether ``text`` is all of it.
        score: of the recall.
        full: the whole text, where ``text`` is a passage of it.
        message: the message itself, where it is one; of a hit only where it may call tools.
        line: the line of the block that shows it, where that is made already, without its mark.
        turns: of a fact that was extracted, and of a line of the profile, ids of the messages in
            which it was said.
        memories: of a line of the profile, ids of the memories that say it.
        values: what such a fact or line says, as it would be quoted.
        author: who of several members spoke, where that is not in the text.
    """

    source: Source
    kind: str
    id: str | None
    text: str
    speaker: str
    conversation_id: str | None = None
    turn: int | None = None
    at: datetime | None = None
    whole: bool = True
    score: float | None = None
    full: str | None = None
    message: Message | None = None
    line: str | None = None
    turns: tuple[str, ...] = ()
    memories: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    author: str | None = None

    @property
    def who(self) -> str:
        """Who spoke, as it is shown: the role, and of several members the name."""
        return self.speaker if self.author is None else f"{self.speaker} {self.author}"

    @property
    def is_result(self) -> bool:
        """Whether it is what a tool has answered."""
        return self.kind == MESSAGE and self.speaker in _RESULTS

    @property
    def calls(self) -> int:
        """How many calls of tools the message says it makes, in its metadata; 0 if it does not."""
        named = None if self.message is None else self.message.metadata.get(_CALLS)
        return len(named) if isinstance(named, (list, tuple)) else 0

    @property
    def place(self) -> tuple[str, int] | None:
        """Its conversation and turn; None of what has none."""
        if self.conversation_id is None or self.turn is None:
            return None
        return self.conversation_id, self.turn

    @property
    def worth(self) -> float:
        """The score, less where much text is shown for it; 0 of what was not recalled."""
        length = max(1.0, len(self.text.split()) / _SHORT_WORDS)
        return (self.score or 0.0) / math.pow(length, _LENGTH_POWER)

    def told_whole(self) -> Found:
        """The same with its whole text in place of the passage."""
        return self if self.full is None else replace(self, text=self.full, whole=True, full=None)


def of_row(row: Row, source: Source) -> Found:
    """What a row holds that has at least the columns of a message, its kind and its category."""
    is_message = row["kind"] == MESSAGE
    turns: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    if row["origin"] == EXTRACTED and not is_message:
        extra = tagged_json.loads(row["extra"]) if row["extra"] else {}
        turns = tuple(map(str, extra.get("related", ())))
        values = _values(tagged_json.loads(row["metadata"]))
    message = to_message(row) if is_message else None
    author = None if message is None else author_of(row["user_id"], message.metadata)
    text = row["content"]
    if message is not None and author is not None and source == "recent":
        # A message for a model has a role, and no name.
        text, author = f"{author}: {text}", None
        message = message.model_copy(update={"content": text})
    return Found(
        source=source,
        kind=row["kind"],
        id=row["id"],
        text=text,
        speaker=row["role"]
        if is_message
        else (SUMMARY if row["category"] == SUMMARY else row["memory_type"]),
        conversation_id=row["conversation_id"],
        turn=row["turn"],
        at=utc(row["created_at"]),
        message=message,
        turns=turns,
        values=values,
        author=author,
    )


def of_hit(hit: Hit) -> Found:
    """What a hit holds: of a long text the passage that answers.

    Not of a text that may hold older notes: they are known by their beginning, which may be cut
    away from a passage of them.
    """
    source: Source = "recalled"
    message: Message | None = None
    author: str | None = None
    turns: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    if hit.kind == MESSAGE:
        # Making the messages of all hits would take a sixth of the time of a context.
        if may_have(hit, _CALLS) and isinstance(hit.record, Message):
            message = hit.record
        if may_have(hit, AUTHOR) and isinstance(hit.record, Message):
            author = author_of(hit.user_id, hit.record.metadata)
    elif isinstance(hit.record, MemoryEntry):
        metadata = hit.record.metadata
        if metadata.category == SUMMARY:
            source = "summary"
        if hit.origin == EXTRACTED:
            turns = tuple(map(str, metadata.related_memories))
            values = _values(metadata.custom_fields)
    part = hit.passage is not None and HINT not in hit.content and hit.excerpt != hit.content
    return Found(
        source=source,
        kind=hit.kind,
        id=hit.id,
        text=hit.excerpt if part else hit.content,
        speaker=SUMMARY if source == "summary" else hit.speaker,
        conversation_id=hit.conversation_id,
        turn=hit.turn,
        at=hit.created_at,
        whole=not part,
        score=hit.score,
        full=hit.content if part else None,
        message=message,
        turns=turns,
        values=values,
        author=author,
    )


def _values(fields: Any) -> tuple[str, ...]:
    """The value of a fact, as it would be quoted."""
    value = fields.get("value") if isinstance(fields, Mapping) else None
    return (quotable(value),) if isinstance(value, str) and value.strip() else ()
