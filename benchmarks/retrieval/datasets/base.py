"""What a data set is, whatever file it came from: texts by user, and questions with their gold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Turn:
    """One text to store.

    Attributes:
        id: names the text within its user; what ``Question.gold`` holds.
        user_id: whose text it is. A question is asked within one user.
        conversation_id: its session; None for a text that stands alone (a document).
        role: "user", "assistant" or "system".
        content: the text as it is stored and searched; a speaker's name stands in it where the
            data set says so ("Ana: I moved to Porto").
        at: when it was said (timezone-aware, UTC); None where the data does not say.
    """

    id: str
    user_id: str
    conversation_id: str | None
    role: str
    content: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question and what answers it.

    Attributes:
        id: names the question within its data set.
        user_id: within whose texts it is asked.
        text: the question.
        category: the data set's own name for its kind ("4", "knowledge-update", ...).
        gold: ids of the turns that answer it; empty where the data gives sessions only.
        gold_sessions: conversation ids that answer it; empty where the data gives turns only.
        older: ids of turns that once answered it and no longer do; a good answer stands above them.
        second_gold: another opinion of the gold (an audit's), empty where there is none.
        asked_at: when it is asked (timezone-aware, UTC); None for a day after the last text.
        group: the unit of the bootstrap: the conversation or haystack it belongs to.
    """

    id: str
    user_id: str
    text: str
    category: str
    gold: tuple[str, ...]
    group: str
    gold_sessions: tuple[str, ...] = ()
    older: tuple[str, ...] = ()
    second_gold: tuple[str, ...] = ()
    asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Texts and questions, read whole.

    Attributes:
        name: "locomo", "scifact", ...
        turns: every text, in the order in which it was said.
        questions: every question that has gold.
        headline: the categories that the one headline figure covers.
        apart: categories that are reported by themselves and never in the headline.
        about: version, licence, sizes: what a table's footnote says.
    """

    name: str
    turns: tuple[Turn, ...]
    questions: tuple[Question, ...]
    headline: frozenset[str]
    apart: frozenset[str] = frozenset()
    about: Mapping[str, str] = field(default_factory=dict)
