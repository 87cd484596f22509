"""What the tools give as structured content; its schemas are each tool's ``outputSchema``.

Texts are as :mod:`.quoted` has them. ``uri`` names a conversation exactly, whatever its id is.
"""

from __future__ import annotations

from pydantic import BaseModel, Field


class Found(BaseModel):
    """One message or memory that was found."""

    mark: str = Field(description="By which it can be cited: m1.")
    id: str
    kind: str = Field(description="message or memory.")
    speaker: str = Field(description="The role of a message, the type of a memory.")
    text: str
    cut: bool = Field(description="Whether text is a part; show has all of it.")
    at: str = Field(description="When, ISO 8601.")
    conversation: str | None = Field(description="The uri of its conversation.")
    turn: int | None
    score: float
    pinned: bool


class Recalled(BaseModel):
    """Of ``recall``."""

    confidence: float | None = Field(
        description="How likely an answer is among them, 0 to 1; null where nothing was ranked."
    )
    hits: list[Found]


class Remembered(BaseModel):
    """Of ``remember``."""

    id: str
    kind: str = Field(description="message or memory.")
    known: bool = Field(description="Whether the same memory was there before; it is kept once.")
    conversation: str | None = Field(description="The uri of its conversation.")


class Part(BaseModel):
    """One part of a context."""

    source: str = Field(description="profile, pinned, summary, recalled, neighbour, recent, system")
    mark: str | None
    id: str | None
    kind: str
    conversation: str | None
    turn: int | None
    tokens: int


class Built(BaseModel):
    """Of ``context``."""

    text: str = Field(description="What to read before the question is answered.")
    tokens: int
    budget: int
    confidence: float | None
    parts: list[Part]


class Listed(BaseModel):
    """A conversation, message or memory in a list."""

    id: str | None = Field(description="Of a message or memory.")
    uri: str | None = Field(description="Of a conversation.")
    kind: str = Field(description="conversation, message or memory.")
    text: str = Field(description="A conversation's title, or a text.")
    cut: bool
    speaker: str | None
    at: str = Field(description="When, ISO 8601; of a conversation its newest message.")
    messages: int | None = Field(description="How many a conversation has.")
    tags: list[str]


class Listing(BaseModel):
    """Of ``list``."""

    items: list[Listed]
    next: str | None = Field(description="Give it as after, to get the next page.")


class Shown(BaseModel):
    """A message or memory, whole."""

    id: str
    kind: str
    speaker: str
    text: str
    cut: bool
    at: str
    turn: int | None
    tags: list[str]
    importance: float | None


class Showing(BaseModel):
    """Of ``show``."""

    title: str | None = Field(description="Of a conversation.")
    uri: str | None = Field(description="Of a conversation.")
    messages: int | None = Field(description="How many a conversation has.")
    items: list[Shown]
    earlier: int | None = Field(description="Give it as before_turn, to get the turns before.")


class Forgotten(BaseModel):
    """Of ``forget``."""

    count: int
    archived: bool
    ids: list[str]
