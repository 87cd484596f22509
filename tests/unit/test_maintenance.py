"""Upkeep: what it reports, and that real damage of every kind is named with its fix."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import EngineError, ForeignUserError
from bruno_memory_vec.indexers.checksum import with_checksums
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.protocols import Flushes
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS
from bruno_memory_vec.store.record import FILE, background_problems, footprint, last_maintenance
from bruno_memory_vec.testing import HashEmbedder
from bruno_memory_vec.testing.rows import memory as memory_row
from bruno_memory_vec.testing.rows import message as message_row
from bruno_memory_vec.testing.rows import table
from bruno_memory_vec.upkeep.maintenance import MaintenanceReport
from bruno_memory_vec.upkeep.verification import WORK
from tests.torture.faults import doctor
from tests.torture.faults import said as said_of

DIMENSION = HashEmbedder().fingerprint.dimension
ID = memory_row(1000)["id"]


def said(text: str) -> Message:
    return Message(role="user", content=text)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store of sixty messages in three conversations, each its own commit."""
    folder = tmp_path_factory.mktemp("made") / "store"

    async def fill() -> None:
        async with open_memory(str(folder), embedder="hash") as memory:
            for number in range(60):
                await memory.store_message(
                    said(f"apple {number}"), f"talk {number % 3}", user_id="ana"
                )

    asyncio.run(fill())
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


@pytest.fixture
async def memory(folder: Path) -> AsyncIterator[VectorMemory]:
    async with open_memory(str(folder), embedder="hash") as memory:
        yield memory


async def smuggle(folder: Path, rows: list[dict[str, Any]], vectors: Any = None) -> None:
    """Put rows into a closed store behind its writer's back."""
    index = await LanceIndex.open(str(folder / "rows"), DIMENSION)
    await index.upsert(table(rows, DIMENSION, vectors), all_new=True)
    await index.close()


async def maintained(folder: Path) -> MaintenanceReport:
    async with open_memory(str(folder), embedder="hash") as memory:
        return await memory.maintain()


def only_problem(report: MaintenanceReport) -> Any:
    assert not report.ok
    assert not report.verified
    assert len(report.problems) == 1, report.problems
    assert report.problems[0].fix
    return report.problems[0]


async def test_what_it_did(memory: VectorMemory, folder: Path) -> None:
    shown: list[tuple[str, int, int]] = []
    for number in range(5):
        await memory.store_message(said(f"pear {number}"), "talk 0", user_id="ana")
        # Each a fragment of its own.
        flushes = capability((await memory._lazy.get()).rows, Flushes)
        assert flushes is not None
        await flushes.flush()
    report = await memory.maintain(lambda *step: shown.append(step))
    assert report.ok
    assert report.verified
    assert (report.before.rows, report.after.rows, report.after.lexical) == (65, 65, 65)
    assert report.before.fragments is not None
    assert report.before.fragments > 1
    assert report.after.fragments is not None
    assert report.after.fragments < report.before.fragments
    assert list(report.seconds) == [
        "count accesses",
        "remove expired memories",
        "remove left summaries",
        "end expired sessions",
        "commit lexical index",
        "compact rows",
        "verify",
    ]
    assert (WORK, 65, 65) in shown
    assert [done for work, done, total in shown if work == "maintaining"] == [1, 2, 3, 4, 5, 6, 7]
    assert {"id", "seq", "user_id"} <= set(report.after.indexes)
    assert report.after.unindexed == 0
    text = str(report)
    assert "65 rows maintained" in text
    assert "verified" in text
    assert "PROBLEM" not in text
    # The record itself came after the last look.
    assert report.after.files in (footprint(folder).files, footprint(folder).files - 1)


async def test_the_uses_are_written(memory: VectorMemory) -> None:
    (hit,) = await memory.recall("apple 7", user_id="ana", k=1)
    store = await memory._lazy.get()
    assert store.writer is not None
    assert store.writer.pending_uses
    assert (await memory.maintain()).ok
    assert not store.writer.pending_uses
    (again,) = await memory.recall("apple 7", user_id="ana", k=1)
    assert again.id == hit.id


