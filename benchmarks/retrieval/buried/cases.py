"""The data set: one user's talk of 386 turns, in which each of 50 long messages buries a fact.

``facts.jsonl`` has the facts and a question about each. A long message is prose of our own samples
about something else (an assistant's answers, as somebody would paste them), cut at a sentence's end
to 200 words for every other fact and to 400 for the rest, with the fact between two sentences of
its middle half. The other turns are those of ``samples/updates.jsonl``, the long ones left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from benchmarks.retrieval.datasets import SAMPLES, Dataset, Question, Turn, load

FACTS = Path(__file__).with_name("facts.jsonl")
#: Turns in all, and the lengths of the long ones in words.
TURNS, LENGTHS = 386, (200, 400)

_USER = "kim"
_BEGAN = datetime(2025, 1, 6, 8, 0, tzinfo=timezone.utc)
_BETWEEN = timedelta(hours=5)
_SENTENCE = re.compile(r"(?<=[.!?:])\s+")
# Of a turn with more words, a fact in it would be buried, too.
_SHORT = 60
_A_CONVERSATION = 12


class Fact(NamedTuple):
    """A fact, and a question that it answers."""

    id: str
    text: str
    question: str


def facts() -> list[Fact]:
    """The facts of the file."""
    lines = FACTS.read_text(encoding="utf-8").splitlines()
    return [Fact(row["id"], row["fact"], row["question"]) for row in map(json.loads, lines)]


def buried() -> Dataset:
    """The talk and its questions; the same at every call. A question's category is the length."""
    told = facts()
    prose = _prose()
    long: dict[int, Turn] = {}
    questions = []
    every = TURNS // len(told)
    for number, fact in enumerate(told):
        length = LENGTHS[number % len(LENGTHS)]
        place = number * every + every // 2
        # A quarter, a half or three quarters of the way through the message.
        text = _around(fact.text, prose, length, (1 + number % 3) / 4)
        long[place] = _turn(place, fact.id, "user", text)
        asked = Question(
            id=f"{fact.id}-q",
            user_id=_USER,
            text=fact.question,
            category=str(length),
            gold=(fact.id,),
            group=fact.id,
        )
        questions.append(asked)
    short = iter(_short_turns())
    turns = [
        long[place] if place in long else _turn(place, f"t{place}", *next(short))
        for place in range(TURNS)
    ]
    return Dataset("buried", tuple(turns), tuple(questions), frozenset(map(str, LENGTHS)))


def _turn(place: int, name: str, role: str, content: str) -> Turn:
    conversation = f"talk-{place // _A_CONVERSATION}"
    return Turn(name, _USER, conversation, role, content, _BEGAN + place * _BETWEEN)


def _prose() -> Iterator[str]:
    """Sentences of the assistant's long answers, one after the other, again and again."""
    data = load("jsonl", SAMPLES / "assistant.jsonl")
    answers = [turn.content for turn in data.turns if turn.role == "assistant"]
    return cycle(sentence for text in answers for sentence in _SENTENCE.split(text))


def _around(fact: str, prose: Iterator[str], length: int, share: float) -> str:
    """A message of about ``length`` words with a fact in it, after a share of them."""
    sentences: list[str] = []
    words, told = 0, False
    while words < length:
        if not told and words >= share * length:
            sentences.append(fact)
            told = True
        sentences.append(next(prose))
        words += len(sentences[-1].split())
    return " ".join(sentences)


def _short_turns() -> Iterator[tuple[str, str]]:
    data = load("jsonl", SAMPLES / "updates.jsonl")
    for turn in data.turns:
        if len(turn.content.split()) <= _SHORT:
            yield turn.role, turn.content
