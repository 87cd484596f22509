"""How well ``Hits.confidence`` tells questions with an answer from those without one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.retrieval.confidence import (
    OTHER,
    OWN,
    Case,
    Cases,
    auroc,
    main,
    reliability,
    thresholds,
)
from bruno_memory_vec.rankers import Evidence
from tests.benchmarks.conftest import Write, question, turn


def case(corpus: str, kind: str, found: bool, coverage: float) -> Case:
    return Case(corpus, kind, found, Evidence(coverage, coverage, 0.1, 0.0, by_words=True))


def test_auroc_counts_pairs() -> None:
    assert auroc(np.array([0.9, 0.4]), np.array([0.1, 0.4])) == pytest.approx(3.5 / 4)


def test_weights_are_fitted_to_what_was_found() -> None:
    rng = np.random.default_rng(1)
    made = []
    for corpus in ("one", "two"):
        for coverage in rng.random(400):
            found = bool(rng.random() < 1 / (1 + np.exp(-(10 * coverage - 5))))
            made.append(case(corpus, OWN if found else OTHER, found, float(coverage)))
    cases = Cases(made)
    fitted = cases.fit(cases.corpus == "one")
    # Coverage and known are the same here, so they share its weight.
    assert fitted[0] + fitted[1] == pytest.approx(10, rel=0.25)
    told = cases.told_apart("two", cases.by(fitted))
    assert told["other/found"] > 0.85
    assert told["brier"] < cases.told_apart("two", np.full(800, 0.5))["brier"] == 0.25


def test_reliability_is_by_tenths() -> None:
    low, high = case("one", OTHER, False, 0.1), case("one", OWN, True, 1.0)
    rows = reliability(Cases([low, low, high]))
    assert [(share, count) for _, share, count in rows] == [(0, 2), (1, 1)]
    assert rows[0][0] == pytest.approx(low.evidence.confidence())


def test_what_is_returned_and_what_refused() -> None:
    unsure, sure = case("one", OTHER, False, 0.1), case("one", OWN, True, 1.0)
    lost = case("one", OWN, True, 0.1)
    rows = {least: rest for least, *rest in thresholds(Cases([unsure, sure, lost]))}
    assert rows[0.1] == [0.5, 1.0]
    assert rows[0.5] == [0.5, 1.0]
    assert unsure.evidence.confidence() < 0.1


def test_the_command_asks_strangers_too(write_lines: Write, tmp_path: Path) -> None:
    said = {"ana": "The violin is in the attic.", "ben": "My tractor needs a new clutch."}
    asked = {"ana": "Where is the violin?", "ben": "What does the tractor need?"}
    lines = [turn("t", user, text, "2026-03-01T10:00:00Z", user) for user, text in said.items()]
    lines += [question(user, user, text, ["t"]) for user, text in asked.items()]
    sources = [f"--data=jsonl={write_lines(f'{name}.jsonl', *lines)}" for name in ("one", "two")]
    out = tmp_path / "out.json"
    assert main([*sources, "--embedder=hash", f"--json={out}"]) == 0
    report = json.loads(out.read_text())
    for kind in ("corpora", "left_out"):
        assert {told["other/found"] for told in report[kind].values()} == {1.0}
    assert sum(count for _, _, count in report["reliability"]) == 8
