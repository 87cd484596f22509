"""One run: what is measured of a system whose answers are known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from benchmarks.retrieval.datasets import load
from benchmarks.retrieval.paired import values
from benchmarks.retrieval.run import measure
from tests.benchmarks.fixed import Fixed


async def test_a_run_measures_what_was_answered(tiny: Path, tmp_path: Path) -> None:
    data, system = load("jsonl", tiny), Fixed()
    steps: list[tuple[str, int, int]] = []
    report = await measure(data, system, tmp_path, lambda *step: steps.append(step))
    # q1: gold t3 at 3, older t1 at 1; q2: t2 at 2; q3: t2 at 2.
    assert report["questions"] == {
        "ids": ["q1", "q2", "q3"],
        "category_names": ["update", "fact"],
        "category": [0, 1, 1],
        "group_names": ["ana", "ben"],
        "group": [0, 0, 1],
        "gold": [[3], [2], [2]],
        "older": [[1], [], []],
    }
    headline = report["figures"]["headline"]
    assert (headline["questions"], headline["groups"]) == (3, 2)
    assert headline["recall@1"] == [0.0, 0.0, 0.0]
    assert headline["recall@5"] == [1.0, 1.0, 1.0]
    mean, low, high = headline["mrr"]
    assert mean == pytest.approx((1 / 3 + 1 / 2 + 1 / 2) / 3, abs=1e-4)
    assert low <= mean <= high
    assert report["figures"]["by_category"]["update"]["mrr"] == [0.3333, None, None]
    assert report["figures"]["updates"]["updates@10"] == [0.0, None, None]
    assert report["counts"] == {"questions seen": 3}
    assert system.closed
    # As the data says, or a day after the user's last text.
    assert [str(at) for at in system.asked_at] == [
        "2026-06-01 09:00:00+00:00",
        "2026-04-02 10:00:00+00:00",
        "2026-02-02 10:01:00+00:00",
    ]
    assert steps[0] == ("storing", 0, 5)
    assert steps[-1] == ("asking", 3, 3)


async def test_ids_that_are_not_the_users_are_counted(tiny: Path, tmp_path: Path) -> None:
    class Leaky(Fixed):
        async def ask(
            self, text: str, user_id: str, k: int, now: datetime, until: datetime | None = None
        ) -> list[str]:
            return ["nowhere", "t2"]

    report = await measure(load("jsonl", tiny), Leaky(), tmp_path)
    assert report["counts"]["ids of no turn of the user"] == 3
    assert report["questions"]["gold"] == [[0], [2], [2]]


async def test_gold_by_session_is_measured_beside_gold_by_turn(
    write_json: Callable[..., Path], tmp_path: Path
) -> None:
    haystack = {
        "haystack_session_ids": ["a", "b"],
        "haystack_dates": [],
        "haystack_sessions": [
            [{"role": "user", "content": "One."}, {"role": "user", "content": "Two."}],
            [{"role": "user", "content": "Three.", "has_answer": True}],
        ],
        "answer_session_ids": ["b"],
    }
    without = [[{"role": "user", "content": "One."}], [{"role": "user", "content": "Two."}]]
    path = write_json(
        "longmemeval_s.json",
        [
            {"question_id": "q1", "question_type": "x", "question": "Which?", **haystack},
            {
                "question_id": "q2",
                "question_type": "x",
                "question": "Which?",
                **haystack,
                "haystack_sessions": without,
            },
        ],
    )
    report = await measure(load("longmemeval", path), Fixed(), tmp_path)
    assert report["questions"]["gold"] == [[3], []]
    assert report["questions"]["sessions"] == [[3], [2]]
    assert report["figures"]["headline"]["questions"] == 1
    by_session = report["figures"]["sessions"]["headline"]
    assert (by_session["questions"], by_session["mrr"][0]) == (2, pytest.approx(5 / 12, abs=1e-4))
    found = values(report, "sessions")
    assert found is not None
    assert found.figures["mrr"].tolist() == pytest.approx([1 / 3, 1 / 2])
