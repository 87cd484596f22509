"""Stores of format 1, which had no cues, are brought to this format when they are opened to write.

Such a store is made from a present one, by taking the cue columns out of its rows.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import lancedb
import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import FingerprintError, StoreLockedError, StoreVersionError
from bruno_memory_vec.indexers.lance.write_ahead_log import segments
from bruno_memory_vec.indexers.schema import CUE_COLUMNS, LOG, SCHEMA_VERSION
from bruno_memory_vec.store import manifest
from bruno_memory_vec.upkeep.reembedding.run import reembed
from tests.durability.support import HERE, Child, message, rows_of

# As in test_crash.py.
ROUNDS = float(os.environ.get("BRUNO_CRASH_ROUNDS", "1"))
SEED = int(os.environ.get("BRUNO_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)

# What is said, and the cues it has: speaker, question_share, ends_with_question, names_time,
# tells_change.
SAID = {
    "Where shall we go?": (None, 1.0, True, False, False),
    "Ana: we moved to Porto last May.": ("Ana", 0.0, False, True, True),
    "The violin is in the garden.": (None, 0.0, False, False, False),
    "It rains a lot there. Did you pack?": (None, 3 / 8, True, False, False),
    "No longer, since the ferry is cheap": (None, 0.0, False, True, True),
}
CHANGED = "Cy: I sold the boat yesterday"
QUESTIONS = ("Where do I live now?", "Who has the violin?", "When did Ana move to Porto?", "ferry")
NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)


def messages(count: int, first: int = 0) -> list[Message]:
    texts = list(SAID)
    made = [
        message(texts[n % len(texts)], "user" if n % 2 else "assistant", metadata={"n": n})
        for n in range(first, first + count)
    ]
    # A speaker in the metadata goes before one in the text.
    for one in made[3::7]:
        one.metadata["speaker"] = " Bo "
    return made


def fact(text: str) -> MemoryEntry:
    return MemoryEntry(content=text, memory_type=MemoryType.FACT, user_id="ana")


async def fill(folder: Path, talks: int = 6, length: int = 20) -> list[dict[str, Any]]:
    """A store of two users with replaced, deleted and used rows. Returns its rows."""
    async with open_memory(str(folder), embedder="hash") as memory:
        for talk in range(talks):
            user = ("ana", "bo")[talk % 2]
            said = messages(length, talk * length)
            await memory.store_messages(said, f"talk-{talk}", user_id=user)
        changed = said[4].model_copy(update={"content": CHANGED})
        await memory.store_message(changed, f"talk-{talk}", user_id=user)
        await memory.store_memory(fact("Ana quit in 2019"))
        gone = fact("Ana likes tea")
        await memory.store_memory(gone)
        await memory.delete_memory(str(gone.id))
        await memory.recall("the ferry", user_id="ana")
    async with open_memory(str(folder), embedder="hash") as memory:
        return await in_order(memory)


async def in_order(memory: VectorMemory) -> list[dict[str, Any]]:
    return sorted(await rows_of(memory), key=lambda row: int(row["seq"]))


async def make_old(folder: Path) -> None:
    """Make it a store of format 1."""
    database = await lancedb.connect_async(folder / "rows")
    table = await database.open_table("rows")
    await table.drop_columns(list(CUE_COLUMNS))
    table.close()
    said = json.loads((folder / manifest.FILE).read_text(encoding="utf-8"))
    # Format 1 had no re-embedding, so it named no folder of rows.
    del said["rows"]
    (folder / manifest.FILE).write_text(json.dumps({**said, "schema": 1}), encoding="utf-8")


def written(folder: Path) -> dict[Path, int]:
    """When each file was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def schema_of(folder: Path) -> int:
    found = manifest.read(folder)
    assert found is not None
    return found.schema


def cues_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in CUE_COLUMNS)


