"""A memory's life: forgotten, closed twice, cancelled, crowded; the store stays sound."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from bruno_core.utils.exceptions import BrunoError
from numpy.typing import NDArray

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import EmbeddingError, EngineError, ForeignUserError, StoreClosedError
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex
from tests.durability.child_writer import word
from tests.durability.support import ROOT, environment, message, rows_of, turns_of

pytestmark = pytest.mark.slow

_HEAD = """
import asyncio, sys
from bruno_core.models.message import Message, MessageRole
from bruno_memory_vec import VectorMemory, open_memory

def message(text):
    return Message(role=MessageRole.USER, content=text)
"""


# Far beyond what a busy machine needs: what has not ended by then hangs.
_HANGS = 240


def start(script: str, folder: Path) -> subprocess.Popen[str]:
    code = _HEAD + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code, str(folder)],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """How a script ended by itself."""
    try:
        out, err = process.communicate(timeout=_HANGS)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[VectorMemory]:
    async with open_memory(str(tmp_path / "store"), embedder="hash") as opened:
        yield opened


async def contents(folder: Path) -> list[str]:
    async with open_memory(str(folder), embedder="hash") as memory:
        rows = await rows_of(memory)
        for row in rows:
            own = row["content"].split()[0]
            hits = await memory.recall(own, user_id=row["user_id"], k=50, profile="lexical")
            assert row["id"] in {hit.id for hit in hits}
    return sorted(row["content"] for row in rows)


_FORGOTTEN = {
    "close": """
        async def main():
            memory = await open_memory(sys.argv[1], embedder="hash")
            await memory.store_message(message("kept"), "talk", user_id="ana")
            await asyncio.sleep(0.5)
        asyncio.run(main())
    """,
    "close, with words not committed": """
        async def main():
            memory = await open_memory(sys.argv[1], embedder="hash")
            await memory.store_message(message("kept"), "talk", user_id="ana")
        asyncio.run(main())
    """,
    "close, kept alive by a global": """
        memory = VectorMemory(sys.argv[1], embedder="hash")
        asyncio.run(memory.store_message(message("kept"), "talk", user_id="ana"))
    """,
    "close, while a write is on its way": """
        async def main():
            memory = await open_memory(sys.argv[1], embedder="hash")
            await memory.store_message(message("kept"), "talk", user_id="ana")
            task = asyncio.create_task(memory.recall("kept", user_id="ana"))
            await asyncio.sleep(0)
        asyncio.run(main())
    """,
}


_AN_EXCEPTION = """
    async def main():
        memory = await open_memory(sys.argv[1], embedder="hash")
        await memory.store_message(message("kept"), "talk", user_id="ana")
        raise ZeroDivisionError("the program's own")
    asyncio.run(main())
"""

_TWO_LOOPS = """
    memory = VectorMemory(sys.argv[1], embedder="hash")

    async def many(name):
        # At once, so that every lock in there is waited for.
        await asyncio.gather(
            *(
                memory.store_message(message(f"{name} {n}"), "talk", user_id="ana")
                for n in range(20)
            ),
            *(memory.get_context("ana", "talk") for n in range(20)),
            *(memory.create_session("ana") for n in range(20)),
            memory.recall("anything", user_id="ana"),
            memory.maintain(),
        )
    asyncio.run(many("first"))
    asyncio.run(many("second"))
    asyncio.run(memory.close())
