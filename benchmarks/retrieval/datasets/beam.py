"""BEAM: ``chats/100K/<n>/chat.json`` with ``probing_questions/probing_questions.json`` beside it.

Tavakoli et al., "Beyond a Million Tokens: Benchmarking and Enhancing Long-Term Memory in LLMs"
(2025). ``chat.json`` is a list of batches, each with ``turns``: a list of lists of messages
``{role, id, content, time_anchor?}``. Each chat is a user and each batch a conversation, whose
first ``time_anchor`` is its time. The generator's mark at the end of a user's message
(``->-> 1,1``) is taken off.

Questions stand by ability. Their gold is ``source_chat_ids``: a list of message ids, or lists of
them by name. ``abstention`` has no gold and is left out; `APART` is reported by itself, because
what it asks for is no set of messages to find.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.retrieval.datasets.base import Dataset, Question, Turn
from benchmarks.retrieval.datasets.reading import (
    Builder,
    existing,
    id_of,
    mapping,
    read_json,
    refused,
    role_of,
    sequence,
    text_of,
    time_of,
    whole_only,
)

APART = ("event_ordering", "summarization", "instruction_following")
_ABSTENTION = "abstention"
_MARK = re.compile(r"\s*(?:->)+\s*\d+\s*(?:,\s*\d+\s*)*$")


def load(path: Path, split: str = "all") -> Dataset:
    """Read every ``chat.json`` below a folder.

    Raises:
        NoSplitError: the data has no parts, and "dev" was asked for.
        InvalidInputError: the files are not there or cannot be read.
    """
    whole_only(path, split)
    chats = sorted(existing(path, "the folder of BEAM's chats").rglob("chat.json"), key=_number)
    if not chats:
        raise refused(path, "", "holds no chat.json", "Give the folder of BEAM's chats.")
    builder = Builder(path, "beam")
    for chat in chats:
        # The same name from wherever the path begins, so that the same chats are the same data.
        user = "/".join(chat.parent.resolve().parts[-2:])
        _chat(chat, user, builder)
        questions = chat.parent / "probing_questions" / "probing_questions.json"
        _questions(existing(questions, "each chat's questions"), user, builder)
    return builder.build(apart=APART)


def _number(chat: Path) -> tuple[str, int, str]:
    name = chat.parent.name
    return str(chat.parent.parent), int(name) if name.isdecimal() else 0, name


def _chat(file: Path, user: str, builder: Builder) -> None:
    last: datetime | None = None
    for index, value in enumerate(sequence(file, "", read_json(file))):
        place = f"[{index}]"
        batch = mapping(file, place, value)
        messages = list(_messages(file, f"{place}.turns", batch.get("turns")))
        anchors = (time_of(entry.get("time_anchor")) for _, entry in messages)
        start = next((anchor for anchor in anchors if anchor), time_of(batch.get("time_anchor")))
        if start is None:
            builder.left_out["dates of batches that could not be read"] += 1
        elif last is not None and start <= last:
            # Anchors are days: a batch of the same day goes on where the one before ended.
            start = last + timedelta(seconds=1)
        for position, (at, entry) in enumerate(messages):
            last = start + timedelta(seconds=position) if start else last
            content = text_of(file, f"{at}.content", entry.get("content"))
            role = role_of(entry.get("role"))
            builder.turn(
                at,
                Turn(
                    id=id_of(file, f"{at}.id", entry.get("id")),
                    user_id=user,
                    conversation_id=f"{user}/batch_{index + 1}",
                    role=role,
                    content=_MARK.sub("", content) if role == "user" else content,
                    at=last if start else None,
                ),
            )


def _messages(file: Path, place: str, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, one in enumerate(sequence(file, place, value)):
        at = f"{place}[{index}]"
        if isinstance(one, dict):
            yield at, one
        else:
            yield from _messages(file, at, one)


def _questions(file: Path, user: str, builder: Builder) -> None:
    for ability, entries in mapping(file, "", read_json(file)).items():
        for number, value in enumerate(sequence(file, ability, entries)):
            place = f"{ability}[{number}]"
            entry = mapping(file, place, value)
            if ability == _ABSTENTION:
                builder.left_out["abstention questions"] += 1
                continue
            builder.question(
                f"{file}, {place}",
                Question(
                    id=f"{user}/{ability}/{number + 1}",
                    user_id=user,
                    text=text_of(file, f"{place}.question", entry.get("question")),
                    category=ability,
                    gold=tuple(
                        _ids(file, f"{place}.source_chat_ids", entry.get("source_chat_ids"))
                    ),
                    group=user,
                ),
            )


def _ids(file: Path, place: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _ids(file, f"{place}.{name}", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _ids(file, place, inner)
    elif value is not None:
        yield id_of(file, place, value)
