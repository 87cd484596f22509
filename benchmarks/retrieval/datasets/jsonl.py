"""Our own form, for a user's own data: JSON Lines, one turn or one question a line.

::

    {"type": "turn", "id": "t1", "user_id": "ana", "conversation_id": "c1", "role": "user",
     "content": "I moved to Porto.", "at": "2026-03-04T18:20:00Z"}
    {"type": "question", "id": "q1", "user_id": "ana", "question": "Where do I live?",
     "category": "update", "gold": ["t1"], "older": [], "asked_at": "2026-06-01T09:00:00Z",
     "split": "dev"}

=================  ==============================================================================
key of a turn
=================  ==============================================================================
id                 text or number, unique among the user's turns
user_id            whose turn it is; a question is asked within its own user's turns
conversation_id    optional; without it the text stands alone, as a document
role               "user", "assistant" or "system"; optional, "user" where it is missing
content            the text
at                 optional; ISO 8601, UTC where it names no zone
=================  ==============================================================================

=================  ==============================================================================
key of a question
=================  ==============================================================================
id                 text or number, unique in the data set
user_id            whose turns are searched
question           the text
category           optional; figures are given by category
gold               ids of the turns that answer it, at least one
older              optional; ids of turns that once answered it and no longer do
asked_at           optional; a day after the user's last turn where it is missing
split              optional; "dev" or "test"
=================  ==============================================================================

A folder is read as one data set: all its ``*.jsonl``, in the order of their names. Turns stand in
the order in which they were said. A question without ``split`` belongs to "all" alone, except
where no question has one: then "test" is all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.retrieval.datasets.base import Dataset, Question, Turn
from benchmarks.retrieval.datasets.reading import (
    SPLITS,
    Builder,
    NoSplitError,
    existing,
    id_of,
    kind_of,
    read_lines,
    refused,
    sequence,
    text_of,
    time_of,
)

_TURN = ("type", "id", "user_id", "conversation_id", "role", "content", "at")
_QUESTION = (
    "type",
    "id",
    "user_id",
    "question",
    "category",
    "gold",
    "older",
    "asked_at",
    "split",
)
_ROLES = ("user", "assistant", "system")
_LANGUAGE = re.compile("[a-z]{2}")


def load(path: Path, split: str = "all") -> Dataset:
    """Read a file, or a folder of files. The data set has its name.

    Where that is a language alone ("en"), the folder around it is named too ("chats-en").

    With a part, only the turns of users who have a question in it are read.

    Raises:
        NoSplitError: no question is in that part.
        InvalidInputError: a line is malformed; the message has file, line and fix.
    """
    files = [path]
    if existing(path, "a .jsonl file, or a folder of them").is_dir():
        files = sorted(path.glob("*.jsonl"))
    turns: list[tuple[Path, str, Turn]] = []
    questions: list[tuple[Path, str, Question, str | None]] = []
    for file in files:
        for place, entry in read_lines(file):
            kind = entry.get("type")
            if kind == "turn":
                turns.append((file, place, _turn(file, place, entry)))
            elif kind == "question":
                questions.append((file, place, *_question(file, place, entry)))
            else:
                fix = 'Write "type": "turn" or "type": "question".'
                raise refused(file, place, f"type is {kind!r}", fix)
    if split != "all" and any(part for *_, part in questions):
        questions = [entry for entry in questions if entry[3] == split]
        if not questions:
            raise NoSplitError(path, split, "all, or another part")
    elif split == "dev":
        raise NoSplitError(path, split, "test or all: no question says its split")
    users = {question.user_id for _, _, question, _ in questions}
    name = path.resolve().stem
    if _LANGUAGE.fullmatch(name):
        name = f"{path.resolve().parent.name}-{name}"
    builder = Builder(path, name, lenient=False)
    for file, place, turn in turns:
        if split == "all" or turn.user_id in users:
            builder.turn(_where(path, file, place), turn)
    seen: set[str] = set()
    for file, place, question, _ in questions:
        if question.id in seen:
            problem = f"the question id {question.id!r} stands twice"
            raise refused(file, place, problem, "Give each question its own id.")
        seen.add(question.id)
        builder.question(_where(path, file, place), question)
    return builder.build()


def _where(path: Path, file: Path, place: str) -> str:
    return place if file == path else f"{file.name}, {place}"


def _turn(file: Path, place: str, entry: dict[str, Any]) -> Turn:
    _check_keys(file, place, entry, _TURN)
    role = entry.get("role", "user")
    if role not in _ROLES:
        raise refused(file, place, f"role is {role!r}", f"Use one of {', '.join(_ROLES)}.")
    conversation = entry.get("conversation_id")
    content = text_of(file, f"{place}, content", entry.get("content"))
    if not content:
        raise refused(file, place, "content is empty", "Give the turn's text, or leave it out.")
    return Turn(
        id=id_of(file, f"{place}, id", entry.get("id")),
        user_id=id_of(file, f"{place}, user_id", entry.get("user_id")),
        conversation_id=None
        if conversation is None
        else id_of(file, f"{place}, conversation_id", conversation),
        role=role,
        content=content,
        at=_time(file, place, "at", entry.get("at")),
    )


def _question(file: Path, place: str, entry: dict[str, Any]) -> tuple[Question, str | None]:
    _check_keys(file, place, entry, _QUESTION)
    split = entry.get("split")
    if split not in (None, *SPLITS[:2]):
        raise refused(file, place, f"split is {split!r}", 'Use "dev" or "test".')
    user = id_of(file, f"{place}, user_id", entry.get("user_id"))
    gold = _ids(file, f"{place}, gold", entry.get("gold"))
    if not gold:
        raise refused(file, place, "gold is empty", "Name the turns that answer the question.")
    text = text_of(file, f"{place}, question", entry.get("question"))
    if not text:
        raise refused(file, place, "question is empty", "Give the question's text.")
    question = Question(
        id=id_of(file, f"{place}, id", entry.get("id")),
        user_id=user,
        text=text,
        category=str(entry.get("category") or "all"),
        gold=gold,
        older=_ids(file, f"{place}, older", entry.get("older")),
        group=user,
        asked_at=_time(file, place, "asked_at", entry.get("asked_at")),
    )
    return question, split


def _ids(file: Path, place: str, value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(id_of(file, place, one) for one in sequence(file, place, value)))


def _time(file: Path, place: str, key: str, value: Any) -> datetime | None:
    found = time_of(value)
    if found is None and value is not None:
        got = repr(value) if isinstance(value, str) else kind_of(value)
        raise refused(file, place, f"{key} is {got}", "Write it as 2026-03-04T18:20:00Z.")
    return found


def _check_keys(file: Path, place: str, entry: dict[str, Any], known: Iterable[str]) -> None:
    unknown = sorted(set(entry) - set(known))
    if unknown:
        raise refused(file, place, f"unknown key {unknown[0]!r}", f"Its keys: {', '.join(known)}.")
