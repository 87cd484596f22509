"""Deleted means gone: after maintain(), no byte of any file holds anything of what was deleted."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.embedders.protocol import EmbedKind
from bruno_memory_vec.errors import EmbeddingError
from bruno_memory_vec.sessions.protocol import ConversationNote
from bruno_memory_vec.testing import HashEmbedder
from bruno_memory_vec.upkeep.repair import repair_store
from tests.durability.on_disk import found, unnamed

pytestmark = pytest.mark.slow


class Words:
    """Words that are nowhere else, each used once (``on_disk.WORD``)."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.made: list[str] = []

    def __call__(self) -> str:
        word = "zq" + "".join(self._random.choices("bcdfghjkmnpqrtvwxz23456789", k=14))
        self.made.append(word)
        return word


def said(word: Callable[[], str], **changes: object) -> Message:
    return Message(
        role="user",
        content=f"hello {word()} and {word()}",
        metadata={f"k{word()}": word(), "nested": {f"n{word()}": [word()]}},
        **changes,
    )


def remembered(word: Callable[[], str], user: str = "ana", **changes: object) -> MemoryEntry:
    return MemoryEntry(
        user_id=user,
        content=f"a fact {word()}",
        memory_type=MemoryType.FACT,
        metadata=MemoryMetadata(
            source=word(),
            category=word(),
            tags=[word(), word()],
            custom_fields={f"f{word()}": word()},
        ),
        **changes,
    )


async def filled(memory: VectorMemory, rows: int) -> Words:
    """Rows of others, which stay."""
    words = Words(1)
    for start in range(0, rows, 500):
        batch = [said(words) for _ in range(min(500, rows - start))]
        await memory.store_messages(batch, f"others {start % 4}", user_id="ben")
    return words


@pytest.mark.parametrize("others", [3, 300])
async def test_nothing_of_it_is_anywhere(tmp_path: Path, others: int) -> None:
    gone, kept, folder = Words(2), Words(3), tmp_path / "store"
    async with open_memory(str(folder), embedder="hash") as memory:
        await filled(memory, others)
        replaced = said(gone)
        for _ in range(3):
            await memory.store_message(said(gone), "talk", user_id="ana")
        await memory.store_message(replaced, "stays", user_id="ana")
        entry, rewritten = remembered(gone), remembered(gone)
        await memory.store_memories([entry, rewritten])
        await memory.save_user(UserContext(user_id="ana", preferences={"p": gone()}))
        await memory.get_context("ana", "talk")
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.get_context("ana", "talk")
        await memory.recall("hello", user_id="ana")
        await memory.maintain()
    before = await found(folder, gone.made)
    assert set(before) == set(gone.made)
    places = " ".join(place for where in before.values() for place in where)
    assert all(part in places for part in ("rows: version", "lexical: terms", "hot_messages"))
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.clear_history("talk")
        await memory.delete_memory(str(entry.id))
        await memory.store_message(said(kept, id=replaced.id), "stays", user_id="ana")
        await memory.store_memory(remembered(kept, id=rewritten.id))
        await memory.save_user(UserContext(user_id="ana", preferences={"p": kept()}))
        report = await memory.maintain()
        assert report.ok, report.problems
        assert await found(folder, gone.made) == {}
    assert await found(folder, gone.made) == {}
    assert unnamed(folder) == []
    assert set(await found(folder, kept.made)) == set(kept.made)


async def store_of(folder: Path, rows: int, gone: Words, deleted: int) -> list[Message]:
    """A closed, compacted store of ``rows`` messages; of ``deleted``, all words are in ``gone``."""
    mine = [said(gone) for _ in range(deleted)]
    kept = [
        Message(role="user", content=f"hello {number}", metadata={"number": number})
        for number in range(rows - deleted)
    ]
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.store_messages([*mine, *kept], "talk", user_id="ana")
        await memory.maintain()
    return mine


