"""Rows that are lost, changed or there again: told by every way, and settled by a repair."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec import VectorMemory, open_memory, reembed
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import NotAStoreError
from bruno_memory_vec.indexers.lance.index import LanceIndex
from tests.durability.support import message, rows_of, sessions_written
from tests.torture.faults import doctor, said, states

pytestmark = pytest.mark.slow

FLUSHED = [f"flushed {number}" for number in range(6)]
LOGGED = [f"logged {number}" for number in range(4)]
USER = "default"


async def ask_doctor(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    # The command has an event loop of its own.
    return await asyncio.to_thread(doctor, folder, *options)


async def contents(memory: VectorMemory) -> list[str]:
    return sorted(row["content"] for row in await rows_of(memory))


async def shown(memory: VectorMemory, talk: str = "talk") -> list[str]:
    context = await memory.get_context(user_id=USER, session_id=talk)
    return [one.content for one in context.messages]


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as a kill leaves it: some rows in LanceDB, as ``older`` has it, some in the log."""
    folder = tmp_path_factory.mktemp("losses")

    async def make() -> None:
        async with open_memory(str(folder / "store"), embedder="hash") as memory:
            for number, text in enumerate(FLUSHED):
                await memory.store_message(message(text, id=UUID(int=number)), "talk")
        shutil.copytree(folder / "store", folder / "older")
        async with open_memory(str(folder / "store"), embedder="hash") as memory:
            for text in LOGGED:
                await memory.store_message(message(text), "talk")
            # What is killed sooner, the log tells the sessions; here it is the log that is harmed.
            await sessions_written(memory)
            shutil.copytree(folder / "store", folder / "image")

    asyncio.run(make())
    return folder


@pytest.fixture
def store(_made: Path, tmp_path: Path) -> Path:
    found = Path(shutil.copytree(_made / "image", tmp_path / "store"))
    assert len(list((found / "rows" / "log").glob("*.log"))) == 1
    return found


@pytest.fixture
def older(_made: Path) -> Path:
    return _made / "older"


def log_of(folder: Path) -> Path:
    (path,) = (folder / "rows" / "log").glob("*.log")
    return path


