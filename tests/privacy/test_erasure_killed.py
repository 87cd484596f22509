"""An erasure that is killed at any moment is ended by the next opening, without being asked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import open_memory
from tests.durability.on_disk import found
from tests.durability.support import environment
from tests.privacy.child_forgetting import POINTS
from tests.privacy.test_erasure import ANA, BEN, SETTINGS, Said, fill, state_of

FEW = ("the rows are gone",)


async def killed(tmp_path: Path, points: Sequence[str]) -> dict[str, Path]:
    """For each point a copy of one store, in which a user was being forgotten."""
    folder = tmp_path / "store"
    async with open_memory(str(folder), **SETTINGS) as memory:
        await fill(memory, ANA, Said("a"), "talk of ana")
        await fill(memory, BEN, Said("b"), "talk of ben")
    places = {point: tmp_path / point.replace(" ", "-") for point in points}
    for place in places.values():
        shutil.copytree(folder, place)
    orders = [word for point, place in places.items() for word in (str(place), point)]
    script = Path(__file__).with_name("child_forgetting.py")
    done = subprocess.run(  # noqa: ASYNC221
        [sys.executable, str(script), ANA, *orders],
        env=environment(), capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return places


async def check(places: dict[str, Path], tmp_path: Path) -> None:
    async with open_memory(str(tmp_path / "store"), **SETTINGS) as memory:
        untouched = await state_of(memory, BEN)
    words = {
        person: [f"zq{person}{number:03}".ljust(16, "x") for number in range(60)]
        for person in ("a", "b")
    }
    for point, place in places.items():
        note = place / "erasure" / "under-way.json"
        assert json.loads(note.read_text())[0]["user_id"] == ANA, point
        async with open_memory(str(place), **SETTINGS) as memory:
            assert not await memory.recall("what did we talk about", user_id=ANA), point
            assert not note.exists(), point
            receipts = await memory.erasure_receipts()
            assert len(receipts) == 1, point
            assert receipts[0].ok, (point, receipts[0])
            assert (receipts[0].resumed, receipts[0].counts["messages"]) == (1, 13), point
            assert await memory.verify_receipt(receipts[0], ANA), point
            assert await state_of(memory, BEN) == untouched, point
            assert (await memory.health())["status"] == "ok", point
        assert await found(place, [*words["a"], ANA.partition(".")[2]]) == {}, point
        assert ANA.encode() not in b"".join(
            path.read_bytes() for path in place.rglob("*") if path.is_file()
        ), point
        assert await found(place, words["b"]), point


async def test_it_is_ended_by_the_next_opening(tmp_path: Path) -> None:
    await check(await killed(tmp_path, FEW), tmp_path)


@pytest.mark.slow
async def test_it_is_ended_wherever_it_was_killed(tmp_path: Path) -> None:
    await check(await killed(tmp_path, [one for one in POINTS if one not in FEW]), tmp_path)


async def test_a_damaged_note_is_told_and_stops_no_opening(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    async with open_memory(str(folder), **SETTINGS) as memory:
        await memory.store_message(Message(role="user", content="hello"), "a", user_id="ana")
    (folder / "erasure").mkdir(mode=0o700)
    (folder / "erasure" / "under-way.json").write_text('[{"id": "x"')
    async with open_memory(str(folder), **SETTINGS) as memory:
        health = await memory.health()
        assert health["status"] == "degraded"
        assert "under-way.json" in health["problems"]["forget a user"]
        assert len(await memory.retrieve_messages("a")) == 1