"""


@pytest.mark.slow
async def test_programs_end_and_lose_nothing_however_they_end(tmp_path: Path) -> None:
    """A close is forgotten, an exception is raised, a second event loop goes on."""
    scripts = {**_FORGOTTEN, "an exception": _AN_EXCEPTION, "two event loops": _TWO_LOOPS}
    # Together, since each waits more than it works.
    running = {name: start(script, tmp_path / name) for name, script in scripts.items()}
    try:
        ends = {name: end(process) for name, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
    for name in _FORGOTTEN:
        assert ends[name].returncode == 0, (name, ends[name].stderr)
        assert "Traceback" not in ends[name].stderr, (name, ends[name].stderr)
        assert await contents(tmp_path / name) == ["kept"], name
    raised = ends["an exception"]
    assert raised.returncode == 1
    assert raised.stderr.count("Traceback") == 1, raised.stderr
    assert "ZeroDivisionError" in raised.stderr
    assert await contents(tmp_path / "an exception") == ["kept"]
    looped = ends["two event loops"]
    assert looped.returncode == 0, looped.stderr
    assert len(await contents(tmp_path / "two event loops")) == 40


def test_an_event_loop_that_ends_while_it_closes_what_was_forgotten(tmp_path: Path) -> None:
    """The closing begins at some moment of the loop's end, which waits for nothing that is new."""
    script = """
        import time

        async def lingers(seconds):
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(seconds)

        async def main(folder, seconds, in_a_thread):
            memory = await open_memory(folder, embedder="hash")
            await memory.store_message(message("kept"), "talk", user_id="ana")
            if in_a_thread:
                asyncio.get_running_loop().run_in_executor(None, time.sleep, seconds)
            else:
                asyncio.get_running_loop().left = asyncio.create_task(lingers(seconds))
            await asyncio.sleep(0)

        for n in range(16):
            asyncio.run(main(f"{sys.argv[1]}-{n}", 0.05 + 0.002 * (n // 2), n % 2))
    """
    ended = end(start(script, tmp_path / "store"))
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    assert "close_failed" not in ended.stderr, ended.stderr