@pytest.mark.parametrize(("rows", "deleted"), [(1500, 1), (1500, 1400), (300, 300), (1, 1)])
async def test_any_share_of_a_fragment(tmp_path: Path, rows: int, deleted: int) -> None:
    gone, folder = Words(5), tmp_path / "store"
    mine = await store_of(folder, rows, gone, deleted)
    async with open_memory(str(folder), embedder="hash", fsync=rows == 300) as memory:
        assert await memory.delete_messages([one.id for one in mine]) == deleted
        assert (await memory.maintain()).ok
        assert len(await memory.retrieve_messages("talk")) == rows - deleted
    assert await found(folder, gone.made) == {}
    assert unnamed(folder) == []


async def test_close_erases_and_nothing_is_rewritten_without_deletions(tmp_path: Path) -> None:
    gone, folder = Words(6), tmp_path / "store"
    (mine,) = await store_of(folder, 500, gone, 1)
    assert (await found(folder, gone.made)).keys() == set(gone.made)
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.delete_messages(mine.id)
    assert await found(folder, gone.made) == {}

    def files() -> dict[Path, int]:
        kept = ("data", "_indices", "lexical")
        return {
            path: path.stat().st_mtime_ns
            for path in folder.rglob("*")
            if path.is_file() and path.parts[-2] in kept and path.suffix != ".lock"
        }

    before = files()
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.recall("hello", user_id="ana")
        report = await memory.maintain()
    assert "rows_rewritten" not in report.details
    data = {path for path in before if path.parent.name in ("data", "lexical")}
    changed = {path for path in data if files().get(path) != before[path]}
    assert {path.name for path in changed} <= {".managed.json", "meta.json"}


async def test_it_is_erased_at_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bruno_memory_vec.writing.erasure.DELAY", 0.2)
    monkeypatch.setattr("bruno_memory_vec.writing.erasure.TIMES_AS_LONG", 0.0)
    monkeypatch.setattr("bruno_memory_vec.writing.writer._REST", 0.2)
    gone, folder = Words(7), tmp_path / "store"
    (mine,) = await store_of(folder, 50, gone, 1)
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.delete_messages(mine.id)
        for _ in range(100):
            await asyncio.sleep(0.1)
            if not (folder / "rows" / "to-erase").exists():
                break
        assert await found(folder, gone.made) == {}


async def test_readers_and_streams_go_on(tmp_path: Path) -> None:
    gone, folder = Words(8), tmp_path / "store"
    mine = await store_of(folder, 9000, gone, 3)
    async with (
        open_memory(str(folder), embedder="hash") as memory,
        open_memory(str(folder), embedder="hash", read_only=True) as reader,
    ):
        streams = [
            (await one._lazy.get()).rows.after(-1, ["id"]) for one in (memory, reader, memory)
        ]
        begun = [[(await anext(stream)).num_rows] for stream in streams]
        stop = asyncio.Event()

        async def ask(one: VectorMemory) -> int:
            asked = 0
            while not stop.is_set():
                hits = await one.recall(f"hello {asked}", user_id="ana", k=3)
                assert len(hits) == 3
                assert len(await one.retrieve_messages("talk", limit=5)) == 5
                asked += 1
            return asked

        asking = [asyncio.ensure_future(ask(one)) for one in (memory, reader)]
        await memory.delete_messages([one.id for one in mine])
        for _ in range(2):
            assert (await memory.maintain()).ok
            await memory.store_message(said(gone, id=mine[0].id), "talk", user_id="ana")
            await memory.delete_messages(mine[0].id)
        assert (await memory.maintain()).ok
        stop.set()
        assert all(await asyncio.gather(*asking))
        assert await found(folder, gone.made) == {}
        for counts, stream in zip(begun, streams, strict=True):
            counts += [batch.num_rows async for batch in stream]
            assert sum(counts) in range(8997, 9001)


async def test_rows_are_deleted_all_the_time(tmp_path: Path) -> None:
    """What was deleted before upkeep began is gone after it; what is deleted meanwhile, later."""
    gone, folder = Words(9), tmp_path / "store"
    mine = await store_of(folder, 400, gone, 3)
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.delete_messages([one.id for one in mine])
        before, stop = list(gone.made), asyncio.Event()

        async def delete() -> None:
            while not stop.is_set():
                message = said(gone)
                await memory.store_message(message, "talk", user_id="ana")
                await memory.delete_messages(message.id)

        deleting = [asyncio.create_task(delete()) for _ in range(12)]
        for _ in range(2):
            assert (await memory.maintain()).problems == ()
            assert await found(folder, before) == {}
        stop.set()
        await asyncio.gather(*deleting)
        assert (await memory.maintain()).ok
        assert await found(folder, gone.made) == {}


