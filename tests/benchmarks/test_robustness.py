"""The robustness benchmark: its treatments are what they say, and what is lost is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.robustness import stores, treatments
from benchmarks.robustness.__main__ import main
from benchmarks.robustness.table import as_markdown
from benchmarks.robustness.treatments import Left, child, look

pytestmark = pytest.mark.slow


def fill(name: str, folder: Path, rows: int) -> None:
    with child("fill", name, folder, first=0, rows=rows) as process:
        assert process.opened(), process.failed
        process.wait()


async def test_what_is_lost_doubled_or_broken_is_counted(tmp_path: Path) -> None:
    peer: Any = stores.make("lancedb")
    await peer.open(tmp_path)
    for number in (0, 1, 1, 2):
        await peer.add_one(stores.row(number))
    assert sorted(await stores.held("lancedb", peer)) == [0, 1, 1, 2]
    await peer.close()
    left = look("lancedb", tmp_path, [0, 1, 2, 3])
    assert left == Left(True, 4, lost=1, doubled=1, found=3, asked=4)


def test_a_store_that_does_not_open_has_lost_everything(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text("{")
    left = look("ours", tmp_path, [0, 1])
    assert (left.opens, left.lost, left.found) == (False, 2, 0)
    assert left.problem is not None
    assert "NotAStoreError" in left.problem


def test_rows_are_the_same_in_any_process() -> None:
    one, other = stores.row(7), stores.row(7)
    assert one.text == other.text
    assert np.array_equal(one.vector, other.vector)
    assert np.linalg.norm(one.vector) == pytest.approx(1)
    assert stores.word(7) in one.text
    assert stores.word(7) not in stores.row(77).text.split()


def test_ours_is_killed_and_keeps_what_it_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(treatments, "_KILLED_WITHIN", (0.02, 0.1))
    done = treatments.kill_while_writing("ours", tmp_path, kills=1, seed=1)
    assert (done.kills, done.did_not_open) == (1, 0)
    assert done.left.acknowledged > 0
    assert done.left == Left(
        True, done.left.acknowledged, found=done.left.asked, asked=done.left.asked
    )


@pytest.mark.slow
def test_the_whole_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(treatments, "_KILLED_WITHIN", (0.02, 0.2))
    figures, table = tmp_path / "figures.json", tmp_path / "table.md"
    options = "--store ours --store lancedb --kills 2 --writers 2 --rows 5 --indexed 50 --files 2"
    assert main([*options.split(), "--json", str(figures), "--table", str(table)]) == 0
    report = json.loads(figures.read_text())
    ours = report["stores"]["ours"]
    for part in ("kills", "at_once"):
        left = ours[part]["left"]
        assert (left["opens"], left["lost"], left["doubled"]) == (True, 0, 0)
    assert ours["kills"]["kills"] == 2
    assert ours["at_once"]["refused_to_open"] == 1
    assert "StoreLockedError" in ours["at_once"]["said"]
    assert ours["at_once"]["left"]["acknowledged"] == 5
    assert ours["indexes"]["files"] == ours["indexes"]["whole"] == 2
    assert report["stores"]["lancedb"]["at_once"]["left"]["acknowledged"] > 5
    assert table.read_text() == as_markdown(report)
    assert "| **kill -9 while it writes** | 2 kills | 2 kills |" in table.read_text()


def test_a_store_that_fails_is_named_in_the_table() -> None:
    report = {"rows": 1, "stores": {"mem0": {"failed": "MissingDependencyError: mem0ai"}}}
    assert "- `mem0` failed: MissingDependencyError: mem0ai" in as_markdown(report)