async def recalls(folder: Path) -> list[tuple[str, float, Mapping[str, float]]]:
    async with open_memory(str(folder), embedder="hash") as memory:
        found = [
            await memory.recall(question, user_id=user, k=20, now=NOW)
            for question in QUESTIONS
            for user in ("ana", "bo")
        ]
    return [(str(hit.id), hit.score, hit.signals) for hits in found for hit in hits]


async def held_cues(folder: Path) -> int:
    """How many rows have their cues, by the engine itself; 0 where there are no such columns."""
    database = await lancedb.connect_async(folder / "rows")
    table = await database.open_table("rows")
    if "question_share" not in (await table.schema()).names:
        return 0
    return int(await table.count_rows("question_share IS NOT NULL"))


async def test_every_row_gets_its_cues_and_keeps_the_rest(tmp_path: Path) -> None:
    before = await fill(tmp_path)
    await make_old(tmp_path)
    told: list[tuple[str, int, int]] = []
    async with open_memory(
        str(tmp_path), embedder="hash", progress=lambda *step: told.append(step)
    ) as memory:
        after = await in_order(memory)
        assert (await memory.health())["status"] == "ok"
    assert after == before
    assert len(before) == 121
    # Not only as they were before: as they should be.
    plain = {row["content"]: cues_of(row) for row in after if "speaker" not in row["metadata"]}
    assert {text: plain[text] for text in SAID} == SAID
    assert plain[CHANGED] == ("Cy", 0.0, False, True, True)
    assert plain["Ana quit in 2019"] == (None, 0.0, False, True, True)
    named = [row["speaker"] for row in after if "speaker" in row["metadata"]]
    assert named == ["Bo"] * 18
    assert {what for what, _, _ in told} == {"upgrading the store"}
    assert told[-1][1:] == (121, 121)
    assert schema_of(tmp_path) == SCHEMA_VERSION


async def test_it_happens_once(tmp_path: Path) -> None:
    await fill(tmp_path)
    await make_old(tmp_path)
    async with open_memory(str(tmp_path), embedder="hash"):
        pass
    before = (tmp_path / manifest.FILE).read_bytes()
    told: list[str] = []
    async with open_memory(
        str(tmp_path), embedder="hash", progress=lambda what, *_: told.append(what)
    ) as memory:
        version = (await memory.health())["rows"]["version"]
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        assert (await memory.health())["rows"]["version"] == version
    assert told == []
    assert (tmp_path / manifest.FILE).read_bytes() == before


async def test_an_upgraded_store_answers_as_one_that_always_had_cues(tmp_path: Path) -> None:
    await fill(tmp_path / "new")
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    await make_old(tmp_path / "old")
    expected, found = await recalls(tmp_path / "new"), await recalls(tmp_path / "old")
    assert [hit for hit, _, _ in found] == [hit for hit, _, _ in expected]
    for (_, score, signals), (_, expected_score, expected_signals) in zip(
        found, expected, strict=True
    ):
        assert score == pytest.approx(expected_score)
        assert signals == pytest.approx(expected_signals)
    # The cues had a say in it, else the test shows nothing.
    for name in ("answers", "speaker", "statement", "time_mention", "current"):
        assert any(signals[name] for _, _, signals in found), name


async def test_a_reader_is_refused_until_a_writer_has_been_there(tmp_path: Path) -> None:
    await fill(tmp_path)
    await make_old(tmp_path)
    files = written(tmp_path)
    with pytest.raises(StoreVersionError, match=r"format 1, older than 2.*without read_only"):
        await open_memory(str(tmp_path), embedder="hash", read_only=True)
    assert written(tmp_path) == files, "a reader changed something"
    async with open_memory(str(tmp_path), embedder="hash"):
        pass
    async with open_memory(str(tmp_path), embedder="hash", read_only=True) as memory:
        hits = await memory.recall("Who has the violin?", user_id="ana")
    assert "violin" in hits[0].content


