"""A folder that is moved, deleted or replaced while it is open: nothing is written elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import StoreError, StoreMovedError
from tests.durability.support import message

pytestmark = pytest.mark.skipif(os.name != "posix", reason="open folders cannot be moved there")


async def say(memory: VectorMemory, text: str) -> None:
    await memory.store_message(message(text), "talk", user_id="ana")


async def said(folder: Path) -> list[str]:
    """What a store has; it is verified, too."""
    async with open_memory(str(folder), embedder="hash") as memory:
        assert (await memory.maintain()).ok
        return [m.content for m in await memory.retrieve_messages("talk")][::-1]


async def make(folder: Path, *texts: str) -> None:
    async with open_memory(str(folder), embedder="hash") as memory:
        for text in texts:
            await say(memory, text)


def content(folder: Path) -> dict[str, str]:
    """Each file of a folder, by a hash of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


CALLS: dict[str, Callable[[VectorMemory], Awaitable[object]]] = {
    "store": lambda memory: say(memory, "after"),
    "recall": lambda memory: memory.recall("before", user_id="ana"),
    "context": lambda memory: memory.get_context("ana", "talk"),
    "read": lambda memory: memory.retrieve_messages("talk"),
    "delete": lambda memory: memory.clear_history("talk"),
    "session": lambda memory: memory.create_session("ana"),
    "maintain": lambda memory: memory.maintain(),
    "reembed": lambda memory: memory.reembed("hash"),
}


async def refused(memory: VectorMemory) -> None:
    for name, call in CALLS.items():
        with pytest.raises(StoreMovedError, match="moved, deleted or replaced") as refusal:
            await call(memory)
        assert "open the memory again" in refusal.value.fix, name
    health = await memory.health()
    assert health["status"] == "degraded"
    assert "moved, deleted or replaced" in health["problems"]["rows"]


async def test_renamed_and_moved_back(tmp_path: Path) -> None:
    folder, away = tmp_path / "store", tmp_path / "away"
    memory = await open_memory(str(folder), embedder="hash")
    await say(memory, "before")
    folder.rename(away)
    await refused(memory)
    await asyncio.sleep(2.5)  # what runs in the background makes no folder either
    assert not folder.exists()
    away.rename(folder)
    await say(memory, "after")
    assert len(await memory.recall("before", user_id="ana")) == 2
    await memory.close()
    assert await said(folder) == ["before", "after"]


async def test_renamed_and_closed(tmp_path: Path) -> None:
    """What was acknowledged is where the folder is now."""
    folder, away = tmp_path / "store", tmp_path / "away"
    memory = await open_memory(str(folder), embedder="hash")
    await say(memory, "before")
    folder.rename(away)
    await memory.close()
    assert not folder.exists()
    assert await said(away) == ["before"]


async def test_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    memory = await open_memory(str(folder), embedder="hash")
    await say(memory, "before")
    shutil.rmtree(folder)
    await refused(memory)
    folder.mkdir()  # it may get the number of the one before
    await refused(memory)
    await asyncio.sleep(2.5)
    await memory.close()
    assert list(folder.iterdir()) == []
    await make(folder, "anew")
    assert await said(folder) == ["anew"]


@pytest.mark.parametrize("by", ["a folder", "a link", "an open store"])
async def test_replaced_by_another_store(tmp_path: Path, by: str) -> None:
    folder, other, away = tmp_path / "store", tmp_path / "other", tmp_path / "away"
    # So that both have files of the same names.
    await make(folder, "one")
    await make(other, "foreign")
    memory = await open_memory(str(folder), embedder="hash")
    await say(memory, "before")
    folder.rename(away)
    opened = None
    if by == "a link":
        folder.symlink_to(other)
    else:
        other.rename(folder)
        other = folder
    if by == "an open store":
        opened = await open_memory(str(folder), embedder="hash")
        await say(opened, "foreign too")
    found = content(other)
    await refused(memory)
    if opened is None:
        await asyncio.sleep(2.5)
    await memory.close()
    if opened is None:
        assert content(other) == found
        assert await said(other) == ["foreign"]
    else:
        assert len(await opened.retrieve_messages("talk")) == 2
        await opened.close()
        assert await said(other) == ["foreign", "foreign too"]
    assert await said(away) == ["one", "before"]


async def test_a_reader_never_sees_another_store(tmp_path: Path) -> None:
    folder, other, away = tmp_path / "store", tmp_path / "other", tmp_path / "away"
    await make(folder, "before")
    await make(other, "foreign")
    reader = await open_memory(str(folder), embedder="hash", read_only=True)
    assert len(await reader.retrieve_messages("talk")) == 1
    folder.rename(away)
    with pytest.raises(StoreMovedError):
        await reader.retrieve_messages("talk")
    other.rename(folder)
    for name in ("recall", "read", "context"):
        with pytest.raises(StoreMovedError):
            await CALLS[name](reader)
    folder.rename(other)
    away.rename(folder)
    assert [m.content for m in await reader.retrieve_messages("talk")] == ["before"]
    await reader.close()


@pytest.mark.parametrize("part", ["rows", "rows/rows.lance", "sessions.sqlite", "writer.lock"])
async def test_a_part_of_it_that_is_gone(tmp_path: Path, part: str) -> None:
    """Also the lock: without its file, another process could take it."""
    folder, away = tmp_path / "store", tmp_path / "away"
    memory = await open_memory(str(folder), embedder="hash")
    await say(memory, "before")
    (folder / part).rename(away)
    await refused(memory)
    assert not (folder / part).exists()
    away.rename(folder / part)
    await say(memory, "after")
    await memory.close()
    assert await said(folder) == ["before", "after"]


async def test_a_log_that_is_gone(tmp_path: Path) -> None:
    """Rows go to a file that can be found again, or are not acknowledged."""
    folder = tmp_path / "store"
    memory = await open_memory(str(folder), embedder="hash")
    await say(memory, "one")
    shutil.rmtree(folder / "rows" / "log")
    await say(memory, "two")
    (folder / "rows" / "log").rename(tmp_path / "away")
    await say(memory, "three")
    await memory.close()
    assert await said(folder) == ["one", "two", "three"]


async def test_moved_amid_writes(tmp_path: Path) -> None:
    """Each acknowledged row is in the store, wherever it is; the new place has nothing."""
    folder, away = tmp_path / "store", tmp_path / "away"
    memory = await open_memory(str(folder), embedder="hash")
    acknowledged: list[str] = []

    async def write(writer: int) -> None:
        for number in range(1000):
            text = f"{writer} {number}"
            await memory.store_message(message(text), f"talk {writer}", user_id="ana")
            acknowledged.append(text)
            await asyncio.sleep(0)

    writers = [asyncio.create_task(write(one)) for one in range(4)]
    while len(acknowledged) < 50:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await asyncio.to_thread(folder.rename, away)
    ends = await asyncio.gather(*writers, return_exceptions=True)
    assert all(isinstance(end, StoreError) for end in ends), ends
    await memory.close()
    assert not folder.exists()
    async with open_memory(str(away), embedder="hash") as again:
        assert (await again.maintain()).ok
        stored = [
            one.content for n in range(4) for one in await again.retrieve_messages(f"talk {n}")
        ]
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)
