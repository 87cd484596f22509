"""A store moved to another embedder: only vectors change, and nothing stored is lost."""

from __future__ import annotations

import asyncio
import json
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import (
    BackendUnavailable,
    EmbeddingError,
    FingerprintError,
    ForeignUserError,
    InvalidInputError,
    NotAStoreError,
    ReadOnlyError,
    StoreClosedError,
    StoreError,
    StoreLockedError,
)
from bruno_memory_vec.upkeep.reembedding.run import reembed
from tests.reembed.support import (
    NEW,
    OLD,
    Failing,
    Gated,
    assert_made_by,
    fact,
    messages,
    named,
    row_folders,
    rows_and_vectors,
)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A store of 600 messages and 3 memories, some used, one replaced, one deleted."""
    path = tmp_path / "store"
    async with open_memory(str(path), embedder=OLD) as memory:
        said = messages(600)
        await memory.store_messages(said, "talk", user_id="ana")
        said[7].content = "number 7 was said otherwise"
        await memory.store_message(said[7], "talk", user_id="ana")
        facts = [fact(f"fact {n}", tags=["a", "b"], importance=0.9) for n in range(4)]
        await memory.store_memories(facts)
        await memory.delete_memory(str(facts[2].id))
        await memory.recall("what about the violin", user_id="ana", k=5)
    return path


async def semantic(memory: VectorMemory, text: str) -> str:
    hits = await memory.recall(text, user_id="ana", k=1, profile="semantic")
    return hits[0].content


async def test_only_the_vectors_change(folder: Path) -> None:
    async with open_memory(str(folder), embedder=OLD) as memory:
        before = await assert_made_by(memory, OLD)
        context = [m.content for m in (await memory.get_context("ana", "talk")).messages]
    assert len(before) == 603
    assert sum(row["access_count"] for row in before) == 5
    told: list[tuple[str, int, int]] = []
    report = await reembed(str(folder), NEW, progress=lambda *said: told.append(said))
    assert (report.before, report.after) == (OLD.fingerprint, NEW.fingerprint)
    assert (report.rows, report.embedded, report.resumed) == (603, 603, 0)
    assert report.discarded is None
    assert 0 < report.switch_seconds < report.seconds
    assert told[0] == ("re-embedding", 0, 603)
    assert told[-1] == ("re-embedding", 603, 603)
    assert row_folders(folder) == ["rows-2"]
    assert not (folder / "reembed.json").exists()
    async with open_memory(str(folder), embedder=NEW) as memory:
        assert await assert_made_by(memory, NEW) == before
        assert [m.content for m in (await memory.get_context("ana", "talk")).messages] == context
        assert await semantic(memory, "number 7 was said otherwise") == (
            "number 7 was said otherwise"
        )
        (hit,) = await memory.recall("number", user_id="ana", metadata={"n": 7})
        assert hit.record.metadata == {"n": 7}
        assert (await memory.health())["status"] == "ok"
        # It goes on as a store does: rows come after those that are there.
        await memory.store_message(messages(1, 9000)[0], "talk", user_id="ana")
        rows = await assert_made_by(memory, NEW)
        assert rows[-1]["seq"] > before[-1]["seq"]
        assert (await memory.get_statistics("ana"))["total_messages"] == 601


async def test_there_and_back(folder: Path) -> None:
    async with open_memory(str(folder), embedder=OLD) as memory:
        rows, vectors = await rows_and_vectors(memory)
    await reembed(str(folder), NEW)
    await reembed(str(folder), OLD)
    assert row_folders(folder) == ["rows-3"]
    async with open_memory(str(folder), embedder=OLD) as memory:
        again, same = await rows_and_vectors(memory)
    assert again == rows
    assert (same == vectors).all()


async def test_a_space_of_the_same_dimension(folder: Path) -> None:
    """Nothing but the fingerprint tells the two apart."""

    class Other(HashEmbedder):
        @property
        def fingerprint(self) -> Any:
            return type(OLD.fingerprint)(name="another", version="1", dimension=32)

    await reembed(str(folder), Other(32))
    assert named(folder).fingerprint.name == "another"
    with pytest.raises(FingerprintError):
        await open_memory(str(folder), embedder=OLD)
    async with open_memory(str(folder), embedder=Other(32)) as memory:
        assert len(await assert_made_by(memory, OLD)) == 603


async def test_the_refusal_of_another_embedder_names_the_command(folder: Path) -> None:
    with pytest.raises(FingerprintError) as refusal:
        await open_memory(str(folder), embedder=NEW)
    assert f"bruno-memory-vec reembed --store {folder} --embedder" in str(refusal.value)
    for fingerprint in (OLD.fingerprint, NEW.fingerprint):
        assert str(fingerprint) in str(refusal.value)


async def test_its_own_embedder(folder: Path) -> None:
    before = (folder / "store.json").read_text()
    report = await reembed(str(folder), OLD)
    assert report.before == report.after
    assert (report.rows, report.embedded) == (603, 0)
    assert row_folders(folder) == ["rows"]
    assert (folder / "store.json").read_text() == before


async def test_an_empty_store(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path), embedder=OLD):
        pass
    report = await reembed(str(tmp_path), NEW)
    assert (report.rows, report.embedded) == (0, 0)
    async with open_memory(str(tmp_path), embedder=NEW) as memory:
        await memory.store_message(messages(1)[0], "talk", user_id="ana")
        assert len(await assert_made_by(memory, NEW)) == 1


async def test_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(NotAStoreError, match="no store"):
        await reembed(str(tmp_path / "nowhere"), NEW)
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(InvalidInputError, match="memory://"):
        await reembed("memory://", NEW)
    async with open_memory("memory://", embedder=OLD) as memory:
        with pytest.raises(InvalidInputError, match="memory://"):
            await memory.reembed(NEW)
        await memory.store_message(messages(1)[0], "talk", user_id="ana")


async def test_who_may_not(folder: Path) -> None:
    async with open_memory(str(folder), embedder=OLD, read_only=True) as reader:
        with pytest.raises(ReadOnlyError):
            await reader.reembed(NEW)
    async with open_memory(str(folder), embedder=OLD) as memory:
        with pytest.raises(ForeignUserError, match="'ana' only"):
            await memory.for_user("ana").reembed(NEW)
        with pytest.raises(StoreLockedError):
            await reembed(str(folder), NEW)
        with pytest.raises(InvalidInputError, match="not known"):
            await memory.reembed("no such embedder")
    assert row_folders(folder) == ["rows"]


async def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    # Not chmod: the administrator, as whom containers run tests, may write everywhere.
    (folder / "reembed.json.new").mkdir()
    with pytest.raises(BackendUnavailable):
        await reembed(str(folder), NEW)
    async with open_memory(str(folder), embedder=OLD) as memory:
        assert len(await assert_made_by(memory, OLD)) == 603


async def test_a_manifest_that_cannot_be_written(folder: Path) -> None:
    """All is done but the switch: the store is as it was, and the next call has little to do."""
    (folder / "store.json.new").mkdir()
    async with open_memory(str(folder), embedder=OLD) as memory:
        with pytest.raises(BackendUnavailable):
            await memory.reembed(NEW)
        await memory.store_message(messages(1, 9000)[0], "talk", user_id="ana")
        assert len(await assert_made_by(memory, OLD)) == 604
        (folder / "store.json.new").rmdir()
        report = await memory.reembed(NEW)
        assert (report.resumed, report.embedded) == (603, 1)
        assert len(await assert_made_by(memory, NEW)) == 604


async def test_too_little_space(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(BackendUnavailable, match="Make room"):
        await reembed(str(folder), NEW)
    assert row_folders(folder) == ["rows"]


async def test_the_language_stays(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path), embedder=OLD, language="german") as memory:
        await memory.store_message(messages(1)[0], "talk", user_id="ana")
    await reembed(str(tmp_path), NEW)
    assert named(tmp_path).language == "german"
    async with open_memory(str(tmp_path), embedder=NEW, language="english") as memory:
        assert len(await assert_made_by(memory, NEW)) == 1
    assert (named(tmp_path).language, named(tmp_path).rows) == ("english", "rows-2")


async def test_a_damaged_name_of_the_rows_is_refused(folder: Path) -> None:
    data = json.loads((folder / "store.json").read_text())
    for rows in ("../elsewhere", "rows-02", "", 7):
        (folder / "store.json").write_text(json.dumps({**data, "rows": rows}))
        with pytest.raises(NotAStoreError, match="damaged"):
            await open_memory(str(folder), embedder=OLD)


# Stopping and going on


async def test_an_embedder_that_fails_in_the_middle(folder: Path) -> None:
    failing = Failing(48, after=300)
    with pytest.raises(EmbeddingError) as failure:
        await reembed(str(folder), failing)
    text = str(failure.value)
    assert "stopped after" in text
    assert "the provider is away" in text
    assert "of 603 rows" in text
    done = failing.texts
    assert 0 < done <= 300
    assert row_folders(folder) == ["rows", "rows-2"]
    async with open_memory(str(folder), embedder=OLD) as memory:  # as if nothing had been
        assert len(await assert_made_by(memory, OLD)) == 603
        await memory.store_message(messages(1, 9000)[0], "talk", user_id="ana")
        await memory.clear_history("nothing")
    assert row_folders(folder) == ["rows", "rows-2"]  # opening keeps what is begun
    failing.after = 10**6
    report = await reembed(str(folder), failing)
    assert (report.resumed, report.embedded, report.rows) == (done, 604 - done, 604)
    assert failing.texts == 604
    async with open_memory(str(folder), embedder=NEW) as memory:
        assert len(await assert_made_by(memory, NEW)) == 604


async def test_what_changed_between_two_calls(folder: Path) -> None:
    """Rows that were deleted, replaced and used after they had been copied."""
    with pytest.raises(EmbeddingError):
        await reembed(str(folder), Failing(48, after=599))
    async with open_memory(str(folder), embedder=OLD) as memory:
        rows = await assert_made_by(memory, OLD)
        said = await memory.retrieve_messages("talk")
        changed = said[-3]
        changed.content = "number 2 was changed"
        await memory.store_message(changed, "talk", user_id="ana")
        for row in rows[-3:]:
            await memory.delete_memory(row["id"])
        await memory.recall("what about the recipe", user_id="ana", k=50)
        await memory.maintain()
        before = await assert_made_by(memory, OLD)
        assert sum(row["access_count"] for row in before) >= 50
    await reembed(str(folder), NEW)
    async with open_memory(str(folder), embedder=NEW) as memory:
        assert await assert_made_by(memory, NEW) == before


async def test_another_target_discards_what_was_begun(folder: Path) -> None:
    with pytest.raises(EmbeddingError):
        await reembed(str(folder), Failing(48, after=300))
    third = HashEmbedder(20)
    report = await reembed(str(folder), third)
    assert report.discarded == NEW.fingerprint
    assert (report.resumed, report.embedded) == (0, 603)
    assert row_folders(folder) == [named(folder).rows]
    async with open_memory(str(folder), embedder=third) as memory:
        assert len(await assert_made_by(memory, third)) == 603


async def test_its_own_embedder_gives_up_what_was_begun(folder: Path) -> None:
    with pytest.raises(EmbeddingError):
        await reembed(str(folder), Failing(48, after=300))
    report = await reembed(str(folder), OLD)
    assert report.discarded == NEW.fingerprint
    assert row_folders(folder) == ["rows"]
    assert not (folder / "reembed.json").exists()


@pytest.mark.parametrize("damage", ["state", "rows", "gone"])
async def test_a_begun_move_that_is_damaged_is_begun_anew(folder: Path, damage: str) -> None:
    with pytest.raises(EmbeddingError):
        await reembed(str(folder), Failing(48, after=300))
    if damage == "state":
        (folder / "reembed.json").write_text("{ damaged")
    else:
        for path in (folder / "rows-2").rglob("*.manifest"):
            path.write_bytes(b"damaged") if damage == "rows" else path.unlink()
    report = await reembed(str(folder), NEW)
    assert (report.rows, report.resumed) == (603, 0)
    assert row_folders(folder) == [named(folder).rows]
    async with open_memory(str(folder), embedder=NEW) as memory:
        assert len(await assert_made_by(memory, NEW)) == 603


async def test_rows_put_back_from_a_backup_are_not_taken_for_those_that_were_copied(
    tmp_path: Path,
) -> None:
    """The same ``seq``, and another row: only a folder put together by hand has that."""
    import shutil

    folder, other = tmp_path / "store", tmp_path / "other"
    for path in (folder, other):
        async with open_memory(str(path), embedder=OLD) as memory:
            await memory.store_messages(
                messages(200, 0 if path == folder else 500), "t", user_id="ana"
            )
    with pytest.raises(EmbeddingError):
        await reembed(str(folder), Failing(48, after=199))
    shutil.rmtree(folder / "rows")
    shutil.copytree(other / "rows", folder / "rows")
    shutil.rmtree(folder / "lexical")
    report = await reembed(str(folder), NEW)
    assert (report.resumed, report.embedded) == (0, 200)
    async with open_memory(str(folder), embedder=NEW) as memory:
        rows = await assert_made_by(memory, NEW)
    assert rows[0]["content"].startswith("number 500 ")


# While it runs


async def test_storing_deleting_and_recalling_go_on(folder: Path) -> None:
    gated = Gated(48, free=300)
    async with open_memory(str(folder), embedder=OLD) as memory:
        moving = asyncio.create_task(memory.reembed(gated))
        await gated.reached.wait()
        rows = await assert_made_by(memory, OLD)
        # A row that is copied already, one that is not, one replaced, one new, and a use.
        await memory.delete_memory(rows[-1]["id"])
        said = await memory.retrieve_messages("talk")
        for place, text in ((-1, "number 0 was changed"), (0, "number 599 was changed")):
            said[place].content = text
            await memory.store_message(said[place], "talk", user_id="ana")
            assert await semantic(memory, text) == text
        await memory.store_messages(messages(5, 7000), "other", user_id="ana")
        await memory.store_message(messages(1, 8000)[0], "bens", user_id="ben")
        await memory.clear_history("other")
        await memory.maintain()
        before = await assert_made_by(memory, OLD)
        assert not moving.done()
        gated.gate.set()
        report = await moving
        assert await assert_made_by(memory, NEW) == before
        assert report.rows == len(before) == 603
        assert (await memory.health())["embedder"] == str(NEW.fingerprint)
        assert (await memory.health())["status"] == "ok"
        assert await semantic(memory, "number 599 was changed") == "number 599 was changed"
        await memory.store_message(messages(1, 9000)[0], "talk", user_id="ana")
        await memory.maintain()
        assert len(await assert_made_by(memory, NEW)) == 604
    assert row_folders(folder) == ["rows-2"]
    async with open_memory(str(folder), embedder=NEW) as memory:
        assert len(await assert_made_by(memory, NEW)) == 604


@pytest.mark.slow
async def test_many_tasks_beside_it(folder: Path) -> None:
    """Every stored message is found by its vector at any moment, before and after each switch."""
    async with open_memory(str(folder), embedder=OLD) as memory:
        over, stored = asyncio.Event(), []

        async def write(task: int) -> None:
            number = 10_000 * (task + 1)
            while not over.is_set():
                number += 1
                (message,) = messages(1, number)
                await memory.store_message(message, f"talk {task}", user_id="ana")
                stored.append(message.content)
                assert await semantic(memory, message.content) == message.content
                hits = await memory.recall(message.content, user_id="ana", k=3)
                assert message.content in [hit.content for hit in hits]

        tasks = [asyncio.create_task(write(n)) for n in range(4)]
        for embedder in (NEW, HashEmbedder(40), OLD):
            report = await memory.reembed(embedder)
            assert report.after == embedder.fingerprint
        over.set()
        await asyncio.gather(*tasks)
        contents = [row["content"] for row in await assert_made_by(memory, OLD)]
        assert len(contents) == 603 + len(stored)
        assert set(stored) <= set(contents)


async def test_a_recall_that_began_before_the_switch_ends_with_the_old_vectors(
    folder: Path,
) -> None:
    class Slow(HashEmbedder):
        """Takes its time for questions."""

        def __init__(self) -> None:
            super().__init__(32)
            self.gate, self.reached = asyncio.Event(), asyncio.Event()

        async def embed(self, texts: Any, *, kind: Any = "document") -> Any:  # type: ignore[override]
            if kind == "query":
                self.reached.set()
                await self.gate.wait()
            return super().embed(texts, kind=kind)

    slow = Slow()
    async with open_memory(str(folder), embedder=slow) as memory:
        asking = asyncio.create_task(semantic(memory, "number 11 is about the violin"))
        await slow.reached.wait()
        await memory.reembed(NEW)
        slow.gate.set()
        assert await asking == "number 11 is about the violin"


async def test_one_at_a_time(folder: Path) -> None:
    gated = Gated(48)
    async with open_memory(str(folder), embedder=OLD) as memory:
        moving = asyncio.create_task(memory.reembed(gated))
        await gated.reached.wait()
        with pytest.raises(StoreError, match="another call"):
            await memory.reembed(HashEmbedder(20))
        gated.gate.set()
        await moving
        assert (await memory.reembed(OLD)).after == OLD.fingerprint


async def test_a_cancelled_caller_stops_it(folder: Path) -> None:
    gated = Gated(48, free=300)
    async with open_memory(str(folder), embedder=OLD) as memory:
        moving = asyncio.create_task(memory.reembed(gated))
        await gated.reached.wait()
        moving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await moving
        await memory.store_message(messages(1, 9000)[0], "talk", user_id="ana")
        report = await memory.reembed(NEW)
        assert report.resumed > 0
        assert report.resumed + report.embedded == 604
        assert len(await assert_made_by(memory, NEW)) == 604


async def test_closing_stops_it(folder: Path) -> None:
    gated = Gated(48, free=300)
    memory = await open_memory(str(folder), embedder=OLD)
    moving = asyncio.create_task(memory.reembed(gated))
    await gated.reached.wait()
    await asyncio.wait_for(memory.close(), 120)
    with pytest.raises(StoreClosedError, match="stopped"):
        await moving
    report = await reembed(str(folder), NEW)  # the folder is free
    assert report.resumed > 0


def test_an_event_loop_that_ends_in_the_middle(folder: Path) -> None:
    """The memory may be used on in the next one."""
    memory = VectorMemory(str(folder), embedder=OLD)

    async def begin() -> None:
        gated = Gated(48, free=300)
        begun = asyncio.create_task(memory.reembed(gated))
        await gated.reached.wait()
        assert not begun.done()

    async def go_on() -> None:
        await memory.store_message(messages(1, 9000)[0], "talk", user_id="ana")
        report = await memory.reembed(NEW)
        assert report.rows == 604
        assert len(await assert_made_by(memory, NEW)) == 604
        await memory.close()

    asyncio.run(begin())
    asyncio.run(go_on())
    assert row_folders(folder) == ["rows-2"]


async def test_the_replaced_rows_go_after_a_while(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stay, loop, waiting = 54_321.0, asyncio.get_running_loop(), []
    call_later = loop.call_later

    def noted(delay: float, call: Any, *arguments: Any, **more: Any) -> Any:
        if delay == stay:
            waiting.append(call)
        return call_later(delay, call, *arguments, **more)

    monkeypatch.setattr("bruno_memory_vec.store.local._REPLACED_ROWS_STAY", stay)
    monkeypatch.setattr(loop, "call_later", noted)
    async with open_memory(str(folder), embedder=OLD) as memory:
        await memory.reembed(NEW)
        assert row_folders(folder) == ["rows", "rows-2"]
        (after_a_while,) = waiting
        after_a_while()
        for _ in range(2400):
            if row_folders(folder) == ["rows-2"]:
                break
            await asyncio.sleep(0.05)
        assert row_folders(folder) == ["rows-2"]
        assert len(await assert_made_by(memory, NEW)) == 603


# Readers


async def test_a_reader_answers_until_the_switch_and_is_told_then(folder: Path) -> None:
    gated = Gated(48, free=300)
    text = "number 11 is about the violin"
    async with open_memory(str(folder), embedder=OLD, read_only=True) as reader:
        async with open_memory(str(folder), embedder=OLD) as memory:
            moving = asyncio.create_task(memory.reembed(gated))
            await gated.reached.wait()
            assert await semantic(reader, text) == text
            (late,) = messages(1, 9000)
            await memory.store_message(late, "talk", user_id="ana")
            assert await semantic(reader, late.content) == late.content
            gated.gate.set()
            await moving
            for _ in range(2):
                with pytest.raises(FingerprintError) as told:
                    await semantic(reader, text)
                assert "re-embedded by hash 1, 48 dimensions" in str(told.value)
                assert "Open it again" in told.value.fix
        # The files it has open are gone now, which changes nothing for it.
        assert row_folders(folder) == ["rows-2"]
        with pytest.raises(FingerprintError):
            await reader.recall(text, user_id="ana", profile="lexical")
        with pytest.raises(FingerprintError):
            await reader.get_statistics("ana")
        health = await reader.health()
        assert health["status"] == "degraded"
        assert "re-embedded" in health["problems"]["rows"]
    async with open_memory(str(folder), embedder=NEW, read_only=True) as reader:
        assert await semantic(reader, text) == text


async def test_a_reader_of_the_same_embedder_after_there_and_back(folder: Path) -> None:
    async with open_memory(str(folder), embedder=OLD, read_only=True) as reader:
        await semantic(reader, "anything")
        await reembed(str(folder), NEW)
        await reembed(str(folder), OLD)
        with pytest.raises(FingerprintError, match="after it was opened here"):
            await semantic(reader, "anything")
