"""A third projection, an audit trail, without a change of any other file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message

from bruno_memory_vec import open_memory
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.writing.projections import Change, Problem, Progress, RowFacts, Standing


class Trail:
    """Which rows came, and which went, as lines of a file."""

    name = "audit"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fails = False

    def _lines(self) -> list[list[str]]:
        if not self.path.exists():
            return []
        return [line.split() for line in self.path.read_text(encoding="utf-8").splitlines()]

    def _held(self) -> set[int]:
        held: set[int] = set()
        for did, seq in self._lines():
            (held.add if did == "came" else held.discard)(int(seq))
        return held

    def _write(self, did: str, seqs: Sequence[int]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(f"{did} {seq}\n" for seq in seqs)

    async def standing(self) -> Standing:
        return Standing(max((int(seq) for _, seq in self._lines()), default=-1), len(self._held()))

    async def before(self, change: Change) -> None:
        return None

    async def apply(self, change: Change) -> None:
        if self.fails:
            raise OSError("the disk of the trail is full")
        self._write("went", change.removed.tolist())
        if change.table is not None:
            self._write("came", change.table.column("seq").to_pylist())

    async def settle(self) -> bool:
        return False

    async def catch_up(self, rows: RowIndex, progress: Progress | None) -> Sequence[int]:
        held = self._held()
        there = {
            seq
            async for batch in rows.after(-1, ["seq"])
            for seq in batch.column("seq").to_pylist()
        }
        self._write("went", sorted(held - there))
        self._write("came", sorted(there - held))
        return ()

    async def compare(self, facts: RowFacts, stood: Standing) -> Sequence[Problem]:
        if stood.count == facts.count:
            return []
        return [Problem("audit", f"{stood.count} of {facts.count} rows", "Open it again.")]

    async def health(self) -> dict[str, Any]:
        return {"lines": len(self._lines())}

    async def close(self) -> None:
        return None


def said(text: str) -> Message:
    return Message(role="user", content=text)


@pytest.mark.parametrize("kept", [True, False], ids=["folder", "memory"])
async def test_it_follows(tmp_path: Path, kept: bool) -> None:
    trail = Trail(tmp_path / "trail")
    url = str(tmp_path / "store") if kept else "memory://"
    async with open_memory(url, embedder="hash", projections=[trail]) as memory:
        first = said("one")
        await memory.store_messages([first, said("two")], "talk", user_id="ana")
        await memory.store_message(first.model_copy(update={"content": "one again"}), "talk")
        fact = MemoryEntry(content="a fact", memory_type=MemoryType.FACT, user_id="ana")
        await memory.store_memory(fact)
        await memory.delete_memory(str(fact.id))
        assert trail._lines() == [
            ["came", "0"],
            ["came", "1"],
            ["went", "0"],
            ["came", "2"],
            ["came", "3"],
            ["went", "3"],
        ]
        assert (await memory.health())["audit"] == {"lines": 6}
        assert (await memory.maintain()).ok
        trail._write("came", [99])
        (problem,) = (await memory.maintain()).problems
        assert (problem.part, problem.found) == ("audit", "3 of 2 rows")


async def test_it_catches_up_with_what_it_missed(tmp_path: Path) -> None:
    store, trail = str(tmp_path / "store"), Trail(tmp_path / "trail")
    async with open_memory(store, embedder="hash") as memory:
        await memory.store_messages([said("one"), said("two")], "talk", user_id="ana")
    async with open_memory(store, embedder="hash", projections=[trail]) as memory:
        assert trail._held() == {0, 1}
        # Where it fails, the row is stored all the same, and it follows before the next write.
        trail.fails = True
        await memory.store_message(said("three"), "talk", user_id="ana")
        assert len(await memory.retrieve_messages("talk")) == 3
        problems = (await memory.health())["problems"]
        assert "disk of the trail" in problems["follow the rows in the audit"]
        trail.fails = False
        await memory.store_message(said("four"), "talk", user_id="ana")
        assert trail._held() == {0, 1, 2, 3}
        assert (await memory.health())["problems"] == {}