async def test_what_lies_about(tmp_path: Path) -> None:
    """Files of a killed process, damaged files that were set aside, a stopped re-embedding."""
    gone, folder = Words(9), tmp_path / "store"
    mine = await store_of(folder, 40, gone, 2)
    words = gone.made
    table = folder / "rows" / "rows.lance"
    (data,) = (table / "data").iterdir()
    shutil.copy(data, data.with_name("0" * 24 + "a" * 26 + ".lance"))
    shutil.copy(data, data.with_name(f"{data.name}#1"))
    shutil.copytree(
        next((table / "_indices").iterdir()), table / "_indices" / str(UUID(int=4 << 76))
    )
    aside = folder / "rows" / "set-aside" / "1" / "data"
    aside.mkdir(parents=True)
    shutil.copy(data, aside)
    (folder / "rows" / "log").mkdir(exist_ok=True)
    (folder / "rows" / "log" / "00000000000000000000.log.damaged").write_text(words[0])
    (folder / "sessions.sqlite.damaged-1").write_text(words[1])

    class Stops(HashEmbedder):
        """Embeds a part of the rows, and fails."""

        left = 2

        def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> Any:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("it is out of order")
            return super().embed(texts, kind=kind)

    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.store_messages(
            [said(Words(n)) for n in range(1000, 1600)], "more", user_id="ben"
        )
        with pytest.raises(EmbeddingError):
            await memory.reembed(Stops(16))
        assert (folder / "rows-2").is_dir()
        await memory.delete_messages([one.id for one in mine])
    # Only maintain() removes what was set aside, so until then nothing is erased.
    assert set(await found(folder, words)) == set(words)
    async with open_memory(str(folder), embedder="hash") as memory:
        report = await memory.maintain()
        assert report.ok, report.problems
        assert len(report.details["set_aside_removed"]) == 3
        assert "set-aside" in str(report)
    assert await found(folder, words) == {}
    assert unnamed(folder) == []
    async with open_memory(str(folder), embedder="hash") as memory:
        moved = await memory.reembed(HashEmbedder(16))
        assert moved.resumed > 0


async def test_repair_keeps_what_it_sets_aside(tmp_path: Path) -> None:
    gone, folder = Words(10), tmp_path / "store"
    (mine,) = await store_of(folder, 10, gone, 1)
    damaged = folder / "rows" / "log" / "00000000000000000000.log.damaged"
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_text(gone.made[0])
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.delete_messages(mine.id)
    report = await repair_store(str(folder), embedder="hash")
    assert (await found(folder, gone.made[:1])).keys() == {gone.made[0]}
    assert "kept" in report.maintenance.details["not_erased"]
    assert "not erased yet" in str(report.maintenance)
    async with open_memory(str(folder), embedder="hash") as memory:
        assert (await memory.maintain()).ok
    assert await found(folder, gone.made) == {}


async def test_the_command_erases(tmp_path: Path) -> None:
    gone, folder = Words(11), tmp_path / "store"
    (mine,) = await store_of(folder, 30, gone, 1)
    store = await open_memory(str(folder), embedder="hash")
    await store.delete_messages(mine.id)
    (folder / "sessions.sqlite.damaged-1").write_text(gone.made[0])
    await store.close()
    assert await found(folder, gone.made) != {}
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "bruno_memory_vec", "maintain", "--store", str(folder)],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert await found(folder, gone.made) == {}


async def test_the_vectors_are_gone_from_an_approximate_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bruno_memory_vec.indexers.lance.upkeep.ANN_ROWS", 500)
    gone, folder = Words(12), tmp_path / "store"
    (mine,) = await store_of(folder, 800, gone, 1)
    vector = HashEmbedder().embed([mine.content])[0].tobytes()[:64]

    def places() -> list[str]:
        return [
            path.name
            for path in folder.rglob("*")
            if path.is_file() and vector in path.read_bytes()
        ]

    def index_files() -> set[Path]:
        return set(folder.rglob("auxiliary.idx"))

    before = index_files()
    assert before, "the codes of the vectors"
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.delete_messages(mine.id)
        assert (await memory.maintain()).ok
        indexes = (await memory.health())["rows"]["indexes"]
        assert any(index["columns"] == ["vector"] for index in indexes)
    assert places() == []
    assert index_files(), "made anew"
    assert not before & index_files()


