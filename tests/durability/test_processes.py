"""One writer a folder, and readers in other processes that see what it commits."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import NotAStoreError, ReadOnlyError, StoreLockedError
from tests.durability.child_writer import word
from tests.durability.support import Child, message, rows_of, turns_of

pytestmark = pytest.mark.slow

# A second is what a user is promised. Of several times the shortest is held to it: a busy machine
# makes some of them longer, and a fault makes each of them longer.
_SOON = float(os.environ.get("BRUNO_SOON", "1.0")) + 2.0
# Far beyond what a busy machine needs.
_NEVER = 120.0

# A writer that stores one message for each line it is told, and compacts for "maintain".
_WRITER = """
import asyncio, json, sys
from bruno_core.models.message import Message, MessageRole
from bruno_memory_vec import open_memory

async def main():
    async with open_memory(sys.argv[1], embedder="hash") as memory:
        print("open", flush=True)
        while True:
            line = (await asyncio.to_thread(sys.stdin.readline)).strip()
            if not line or line == "close":
                return
            if line == "maintain":
                await memory.maintain()
            elif line.startswith("many "):
                texts = [f"{line[5:]} number {n}" for n in range(60)]
                for text in texts:
                    await memory.store_message(
                        Message(role=MessageRole.USER, content=text), "long", user_id="ana"
                    )
            else:
                message = Message(role=MessageRole.USER, content=line)
                await memory.store_message(message, "talk", user_id="ana")
            print("done", flush=True)

asyncio.run(main())
"""

# A reader that answers each question with what it finds, as JSON.
_READER = """
import asyncio, json, sys
from bruno_memory_vec import open_memory

async def main():
    async with open_memory(sys.argv[1], embedder="hash", read_only=True) as memory:
        print("open", flush=True)
        while True:
            line = (await asyncio.to_thread(sys.stdin.readline)).strip()
            if not line:
                return
            profile, _, query = line.partition(" ")
            hits = await memory.recall(query, user_id="ana", k=3, profile=profile)
            print(json.dumps([hit.content for hit in hits]), flush=True)

asyncio.run(main())
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Starts a child from a script's text, and ends what is left of them."""
    started: list[Child] = []

    def start(text: str, *arguments: object) -> Child:
        path = tmp_path / f"script{len(started)}.py"
        path.write_text(text)
        child = Child(path, *map(str, arguments))
        started.append(child)
        assert child.hear() == "open"
        return child

    yield start
    for child in started:
        if child.process.poll() is None:
            child.kill()


def tell(child: Child, line: str) -> str:
    child.say(line)
    answer = child.hear()
    assert answer, "the child has ended"
    return answer


async def until(see: Callable[[], Awaitable[bool]]) -> float:
    """Seconds until something is seen; fails when it never is."""
    started = time.perf_counter()
    while not await see():
        assert time.perf_counter() - started < _NEVER, "not seen"
        await asyncio.sleep(0.02)
    return time.perf_counter() - started


async def found(memory: VectorMemory, text: str, profile: str) -> bool:
    hits = await memory.recall(text, user_id="ana", k=3, profile=profile)
    return any(hit.content == text for hit in hits)


async def test_a_second_writer_is_refused_and_told_by_whom(
    tmp_path: Path, script: Callable[..., Child]
) -> None:
    folder = tmp_path / "store"
    child = script(_WRITER, folder)
    with pytest.raises(StoreLockedError, match=rf"process {child.process.pid}\b"):
        await open_memory(str(folder), embedder="hash")
    assert tell(child, "still writing") == "done"
    child.kill()
    async with open_memory(str(folder), embedder="hash") as memory:  # a killed holder holds nothing
        assert [text for _, text in await turns_of(memory, "talk")] == ["still writing"]