async def test_format_2_is_read_as_it_is_and_only_its_number_changes(tmp_path: Path) -> None:
    """It had no log: its rows are as they are now, and an older version must not meet a log."""
    before = await fill(tmp_path)
    path = tmp_path / manifest.FILE
    said = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**said, "schema": 2}), encoding="utf-8")
    async with open_memory(str(tmp_path), embedder="hash", read_only=True) as memory:
        assert await in_order(memory) == before
        version = (await memory.health())["rows"]["version"]
    assert schema_of(tmp_path) == 2
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        assert schema_of(tmp_path) == SCHEMA_VERSION == 3
        assert (await memory.health())["rows"]["version"] == version
        assert await in_order(memory) == before
        await memory.store_message(message("Di: who is it?"), "later", user_id="ana")
        assert segments(tmp_path / "rows" / LOG)
    path.write_text(json.dumps({**said, "schema": SCHEMA_VERSION + 1}), encoding="utf-8")
    with pytest.raises(StoreVersionError, match="Upgrade with"):
        await open_memory(str(tmp_path), embedder="hash")


async def test_another_embedder_is_refused_before_anything_changes(tmp_path: Path) -> None:
    await fill(tmp_path)
    await make_old(tmp_path)
    with pytest.raises(FingerprintError):
        await open_memory(str(tmp_path), embedder=HashEmbedder(48))
    assert (schema_of(tmp_path), await held_cues(tmp_path)) == (1, 0)


async def test_what_is_written_afterwards_has_cues(tmp_path: Path) -> None:
    before = await fill(tmp_path)
    await make_old(tmp_path)
    old = next(row for row in before if row["content"] == "The violin is in the garden.")
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        # One row (an append on the event loop), a hundred (in a thread), and a replaced one.
        await memory.store_message(message("Di: who is it?"), "later", user_id="ana")
        await memory.store_messages(messages(100, 1000), "later", user_id="ana")
        changed = message("Flo: when does the new ferry leave?", id=old["id"])
        await memory.store_message(changed, old["conversation_id"], user_id=old["user_id"])
        await memory.maintain()
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        rows = await in_order(memory)
    assert len(rows) == len(before) + 101
    added = [row for row in rows if row["conversation_id"] == "later"]
    assert cues_of(added[0]) == ("Di", 1.0, True, False, False)
    for row in added[1:]:
        speaker = "Bo" if "speaker" in row["metadata"] else SAID[row["content"]][0]
        assert cues_of(row) == (speaker, *SAID[row["content"]][1:])
    (replaced,) = [row for row in rows if row["id"] == old["id"]]
    assert cues_of(replaced) == ("Flo", 1.0, True, False, True)
    assert replaced["turn"] == old["turn"]
    ours = {row["id"] for row in added} | {old["id"]}
    assert [row for row in rows if row["id"] not in ours] == [r for r in before if r is not old]


async def test_an_old_store_without_rows(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path), embedder="hash"):
        pass
    await make_old(tmp_path)
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await memory.store_message(message("Ana: we moved."), "talk", user_id="ana")
        (row,) = await rows_of(memory)
    assert cues_of(row) == ("Ana", 0.0, False, False, True)
    assert schema_of(tmp_path) == SCHEMA_VERSION


async def test_an_old_store_is_moved_to_another_embedder(tmp_path: Path) -> None:
    before = await fill(tmp_path)
    await make_old(tmp_path)
    other = HashEmbedder(48)
    assert (await reembed(str(tmp_path), other)).embedded == len(before)
    async with open_memory(str(tmp_path), embedder=other) as memory:
        assert await in_order(memory) == before
    assert schema_of(tmp_path) == SCHEMA_VERSION


async def test_an_old_store_is_brought_to_another_language(tmp_path: Path) -> None:
    before = await fill(tmp_path)
    await make_old(tmp_path)
    async with open_memory(str(tmp_path), embedder="hash", language="german") as memory:
        assert await in_order(memory) == before
    found = manifest.read(tmp_path)
    assert found is not None
    assert (found.schema, found.language) == (SCHEMA_VERSION, "german")


