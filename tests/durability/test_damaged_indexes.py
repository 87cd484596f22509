"""Damaged index files of the rows: never read, made anew, and never in the way."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, diagnose_store, open_memory, repair_store
from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.lance import upkeep
from bruno_memory_vec.indexers.lance.index_checksums import FILE
from tests.amounts import amount
from tests.durability.support import message, rows_of

pytestmark = pytest.mark.slow

USERS, EACH = ("ana", "ben", "eva"), 12


def _halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x41
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "halved": _halve,
    "emptied": _empty,
    "flipped": _flip,
    "deleted": Path.unlink,
}


@pytest.fixture(scope="module")
def few_rows_for_vectors() -> Iterator[None]:
    """So that a small store has an approximate index of its vectors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "ANN_ROWS", 30)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, few_rows_for_vectors: None) -> Path:
    folder = tmp_path_factory.mktemp("made") / "store"
    asyncio.run(make(folder))
    return folder


async def make(folder: Path) -> None:
    async with open_memory(str(folder), embedder="hash") as memory:
        for user in USERS:
            texts = [f"{user} says word{number}x" for number in range(EACH)]
            await memory.store_messages(
                [message(text) for text in texts], f"of-{user}", user_id=user
            )
        assert (await memory.maintain()).ok
        assert any(one["kind"] == "IvfRq" for one in await indexes_of(memory))


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


async def indexes_of(memory: VectorMemory) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await memory.health())["rows"]["indexes"]
    return found


def current_files(folder: Path) -> list[Path]:
    """The files of the indexes that the newest version has."""
    record = json.loads((folder / "rows" / FILE).read_text(encoding="utf-8"))
    indices = folder / "rows" / "rows.lance" / "_indices"
    return [
        path
        for one in sorted(record["live"].values())
        for path in sorted((indices / one).iterdir())
    ]


async def check_reading(memory: VectorMemory, user: str) -> None:
    """A user finds all of their rows, and nobody else's."""
    said = {f"{user} says word{number}x" for number in range(EACH)}
    turns = await memory.read_turns(f"of-{user}")
    assert {turn.message.content for turn in turns} >= said
    listed = await memory.list_conversations(user)
    assert [one.conversation_id for one in listed] == [f"of-{user}"]
    hits = await memory.recall("word3x", user_id=user, k=30)
    assert {hit.content for hit in hits} >= said
    assert not {hit.content.split()[0] for hit in hits} - {user, "stored", "changed"}
    assert hits[0].content == f"{user} says word3x"


async def check_all(folder: Path) -> None:
    async with open_memory(str(folder), embedder="hash") as memory:
        before = len(await rows_of(memory))
        assert before >= len(USERS) * EACH
        for user in USERS:
            await check_reading(memory, user)
        kept = message("stored after the damage")
        await memory.store_message(kept, "of-ana", user_id="ana")
        kept.content = "changed after the damage"
        await memory.store_message(kept, "of-ana", user_id="ana")
        assert (await memory.recall("changed", user_id="ana", k=1))[0].content == kept.content
        report = await memory.maintain()
        assert report.ok, report
        assert await memory.delete_messages(kept.id) == 1
        assert len(await rows_of(memory)) == before
        health = await memory.health()
        assert health["problems"] == {}
    assert all(
        check.state != "problem" for check in await diagnose_store(str(folder), embedder="hash")
    )


