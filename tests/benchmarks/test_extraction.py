"""The labels of the extraction benchmark, and its figures on our own samples."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from benchmarks.extraction.effect import effect_of
from benchmarks.extraction.labelled import LABELS, READ_WHOLE, labels, sets
from benchmarks.extraction.measuring import measure
from benchmarks.retrieval.datasets.base import Dataset, Question, Turn

OURS = (*READ_WHOLE, "updates")


def test_no_text_of_evaluation_data_is_among_the_labels() -> None:
    lines = [json.loads(line) for line in LABELS.read_text(encoding="utf-8").splitlines()]
    assert len(lines) > 250
    for line in lines:
        if line["set"] in READ_WHOLE:
            assert line["value"]
        else:
            assert set(line) == {"set", "user", "turn", "attribute", "key", "right"}
            assert len(line["key"]) == 12


def test_labels_name_turns_that_are_there() -> None:
    there = {name: {said.name for said in turns} for name, turns in sets() if name in OURS}
    assert set(there) == set(OURS)
    for label in labels():
        if label.of in OURS:
            assert label.turn in there[label.of], label


def test_the_patterns_on_our_own_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRUNO_EVAL_DATA", raising=False)
    known = labels()
    measured = [measure(name, turns, known) for name, turns in sets()]
    assert [one.name for one in measured] == list(OURS)
    assert [one.unlabelled for one in measured] == [[]] * 3
    assert sum(one.right for one in measured) >= 0.9 * sum(one.found for one in measured)
    read = [one for one in measured if one.name in READ_WHOLE]
    assert sum(one.hit for one in read) >= 0.2 * sum(one.stated or 0 for one in read)


async def test_the_effect_counts_facts_among_the_first_rows() -> None:
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    texts = ["I live in Lisbon", "The boiler is broken", "I love hiking", "It rains"]
    turns = [
        Turn(f"t{n}", "ana", "talk", "user", text, start + timedelta(minutes=n))
        for n, text in enumerate(texts)
    ]
    question = Question("q", "ana", "where do I live?", "one", ("t0",), "ana")
    data = Dataset("tiny", tuple(turns), (question,), frozenset({"one"}), frozenset())
    effect = await effect_of(data)
    assert (effect.facts, effect.questions) == (2, 1)
    assert effect.before == effect.after == effect.messages == 1.0
    assert effect.shown == 2.0
