"""The micro-benchmarks' baseline: what is kept of a run, and what counts as slower."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.micro.__main__ import main
from benchmarks.micro.baseline import best, compare, load, write
from bruno_memory_vec.errors import InvalidInputError

ROOT = Path(__file__).resolve().parents[2]
BASELINE = ROOT / "benchmarks" / "results" / "micro-baseline.json"
KEPT = {"commit", "python", "system", "machine", "cores", "memory_gib", "versions"}
KEPT |= {"openblas_threads", "runs"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: Any) -> Path:
    """The file of a real run of two benchmarks."""
    path = Path(tmp_path_factory.mktemp("micro")) / "run.json"
    command = [sys.executable, "-m", "pytest", "benchmarks/micro/bench_rankers.py", "-q"]
    command += ["-k", "test_read_cues", "--benchmark-only", f"--benchmark-json={path}"]
    command += ["-p", "no:cacheprovider"]
    # Beside other processes of pytest-xdist, pytest-benchmark would measure nothing.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    return path


def report(**medians: float) -> dict[str, Any]:
    figures = {
        name: {"min": median / 2, "median": median, "iqr": 1.0, "rounds": 9}
        for name, median in medians.items()
    }
    about = {**dict.fromkeys(KEPT, "x"), "runs": 1}
    return {"command": "c", **about, "unit": "microseconds", "figures": figures}


def saved(folder: Path, name: str, **medians: float) -> str:
    write(report(**medians), folder / name)
    return str(folder / name)


@pytest.mark.slow
def test_what_is_kept_of_a_run(run: Path, tmp_path: Path) -> None:
    assert main(["save", str(run), str(tmp_path / "small.json")]) == 0
    text = (tmp_path / "small.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert set(found) == KEPT | {"command", "unit", "figures"}
    assert list(found["figures"]) == [
        "rankers: read_cues_of_a_chat_turn",
        "rankers: read_cues_of_a_long_answer",
    ]
    for figures in found["figures"].values():
        assert set(figures) == {"min", "median", "iqr", "rounds"}
        assert 0 < figures["min"] <= figures["median"] < 1e5
    assert str(ROOT) not in text
    assert "node" not in json.loads(run.read_text(encoding="utf-8"))["machine_info"]
    assert load(tmp_path / "small.json") == load(run) == found
    assert main(["compare", str(run), str(tmp_path / "small.json")]) == 0


def test_the_committed_baseline() -> None:
    found = load(BASELINE)
    text = BASELINE.read_text(encoding="utf-8")
    assert {name.partition(":")[0] for name in found["figures"]} == {
        "embedding",
        "indexes",
        "rankers",
        "recall",
    }
    assert set(found) == KEPT | {"command", "unit", "figures"}
    assert not any(private in text for private in ("/home/", "/root", "/tmp", str(ROOT)))
    assert len(text) < 40_000


def test_of_several_runs_each_benchmarks_best(tmp_path: Path) -> None:
    one = saved(tmp_path, "one.json", a=10.0, b=30.0)
    two = saved(tmp_path, "two.json", a=20.0, b=5.0, c=1.0)
    assert main(["save", one, two, str(tmp_path / "best.json")]) == 0
    found = load(tmp_path / "best.json")
    medians = {name: figures["median"] for name, figures in found["figures"].items()}
    assert medians == {"a": 10.0, "b": 5.0, "c": 1.0}
    assert (found["runs"], found["commit"]) == (2, "x")
    elsewhere = {**report(a=1.0), "commit": "y"}
    assert best([found, elsewhere])["commit"] == "x, y"
    with pytest.raises(InvalidInputError, match="cores is x in one and 64 in another"):
        best([found, {**elsewhere, "cores": 64}])


def test_slower_is_what_is_slower_in_median_and_minimum(tmp_path: Path) -> None:
    before, after = report(a=10.0, b=10.0, c=10.0), report(a=16.0, b=16.0, c=4.0)
    after["figures"]["b"]["min"] = 5.0  # a busy moment, not a slower benchmark
    rows = compare(before, after, tolerance=1.5, relative=False)
    assert [(row.name, row.ratio, row.slower) for row in rows] == [
        ("a", 1.6, True),
        ("b", 1.0, False),
        ("c", 0.4, False),
    ]
    assert (rows[0].before, rows[0].after) == (10.0, 16.0)


def test_relative_to_the_speed_that_all_share() -> None:
    before, after = report(a=10.0, b=10.0, c=10.0), report(a=20.0, b=20.0, c=60.0)
    rows = compare(before, after, tolerance=1.5, relative=True)
    assert [(row.name, row.ratio, row.slower) for row in rows] == [
        ("c", 3.0, True),
        ("a", 1.0, False),
        ("b", 1.0, False),
    ]


def test_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = saved(tmp_path, "old.json", kept=10.0, same=5.0, gone=1.0)
    new = saved(tmp_path, "new.json", kept=30.0, same=5.0, fresh=1.0)
    assert main(["compare", old, old]) == 0
    assert main(["compare", old, new]) == 1
    said = capsys.readouterr().out
    assert "only before: gone" in said
    assert "only after: fresh" in said
    assert "1 of 2 became slower" in said
    assert main(["compare", old, new, "--tolerance", "4"]) == 0
    assert main(["compare", old, str(tmp_path / "nowhere.json")]) == 2
    assert "nowhere.json is not a run" in capsys.readouterr().err


def test_a_name_in_brackets_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = saved(tmp_path, "old.json", **{"rank[balanced]": 10.0})
    new = saved(tmp_path, "new.json", **{"rank[balanced]": 30.0})
    assert main(["compare", old, new]) == 1
    assert "rank[balanced]" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"figures": {}}', '{"machine_info": {}}'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"Make (one|both) with: .*pytest benchmarks/micro"):
        compare(load(path), copy.deepcopy(report(a=1.0)), tolerance=1.5, relative=False)
