"""The row log between real processes and a real LanceDB that fails."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import BackendUnavailable, EngineError
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.lance.memtable import MEMTABLE_ROWS
from bruno_memory_vec.indexers.lance.write_ahead_log import segments
from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import LOG, row_schema
from bruno_memory_vec.indexers.uses import count_uses
from bruno_memory_vec.testing.rows import message as row
from bruno_memory_vec.testing.rows import table
from tests.durability.child_logger import DIMENSION
from tests.durability.support import HERE, Child, message, rows_of

EVERYTHING = (Scope.all_users(), RowFilter())


async def open_logged(folder: Path, **how: bool) -> WriteAheadLogIndex:
    inner = await LanceIndex.open(str(folder), DIMENSION, **how)
    index = WriteAheadLogIndex(inner, folder / LOG, row_schema(DIMENSION), **how)
    await index.replay()
    return index


def some(*seqs: int) -> Any:
    return table([row(seq, f"number {seq}") for seq in seqs], DIMENSION)


async def seqs_of(index: WriteAheadLogIndex) -> list[int]:
    found: list[int] = (await index.read(*EVERYTHING, ["seq"])).column("seq").to_pylist()
    return sorted(found)


class Listening(threading.Thread):
    """Hears what a child says; ``newest`` is the last number."""

    def __init__(self, child: Child) -> None:
        super().__init__(daemon=True)
        self.child = child
        self.newest = -1
        self.start()

    def run(self) -> None:
        while (heard := self.child.hear()).isdecimal():
            self.newest = int(heard)


async def test_a_reader_sees_every_row_at_once_and_once(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    child = Child(HERE / "child_logger.py", folder)
    assert child.hear() == "open"
    reader = await open_logged(folder, read_only=True)
    child.say("begin")
    heard = Listening(child)
    looks, from_log, from_both, versions, told = 0, 0, 0, set(), False
    while heard.is_alive():
        if not told and looks > 20 and from_both > 5 and len(versions) > 10:
            child.say("end")
            told = True
        acknowledged, before = heard.newest, await reader.version()
        inner = await reader.inner.count(*EVERYTHING)
        found = await seqs_of(reader)
        assert found == list(range(len(found))), "a row is missing or doubled"
        assert len(found) > acknowledged
        assert await reader.count(*EVERYTHING) >= len(found)
        streamed = [n async for part in reader.after(-1, ["seq"]) for n in part[0].to_pylist()]
        assert sorted(streamed) == list(range(len(streamed)))
        assert len(streamed) >= len(found)
        near = await reader.search([0.5] * DIMENSION, *EVERYTHING, 10**6)  # type: ignore[arg-type]
        assert sorted(near.seq.tolist()) == list(range(len(near)))
        if len(found) < len(streamed):
            assert await reader.version() != before
        looks, versions = looks + 1, {*versions, before}
        from_log += inner == 0 and bool(found)
        from_both += 0 < inner < len(found)
        await asyncio.sleep(0)
    assert child.end() == 0
    assert await seqs_of(reader) == list(range(heard.newest + 1))
    await reader.close()
    print(f"{looks} looks at {heard.newest + 1} rows, {from_both} while the log had some")
    assert told, "the writer ended by itself: this shows nothing"


async def test_a_reader_of_a_killed_writer(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    child = Child(HERE / "child_logger.py", folder)
    assert child.hear() == "open"
    child.say("begin")
    while not (said := child.hear()).isdecimal() or int(said) < 200:
        pass
    heard = Listening(child)
    child.process.kill()
    heard.join()
    child.end()
    reader = await open_logged(folder, read_only=True)
    found = await seqs_of(reader)
    assert found == list(range(len(found)))
    assert len(found) > heard.newest
    writer = await open_logged(folder)
    assert await seqs_of(writer) == await seqs_of(reader) == found
    assert segments(folder / LOG) == []
    await writer.close()
    await reader.close()


async def test_rows_that_lancedb_does_not_take_stay(tmp_path: Path) -> None:
    """They can be read, writing goes on, health tells it, and later they get there."""
    folder = tmp_path / "rows"
    index = await open_logged(folder)
    await index.upsert(some(0, 1), all_new=True)
    # LanceDB cannot write where its folder is a file.
    data = folder / "rows.lance" / "data"
    if data.exists():
        shutil.rmtree(data)
    data.touch()
    with pytest.raises(EngineError):
        await index.flush()
    problem = (await index.health())["log"]["problem"]
    assert problem
    await index.upsert(some(2), all_new=True)
    assert await seqs_of(index) == [0, 1, 2]
    # What changes rows needs them in LanceDB.
    for change in (index.delete(*EVERYTHING), count_uses(index, {0: 1}, row(0)["created_at"])):
        with pytest.raises(EngineError):
            await change
    with pytest.raises(EngineError):
        await index.upsert(some(1), all_new=False)
    assert await index.count(*EVERYTHING) == 3
    # Another process that opens it finds the same.
    again = await open_logged(folder)
    assert await seqs_of(again) == [0, 1, 2]
    assert (await again.health())["log"]["problem"]
    await again.inner.close()
    data.unlink()
    await index.flush()
    assert await seqs_of(index) == [0, 1, 2]
    assert await index.inner.count(*EVERYTHING) == 3
    assert (await index.health())["log"]["problem"] is None
    await index.close()


async def test_the_bound_holds_while_lancedb_takes_nothing(tmp_path: Path) -> None:
    index = await open_logged(tmp_path / "rows")
    data = tmp_path / "rows" / "rows.lance" / "data"
    data.touch()
    stored = 0
    for first in range(0, MEMTABLE_ROWS, 256):
        await index.upsert(some(*range(first, first + 256)), all_new=True)
        stored += 256
    for _ in range(2):
        with pytest.raises(EngineError):
            await index.upsert(some(5000), all_new=True)
    assert len(await seqs_of(index)) == stored
    data.unlink()
    await index.upsert(some(6000), all_new=True)
    assert len(await seqs_of(index)) == stored + 1
    await index.close()


async def test_a_commit_whose_end_is_not_known_doubles_nothing(tmp_path: Path) -> None:
    """LanceDB has committed, and its sync fails: the rows are in both."""
    folder = tmp_path / "rows"
    index = await open_logged(folder, fsync=True)
    await index.upsert(some(0, 1), all_new=True)
    # What cannot be synced: fsync refuses devices.
    device = folder / "rows.lance" / "_indices" / "device"
    device.parent.mkdir(exist_ok=True)
    device.symlink_to("/dev/null")
    with pytest.raises(BackendUnavailable, match="make rows durable"):
        await index.flush()
    assert await index.inner.count(*EVERYTHING) == 2, "it was not committed: this shows nothing"
    assert await index.count(*EVERYTHING) == 2
    await index.upsert(some(2), all_new=True)
    assert await seqs_of(index) == [0, 1, 2]
    assert len(segments(folder / LOG)) == 2
    device.unlink()
    again = await open_logged(folder, fsync=True)
    assert await seqs_of(again) == [0, 1, 2]
    assert await again.inner.count(*EVERYTHING) == 3
    assert segments(folder / LOG) == []
    await again.close()
    await index.close()


async def test_a_memory_flushes_by_itself(tmp_path: Path) -> None:
    """In a pause after a second, and amid steady writing every two."""
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        store = await memory._lazy.get()

        async def logged() -> int:
            return int((await store.rows.health())["log"]["rows"])

        await memory.store_message(message("the first"), "talk", user_id="ana")
        await memory.store_message(message("the second"), "talk", user_id="ana")
        assert await logged() == 2
        await _until(lambda: logged(), 0)
        began, stored, most, flushed = time.monotonic(), 0, 0, 0
        while flushed < 2 or stored < 20:
            await memory.store_message(message("and another"), "talk", user_id="ana")
            await asyncio.sleep(0.02)
            stored, count = stored + 1, await logged()
            if count < most / 2:
                flushed, most = flushed + 1, 0
            most = max(most, count)
        # Two, and one more for each second that it took.
        versions = (await store.rows.health())["commits_since_upkeep"]
        assert versions < 3 + time.monotonic() - began
        assert len(await rows_of(memory)) == 2 + stored
    assert segments(tmp_path / "rows" / LOG) == []


async def _until(get: Any, wanted: Any) -> None:
    # Far beyond what a busy machine needs.
    for _ in range(1200):
        if await get() == wanted:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{await get()} is not {wanted}")


async def test_what_is_damaged_is_a_problem_of_the_memory(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        for number in range(3):
            await memory.store_message(message(f"number {number}"), "talk", user_id="ana")
        (path,) = segments(tmp_path / "rows" / LOG)
        kept = path.read_bytes()
    path.parent.mkdir(exist_ok=True)
    # As if it had been killed, and a part of the file had gone bad; LanceDB has the rows.
    path.write_bytes(kept[:-400] + b"?" + kept[-399:])
    for _ in range(2):
        async with open_memory(str(tmp_path), embedder="hash") as memory:
            health = await memory.health()
            assert health["status"] == "degraded"
            assert "could not be read" in health["problems"]["log"]
            assert len(await rows_of(memory)) == 3
    for aside in path.parent.iterdir():
        aside.unlink()
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        assert (await memory.health())["status"] == "ok"
