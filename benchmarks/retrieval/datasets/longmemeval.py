"""LongMemEval: ``longmemeval_s*.json`` (or ``_m``, ``_oracle``), a list of questions.

Wu et al., "LongMemEval: Benchmarking Chat Assistants on Long-Term Interactive Memory" (2024).
Each question has a haystack of its own, so each is its own user, named after the question; a
session is a conversation, and a turn's id is ``session/position``. Gold is given by session
(``answer_session_ids``), and by turn where a turn has ``has_answer``. Questions whose id ends in
``_abs`` have no answer in their haystack: their texts are not read.
"""

from __future__ import annotations

from collections import Counter
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

_ABSTENTION = "_abs"


def load(path: Path, split: str = "all") -> Dataset:
    """Read a LongMemEval file, or the first ``longmemeval_s*.json`` of a folder.

    Raises:
        NoSplitError: the data has no parts, and "dev" was asked for.
        InvalidInputError: the file is not there or cannot be read.
    """
    file = _file(path)
    whole_only(file, split)
    builder = Builder(file, file.stem)
    for number, value in enumerate(sequence(file, "", read_json(file))):
        place = f"[{number}]"
        entry = mapping(file, place, value)
        question = id_of(file, f"{place}.question_id", entry.get("question_id"))
        if question.endswith(_ABSTENTION):
            builder.left_out["abstention questions"] += 1
            continue
        _question(file, f"{place} ({question})", question, entry, builder)
    return builder.build(about={"gold": "by session, and by turn where has_answer"})


def _file(path: Path) -> Path:
    if not existing(path, "LongMemEval's file, or its folder").is_dir():
        return path
    found = sorted(path.glob("longmemeval_s*.json")) or sorted(path.glob("longmemeval_*.json"))
    if not found:
        raise refused(path, "", "holds no longmemeval_*.json", "Give the file.")
    return found[0]


def _question(
    file: Path, place: str, question: str, entry: dict[str, Any], builder: Builder
) -> None:
    names = sequence(file, f"{place}.haystack_session_ids", entry.get("haystack_session_ids"))
    sessions = sequence(file, f"{place}.haystack_sessions", entry.get("haystack_sessions"))
    dates = sequence(file, f"{place}.haystack_dates", entry.get("haystack_dates"))
    if len(names) != len(sessions):
        problem = f"{len(names)} session ids for {len(sessions)} sessions"
        raise refused(file, place, problem, "Give as many haystack_session_ids.")
    whens = [time_of(date) for date in dates] + [None] * len(sessions)
    positions: Counter[str] = Counter()
    gold: list[str] = []
    for index in _order(whens[: len(sessions)]):
        at = f"{place}.haystack_sessions[{index}]"
        session = id_of(file, f"{place}.haystack_session_ids[{index}]", names[index])
        start = whens[index]
        if start is None:
            builder.left_out["dates of sessions that could not be read"] += 1
        for value in sequence(file, at, sessions[index]):
            message = mapping(file, at, value)
            position = positions[session]
            positions[session] += 1
            turn = Turn(
                id=f"{session}/{position}",
                user_id=question,
                conversation_id=session,
                role=role_of(message.get("role")),
                content=text_of(file, at, message.get("content")),
                at=start + timedelta(seconds=position) if start else None,
            )
            builder.turn(at, turn)
            if message.get("has_answer"):
                gold.append(turn.id)
    builder.question(
        place,
        Question(
            id=question,
            user_id=question,
            text=text_of(file, f"{place}.question", entry.get("question")),
            category=str(entry.get("question_type")),
            gold=tuple(gold),
            gold_sessions=tuple(
                dict.fromkeys(
                    id_of(file, f"{place}.answer_session_ids", one)
                    for one in sequence(
                        file, f"{place}.answer_session_ids", entry.get("answer_session_ids")
                    )
                )
            ),
            group=question,
            asked_at=time_of(entry.get("question_date")),
        ),
        sessions=positions,
    )


def _order(whens: list[datetime | None]) -> list[int]:
    """Places of the sessions as they were held; as they stand, where a date is missing."""
    dated = [when for when in whens if when is not None]
    if len(dated) < len(whens):
        return list(range(len(whens)))
    return sorted(range(len(whens)), key=lambda index: dated[index])