async def test_health_and_other_processes_are_told(memory: VectorMemory, folder: Path) -> None:
    assert (await memory.health())["maintenance"] is None
    report = await memory.maintain()
    health = await memory.health()
    assert health["maintenance"] == report.to_dict()
    assert health["problems"] == {}
    assert last_maintenance(folder) == report.to_dict()
    async with open_memory(str(folder), embedder="hash", read_only=True) as reader:
        assert (await reader.health())["maintenance"] == report.to_dict()


async def test_a_store_in_memory() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_message(said("hello"), "talk", user_id="ana")
        report = await memory.maintain()
        assert report.ok
        assert (report.after.rows, report.after.files, report.after.versions) == (1, None, None)
        assert (await memory.health())["maintenance"] == report.to_dict()


async def test_an_empty_store(tmp_path: Path) -> None:
    report = await maintained(tmp_path / "new")
    assert report.ok
    assert report.after.rows == 0


async def test_a_view_does_not_serve(memory: VectorMemory) -> None:
    with pytest.raises(ForeignUserError, match="ana"):
        await memory.for_user("ana").maintain()


async def test_deleted_and_replaced_rows_are_no_problem(memory: VectorMemory) -> None:
    message = said("one more")
    for text in ("one more", "one more, mended"):
        await memory.store_message(
            message.model_copy(update={"content": text}), "talk 0", user_id="ana"
        )
    await memory.clear_history("talk 0")
    report = await memory.maintain()
    assert report.problems == ()
    assert report.after.rows == 40


# Damage


async def test_an_id_that_is_there_twice(folder: Path) -> None:
    await smuggle(folder, [memory_row(1000), memory_row(1001, id=ID)])
    problem = only_problem(await maintained(folder))
    assert problem.part == "rows"
    assert "1 id is there more than once" in problem.found
    assert ID in problem.found


async def test_one_row_twice(folder: Path) -> None:
    await smuggle(folder, [memory_row(1000), memory_row(1000)])
    assert "more than once" in (await maintained(folder)).problems[0].found


async def test_a_seq_that_two_rows_have(folder: Path) -> None:
    await smuggle(folder, [memory_row(1000), {**memory_row(1001), "seq": 1000}])
    assert any(
        "several rows have the seq 1000" in problem.found
        for problem in (await maintained(folder)).problems
    )


async def test_the_same_id_of_another_user_or_kind_is_another_row(folder: Path) -> None:
    rows = [
        memory_row(1000),
        memory_row(1001, id=ID, user_id="ben"),
        message_row(1002, id=ID, conversation_id="elsewhere", turn=0),
    ]
    await smuggle(folder, rows)
    assert (await maintained(folder)).problems == ()


async def test_two_messages_at_one_turn(folder: Path) -> None:
    await smuggle(folder, [message_row(1000, conversation_id="talk 1", turn=3)])
    problem = only_problem(await maintained(folder))
    assert "such as 3 of 'talk 1'" in problem.found


async def test_a_message_without_a_turn(memory: VectorMemory) -> None:
    await memory.clear_history("talk 0")
    store = await memory._lazy.get()
    # In the place of a deleted row, so that the sessions are not behind it.
    lost = table([message_row(0, conversation_id=None, turn=None)], DIMENSION)
    await store.rows.upsert(lost, all_new=True)
    store.lexical.add(lost.select(list(LEXICAL_COLUMNS)))
    returned, problem = (await memory.maintain()).problems
    assert returned.part == "returned"
    assert "1 message without a place" in problem.found
    assert problem.found.endswith("seq 0")


async def test_messages_without_a_turn_that_opening_finds(folder: Path) -> None:
    rows = [
        message_row(1001, conversation_id="talk 1", turn=None, content="put in second"),
        message_row(1000, conversation_id="talk 1", turn=None, content="put in first"),
        message_row(1002, conversation_id="a new talk", turn=None),
    ]
    await smuggle(folder, [dict(row, user_id="ana") for row in rows])
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.store_message(said("stored after them"), "talk 1", user_id="ana")
        shown = (await memory.get_context("ana", "talk 1")).messages
        assert [message.content for message in shown[-3:]] == [
            "put in first", "put in second", "stored after them",
        ]  # fmt: skip
        (hit,) = await memory.recall("put in second", user_id="ana", k=1, profile="lexical")
        assert (hit.content, hit.turn) == ("put in second", 21)
        assert (await memory.maintain()).problems == ()


