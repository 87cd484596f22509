"""A user's projection that fails: nothing waits for it, and health() says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import EngineError, InvalidInputError
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.writing.projections import Change, Problem, Progress, RowFacts, Standing

pytestmark = pytest.mark.slow


class Failing:
    """Fails in the methods that it is told."""

    name = "mine"

    def __init__(self, *fails: str, error: type[BaseException] = OSError) -> None:
        self.fails = set(fails)
        self._error = error
        self.held = -1

    def _maybe(self, method: str) -> None:
        if method in self.fails:
            raise self._error(f"no {method}")

    async def standing(self) -> Standing:
        self._maybe("standing")
        return Standing(self.held)

    async def before(self, change: Change) -> None:
        self._maybe("before")

    async def apply(self, change: Change) -> None:
        self._maybe("apply")
        self.held = self.held if change.last_seq is None else change.last_seq

    async def settle(self) -> bool:
        self._maybe("settle")
        return False

    async def catch_up(self, rows: RowIndex, progress: Progress | None) -> Sequence[int]:
        self._maybe("catch_up")
        self.held = await rows.last_seq()
        return ()

    async def compare(self, facts: RowFacts, stood: Standing) -> Sequence[Problem]:
        self._maybe("compare")
        return ()

    async def health(self) -> dict[str, Any]:
        self._maybe("health")
        return {"held": self.held}

    async def close(self) -> None:
        self._maybe("close")


def said(text: str) -> Message:
    return Message(role="user", content=text)


@pytest.mark.parametrize("error", [OSError, asyncio.CancelledError])
@pytest.mark.parametrize(
    "fails", ["before", "apply", "apply catch_up", "catch_up", "standing", "compare", "health"]
)
async def test_writing_and_opening_go_on(
    tmp_path: Path, fails: str, error: type[BaseException]
) -> None:
    folder, mine = str(tmp_path / "store"), Failing(error=error)
    async with open_memory(folder, embedder="hash", projections=[mine]) as memory:
        mine.fails = set(fails.split())
        for text in ("one", "two", "three"):
            await memory.store_message(said(text), "talk", user_id="ana")
        newest = (await memory.read_turns("talk"))[-1].message
        assert await memory.delete_messages(newest.id) == 1
        problems = (await memory.health())["problems"]
        if mine.fails & {"before", "apply"}:
            assert "mine failed to" in problems["follow the rows in the mine"]
        elif fails == "health":
            assert "mine failed to tell of its health" in problems["mine"]
        report = await memory.maintain()
        assert [one.part for one in report.problems] == (
            ["mine"] if fails in ("standing", "compare") else []
        )
        if "catch_up" in fails.split() and "apply" in fails:
            assert "catch up" in (await memory.health())["problems"]["follow the rows in the mine"]
        mine.fails = set()
        await memory.store_message(said("four"), "talk")
        assert mine.held == 3
        await memory.maintain()
        assert (await memory.health())["status"] == "ok"
    again = Failing(*fails.split(), error=error)
    async with open_memory(folder, embedder="hash", projections=[again]) as memory:
        texts = [turn.message.content for turn in await memory.read_turns("talk")]
        assert texts == ["one", "two", "four"]
        if "catch_up" in again.fails:
            assert "follow the rows in the mine" in (await memory.health())["problems"]


async def test_a_deletion_alone_that_it_misses_is_in_health(tmp_path: Path) -> None:
    mine, first = Failing(), said("one")
    async with open_memory("memory://", embedder="hash", projections=[mine]) as memory:
        await memory.store_message(first, "talk", user_id="ana")
        mine.fails = {"apply"}
        assert await memory.delete_messages(first.id) == 1
        assert "follow the rows in the mine" in (await memory.health())["problems"]


async def test_one_that_does_not_close_lets_the_others(tmp_path: Path) -> None:
    folder = str(tmp_path / "store")
    memory = await open_memory(folder, embedder="hash", projections=[Failing("close")])
    with pytest.raises(EngineError, match="mine failed to close"):
        await memory.close()
    async with open_memory(folder, embedder="hash"):
        pass


@pytest.mark.parametrize("given", [None, 5, ["x"], [object()], [Failing(), Failing()]])
def test_what_is_no_projection_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        VectorMemory("memory://", projections=given)
    assert refusal.value.field == "projections"


def test_a_name_that_health_has_is_refused() -> None:
    mine = Failing()
    mine.name = "rows"
    with pytest.raises(InvalidInputError, match="taken"):
        VectorMemory("memory://", projections=[mine])
