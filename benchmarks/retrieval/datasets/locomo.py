"""LoCoMo: ten long conversations of two people, and questions about them.

Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM Agents" (2024). The data
is CC BY-NC 4.0 and never part of this project: it is read from a folder that holds
``locomo10.json``. Nine of its evidence strings are malformed. Where
``locomo10_evidence_normalised.json`` stands beside it (a list of ``{sample_id, category,
question, evidence, evidence_audited}``), the gold is taken from there, and an audit's opinion of
it; else the ids are read out of the strings as they are.

Each sample is a user and each of its sessions a conversation. A turn's id is its ``dia_id``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timezone
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
    sequence,
    text_of,
)
from bruno_memory_vec.portability import BadLine, read

#: Multi-hop, temporal, open-domain, single-hop. 5 is adversarial.
HEADLINE = ("1", "2", "3", "4")
APART = ("5",)
_PARTS = {"dev": slice(0, 5), "test": slice(5, 10), "all": slice(None)}
_TURN_ID = re.compile(r"D\d+:\d+")
_FILE, _GOLD = "locomo10.json", "locomo10_evidence_normalised.json"


def load(path: Path, split: str = "all") -> Dataset:
    """Read LoCoMo from its folder. "dev" is the first five conversations, "test" the last five.

    Raises:
        InvalidInputError: the files are not there or cannot be read.
    """
    file = existing(path / _FILE, "the folder that holds LoCoMo's file")
    turns: list[Turn] = []
    for entry in read(file, format="locomo"):
        if isinstance(entry, BadLine):
            raise refused(file, entry.where, entry.problem, "Mend the data.")
        assert entry.user_id is not None
        turns.append(
            Turn(
                id=entry.message.metadata["dia_id"],
                user_id=entry.user_id,
                conversation_id=entry.conversation_id,
                role=entry.message.role.value,
                content=entry.message.content,
                at=entry.message.timestamp.replace(tzinfo=timezone.utc),
            )
        )
    samples = set(list(dict.fromkeys(turn.user_id for turn in turns))[_PARTS[split]])
    builder = Builder(file, "locomo")
    for turn in turns:
        if turn.user_id in samples:
            builder.turn("", turn)
    numbers: Counter[str] = Counter()
    for place, question in _evidence(path):
        sample = id_of(file, place, question.get("sample_id"))
        numbers[sample] += 1
        if sample not in samples:
            continue
        builder.question(
            place,
            Question(
                id=f"{sample}/{numbers[sample]}",
                user_id=sample,
                text=text_of(file, place, str(question.get("question", ""))),
                category=str(question.get("category")),
                gold=tuple(question["evidence"]),
                second_gold=tuple(question["evidence_audited"]),
                group=sample,
            ),
        )
    return builder.build(headline=HEADLINE, apart=APART, about={"licence": "CC BY-NC 4.0"})


def _evidence(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    gold = folder / _GOLD
    if gold.is_file():
        for number, value in enumerate(sequence(gold, "", read_json(gold))):
            entry = mapping(gold, f"[{number}]", value)
            evidence = [entry.get("evidence") or [], entry.get("evidence_audited") or []]
            yield (
                f"[{number}]",
                {**entry, "evidence": evidence[0], "evidence_audited": evidence[1]},
            )
        return
    for sample in read_json(folder / _FILE):
        name = sample.get("sample_id")
        for number, value in enumerate(sample.get("qa") or []):
            evidence = [_TURN_ID.findall(" ".join(map(str, value.get("evidence") or []))), []]
            yield (
                f"{name}.qa[{number}]",
                {
                    **value,
                    "sample_id": name,
                    "evidence": evidence[0],
                    "evidence_audited": evidence[1],
                },
            )