async def test_a_message_whose_turn_was_taken_by_hand(folder: Path) -> None:
    """Opening does not look at rows it has followed; the repair looks at all."""
    index = await LanceIndex.open(str(folder / "rows"), DIMENSION)
    await index._table.update({"turn": None}, where="seq = 4")
    await index.close()
    problem = only_problem(await maintained(folder))
    assert problem.found.endswith("seq 4")
    assert "doctor --repair" in problem.fix
    code, report = await asyncio.to_thread(doctor, folder, "--repair")
    assert code == 0, report
    assert report["repaired"]["turns_given"] == 1
    async with open_memory(str(folder), embedder="hash") as memory:
        shown = (await memory.get_context("ana", "talk 1")).messages
        assert shown[-1].content == "apple 4"
        await memory.store_message(said("the next"), "talk 1", user_id="ana")
        assert (await memory.maintain()).problems == ()


@pytest.mark.parametrize("bad", [np.inf, 3.0, 3e38])
async def test_a_vector_that_is_no_unit_vector(folder: Path, bad: float) -> None:
    vectors = np.zeros((2, DIMENSION), np.float32)
    vectors[0, :] = bad
    await smuggle(folder, [memory_row(1000), memory_row(1001)], vectors)
    # The second is the zero vector of a text without a known word.
    problem = only_problem(await maintained(folder))
    assert problem.part == "vectors"
    assert "1 row" in problem.found
    assert "seq 1000" in problem.found


async def test_a_missing_vector(folder: Path) -> None:
    index = await LanceIndex.open(str(folder / "rows"), DIMENSION)
    row = {**memory_row(1000), "vector": None, "checksum": 0}
    rows = with_checksums(pa.Table.from_pylist([row], schema=index.schema))
    await index.upsert(rows, all_new=True)
    await index.close()
    assert only_problem(await maintained(folder)).part == "vectors"


async def test_a_turn_counter_that_is_behind(folder: Path) -> None:
    (folder / "sessions.sqlite.checksum").unlink(missing_ok=True)  # or it counts as damaged
    with sqlite3.connect(folder / "sessions.sqlite") as database:
        database.execute("UPDATE conversations SET next_turn = 5 WHERE conversation_id = 'talk 2'")
    database.close()
    problem = only_problem(await maintained(folder))
    assert problem.part == "sessions"
    assert "'talk 2' counts 5, and has a turn 19" in problem.found


async def test_words_that_are_missing(memory: VectorMemory) -> None:
    store = await memory._lazy.get()
    store.lexical.remove([59])
    problem = only_problem(await memory.maintain())
    assert "59 rows of 60" in problem.found
    health = await memory.health()
    assert health["status"] == "degraded"
    assert "59 rows of 60" in health["problems"]["maintain: lexical"]


async def test_what_is_mended_is_a_problem_no_longer(folder: Path) -> None:
    async with open_memory(str(folder), embedder="hash") as memory:
        store = await memory._lazy.get()
        store.lexical.remove([59])
        assert not (await memory.maintain()).ok
        record = last_maintenance(folder)
        assert record is not None
        assert not record["ok"]
    async with open_memory(str(folder), embedder="hash") as memory:
        assert (await memory.maintain()).problems == ()
        assert (await memory.health())["status"] == "ok"


async def test_a_step_that_fails_is_named_and_the_others_are_done(
    memory: VectorMemory, folder: Path
) -> None:
    await memory.store_message(said("the newest"), "talk 0", user_id="ana")
    shutil.rmtree(folder / "rows" / "rows.lance" / "data")
    report = await memory.maintain()
    assert not report.ok
    assert not report.verified
    assert {"compact rows", "verify"} & {problem.part for problem in report.problems}
    assert report.seconds["commit lexical index"] > 0
    assert report.after.lexical == 61
    assert "PROBLEM" in str(report)
    health = await memory.health()
    assert health["status"] == "degraded"
    assert any(name.startswith("maintain: ") for name in health["problems"])


# The record


