"""``python -m benchmarks.compare``: what it holds a run to, and its exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import compare, main
from benchmarks.retrieval.results import FORMAT

Write = Callable[..., Path]
#: Four questions of four groups, all gold found at rank 1.
BEST = [[1], [1], [1], [1]]


def report(gold: list[list[int]], *, p50: float = 10.0, texts: int = 1000) -> dict[str, Any]:
    """A report in which recall@1 is the share of ranks that are 1, and little else stands."""
    share = sum(ranks[0] == 1 for ranks in gold) / len(gold)
    figures = {
        "questions": len(gold),
        "groups": len(gold),
        "recall@1": [share, None, None],
        "recall@10": [1.0, None, None],
        "ndcg@10": [1.0, None, None],
    }
    return {
        "format": FORMAT,
        "commit": "abc",
        "system": "balanced",
        "embedder": "hash",
        "data": {"name": "tiny", "split": "all", "digest": "d", "questions": len(gold)},
        "store": {"seconds": 1.0, "texts_per_s": texts},
        "latency": {"asks": len(gold), "p50_ms": p50, "p95_ms": 2 * p50},
        "figures": {"headline": figures, "by_category": {"fact": figures}},
        "questions": {
            "ids": [f"q{place}" for place in range(len(gold))],
            "category_names": ["fact"],
            "category": [0] * len(gold),
            "group_names": [f"g{place}" for place in range(len(gold))],
            "group": list(range(len(gold))),
            "gold": gold,
        },
    }


@pytest.fixture
def status(write_json: Write, capsys: pytest.CaptureFixture[str]) -> Callable[..., int]:
    def run(before: Any, after: Any, *options: str) -> int:
        files = [write_json(f"{name}.json", one) for name, one in (("a", before), ("b", after))]
        return main([*map(str, files), *options])

    return run


def test_the_same_run_passes(
    status: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(report(BEST), report(BEST)) == 0
    shown = capsys.readouterr().out
    assert "nothing fell" in shown
    assert "1.000 (1.000)" in shown


def test_quality_may_fall_by_the_tolerance_and_no_further(
    status: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    worse = report([[1], [1], [1], [2]])
    assert status(report(BEST), worse) == 1
    assert "fell: recall@1" in capsys.readouterr().out
    assert status(report(BEST), worse, "--tolerance", "0.25") == 0
    assert status(report(BEST), worse, "--tolerance", "0.24") == 1
    # Better is never a failure.
    assert status(worse, report(BEST), "--tolerance", "0") == 0


def test_latency_may_rise_by_the_factor_and_no_further(
    status: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    slower = report(BEST, p50=16.0)
    assert status(report(BEST), slower) == 1
    assert "fell: p50_ms, p95_ms" in capsys.readouterr().out
    assert status(report(BEST), slower, "--latency-tolerance", "1.6") == 0
    assert status(report(BEST), report(BEST, texts=1)) == 0


@pytest.mark.parametrize("part", ["sessions", "updates"])
def test_every_part_with_one_mean_is_held(
    status: Callable[..., int], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_part(value: float) -> dict[str, Any]:
        made = report(BEST)
        figures = {"questions": 4, "groups": 4, "updates@10": [value, None, None]}
        made["figures"][part] = {"headline": figures} if part == "sessions" else figures
        del made["questions"]
        return made

    assert status(with_part(0.9), with_part(0.8)) == 1
    assert "updates@10" in capsys.readouterr().out.splitlines()[-1]
    assert status(with_part(0.8), with_part(0.8)) == 0


def test_categories_are_shown_and_held_to_nothing() -> None:
    after = json.loads(json.dumps(report(BEST)))  # so that the two parts are not one object
    after["figures"]["by_category"]["fact"]["recall@10"] = [0.2, None, None]
    rows = compare(report(BEST), after, tolerance=0.01, latency_tolerance=1.5)
    (row,) = [row for row in rows if row.name == "fact: recall@10"]
    assert (row.before, row.after, row.fell) == (1.0, 0.2, None)
    assert not any(row.fell for row in rows)


def test_p_comes_from_the_questions_of_both() -> None:
    worse = report([[2], [2], [2], [2]])
    rows = compare(report(BEST), worse, tolerance=0.01, latency_tolerance=1.5)
    p = {row.name: row.p for row in rows}
    # Four groups, all lower: 2 of 16 permutations are as extreme.
    assert p["recall@1"] == pytest.approx((0.125, 0.125))
    assert p["recall@10"] == (1.0, 1.0)
    assert p["p50_ms"] is None
    del worse["questions"]
    rows = compare(report(BEST), worse, tolerance=0.01, latency_tolerance=1.5)
    assert {row.p for row in rows} == {None}


def changed(**parts: Any) -> dict[str, Any]:
    return {**report(BEST), **parts}


@pytest.mark.parametrize(
    ("after", "problem"),
    [
        (changed(data={**report(BEST)["data"], "digest": "e"}), "different questions"),
        (changed(format=0), "not of the form"),
        (changed(figures={}), "lacks what it should have"),
        (changed(latency={}), "lacks what it should have"),
        (changed(latency={"p50_ms": float("nan"), "p95_ms": 1.0}), "is no figure"),
        (changed(data=None), "lacks what it should have"),
        (changed(questions={"ids": ["q"]}), "lacks what it should have"),
        ([], "not of the form"),
    ],
)
def test_what_cannot_be_compared_ends_with_2(
    status: Callable[..., int], after: Any, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(report(BEST), after) == 2
    assert problem in " ".join(capsys.readouterr().err.split())


def test_files_that_cannot_be_read_end_with_2(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(report(BEST)), encoding="utf-8")
    bad.write_text("{", encoding="utf-8")
    assert main([str(good), str(bad)]) == 2
    assert main([str(tmp_path / "gone.json"), str(good)]) == 2


@pytest.mark.parametrize("options", [["--tolerance", "-1"], ["--tolerance", "nan"], []])
def test_wrong_options_end_with_2(options: list[str]) -> None:
    files = ["a.json", "b.json"] if options else ["a.json"]
    with pytest.raises(SystemExit) as ended:
        main([*files, *options])
    assert ended.value.code == 2
