"""Facts in the middle of long messages are found: benchmarks/retrieval/buried."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.retrieval.buried.__main__ import main
from benchmarks.retrieval.buried.cases import LENGTHS, TURNS, buried


def test_the_cases_are_what_they_say() -> None:
    data = buried()
    assert data == buried()
    assert len(data.turns) == TURNS
    assert len({turn.content for turn in data.turns}) == TURNS
    assert Counter(question.category for question in data.questions) == {"200": 25, "400": 25}
    by_id = {turn.id: turn for turn in data.turns}
    for question in data.questions:
        words = len(by_id[question.gold[0]].content.split())
        assert int(question.category) <= words < int(question.category) + 60, question.id
    short = [turn for turn in data.turns if turn.id not in {one.gold[0] for one in data.questions}]
    assert max(len(turn.content.split()) for turn in short) < min(LENGTHS) / 2


def test_eight_of_ten_facts_are_among_the_first_ten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--json", str(tmp_path / "figures.json")]) == 0
    assert "median" in capsys.readouterr().err
    found = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["buried"]
    assert found["balanced"]["all"]["in the first 10"] >= 0.8
    # Of whole messages alone little more than half of the longer ones are.
    whole = found["balanced without passages"]
    assert found["balanced"]["400"]["in the first 10"] >= whole["400"]["in the first 10"] + 0.15
    # The passage that a hit names has the fact.
    assert found["balanced"]["all"]["passage shown"] >= 0.9
    assert whole["all"]["passage shown"] == 0
