"""Settings that are chosen on some corpora and reported on another; the ablation of all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.retrieval import ablation, leave_one_out
from benchmarks.retrieval.corpora import development_corpora, sampled
from benchmarks.retrieval.datasets import load
from bruno_memory_vec import load_profile
from tests.benchmarks.conftest import Write, question, turn


@pytest.fixture
def two(write_lines: Write) -> list[str]:
    """Options for two corpora. In one who asks stands above what answers, where asking counts."""
    for name, asks in (("plain", False), ("asking", True)):
        beside = "What is the violin of Ana, the old violin?" if asks else "The piano is new."
        write_lines(
            f"{name}.jsonl",
            turn("t1", "ana", "The violin is of Ana, an old one.", "2026-03-01T10:00:00Z"),
            turn("t2", "ana", beside, "2026-03-01T11:00:00Z", "c2"),
            question("q1", "ana", "What is the old violin of Ana?", ["t1"]),
            question("q2", "ana", "Whose is the violin?", ["t1"]),
        )
    folder = write_lines("empty.jsonl").parent
    return [f"--data=jsonl={folder / name}.jsonl" for name in ("plain", "asking")]


def test_each_corpus_is_reported_by_what_was_chosen_without_it(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    assert leave_one_out.main([*two, "--embedder=hash", f"--json={out}"]) == 0
    report = json.loads(out.read_text())
    assert set(report["figures"]) == {"balanced", "chosen without it", "chosen on all"}
    for found in report["figures"].values():
        assert set(found) == {"plain", "asking"}
        assert all(0 <= one["ndcg@10"] <= 1 for one in found.values())
    assert set(report["chosen"]) == {"without plain", "without asking", "on all"}
    assert "chosen without it" in capsys.readouterr().err


def test_one_corpus_cannot_be_left_out(two: list[str]) -> None:
    with pytest.raises(Exception, match="two or more"):
        leave_one_out.main([two[0], "--embedder=hash"])


def test_every_choice_is_a_change_of_the_profile() -> None:
    profile = load_profile("balanced")
    for name, changes in leave_one_out.choices(profile):
        changed = [change(profile) for change in changes.values()]
        assert len(set(changed)) == len(changed) > 1, name
        for one in changed:
            assert one.candidates == profile.candidates


def test_the_ablation_has_a_column_for_each_corpus(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    only = "--variant=without neighbours"
    assert ablation.main([*two, only, "--embedder=hash", f"--json={out}"]) == 0
    found = json.loads(out.read_text())["variants"]
    assert list(found) == ["balanced", "without neighbours"]
    assert list(found["balanced"]) == ["plain", "asking"]
    assert "mean" in capsys.readouterr().err


def test_the_corpora_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRUNO_EVAL_DATA", raising=False)
    assert [kind for kind, _ in development_corpora()] == ["jsonl"]
    (tmp_path / "lifebench" / "zh").mkdir(parents=True)
    monkeypatch.setenv("BRUNO_EVAL_DATA", str(tmp_path))
    assert development_corpora()[0] == ("jsonl", tmp_path / "lifebench" / "zh")
    assert len(development_corpora()) == 2


def test_a_sample_is_spread_over_the_questions(tiny: Path) -> None:
    data = load("jsonl", tiny)
    assert len(sampled(data, None).questions) == 3
    assert [one.id for one in sampled(data, 2).questions] == ["q1", "q2"]
    assert [one.id for one in sampled(data, 1).questions] == ["q1"]
