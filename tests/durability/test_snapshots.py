"""Copies of a store that is open: by a snapshot whole, by a copier of files whole or told."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory, snapshot_store
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError, NotAStoreError
from tests.durability.support import environment, message, rows_of, sessions_written
from tests.torture.faults import doctor, said

USER = "default"


async def contents(memory: VectorMemory) -> set[str]:
    return {row["content"] for row in await rows_of(memory)}


class Writer:
    """Writes to a memory, and knows what was acknowledged and deleted, with the time of each."""

    def __init__(self, memory: VectorMemory, seed: int) -> None:
        self.memory = memory
        self.draw = random.Random(seed)
        self.acknowledged: dict[str, float] = {}
        self.deleted: set[str] = set()
        self.task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        number = 0
        while True:
            many = self.draw.choice([1, 1, 1, 3, 600])
            texts = [f"text {number + offset}" for offset in range(many)]
            number += many
            talk = f"talk {self.draw.randrange(3)}"
            await self.memory.store_messages([message(text) for text in texts], talk)
            self.acknowledged |= dict.fromkeys(texts, time.monotonic())
            if self.draw.random() < 0.1:
                gone = await self.memory.retrieve_messages(talk)
                await self.memory.clear_history(talk, keep_system_messages=False)
                self.deleted.update(one.content for one in gone)
            if self.draw.random() < 0.05:
                await self.memory.maintain()
            await asyncio.sleep(self.draw.random() * 0.01)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[VectorMemory]:
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        yield memory


async def check(folder: Path, before: set[str], writer: Writer) -> None:
    """A copy is sound, and has what was acknowledged before it, but for what was deleted."""
    code, report = await asyncio.to_thread(doctor, folder)
    assert code == 0, report
    async with open_memory(str(folder), embedder="hash") as copy:
        found = await contents(copy)
        assert before - writer.deleted <= found
        assert (await copy.health())["problems"] == {}
        assert (await copy.maintain()).verified
        for talk in ("talk 0", "talk 1", "talk 2"):
            context = await copy.get_context(user_id=USER, session_id=talk)
            assert {one.content for one in context.messages} <= found
        await copy.store_message(message("goes on"), "talk 0")


@pytest.mark.slow
async def test_snapshots_beside_writes(memory: VectorMemory, tmp_path: Path) -> None:
    writer = Writer(memory, 1)
    for number in range(2):
        await asyncio.sleep(0.2)
        before = set(writer.acknowledged)
        report = await memory.snapshot(tmp_path / f"copy {number}")
        assert report.ok, report
        await check(tmp_path / f"copy {number}", before, writer)
    await writer.stop()
    # By another process, or a reader, without the writer's help.
    async with open_memory(str(tmp_path / "store"), embedder="hash", read_only=True) as reader:
        writer = Writer(memory, 2)
        before = await contents(memory)
        assert (await reader.snapshot(tmp_path / "by a reader")).ok
        assert "writer.lock" not in os.listdir(tmp_path / "by a reader")
        await check(tmp_path / "by a reader", before, writer)
        await writer.stop()
    assert not [path for path in os.listdir(tmp_path) if path.endswith(".part")]


async def test_a_snapshot_takes_the_place_of_a_lost_store(
    memory: VectorMemory, tmp_path: Path
) -> None:
    folder = tmp_path / "store"
    await memory.store_message(message("the ferry leaves at nine"), "talk 0")
    (tmp_path / "copy").mkdir()
    report = await memory.snapshot(tmp_path / "copy")
    assert (report.rows, report.ok) == (1, True)
    assert "1 row in" in str(report)
    assert report.to_dict()["rows"] == 1
    await memory.store_message(message("after it"), "talk 0")
    await memory.close()
    shutil.rmtree(folder)
    shutil.move(tmp_path / "copy", folder)
    async with open_memory(str(folder), embedder="hash") as again:
        assert await contents(again) == {"the ferry leaves at nine"}
        assert (await again.recall("when does the ferry leave", user_id=USER))[0].signals
        assert (await again.health())["problems"] == {}


async def test_what_harms_the_store_does_not_harm_its_snapshot(
    memory: VectorMemory, tmp_path: Path
) -> None:
    await memory.store_messages([message(f"text {number}") for number in range(20)], "talk 0")
    await memory.snapshot(tmp_path / "copy")
    await memory.close()
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file():
            path.write_bytes(b"written over")
    assert (await asyncio.to_thread(doctor, tmp_path / "copy"))[0] == 0
    async with open_memory(str(tmp_path / "copy"), embedder="hash") as copy:
        assert await contents(copy) == {f"text {number}" for number in range(20)}


async def test_what_is_refused(memory: VectorMemory, tmp_path: Path) -> None:
    await memory.store_message(message("one"), "talk 0")
    full = tmp_path / "full"
    full.mkdir()
    (full / "a file").write_text("kept")
    (tmp_path / "a file").write_text("kept")
    before = sorted(os.listdir(tmp_path))
    for target in (full, tmp_path / "a file", tmp_path / "store", tmp_path / "store" / "inside"):
        with pytest.raises(InvalidInputError, match="folder"):
            await memory.snapshot(target)
    with pytest.raises(InvalidInputError, match="folder"):
        await memory.snapshot("memory://")
    with pytest.raises(ForeignUserError):
        await memory.for_user("ana").snapshot(tmp_path / "view")
    with pytest.raises(NotAStoreError):
        await snapshot_store(str(tmp_path / "none"), tmp_path / "copy")
    async with open_memory("memory://", embedder="hash") as in_memory:
        with pytest.raises(InvalidInputError, match="no folder"):
            await in_memory.snapshot(tmp_path / "copy")
    assert sorted(os.listdir(tmp_path)) == before
    assert (full / "a file").read_text() == "kept"
    assert "inside" not in os.listdir(tmp_path / "store")


async def test_a_snapshot_that_is_cancelled_leaves_nothing(
    memory: VectorMemory, tmp_path: Path
) -> None:
    await memory.store_messages([message(f"text {number}") for number in range(2000)], "talk 0")
    for delay in (0.0, 0.01, 0.05, 0.2):
        task = asyncio.create_task(memory.snapshot(tmp_path / "copy"))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            assert sorted(os.listdir(tmp_path)) == ["store"]
        else:
            shutil.rmtree(tmp_path / "copy")
    await memory.store_message(message("goes on"), "talk 0")


async def test_nobody_else_may_read_a_snapshot(memory: VectorMemory, tmp_path: Path) -> None:
    await memory.store_message(message("one"), "talk 0")
    await memory.snapshot(tmp_path / "copy")
    for path, _, names in os.walk(tmp_path / "copy"):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
        for name in names:
            assert not stat.S_IMODE(os.stat(os.path.join(path, name)).st_mode) & 0o077, name


def _copy_slowly(source: Path, target: Path, order: str, seed: int) -> None:
    """File by file, with pauses, as a backup program does it; what is gone is left out."""
    draw = random.Random(seed)
    paths = [path for path in source.rglob("*") if path.is_file()]
    if order == "shuffled":
        draw.shuffle(paths)
    else:
        paths.sort(reverse=order == "backwards")
    for path in paths:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(path, copy)
        except FileNotFoundError:
            continue
        time.sleep(draw.random() * 0.02)


async def doctor_by_itself(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """As :func:`doctor`, in its own process: beside a busy writer it would wait for its turns."""
    command = ("doctor", "--json", *options, "--store", str(folder), "--embedder", "hash")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bruno_memory_vec",
        *command,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if b"Traceback" in err or process.returncode is None:
        raise AssertionError(err.decode()[-4000:])
    return process.returncode, json.loads(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    "order",
    ["forwards", "backwards", "shuffled"],
)
async def test_a_slow_copy_is_whole_or_told(
    memory: VectorMemory, tmp_path: Path, order: str
) -> None:
    """Each copy opens and tells of each row that it lacks; or it says why it cannot be opened."""
    writer = Writer(memory, 3)
    await asyncio.sleep(0.5)
    told: list[str] = []
    for seed in range(1):
        copy = tmp_path / f"copy {seed}"
        copy.mkdir()
        before = dict(writer.acknowledged)
        await sessions_written(memory)
        await asyncio.to_thread(_copy_slowly, tmp_path / "store", copy, order, seed)
        code, report = await doctor_by_itself(copy, "--repair")
        if code != 0:
            # What no version has whole is told, with what to do.
            assert "snapshot" in str(report), report
            told.append("cannot be read")
            continue
        repaired: dict[str, Any] = report.get("repaired", {})
        lost = len(repaired.get("losses", {}).get("lost", ()))
        async with open_memory(str(copy), embedder="hash") as opened:
            found = await contents(opened)
            assert (await opened.health())["problems"] == {}
            assert (await opened.maintain()).verified
            assert not [text for text in found if not re.fullmatch(r"text \d+", text)]
        missing = set(before) - writer.deleted - found
        assert len(missing) <= lost or not missing, (len(missing), lost, said(report, "losses"))
        told.append(f"{lost} lost")
    await writer.stop()
    assert told
