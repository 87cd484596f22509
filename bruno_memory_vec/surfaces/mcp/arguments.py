"""What the tools take: the schema that a client shows its model, and the check of what comes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

_MemoryType = Literal["fact", "semantic", "episodic", "procedural", "long_term", "short_term"]
_Role = Literal["user", "assistant", "system", "tool"]
_Conversation = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2_000,
        description="A conversation, by its id or by the uri that other tools give.",
    ),
]
_Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=255)]], Field(max_length=50)]


class _Arguments(BaseModel):
    # What a tool does not know is refused, a user's id above all.
    model_config = ConfigDict(extra="forbid")


class Recall(_Arguments):
    """Of ``recall``."""

    query: str = Field(
        min_length=1, description="A question or any words, as the user would say them."
    )
    k: int = Field(default=5, ge=1, le=50, description="How many at most.")
    conversation: _Conversation | None = Field(
        default=None, description="Only this conversation, by its id or uri."
    )
    kind: Literal["message", "memory"] | None = Field(
        default=None, description="Only what was said (message), or only what was kept (memory)."
    )
    tags: _Tags = Field(default_factory=list, description="Only memories with any of these tags.")
    since: datetime | None = Field(
        default=None, description="Only from this time on, ISO 8601, UTC without an offset."
    )
    until: datetime | None = Field(default=None, description="Only before this time.")
    exact: str | None = Field(
        default=None,
        min_length=1,
        max_length=1_000,
        description="Only what holds this phrase as it stands, such as an error's code.",
    )


class Remember(_Arguments):
    """Of ``remember``."""

    content: str = Field(
        min_length=1,
        max_length=100_000,
        description="One thing, whole and understandable by itself later: "
        "'Ana is allergic to peanuts', not 'she is allergic to them'.",
    )
    memory_type: _MemoryType = Field(
        default="fact",
        description="fact: what is so. episodic: what happened. procedural: how something is done. "
        "semantic: what something means. short_term: needed today only. long_term: anything else.",
    )
    importance: float = Field(
        default=0.7, ge=0.0, le=1.0, description="0 hardly matters, 1 must never be missed."
    )
    tags: _Tags = Field(default_factory=list, description="Words to find it by.")
    conversation: _Conversation | None = Field(
        default=None, description="Where it belongs, by id or uri; with role, where it was said."
    )
    role: _Role | None = Field(
        default=None,
        description="Who said it: then content is kept as the next message of conversation, word "
        "for word, and not as a memory.",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Remember:
        if self.role is not None and self.conversation is None:
            raise ValueError("role is given and conversation is missing: name where it was said")
        if self.role is not None and (self.tags or "memory_type" in self.model_fields_set):
            raise ValueError("a message has neither tags nor a memory_type: leave them or role out")
        return self


class Context(_Arguments):
    """Of ``context``, and of the prompt."""

    question: str = Field(min_length=1, description="The question that is to be answered.")
    budget: int = Field(
        default=2_000, ge=100, le=100_000, description="The most tokens of what comes back."
    )
    conversation: _Conversation | None = Field(
        default=None, description="Also its summaries and last turns, by its id or uri."
    )


class List(_Arguments):
    """Of ``list``."""

    what: Literal["conversations", "memories", "pinned"] = Field(
        default="conversations",
        description="conversations: newest first. memories: newest first. pinned: both kinds, what "
        "is in every context.",
    )
    limit: int = Field(default=20, ge=1, le=100, description="How many at most.")
    after: str | None = Field(default=None, description="The next page: `next` of this one.")


class Show(_Arguments):
    """Of ``show``."""

    id: UUID | None = Field(
        default=None, description="A message or memory, by the id that other tools give."
    )
    conversation: _Conversation | None = None
    limit: int = Field(default=20, ge=1, le=200, description="How many turns, the last ones.")
    before_turn: int | None = Field(
        default=None, ge=0, description="Turns before this one: `earlier` of the page after."
    )

    @model_validator(mode="after")
    def _is_one(self) -> Show:
        if (self.id is None) == (self.conversation is None):
            raise ValueError("give either id, or conversation")
        return self


class Forget(_Arguments):
    """Of ``forget``."""

    ids: list[UUID] = Field(
        min_length=1, max_length=100, description="Messages or memories, by their ids."
    )
    archive: bool = Field(
        default=False,
        description="Keep them, out of sight of recall and context, in place of deleting them.",
    )
