"""A fact that was found in turns and is not stored yet, and the turn that it was found in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bruno_memory_vec.knowledge.extraction.attributes import USER, same_value, sentence

Method = Literal["patterns", "llm", "given"]


@dataclass(frozen=True, slots=True)
class SourceTurn:
    """A stored message, as extraction reads it.

    Attributes:
        id: its id.
        conversation_id: where it is.
        turn: its position there.
        role: who said it.
        text: what was said.
        at: when, in microseconds since 1970.
        speaker: a person whom the message names as its speaker, or None.
    """

    id: str
    conversation_id: str
    turn: int
    role: str
    text: str
    at: int = 0
    speaker: str | None = None

    @property
    def subject(self) -> str:
        """Who "I" is in it."""
        return self.speaker or USER


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fact that turns support.

    Attributes:
        attribute: see :mod:`.attributes`.
        value: in the words of the turn, trimmed.
        confidence: 0..1, how likely the turns say this.
        sources: the turns that say it, the earliest first; none where a caller adds it.
        method: how it was found.
        subject: whom it is about; "user" is the user whose memory this is.
        holds: False where the turn says that it does not hold any more.
        given_at: of one without sources, when it was said, in microseconds since 1970.
    """

    attribute: str
    value: str
    confidence: float
    sources: tuple[SourceTurn, ...]
    method: Method
    subject: str = USER
    holds: bool = True
    given_at: int = 0

    @property
    def text(self) -> str:
        """The fact as a sentence."""
        return sentence(self.subject, self.attribute, self.value)

    @property
    def same(self) -> str:
        """The value as it is compared."""
        return same_value(self.value)

    @property
    def at(self) -> int:
        """When it was said last, in microseconds since 1970."""
        return max((source.at for source in self.sources), default=self.given_at)
