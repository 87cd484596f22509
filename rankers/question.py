"""Cues of a question: whom it asks about, which time, and whether it asks about now."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timezone, tzinfo
from functools import lru_cache
from typing import Literal

from .time_expressions import Period, find_periods

# Polite phrases contain "you" and "me" without asking about either.
_COURTESY = re.compile(
    r"(?:^|[.,;!?] )\W{0,3}(?:hey,? |hi,? |so,? |ok,? |and |please,? )?(?:"
    r"(?:can|could|would|will) you (?:please |still |also |just )?(?:help me )?\w+(?: me)?"
    r"|do you (?:still )?(?:know|remember|recall|happen to know))\b"
    r"|\b(?:please )?(?:remind|tell|show|give) me\b|\bi(?:'d| would) like to know\b"
    r"|\bi (?:can't|cannot|don't) (?:remember|recall)\b|\bi (?:forgot|wonder|was wondering)\b"
    r"|\bdo i remember (?:right|correctly)\b|\bas far as you know\b|\bthank you\b"
)
_COURTEOUS = frozenset(("you", "me", "i"))
_WORD = re.compile("[a-z]+")
# The first of several pronouns decides: "what did I tell you", "what did you tell me".
_PRONOUN = re.compile(r"\b(?:(you|your|yours)|(?:i|my|me|mine|myself|we|our|ours|i'm|i've|i'd))\b")
_WHEN = re.compile(
    r"^\W*when\b|\bwhen (?:did|was|were|is|are|am|do|does|will|has|have|had|would|should)\b"
    r"|\b(?:what|which) (?:date|day|week|month|year|time|season)\b|\bhow long\b|\bsince when\b"
)
_ABOUT_TIME = frozenset("when date day week month year time season long".split())
# Words that make it a question about the past, and words that still make it one about now.
_PAST = re.compile(
    r"\b(?:did|was|were|had|used to|before|first|originally|earlier|previous|previously"
    r"|former|formerly|ago|last|old|back then|at the time|initially|yesterday|when i|until"
    r"|(?:19|20)\d\d)\b"
)
_NOW = re.compile(
    r"\b(?:now|currently|current|these days|nowadays|still|at the moment|latest|in the end"
    r"|any ?more)\b"
)
# A verb in the present tense, where nobody is asked for.
_PRESENT = re.compile(r"\b(?:is|are|do|does|has|have)\b|\w(?:'s|'re)\b|\bwho \w+s\b")
# A longer text tells something, whatever it asks besides.
_BRIEF = 25
_MAX_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Question:
    """A question, read once for all rankers.

    Attributes:
        text: its words.
        of_role: whose words the pronouns ask for: "user" ("my", "I"), "assistant" ("you"), or
            None where they do not say.
        asks_when: whether it asks for a time.
        periods: the times that it names.
        asks_now: whether the user asks about their present situation ("Where do I work?").
        asks_present: whether it asks, briefly, how things stand, anyone's ("Who does the books?").
    """

    text: str
    of_role: Literal["user", "assistant"] | None = None
    asks_when: bool = False
    periods: tuple[Period, ...] = ()
    asks_now: bool = False
    asks_present: bool = False

    def names(self, speaker: str) -> bool:
        """Whether a speaker's name, or a word of it, stands in the question."""
        return _names(self.text, speaker)


# A ranking asks it of the same speakers twice: whose words they are, and how sure the answer is.
@lru_cache(256)
def _names(text: str, speaker: str) -> bool:
    lower = text[:_MAX_CHARS].lower()
    return any(
        re.search(rf"(?<!\w){re.escape(word)}(?!\w)", lower)
        for word in speaker.lower().split()
        if len(word) > 1
    )


def read_question(text: str, now: int, zone: tzinfo = timezone.utc) -> Question:
    """Read the cues of a question: its times in several languages, the rest in English.

    What is not read gives no cue, which changes nothing.

    Args:
        text: the question.
        now: the time that relative times refer to, microseconds since 1970, UTC.
        zone: whose days the named times are.
    """
    lower = text[:_MAX_CHARS].lower().replace("’", "'")
    words = frozenset(_WORD.findall(lower))
    # A pattern is tried only where a word stands that it cannot do without.
    asked = lower if _COURTEOUS.isdisjoint(words) else _COURTESY.sub(" ", lower)
    of_role: Literal["user", "assistant"] | None = None
    if pronoun := _PRONOUN.search(asked):
        of_role = "assistant" if pronoun[1] else "user"
    present = _PAST.search(asked) is None or _NOW.search(asked) is not None
    return Question(
        text,
        of_role,
        asks_when=not _ABOUT_TIME.isdisjoint(words)
        and (_WHEN.search(lower) or _WHEN.search(asked)) is not None,
        periods=find_periods(lower, now, zone),
        asks_now=of_role == "user" and present,
        asks_present=present
        and (of_role == "user" or _PRESENT.search(asked) is not None)
        and len(asked.split()) <= _BRIEF,
    )
