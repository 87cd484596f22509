"""LoCoMo: ten long conversations and questions about them.

Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM
Agents" (2024). The data is CC BY-NC 4.0 and never part of this project: it is
read from a folder that holds ``locomo10.json``. Nine of its evidence strings are
malformed. Where ``locomo10_evidence_normalised.json`` stands beside it (a list of
``{sample_id, category, question, evidence, evidence_audited}``), the gold is
taken from there; else the ids are read out of the strings as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bruno_core.models.message import Message

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.ingest import BadLine, read

#: The headline: multi-hop, temporal, open-domain, single-hop. 5 is adversarial.
HEADLINE = (1, 2, 3, 4)
_TURN_ID = re.compile(r"D\d+:\d+")


@dataclass(frozen=True, slots=True)
class Question:
    """One question with the turns that answer it (``dia_id``)."""

    user_id: str
    text: str
    category: int
    gold: tuple[str, ...]
    audited: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoCoMo:
    """The data set: each sample is a user, each of its sessions a conversation."""

    sessions: dict[tuple[str, str], list[Message]]
    questions: list[Question]


def load(folder: Path, samples: slice = slice(None)) -> LoCoMo:
    """Read the data set; ``samples`` takes a part of the ten conversations, in file order.

    Raises:
        InvalidInputError: the files are not there or cannot be read.
    """
    conversations = folder / "locomo10.json"
    if not conversations.is_file():
        raise InvalidInputError(
            "path", f"{conversations} is not there", fix="Give the folder that holds LoCoMo's file."
        )
    sessions: dict[tuple[str, str], list[Message]] = {}
    for turn in read(conversations, format="locomo"):
        if isinstance(turn, BadLine):
            raise InvalidInputError("path", f"{turn.where}: {turn.problem}", fix="Mend the data.")
        assert turn.user_id is not None
        sessions.setdefault((turn.user_id, turn.conversation_id), []).append(turn.message)
    users = list(dict.fromkeys(user for user, _ in sessions))[samples]
    questions = [
        Question(
            user_id=entry["sample_id"],
            text=str(entry["question"]),
            category=int(entry["category"]),
            gold=tuple(dict.fromkeys(entry["evidence"])),
            audited=tuple(dict.fromkeys(entry["evidence_audited"] or ())),
        )
        for entry in _evidence(folder)
        if entry["sample_id"] in users and entry["evidence"]
    ]
    return LoCoMo({key: turns for key, turns in sessions.items() if key[0] in users}, questions)


def _evidence(folder: Path) -> Iterator[dict[str, Any]]:
    normalised = folder / "locomo10_evidence_normalised.json"
    if normalised.is_file():
        yield from json.loads(normalised.read_text(encoding="utf-8"))
        return
    for sample in json.loads((folder / "locomo10.json").read_text(encoding="utf-8")):
        for entry in sample["qa"]:
            ids = _TURN_ID.findall(" ".join(entry.get("evidence", [])))
            yield {
                "sample_id": sample["sample_id"],
                "category": entry["category"],
                "question": entry["question"],
                "evidence": ids,
                "evidence_audited": [],
            }