async def test_it_is_erased_after_a_move_to_another_embedder(tmp_path: Path) -> None:
    gone, folder = Words(19), tmp_path / "store"
    (mine,) = await store_of(folder, 30, gone, 1)
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.get_context("ana", "talk")
        await memory.delete_messages(mine.id)
        assert (await memory.health())["rows"]["to_erase"] is True
        await memory.reembed(HashEmbedder(16))
        # The old rows would stay for a minute, for calls that began before.
        assert (folder / "rows").is_dir()
        assert (await memory.maintain()).ok
        assert (await memory.health())["rows"]["to_erase"] is False
        assert await found(folder, gone.made) == {}


# Expired memories


async def kept(memory: VectorMemory) -> int:
    return len(await memory.list_memories("ana", include_expired=True))


async def test_expired_memories_are_removed(tmp_path: Path) -> None:
    gone, folder, now = Words(13), tmp_path / "store", datetime.now(timezone.utc)
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.store_memory(remembered(Words(14), expires_at=now + timedelta(hours=1)))
        await memory.store_memory(remembered(Words(15)))
        await memory.store_memory(remembered(gone, expires_at=now - timedelta(seconds=1)))
        assert await kept(memory) == 3
        report = await memory.maintain()
        assert (report.ok, report.expired_removed) == (True, 1)
        assert "expired memories removed: 1" in str(report)
        assert report.to_dict()["expired_removed"] == 1
        assert await kept(memory) == 2
        assert await found(folder, gone.made) == {}
        await memory.store_memory(remembered(gone, expires_at=now - timedelta(seconds=1)))
    # close() removes and erases them, too.
    assert await found(folder, gone.made) == {}


async def test_expired_memories_are_removed_by_an_open_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bruno_memory_vec.writing.writer._EXPIRY_FIRST", 0.1)
    monkeypatch.setattr("bruno_memory_vec.writing.writer._EXPIRY_EVERY", 0.1)
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        soon = datetime.now(timezone.utc) + timedelta(seconds=0.5)
        await memory.store_memory(remembered(Words(16), expires_at=soon))
        assert await kept(memory) == 1
        for _ in range(50):
            await asyncio.sleep(0.1)
            if not await kept(memory):
                break
        assert await kept(memory) == 0
        assert (await memory.health())["status"] == "ok"


async def test_expired_memories_can_be_kept(tmp_path: Path) -> None:
    now = datetime.now(timezone.utc)
    settings = {"embedder": "hash", "keep_expired": timedelta(days=30)}
    async with open_memory(str(tmp_path / "store"), **settings) as memory:
        await memory.store_memory(remembered(Words(17), expires_at=now - timedelta(days=29)))
        await memory.store_memory(remembered(Words(18), expires_at=now - timedelta(days=31)))
        assert (await memory.maintain()).expired_removed == 1
        assert await kept(memory) == 1
        assert not await memory.list_memories("ana")


@pytest.mark.parametrize("whole", [True, False])
async def test_the_title_of_a_conversation_goes_with_it(tmp_path: Path, whole: bool) -> None:
    gone, folder = Words(7), tmp_path / "store"
    async with open_memory(str(folder), embedder="hash") as memory:
        await filled(memory, 3)
        await memory.store_message(said(gone), "talk", user_id="ana")
        sessions = (await memory._lazy.get()).sessions
        now = datetime.now(timezone.utc)
        await sessions.save_note(ConversationNote("talk", "ana", now, gone()))
        await memory.close()
    assert set(await found(folder, gone.made)) == set(gone.made)
    async with open_memory(str(folder), embedder="hash") as memory:
        sessions = (await memory._lazy.get()).sessions
        if whole:
            await memory.clear_history("talk", keep_system_messages=False)
        else:
            await memory.clear_conversation("ana", "talk")
        assert await sessions.notes("ana") == []
        await memory.maintain()
    assert await found(folder, gone.made) == {}
