"""LoCoMo: ten long conversations and questions about them.

Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM
Agents" (2024). The data is CC BY-NC 4.0 and never part of this project: it is
read from a folder that holds ``locomo10.json`` and
``locomo10_evidence_normalised.json``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bruno_core.models.message import Message

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.ingest import BadLine, read

#: The headline: multi-hop, temporal, open-domain, single-hop. 5 is adversarial.
HEADLINE = (1, 2, 3, 4)


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
    conversations, evidence = (
        folder / "locomo10.json",
        folder / "locomo10_evidence_normalised.json",
    )
    for path in (conversations, evidence):
        if not path.is_file():
            raise InvalidInputError(
                "path", f"{path} is not there", fix="Give the folder that holds LoCoMo's files."
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
        for entry in json.loads(evidence.read_text(encoding="utf-8"))
        if entry["sample_id"] in users and entry["evidence"]
    ]
    return LoCoMo({key: turns for key, turns in sessions.items() if key[0] in users}, questions)