def _cut(folder: Path) -> None:
    path = log_of(folder)
    os.truncate(path, path.stat().st_size // 2)


def _cut_the_header(folder: Path) -> None:
    os.truncate(log_of(folder), 20)


def _flip_the_header(folder: Path) -> None:
    data = bytearray(log_of(folder).read_bytes())
    data[9] ^= 0xFF
    data[40] ^= 0xFF
    log_of(folder).write_bytes(data)


def _flip_a_record(folder: Path) -> None:
    data = bytearray(log_of(folder).read_bytes())
    data[-300] ^= 0x10
    data[-301] ^= 0x01
    log_of(folder).write_bytes(data)


def _empty(folder: Path) -> None:
    log_of(folder).write_bytes(b"")


def _delete(folder: Path) -> None:
    log_of(folder).unlink()


def _delete_the_folder(folder: Path) -> None:
    shutil.rmtree(folder / "rows" / "log")


LOG_DAMAGE = [
    _cut,
    _cut_the_header,
    _flip_the_header,
    _flip_a_record,
    _empty,
    _delete,
    _delete_the_folder,
]


@pytest.mark.parametrize("damage", LOG_DAMAGE, ids=lambda one: one.__name__.strip("_"))
async def test_a_damaged_log(store: Path, damage: Callable[[Path], None]) -> None:
    damage(store)
    # A doctor that only looks, and a reader, know it before any process has opened it to write.
    code, report = await ask_doctor(store)
    assert code == 4
    assert "that had been acknowledged" in said(report, "lost"), report
    assert "--repair" in said(report, "lost")
    async with open_memory(str(store), embedder="hash", read_only=True) as memory:
        left = await contents(memory)
        assert "lost" in (await memory.health())["problems"]
        assert set(left) == {*FLUSHED, *left}
        assert await shown(memory) == [*FLUSHED, *sorted(set(left) - set(FLUSHED))]
    lost = [text for text in LOGGED if text not in left]
    assert lost

    async with open_memory(str(store), embedder="hash") as memory:
        assert await contents(memory) == left
        health = await memory.health()
        assert health["status"] == "degraded"
        first = len(FLUSHED) + len(LOGGED) - len(lost)
        assert f"seq {first}" in health["problems"]["lost"]
        assert "of 'talk'" in health["problems"]["lost"]
        assert not (await memory.maintain()).verified
        # No message without its row, and no number is given twice.
        assert await shown(memory) == [*FLUSHED, *sorted(set(left) - set(FLUSHED))]
        for text in lost:
            assert text not in [hit.content for hit in await memory.recall(text, user_id=USER)]
        await memory.store_message(message("and on"), "talk")
        assert (await shown(memory))[-1] == "and on"
        rows = await rows_of(memory)
        newest = max(rows, key=lambda row: row["seq"])
        assert newest["content"] == "and on"
        assert newest["seq"] == len(FLUSHED) + len(LOGGED)
        assert newest["turn"] == len(FLUSHED) + len(LOGGED)
    code, report = await ask_doctor(store)
    assert code == 4
    assert f"{len(lost)} row" in said(report, "lost")

    code, report = await ask_doctor(store, "--repair")
    given_up = report["repaired"]["losses"]
    assert [one["seq"] for one in given_up["lost"]] == [
        len(FLUSHED) + LOGGED.index(text) for text in lost
    ]
    assert [one["conversation_id"] for one in given_up["lost"]] == ["talk"] * len(lost)
    assert "given up" in given_up["note"]
    (line,) = (store / "losses.jsonl").read_text().splitlines()
    assert len(json.loads(line)["lost"]) == len(lost)
    assert code == 0, report
    code, report = await ask_doctor(store)
    assert (code, states(report)["losses"]) == (0, "note")
    async with open_memory(str(store), embedder="hash") as memory:
        assert (await memory.health())["problems"] == {}
        assert (await memory.maintain()).verified
        assert await contents(memory) == sorted([*left, "and on"])


async def test_the_rows_of_an_older_copy(store: Path, older: Path) -> None:
    async with open_memory(str(store), embedder="hash") as memory:
        await memory.store_message(message("better", id=UUID(int=0)), "talk")
        await memory.clear_history("talk", keep_system_messages=False)
        await memory.store_message(message("new"), "talk")
    shutil.rmtree(store / "rows")
    shutil.copytree(older / "rows", store / "rows")
    code, report = await ask_doctor(store)
    assert code == 4
    assert "1 row that had been acknowledged" in said(report, "lost")
    assert f"{len(FLUSHED)} rows that had been deleted or replaced" in said(report, "returned")
    async with open_memory(str(store), embedder="hash") as memory:
        problems = (await memory.health())["problems"]
        assert set(problems) == {"lost", "returned"}
        assert await shown(memory) == FLUSHED
        assert {one.part for one in (await memory.maintain()).problems} == {"lost", "returned"}
    code, report = await ask_doctor(store, "--repair")
    assert code == 0, report
    assert report["repaired"]["losses"]["returned"] == list(range(len(FLUSHED)))


async def test_an_older_copy_of_the_log_brings_no_row_back(store: Path) -> None:
    log = log_of(store)
    kept = log.read_bytes()
    async with open_memory(str(store), embedder="hash") as memory:
        rows = await rows_of(memory)
        assert len(rows) == len(FLUSHED) + len(LOGGED)
        await memory.clear_history("talk", keep_system_messages=False)
        await memory.store_message(message("kept", id=UUID(int=99)), "talk")
    log.write_bytes(kept)
    async with open_memory(str(store), embedder="hash") as memory:
        assert await contents(memory) == ["kept"]
        assert (await memory.health())["problems"] == {}
        # Nor where the newest row is gone as well, so that the logged ones are newer.
        await memory.clear_history("talk", keep_system_messages=False)
    log.write_bytes(kept)
    async with open_memory(str(store), embedder="hash") as memory:
        assert await contents(memory) == []
        assert (await memory.health())["problems"] == {}
        assert (await memory.maintain()).verified
    assert (await ask_doctor(store))[0] == 0


async def test_rows_that_come_back_are_missed_no_more(store: Path) -> None:
    log = log_of(store)
    kept = log.read_bytes()
    log.unlink()
    async with open_memory(str(store), embedder="hash") as memory:
        assert "lost" in (await memory.health())["problems"]
        assert await shown(memory) == FLUSHED
    for repaired in (False, True):
        if repaired:
            log.unlink(missing_ok=True)
        log.write_bytes(kept)
        async with open_memory(str(store), embedder="hash") as memory:
            assert await contents(memory) == sorted([*FLUSHED, *LOGGED])
            assert await shown(memory) == [*FLUSHED, *LOGGED]
            assert (await memory.health())["problems"] == {}
            assert (await memory.maintain()).verified


@pytest.mark.parametrize("damage", ["missing", "damaged", "missing, and an empty file"])
async def test_a_new_ledger_says_what_it_cannot_know(store: Path, older: Path, damage: str) -> None:
    async with open_memory(str(store), embedder="hash") as memory:
        assert await contents(memory) == sorted([*FLUSHED, *LOGGED])
    shutil.rmtree(store / "rows")
    shutil.copytree(older / "rows", store / "rows")
    if damage.startswith("missing"):
        for name in ("", ".checksum"):
            (store / f"sessions.sqlite{name}").unlink()
        if damage.endswith("file"):
            (store / "sessions.sqlite").touch()
    else:
        (store / "sessions.sqlite").write_bytes(b"no database")
    for _ in range(2):
        async with open_memory(str(store), embedder="hash") as memory:
            assert await contents(memory) == FLUSHED
            assert (await memory.health())["problems"] == {}
        code, report = await ask_doctor(store)
        assert code == 0
        assert f"{len(FLUSHED)} that were acknowledged" in said(report, "ledger")
        (note,) = [check for check in report["checks"] if check["name"] == "losses"]
        assert f"sessions.sqlite was {damage.partition(',')[0]}" in note["found"]
        # Only the lexical index has heard of them.
        gone = f"{len(LOGGED)} rows that the store has not: seq 6 to 9, lost or deleted"
        assert gone in note["found"]


async def test_rows_without_their_table_are_not_begun_anew(store: Path) -> None:
    shutil.rmtree(store / "rows" / "rows.lance")
    with pytest.raises(NotAStoreError, match="has no rows any more"):
        await open_memory(str(store), embedder="hash")
    assert not (store / "rows" / "rows.lance").exists()
    for options in ((), ("--repair",)):
        code, report = await ask_doctor(store, *options)
        assert code == 4
        count = len(FLUSHED) + len(LOGGED)
        assert f"{count} that were acknowledged" in said(report, "rows")


async def test_a_deletion_that_is_killed_is_no_loss(store: Path) -> None:
    """Between the rows and the sessions, either way."""
    async with open_memory(str(store), embedder="hash") as memory:
        opened = await memory._lazy.get()
        # Noted, and not done.
        await opened.sessions.ledger.leave([0, 1])
        # Noted and done, and not followed.
        await opened.sessions.ledger.leave([2])
        from bruno_memory_vec.indexers.query import EVERYONE, RowFilter

        await opened.rows.delete(EVERYONE, RowFilter(), seqs=[2])
        assert (await ask_doctor(store))[0] == 4  # of the lexical index, and of nothing else
        _, report = await ask_doctor(store)
        assert "lost" not in states(report)
    async with open_memory(str(store), embedder="hash") as memory:
        assert (await memory.health())["problems"] == {}
        assert (await memory.maintain()).verified
        known = await (await memory._lazy.get()).sessions.ledger.read()
        assert known.alive.tolist() == [0, 1, *range(3, 10)]
        assert not len(known.leaving)
    assert (await ask_doctor(store))[0] == 0


# Bytes that have changed


def _flip(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for place in draw.sample(range(len(data)), 2):
        data[place] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


async def _everything(memory: VectorMemory) -> dict[str, str]:
    """What every way of reading gives out, by id."""
    found = {str(one.id): one.content for one in await memory.retrieve_messages("talk")}
    for text in (*FLUSHED, "the ferry leaves at nine"):
        for hit in await memory.recall(text, user_id=USER, k=20):
            assert found.setdefault(hit.id, hit.content) == hit.content
    for one in await memory.search_memories(user_id=USER, query="ferry", limit=10):
        assert found.setdefault(str(one.id), one.content) == one.content
    return found


async def test_flipped_bytes_change_nothing_silently(tmp_path: Path) -> None:
    """In any data file: what is given out is what was stored, and what is not is named."""
    made = tmp_path / "made"
    async with open_memory(str(made), embedder="hash") as memory:
        for number, text in enumerate(FLUSHED):
            await memory.store_message(message(text, id=UUID(int=number)), "talk")
        await memory.store_memory(
            MemoryEntry(
                id=UUID(int=50),
                content="the ferry leaves at nine",
                memory_type=MemoryType.FACT,
                user_id=USER,
            )
        )
        await memory.maintain()
        truth = await _everything(memory)
    assert len(truth) == len(FLUSHED) + 1
    draw = random.Random(11)
    told = unread = 0
    for _ in range(10):
        store = Path(shutil.copytree(made, tmp_path / "flipped"))
        files = sorted((store / "rows" / "rows.lance" / "data").iterdir())
        _flip(draw.choice(files), draw)
        found: dict[str, str] | None = None
        problems: dict[str, str] = {}
        verified = False
        try:
            async with open_memory(str(store), embedder="hash") as memory:
                found = await _everything(memory)
                verified = (await memory.maintain()).verified
                problems = (await memory.health())["problems"]
        except BrunoError:
            unread += 1
        if found is not None:
            assert found.items() <= truth.items()
            if verified:
                assert found == truth
            else:
                assert problems
                told += 1
        shutil.rmtree(store)
    assert told + unread


async def test_what_no_version_has_whole_is_read_as_far_as_it_can_be(tmp_path: Path) -> None:
    """The oldest file of the rows is gone, which every version needs."""
    store = tmp_path / "store"
    for texts in (FLUSHED, LOGGED):
        async with open_memory(str(store), embedder="hash") as memory:
            for text in texts:
                await memory.store_message(message(text), "talk")
    files = [store / "rows" / "rows.lance" / "data" / name for name in _names(store)]
    oldest = min(files, key=lambda path: path.stat().st_mtime_ns)
    assert len(files) == 2
    oldest.write_bytes(bytes(oldest.stat().st_size))
    code, report = await ask_doctor(store)
    assert code == 4
    assert "a part of the rows can be read" in said(report, "rows")
    code, report = await ask_doctor(store, "--repair")
    assert code == 0, report
    given_up = report["repaired"]["losses"]["lost"]
    assert [one["seq"] for one in given_up] == list(range(len(FLUSHED)))
    async with open_memory(str(store), embedder="hash") as memory:
        assert await contents(memory) == LOGGED
        assert await shown(memory) == LOGGED
        assert (await memory.recall(LOGGED[0], user_id=USER))[0].content == LOGGED[0]
        await memory.store_message(message("and on"), "talk")
        assert {row["seq"] for row in await rows_of(memory)} == set(range(6, 11))
    aside = store / "rows-2" / "set-aside" / "rows" / "rows.lance" / "data"
    assert sorted(os.listdir(aside)) == sorted(path.name for path in files)


def _names(store: Path) -> list[str]:
    return os.listdir(store / "rows" / "rows.lance" / "data")


async def test_damaged_rows_are_mended_or_removed_by_name(tmp_path: Path) -> None:
    store = tmp_path / "store"
    async with open_memory(str(store), embedder="hash") as memory:
        for number, text in enumerate(FLUSHED):
            await memory.store_message(message(text, id=UUID(int=number)), "talk")
        await memory.maintain()
        dimension = (await memory._lazy.get()).embedder.fingerprint.dimension
    index = await LanceIndex.open(str(store / "rows"), dimension)
    await index._table.update({"content": "forged"}, where="seq = 1")
    await index._table.update({"access_count": 77}, where="seq = 2")
    await index.close()
    async with open_memory(str(store), embedder="hash", recall_cache_mb=0) as memory:
        for _ in range(2):
            found = await _everything(memory)
            assert "forged" not in found.values()
            assert len(found) == len(FLUSHED) - 1
        assert "damaged" in (await memory.health())["problems"]
    async with open_memory(str(store), embedder="hash") as memory:
        assert "forged" not in (await _everything(memory)).values()
        assert "forged" not in await shown(memory)
        problems = (await memory.maintain()).problems
        assert [one.part for one in problems] == ["damaged"]
        assert str(UUID(int=1)) in problems[0].found
        assert "(seq 2)" in problems[0].found
    code, report = await ask_doctor(store)
    assert (code, states(report)["damaged"]) == (4, "problem")
    with pytest.raises(BrunoError, match="not as they were stored"):
        await reembed(str(store), HashEmbedder(24))
    code, report = await ask_doctor(store, "--repair")
    assert code == 0, report
    losses = report["repaired"]["losses"]
    assert [one["id"] for one in losses["removed"]] == [str(UUID(int=1))]
    assert (losses["mended"], losses["lost"]) == (1, [])
    async with open_memory(str(store), embedder="hash") as memory:
        assert await contents(memory) == [FLUSHED[0], *FLUSHED[2:]]
        assert await shown(memory) == [FLUSHED[0], *FLUSHED[2:]]
        assert (await memory.health())["problems"] == {}