class Upgraders:
    """Children that have imported everything already: the next one starts while one runs."""

    def __init__(self) -> None:
        self._next = self._spawn()

    def _spawn(self) -> Child:
        return Child(HERE / "child_upgrader.py")

    def start(self, folder: Path, stand_still_at: int | None = None) -> Child:
        child, self._next = self._next, self._spawn()
        assert child.hear() == "ready"
        order = {"folder": str(folder), "rows_a_commit": 500, "stand_still_at": stand_still_at}
        child.say(json.dumps(order))
        return child

    def close(self) -> None:
        self._next.kill()


@pytest.fixture
def upgraders() -> Iterator[Upgraders]:
    made = Upgraders()
    yield made
    made.close()


async def fill_in_parts(folder: Path) -> list[dict[str, Any]]:
    """3000 rows in many fragments, so that they are upgraded in many parts."""
    return await fill(folder, talks=30, length=100)


async def test_killed_between_two_commits_it_begins_again(
    upgraders: Upgraders, tmp_path: Path
) -> None:
    before = await fill_in_parts(tmp_path)
    await make_old(tmp_path)
    child = upgraders.start(tmp_path, stand_still_at=1200)
    while (heard := child.hear()).startswith("at ") and int(heard[3:]) < 1200:
        pass
    assert heard.startswith("at "), heard
    with pytest.raises(StoreVersionError):
        await open_memory(str(tmp_path), embedder="hash", read_only=True)
    with pytest.raises(StoreLockedError):
        await open_memory(str(tmp_path), embedder="hash")
    child.kill()
    assert 0 < await held_cues(tmp_path) < len(before), "not killed half-way: this shows nothing"
    assert schema_of(tmp_path) == 1
    with pytest.raises(StoreVersionError):
        await open_memory(str(tmp_path), embedder="hash", read_only=True)
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        assert await in_order(memory) == before
        assert (await memory.health())["status"] == "ok"
    assert schema_of(tmp_path) == SCHEMA_VERSION


async def test_killed_at_random_moments(
    upgraders: Upgraders, tmp_path: Path, record_property: Any
) -> None:
    dice = random.Random(SEED)
    before = await fill_in_parts(tmp_path)
    await make_old(tmp_path)
    kills, half_way, whole = max(1, round(8 * ROUNDS)), 0, 0
    print(f"seed {SEED}, {kills} kills")
    for _ in range(kills):
        child = upgraders.start(tmp_path)
        # From before the first column is added until after the manifest says that all is done.
        patience = dice.randrange(7)
        while patience and (heard := child.hear()) != "open":
            assert heard, f"the child failed (seed {SEED})"
            patience -= 1
        await asyncio.sleep(dice.uniform(0, 0.04))
        assert child.process.poll() is None, f"the child ended by itself (seed {SEED})"
        child.kill()
        done = await held_cues(tmp_path)
        if schema_of(tmp_path) == SCHEMA_VERSION:
            assert done == len(before), f"called upgraded too early (seed {SEED})"
            async with open_memory(str(tmp_path), embedder="hash", read_only=True) as memory:
                assert await in_order(memory) == before, f"seed {SEED}"
            await make_old(tmp_path)
            whole += 1
        elif dice.random() < 0.5:  # else the next child finds it as the killed one left it
            half_way += 0 < done < len(before)
            async with open_memory(str(tmp_path), embedder="hash") as memory:
                assert await in_order(memory) == before, f"seed {SEED}"
            await make_old(tmp_path)
        else:
            half_way += 0 < done < len(before)
    print(f"{half_way} killed half-way, {whole} after the end")
    record_property("half_way", half_way)
    record_property("whole", whole)
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        assert await in_order(memory) == before, f"seed {SEED}"
        (hit,) = await memory.recall("Who sold the boat?", user_id="bo", k=1, profile="lexical")
    assert hit.content == CHANGED