async def test_a_second_writer_in_this_process_is_refused(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        with pytest.raises(StoreLockedError, match=rf"process {os.getpid()}\b"):
            await open_memory(str(tmp_path), embedder="hash")
        await memory.store_message(message("the first goes on"), "talk", user_id="ana")
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        assert len(await rows_of(memory)) == 1


@pytest.mark.parametrize("profile", ["lexical", "semantic"])
async def test_a_reader_sees_what_another_process_commits(
    tmp_path: Path, script: Callable[..., Child], profile: str
) -> None:
    folder = tmp_path / "store"
    child = script(_WRITER, folder)
    tell(child, "before the reader came")
    async with open_memory(str(folder), embedder="hash", read_only=True) as reader:
        waits = []
        for number in range(8):
            text = f"{word(number)} came later"
            tell(child, text)
            waits.append(await until(lambda text=text: found(reader, text, profile)))
        print(f"seen after {min(waits):.3f} to {max(waits):.3f} s")
        assert min(waits) < _SOON
        context = await reader.get_context("ana", "talk")
        assert context.messages[-1].content == text


async def test_a_reader_reads_on_across_compactions(
    tmp_path: Path, script: Callable[..., Child]
) -> None:
    folder = tmp_path / "store"
    child = script(_WRITER, folder)
    tell(child, f"{word(0)} stays")
    async with open_memory(str(folder), embedder="hash", read_only=True) as reader:
        over = asyncio.Event()
        looks = 0

        async def read() -> None:
            nonlocal looks
            while not over.is_set():
                for profile in ("lexical", "semantic"):
                    assert await found(reader, f"{word(0)} stays", profile)
                assert (await reader.get_statistics("ana"))["total_messages"] > 0
                looks += 1

        reading = asyncio.create_task(read())
        rounds = 0
        while rounds < 5 or looks <= 3:
            assert not reading.done(), reading.exception()
            await asyncio.to_thread(tell, child, f"many {word(1000 + rounds)}")
            await asyncio.to_thread(tell, child, "maintain")
            rounds += 1
        last = f"{word(99)} at last"
        await asyncio.to_thread(tell, child, last)
        over.set()
        await reading
        for profile in ("lexical", "semantic"):
            await until(lambda profile=profile: found(reader, last, profile))
        assert (await reader.get_statistics("ana"))["total_messages"] == 2 + 60 * rounds


async def test_a_reader_whose_version_was_cleaned_away_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer keeps old versions for some seconds; here for a moment."""
    from datetime import timedelta

    from bruno_memory_vec.indexers.lance import upkeep as lance_upkeep

    monkeypatch.setattr(lance_upkeep, "_KEEP_VERSIONS", timedelta(milliseconds=1))
    async with open_memory(str(tmp_path), embedder="hash") as writer:
        await writer.store_message(message(f"{word(0)} stays"), "talk", user_id="ana")
        async with open_memory(str(tmp_path), embedder="hash", read_only=True) as reader:

            async def write() -> None:
                for number in range(6):
                    for n in range(15):
                        await writer.store_message(message(f"{number} {n}"), "talk", user_id="ana")
                    await writer.maintain()

            writing = asyncio.create_task(write())
            while not writing.done():
                for profile in ("lexical", "semantic"):
                    assert await found(reader, f"{word(0)} stays", profile)
            await writing


async def test_two_readers_at_once(tmp_path: Path, script: Callable[..., Child]) -> None:
    folder = tmp_path / "store"
    async with open_memory(str(folder), embedder="hash") as writer:
        await writer.store_message(message("nothing much"), "talk", user_id="ana")
        readers = [script(_READER, folder), script(_READER, folder)]
        text = f"{word(7)} for both"
        await writer.store_message(message(text), "talk", user_id="ana")
        for reader in readers:
            for profile in ("lexical", "semantic"):

                async def seen(reader: Child = reader, profile: str = profile) -> bool:
                    answer = await asyncio.to_thread(tell, reader, f"{profile} {text}")
                    return text in json.loads(answer)

                await until(seen)


async def test_a_reader_comes_after_a_killed_writer(
    tmp_path: Path, script: Callable[..., Child]
) -> None:
    """Nobody has repaired the store yet; what was acknowledged is there by vectors all the same."""
    folder = tmp_path / "store"
    child = script(_WRITER, folder)
    tell(child, "early words")
    async with open_memory(str(folder), embedder="hash", read_only=True) as reader:
        # Until its words are committed.
        await until(lambda: found(reader, "early words", "lexical"))
    tell(child, "late words")
    child.kill()
    async with open_memory(str(folder), embedder="hash", read_only=True) as reader:
        assert await found(reader, "late words", "semantic")
        assert await found(reader, "early words", "lexical")
        assert len(await reader.retrieve_messages("talk")) == 2


async def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path), embedder="hash") as writer:
        await writer.store_message(message("hello"), "talk", user_id="ana")
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "rows").rglob("*") if p.is_file()}
    entry = MemoryEntry(content="a fact", memory_type=MemoryType.FACT, user_id="ana")
    async with open_memory(str(tmp_path), embedder="hash", read_only=True) as reader:
        for write in (
            lambda: reader.store_message(message("no"), "talk", user_id="ana"),
            lambda: reader.store_messages([message("no")], "talk", user_id="ana"),
            lambda: reader.store_memory(entry),
            lambda: reader.delete_memory(str(entry.id)),
            lambda: reader.clear_history("talk"),
            lambda: reader.clear_conversation("ana", "talk"),
            lambda: reader.create_session("ana"),
            lambda: reader.end_session("some session"),
            lambda: reader.maintain(),
        ):
            with pytest.raises(ReadOnlyError):
                await write()
        assert [m.content for m in await reader.retrieve_messages("talk")] == ["hello"]
        assert len(await reader.recall("hello", user_id="ana")) == 1
        assert (await reader.get_context("ana", "unknown")).messages == []
        assert (await reader.health())["read_only"] is True
    assert files == {p: p.stat().st_mtime_ns for p in (tmp_path / "rows").rglob("*") if p.is_file()}


@pytest.mark.parametrize("made", [False, True])
async def test_a_reader_of_no_store_is_told_so(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "nothing"
    if made:
        folder.mkdir()
    with pytest.raises(NotAStoreError):
        await open_memory(str(folder), embedder="hash", read_only=True)
    assert folder.exists() == made
    assert not made or list(folder.iterdir()) == []