async def test_a_record_that_cannot_be_written_is_a_problem(
    memory: VectorMemory, folder: Path
) -> None:
    (folder / f"{FILE}.new").mkdir()
    report = await memory.maintain()
    assert report.verified
    assert [problem.part for problem in report.problems] == [FILE]
    assert FILE in (await memory.health())["problems"][f"maintain: {FILE}"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"at": "yesterday"}', '{"at": 3}', "\0"])
async def test_a_record_that_cannot_be_read_is_none(memory: VectorMemory, text: str) -> None:
    folder = Path(memory.config.url)
    (folder / FILE).write_text(text)
    assert last_maintenance(folder) is None
    assert (await memory.health())["maintenance"] is None


async def test_a_record_with_other_values_is_none(memory: VectorMemory) -> None:
    folder = Path(memory.config.url)
    whole = (await memory.maintain()).to_dict()
    (folder / FILE).write_text(json.dumps({**whole, "before": {**whole["before"], "files": "x"}}))
    assert last_maintenance(folder) is None
    (folder / FILE).write_text(json.dumps({**whole, "problems": ["x"]}))
    assert last_maintenance(folder) is None
    (folder / FILE).write_text(json.dumps(whole))
    assert last_maintenance(folder) == whole


def test_footprint(tmp_path: Path) -> None:
    (tmp_path / "rows" / "_versions").mkdir(parents=True)
    (tmp_path / "rows" / "_versions" / "1.manifest").write_bytes(b"x" * 10)
    (tmp_path / "rows" / "part").write_bytes(b"y" * 5)
    found = footprint(tmp_path)
    assert (found.files, found.bytes, found.versions) == (2, 15, 1)


# What fails in the background


async def until(condition: Any) -> None:
    # Far beyond what a busy machine needs.
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come")


async def test_a_failed_compaction_is_told_to_the_doctor(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise EngineError("lancedb", "compact", "the disk is worn", fix="Buy another.")

    monkeypatch.setattr(LanceIndex, "maintain", fail)
    # Without any record before, and beside one.
    (folder / FILE).unlink(missing_ok=True)
    for maintained_before in (False, True):
        monkeypatch.setattr(LanceIndex, "due", lambda _, **__: True)
        memory = await open_memory(str(folder), embedder="hash")
        await memory.store_message(said("one more"), "talk 0", user_id="ana")
        await until(lambda: background_problems(folder))
        killed = tmp_path / f"killed {maintained_before}"
        shutil.copytree(folder, killed)
        monkeypatch.undo()
        if not maintained_before:
            assert last_maintenance(folder) is None
            monkeypatch.setattr(LanceIndex, "maintain", fail)
            # So that there is something to compact at close.
            monkeypatch.setattr(LanceIndex, "due", lambda _, *, at_rest=False: at_rest)
        await memory.close()
        monkeypatch.undo()
        for place, wrong in ((killed, True), (folder, not maintained_before)):
            code, report = await asyncio.to_thread(doctor, place)
            assert code == (4 if wrong else 0), report
            if wrong:
                told = said_of(report, "upkeep")
                assert "compact the rows failed in the background" in told
                assert "the disk is worn" in told
                assert "bruno-memory-vec maintain" in told
        report = await maintained(folder)
        assert report.ok
        assert last_maintenance(folder) == report.to_dict()
        assert (await asyncio.to_thread(doctor, folder))[0] == 0
        monkeypatch.setattr(LanceIndex, "maintain", fail)


async def test_what_still_fails_stays_beside_the_report(
    memory: VectorMemory, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise EngineError("lancedb", "compact", "the disk is worn", fix="Buy another.")

    monkeypatch.setattr(LanceIndex, "maintain", fail)
    monkeypatch.setattr(LanceIndex, "due", lambda _, **__: True)
    await memory.store_message(said("one more"), "talk 0", user_id="ana")
    await until(lambda: background_problems(folder))
    report = await memory.maintain()
    assert [problem.part for problem in report.problems] == ["compact rows"]
    assert list(background_problems(folder)) == ["compact the rows"]
    record = last_maintenance(folder)
    assert record is not None
    assert record["problems"] == report.to_dict()["problems"]
