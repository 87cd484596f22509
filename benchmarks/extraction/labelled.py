"""Turns of users, and what was labelled in them.

``labels.jsonl`` has a line for each label, in two kinds:

- ``{"set", "turn", "attribute", "value"}`` of our own samples: a fact that a turn states about its
  user, in whatever words. All turns of these sets were read, so what is missing here is none.
- ``{"set", "user", "turn", "attribute", "key", "right"}`` of sets that are evaluation data: whether
  a fact that was found is right. Their texts are not here: ``key`` is a hash of the value.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path

from bruno_core.models.message import Message, MessageRole

from benchmarks.retrieval.corpora import EVAL_DATA
from benchmarks.retrieval.datasets import SAMPLES, load
from bruno_memory_vec.knowledge.extraction.candidate import Candidate, SourceTurn
from bruno_memory_vec.rows.models import message_row

LABELS = Path(__file__).with_name("labels.jsonl")
#: The sets whose turns were all read.
READ_WHOLE = ("demo", "assistant")
_EVALUATION = {
    "locomo": ("locomo", "locomo"),
    "realmem": ("jsonl", "realmem"),
    "lifebench": ("jsonl", "lifebench/en"),
}


@dataclass(frozen=True, slots=True)
class Said:
    """A turn of a user in a data set.

    Attributes:
        of: the set.
        user: whose it is there.
        name: the turn's id there.
        turn: as extraction reads it.
    """

    of: str
    user: str
    name: str
    turn: SourceTurn


@dataclass(frozen=True, slots=True)
class Label:
    """What is known of a fact in a turn; ``value`` of our samples, ``key`` of other sets."""

    of: str
    turn: str
    attribute: str
    user: str | None = None
    value: str | None = None
    key: str | None = None
    right: bool = True


def labels() -> list[Label]:
    """All labels."""
    found = []
    for line in LABELS.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        found.append(
            Label(
                told["set"],
                told["turn"],
                told["attribute"],
                told.get("user"),
                told.get("value"),
                told.get("key"),
                told.get("right", True),
            )
        )
    return found


def key_of(candidate: Candidate) -> str:
    """A value that no text can be read from."""
    return hashlib.blake2b(candidate.same.encode(), digest_size=6).hexdigest()


def sets() -> Iterator[tuple[str, list[Said]]]:
    """The turns of each set that is there: our own, then those in the folder of evaluation data."""
    yield "demo", list(_demo())
    yield "assistant", list(_loaded("assistant", "jsonl", SAMPLES / "assistant.jsonl"))
    yield "updates", list(_loaded("updates", "jsonl", SAMPLES / "updates.jsonl"))
    folder = os.environ.get(EVAL_DATA)
    for name, (kind, place) in _EVALUATION.items():
        if folder and (Path(folder) / place).is_dir():
            yield name, list(_loaded(name, kind, Path(folder) / place))


def _demo() -> Iterator[Said]:
    text = resources.files("bruno_memory_vec.surfaces.demo").joinpath("conversations.jsonl")
    numbers: defaultdict[str, int] = defaultdict(int)
    for line in text.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        conversation = told["conversation_id"]
        numbers[conversation] += 1
        if told["role"] == "user":
            name = f"{conversation}#{numbers[conversation]}"
            at = datetime.fromisoformat(told["timestamp"]).replace(tzinfo=timezone.utc)
            yield Said(
                "demo", told["user_id"], name, _turn(told["content"], conversation, name, at)
            )


def _loaded(of: str, kind: str, path: Path) -> Iterator[Said]:
    for turn in load(kind, path).turns:
        # LoCoMo's second person has the assistant's role there, and is a person all the same.
        if turn.role == "user" or of == "locomo":
            yield Said(
                of,
                turn.user_id,
                turn.id,
                _turn(turn.content, turn.conversation_id or "alone", turn.id, turn.at),
            )


def _turn(text: str, conversation: str, name: str, at: datetime | None) -> SourceTurn:
    """The turn as a row has it, with the speaker that the text names."""
    message = Message(role=MessageRole.USER, content=text, timestamp=at or datetime(2000, 1, 1))  # noqa: DTZ001
    row = message_row(message, "user", conversation)
    return SourceTurn(name, conversation, 0, "user", row["content"], 0, row["speaker"])