def test_an_event_loop_that_ends_amid_a_flush(tmp_path: Path) -> None:
    """LanceDB goes on adding the rows, and the next loop must not add them again."""
    script = """
        from pathlib import Path

        from bruno_memory_vec.indexers.lance.index import LanceIndex
        from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex
        from bruno_memory_vec.indexers.query import RowFilter, Scope
        from bruno_memory_vec.indexers.schema import LOG, row_schema
        from bruno_memory_vec.testing.rows import message, table

        async def write(folder, turns):
            index = WriteAheadLogIndex(
                await LanceIndex.open(str(folder), 8), folder / LOG, row_schema(8)
            )
            await index.replay()
            for seq in range(5):
                await index.upsert(table([message(seq)], 8), all_new=True)
            asyncio.ensure_future(index.flush())
            while not index._memtables.flush_begun:
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            return index

        async def go_on(index):
            await index.flush()
            await asyncio.sleep(0.1)
            count = await index.count(Scope.all_users(), RowFilter())
            await index.close()
            return count

        for turns in (50, 100, 150, 200, 250, 300, 400, 600):
            first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
            index = first.run_until_complete(write(Path(sys.argv[1]) / str(turns), turns))
            first.close()
            print(second.run_until_complete(go_on(index)))
            second.close()
    """
    done = end(start(script, tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["5"] * 8


async def test_closing_twice_and_using_it_afterwards(tmp_path: Path) -> None:
    memory = await open_memory(str(tmp_path / "store"), embedder="hash")
    view = memory.for_user("ana")
    await memory.store_message(message("hello"), "talk", user_id="ana")
    await asyncio.gather(memory.close(), memory.close())
    await memory.close()
    for call in (
        lambda: memory.store_message(message("no"), "talk", user_id="ana"),
        lambda: memory.recall("hello", user_id="ana"),
        lambda: memory.retrieve_messages("talk"),
        lambda: memory.get_context("ana", "talk"),
        lambda: memory.clear_history("talk"),
        lambda: memory.get_statistics("ana"),
        lambda: memory.create_session("ana"),
        lambda: memory.health(),
        lambda: memory.connect(),
        lambda: view.recall("hello"),
    ):
        with pytest.raises(StoreClosedError):
            await call()
    assert await contents(tmp_path / "store") == ["hello"]


async def test_closing_under_calls_that_run(tmp_path: Path) -> None:
    """Each call ends: done, or refused with an error of ours. What was acknowledged is there."""
    for round_ in range(6):
        folder = tmp_path / f"store{round_}"
        memory = await open_memory(str(folder), embedder="hash")
        await memory.store_message(message("hello"), "talk", user_id="ana")
        writes = [
            asyncio.create_task(memory.store_message(message(f"m{n}"), "talk", user_id="ana"))
            for n in range(30)
        ]
        reads = [asyncio.create_task(memory.recall("hello", user_id="ana", k=3)) for _ in range(5)]
        reads += [asyncio.create_task(memory.get_context("ana", "talk")) for _ in range(5)]
        await asyncio.sleep(random.random() * 0.02)
        await asyncio.wait_for(memory.close(), _HANGS)
        calls = asyncio.gather(*writes, *reads, return_exceptions=True)
        ends = await asyncio.wait_for(calls, _HANGS)
        strange = [
            e for e in ends if isinstance(e, BaseException) and not isinstance(e, BrunoError)
        ]
        assert not strange, strange[:2]
        acknowledged = {f"m{n}" for n, end in enumerate(ends[:30]) if end is None}
        assert acknowledged <= set(await contents(folder))


async def test_a_cancelled_close_can_be_finished(tmp_path: Path) -> None:
    folder = str(tmp_path / "store")
    for wait in (0, 0.0001, 0.0005, 0.001, 0.002, 0.005):
        memory = await open_memory(folder, embedder="hash")
        await memory.store_message(message("hello"), "talk", user_id="ana")
        closing = asyncio.create_task(memory.close())
        await asyncio.sleep(wait)
        closing.cancel()
        await asyncio.wait([closing])
        await memory.close()
        # Still referred to, so that no garbage collection frees the folder.
        async with open_memory(folder, embedder="hash") as again:
            assert again is not memory


async def test_a_cancelled_opening_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = str(tmp_path / "store")
    dice = random.Random(1)
    for _ in range(25):
        opening = asyncio.create_task(VectorMemory(folder, embedder="hash").connect())
        await asyncio.sleep(dice.uniform(0, 0.03))
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():
            await opening.result().close()
        async with open_memory(folder, embedder="hash") as memory:
            await memory.health()


async def test_cancelled_callers_harm_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    dice = random.Random(2)
    acknowledged: list[str] = []
    async with open_memory(str(folder), embedder="hash") as memory:

        async def store(text: str) -> None:
            await memory.store_message(message(text), f"talk{dice.randrange(3)}", user_id="ana")
            acknowledged.append(text)

        for round_ in range(15):
            tasks = [asyncio.create_task(store(f"{word(round_ * 100 + n)}")) for n in range(20)]
            for task in dice.sample(tasks, 8):
                await asyncio.sleep(dice.choice((0, 0, 0.001, 0.004)))
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ends)
            assert sum(end is None for end in ends) >= 12
            with contextlib.suppress(asyncio.TimeoutError):
                late = store(f"{word(round_ * 100 + 99)}")
                await asyncio.wait_for(late, dice.uniform(0, 0.004))
        await memory.store_message(
            message(word(99_999)), "talk0", user_id="ana"
        )  # after all the others
        rows = await rows_of(memory)
        stored = Counter(row["content"] for row in rows)
        assert set(acknowledged) <= set(stored)
        assert max(stored.values()) == 1
        for conversation in ("talk0", "talk1", "talk2"):
            turns = [turn for turn, _ in await turns_of(memory, conversation)]
            assert turns == list(range(len(turns)))
        assert (await memory.health())["status"] == "ok"
    assert len(await contents(folder)) == len(rows)


async def test_a_cancelled_writer_gives_no_turn_twice(tmp_path: Path) -> None:
    """A shutdown that cancels every task, the writer's too, in the midst of a commit."""
    dice = random.Random(3)
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        for number in range(40):
            tasks = [
                asyncio.create_task(
                    memory.store_message(message(f"{number} {n}"), "talk", user_id="ana")
                )
                for n in range(3)
            ]
            await asyncio.sleep(dice.uniform(0, 0.012))
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            _, running = await asyncio.wait({*tasks, *others}, timeout=_HANGS)
            assert not running
            await memory.store_message(message(f"{number} sure"), "talk", user_id="ana")
        turns = [turn for turn, _ in await turns_of(memory, "talk")]
        assert len(set(turns)) == len(turns)
    assert len(await contents(tmp_path / "store")) == len(turns)


class Fault:
    """Wraps a method of an engine: it does its work and fails all the same, when told to."""

    def __init__(self, engine: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = False
        real = getattr(engine, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            result = await real(*arguments, **named)
            if self.on:
                raise EngineError("lancedb", name, "the answer got lost", fix="Try again.")
            return result

        monkeypatch.setattr(engine, name, call)


async def test_a_commit_that_fails_after_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are there although the engine said no: nothing may be given their turns."""
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        await memory.store_message(message("one"), "talk", user_id="ana")
        fault = Fault((await memory._lazy.get()).rows, "upsert", monkeypatch)
        fault.on = True
        with pytest.raises(EngineError):
            await memory.store_message(message("two"), "talk", user_id="ana")
        fault.on = False
        await memory.store_message(message("three"), "talk", user_id="ana")
        turns = [turn for turn, _ in await turns_of(memory, "talk")]
        assert len(set(turns)) == len(turns), await turns_of(memory, "talk")
    assert await contents(tmp_path / "store") == ["one", "three", "two"]


class Moody(HashEmbedder):
    """Fails for texts that hold "poison"."""

    def embed(self, texts: Sequence[str], *, kind: Any = "document") -> NDArray[np.float32]:
        if any("poison" in text for text in texts):
            raise RuntimeError("poisoned")
        return super().embed(texts, kind=kind)


async def test_a_failing_embedder_fails_only_its_own_calls(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path / "store"), embedder=Moody()) as memory:
        texts = [f"poison {n}" if n % 7 == 3 else f"sound {n}" for n in range(60)]
        ends = await asyncio.gather(
            *(memory.store_message(message(text), "talk", user_id="ana") for text in texts),
            return_exceptions=True,
        )
        for text, end in zip(texts, ends, strict=True):
            assert isinstance(end, EmbeddingError) == text.startswith("poison"), (text, end)
        stored = await turns_of(memory, "talk")
        assert sorted(text for _, text in stored) == sorted(t for t in texts if "sound" in t)
        assert [turn for turn, _ in stored] == list(range(len(stored)))
        with pytest.raises(EmbeddingError):
            await memory.store_messages(
                [message("sound"), message("poison")], "talk", user_id="ana"
            )
        assert len(await rows_of(memory)) == len(stored)


async def test_many_callers_share_few_commits(memory: VectorMemory) -> None:
    await memory.store_message(message("warm"), "talk", user_id="ana")
    before, began = (await memory.health())["rows"]["version"], time.monotonic()
    await asyncio.gather(
        *(memory.store_message(message(f"m{n}"), f"talk{n % 5}", user_id="ana") for n in range(200))
    )
    # A few, and one more for each second that it took.
    commits = (await memory.health())["rows"]["version"] - before
    assert commits <= 10 + time.monotonic() - began
    assert len(await rows_of(memory)) == 201


async def test_a_lone_caller_waits_for_a_record_and_no_commit(memory: VectorMemory) -> None:
    rows = capability((await memory._lazy.get()).rows, WriteAheadLogIndex)
    assert rows is not None
    await rows.flush()
    before, version = (await memory.health())["rows"], await rows.version()
    began = time.monotonic()
    for n in range(20):
        await memory.store_message(message(f"m{n}"), "talk", user_id="ana")
        assert await rows.version() != version
        version = await rows.version()
    await rows.flush()
    after = (await memory.health())["rows"]
    assert after["rows"] - before["rows"] == 20
    # One, and one more for each second that it took.
    assert 1 <= after["version"] - before["version"] < 2 + time.monotonic() - began


async def test_storing_while_it_is_compacted(memory: VectorMemory) -> None:
    first = [message(f"m{n}") for n in range(100)]
    for each in first:
        await memory.store_message(each, "talk", user_id="ana")

    async def write() -> None:
        for n in range(60):
            await memory.store_message(message(f"new {n}"), "talk", user_id="ana")
            await memory.store_message(first[n], "talk", user_id="ana")  # a replacement

    async def compact() -> None:
        for _ in range(8):
            await memory.maintain()

    await asyncio.gather(write(), compact())
    stored = await turns_of(memory, "talk")
    assert [turn for turn, _ in stored] == list(range(160))
    assert [text for _, text in stored[:100]] == [each.content for each in first]
    report = await memory.health()
    assert report["status"] == "ok", report["problems"]


async def test_one_id_stored_by_many_at_once_is_one_row(memory: VectorMemory) -> None:
    id_ = uuid4()
    for _ in range(3):
        await asyncio.gather(
            *(
                memory.store_message(message(f"version {n}", id=id_), "talk", user_id="ana")
                for n in range(40)
            )
        )
        assert len(await rows_of(memory)) == 1
    assert [turn for turn, _ in await turns_of(memory, "talk")] == [0]
    assert len((await memory.get_context("ana", "talk")).messages) == 1
    assert len(await memory.recall("version", user_id="ana")) == 1


async def test_two_users_begin_one_conversation(memory: VectorMemory) -> None:
    for n in range(20):
        ends = await asyncio.gather(
            memory.store_message(message("mine"), f"talk{n}", user_id="ana"),
            memory.store_message(message("no, mine"), f"talk{n}", user_id="bo"),
            return_exceptions=True,
        )
        refused = [end for end in ends if end is not None]
        assert len(refused) == 1
        assert isinstance(refused[0], ForeignUserError)
        owner = "ana" if ends[0] is None else "bo"
        rows = [row for row in await rows_of(memory) if row["conversation_id"] == f"talk{n}"]
        assert [row["user_id"] for row in rows] == [owner]


async def test_a_bulk_of_new_and_old_messages_gives_no_turn_twice(memory: VectorMemory) -> None:
    old = [message(f"old {n}") for n in range(20)]
    await memory.store_messages(old, "talk", user_id="ana")
    await memory.store_messages(
        [*[message(f"new {n}") for n in range(25)], *old], "talk", user_id="ana"
    )
    await memory.store_message(message("last"), "talk", user_id="ana")
    stored = await turns_of(memory, "talk")
    assert [turn for turn, _ in stored] == list(range(46))
    context = await memory.get_context("ana", "talk")
    assert [m.content for m in context.messages] == [text for _, text in stored[-20:]]


@pytest.mark.parametrize("keep", [True, False])
async def test_cleared_messages_do_not_come_back_into_a_context(
    memory: VectorMemory, keep: bool
) -> None:
    await memory.store_message(message("rules", role="system"), "talk", user_id="ana")
    await memory.store_messages([message(f"m{n}") for n in range(40)], "talk", user_id="ana")
    await memory.clear_history("talk", keep_system_messages=keep)
    kept = ["rules"] if keep else []
    for _ in range(2):
        context = await memory.get_context("ana", "talk")
        assert [m.content for m in context.messages] == kept
    await memory.store_message(message("fresh"), "talk", user_id="ana")
    for _ in range(2):
        context = await memory.get_context("ana", "talk")
        assert [m.content for m in context.messages] == [*kept, "fresh"]