async def test_every_index_file(store: Path, few_rows_for_vectors: None) -> None:
    """One after another, each is told by doctor, left unread by a reader, and mended by opening."""
    kept = store.parent / "kept"
    shutil.copytree(store, kept)
    names = [path.relative_to(store) for path in current_files(store)]
    assert len(names) >= 9
    tried = list(enumerate(names))[:: amount(4, 1)]
    ways = list(DAMAGES)
    for number, name in tried:
        shutil.rmtree(store)
        shutil.copytree(kept, store)
        DAMAGES[ways[(number + number // 4) % len(ways)]](store / name)
        checks = {one.name: one for one in await diagnose_store(str(store), embedder="hash")}
        assert checks["indexes"].state == "problem", name
        assert name.parent.name in checks["indexes"].found
        assert "--repair" in checks["indexes"].fix
        async with open_memory(str(store), embedder="hash", read_only=True) as reader:
            await check_reading(reader, "eva")
            assert name.parent.name in (await reader.health())["problems"]["indexes"]
        async with open_memory(str(store), embedder="hash") as memory:
            assert len((await memory.health())["rows"]["indexes_rebuilt"]) == 1
            await memory.maintain()
            kinds = sorted(one["kind"] for one in await indexes_of(memory))
            assert kinds == ["BTree"] * 4 + ["Bitmap"] * 2 + ["IvfRq", "LabelList"]
    await check_all(store)


async def test_all_indexes_at_once(store: Path, few_rows_for_vectors: None) -> None:
    for path in current_files(store):
        _halve(path)
    await check_all(store)


@pytest.mark.parametrize("record", [None, "", "{", '{"files": 3}', '{"files": {}, "live": {}}'])
async def test_without_the_record(
    store: Path, record: str | None, few_rows_for_vectors: None
) -> None:
    """What nobody vouches for is made anew; a byte of the record is as any other."""
    path = store / "rows" / FILE
    path.unlink()
    if record is not None:
        path.write_text(record)
    for one in current_files_without_record(store):
        _flip(one)
    async with open_memory(str(store), embedder="hash", read_only=True) as reader:
        await check_reading(reader, "ben")
    await check_all(store)


def current_files_without_record(folder: Path) -> list[Path]:
    return sorted((folder / "rows" / "rows.lance" / "_indices").glob("*/*"))


@pytest.mark.parametrize("damage", ["halved", "deleted"])
async def test_damage_while_it_is_open(
    store: Path, damage: str, few_rows_for_vectors: None
) -> None:
    """The call that meets it is answered: the index is made anew under it."""
    async with open_memory(str(store), embedder="hash", recall_cache_mb=0) as memory:
        for path in current_files(store):
            DAMAGES[damage](path)
        for user in USERS:
            await check_reading(memory, user)
        kept = message("stored after the damage")
        await memory.store_message(kept, "of-ana", user_id="ana")
        await memory.store_message(kept, "of-ana", user_id="ana")
        assert await memory.delete_messages(kept.id) == 1
        assert (await memory.maintain()).ok
        assert (await memory.health())["rows"]["indexes_rebuilt"]
    await check_all(store)


async def test_a_reader_meets_damage_while_it_is_open(
    store: Path, few_rows_for_vectors: None
) -> None:
    async with open_memory(
        str(store), embedder="hash", read_only=True, recall_cache_mb=0
    ) as reader:
        for path in current_files(store):
            _halve(path)
        for user in USERS:
            await check_reading(reader, user)
        assert "indexes" in (await reader.health())["problems"]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_reader_meets_damaged_rows_while_it_is_open(
    store: Path, few_rows_for_vectors: None, damage: str
) -> None:
    """An error of ours that names the fix, whatever is asked."""
    async with open_memory(
        str(store), embedder="hash", read_only=True, recall_cache_mb=0
    ) as reader:
        for path in (store / "rows" / "rows.lance" / "_versions").iterdir():
            DAMAGES[damage](path)
        calls = (
            lambda: reader.recall("word", user_id=USERS[0]),
            lambda: reader.list_conversations(USERS[0]),
            reader.health,
        )
        failed = []
        for call in calls:
            try:
                await call()
            except EngineError as error:
                failed.append(error)
        assert failed or damage == "flipped"
        assert all("doctor" in error.fix for error in failed)


async def test_an_index_that_gives_rows_of_another_user(
    tmp_path: Path, few_rows_for_vectors: None
) -> None:
    """Its file is of a store in which the two users have changed places."""
    for name, users in (("store", ("ana", "ben")), ("other", ("ben", "ana"))):
        async with open_memory(str(tmp_path / name), embedder="hash") as memory:
            for user in users:
                await memory.store_message(message(f"a word of {user}"), f"of-{user}", user_id=user)
            await memory.maintain()

    def index_of_users(name: str) -> Path:
        record = json.loads((tmp_path / name / "rows" / FILE).read_text(encoding="utf-8"))
        folder = record["live"]["user_id_idx"]
        (path,) = (tmp_path / name / "rows" / "rows.lance" / "_indices" / folder).iterdir()
        return path

    for read_only in (False, True):
        async with open_memory(
            str(tmp_path / "store"), embedder="hash", recall_cache_mb=0, read_only=read_only
        ) as memory:
            shutil.copyfile(index_of_users("other"), index_of_users("store"))
            for user in ("ana", "ben"):
                hits = await memory.recall("word", user_id=user)
                assert [hit.content for hit in hits] == [f"a word of {user}"]
                assert len(await memory.list_conversations(user)) == 1
            health = await memory.health()
            assert "indexes" in health["problems"] or health["rows"]["indexes_rebuilt"]


async def test_repair_says_what_it_made_anew(store: Path, few_rows_for_vectors: None) -> None:
    damaged = current_files(store)[0]
    _empty(damaged)
    report = await repair_store(str(store), embedder="hash")
    assert report.ok
    assert damaged.parent.name in report.rebuilt[0]
    await check_all(store)
