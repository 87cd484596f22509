"""The measurement of seams: what counts as found, and how sessions are joined."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.conversations.__main__ import main
from benchmarks.conversations.boundaries import Joined, join, matched, measure


def test_each_seam_counts_once() -> None:
    assert matched([10, 11, 30], frozenset({10, 20}), 1) == 1
    assert matched([11, 19], frozenset({10, 20}), 1) == 2
    assert matched([11, 19], frozenset({10, 20}), 0) == 0
    assert matched([], frozenset({10}), 1) == 0


def test_joined_sessions_and_their_seams() -> None:
    sessions = {
        (f"sample {n % 2}", f"session {n}"): np.full((n + 3, 2), n, np.float32) for n in range(6)
    }
    for same in (False, True):
        for one in join(sessions, 3, 20, 1, same=same):
            begins = [0, *sorted(one.seams), len(one.vectors)]
            kinds = [set(one.vectors[a:b, 0]) for a, b in pairwise(begins)]
            numbers = [int(next(iter(kind))) for kind in kinds]
            assert [len(kind) for kind in kinds] == [1, 1, 1]
            assert len(set(numbers)) == 3
            pairs = pairwise(numbers)
            assert all((a % 2 == b % 2) == same for a, b in pairs)


def test_precision_and_recall() -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
    found = measure([Joined(vectors, frozenset({20, 50}))], topic=1.0, window=4, within=0)
    assert (found.there, found.named, found.found) == (2, 2, 1)
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)
    assert found.precision_by_chance == 0.5


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def session(topic: int) -> list[dict[str, str]]:
        return [
            {"speaker": "AB"[n % 2], "dia_id": f"D{topic}:{n}", "text": f"{topic} {n}"}
            for n in range(9)
        ]

    samples = [
        {
            "sample_id": f"conv-{number}",
            "qa": [{"question": "x?", "answer": "0", "evidence": ["D1:0"], "category": 1}],
            "conversation": {
                "speaker_a": "A",
                "speaker_b": "B",
                **{f"session_{n}": session(n) for n in range(1, 7)},
                **{f"session_{n}_date_time": "1:56 pm on 8 May, 2023" for n in range(1, 7)},
            },
        }
        for number in range(2)
    ]
    (tmp_path / "locomo10.json").write_text(json.dumps(samples), encoding="utf-8")
    main(["--locomo", str(tmp_path), "--split", "all", "--count", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("python -m benchmarks.conversations --locomo")
    assert sum(line.startswith(("| 2 sessions", "| 6 sessions")) for line in lines) == 8
