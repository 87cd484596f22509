"""Rows that are older than the policy lets their kind be go; a mistake is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message

from bruno_memory_vec import MemoryConfig, VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError, ReadOnlyError
from bruno_memory_vec.retention_policy import retention_of
from tests.cli.support import Done, run_here
from tests.durability.on_disk import found

NOW = datetime.now(timezone.utc)
OLD_WORD = "zq" + "o" * 14


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


async def fill(memory: VectorMemory) -> None:
    for user in ("ana", "ben"):
        for role, days in (("user", 400), ("tool", 40), ("user", 10), ("tool", 1)):
            text = f"{role} {days} {OLD_WORD if days > 30 else 'now'}"
            message = Message(role=role, content=text)
            message.timestamp = ago(days)
            await memory.store_message(message, f"talk of {user}", user_id=user)
        for kind, days in ((MemoryType.SHORT_TERM, 20), (MemoryType.FACT, 2000)):
            entry = MemoryEntry(user_id=user, content=f"a {kind.value} of {days}", memory_type=kind)
            entry.created_at = ago(days)
            entry.expires_at = None if kind is MemoryType.FACT else NOW + timedelta(days=365)
            await memory.store_memory(entry)


async def contents(memory: VectorMemory) -> list[str]:
    said = [one.content for one in await memory.retrieve_messages("talk of ana")]
    return sorted([*said, *(one.content for one in await memory.list_memories("ana"))])


async def test_each_kind_by_its_own_days(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path / "s"), embedder="hash") as memory:
        await fill(memory)
        before = await contents(memory)
        policy = {"message": 365, "message.tool": 30, "memory.short_term": 7, "memory": None}
        planned = await memory.apply_retention(policy, dry_run=True)
        assert (planned.rows, planned.removed, planned.users, planned.conversations) == (6, 0, 2, 2)
        by_kind = {kind.kind: kind for kind in planned.kinds}
        assert {name: kind.rows for name, kind in by_kind.items()} == {
            "message": 2, "message.tool": 2, "memory.short_term": 2,
        }  # fmt: skip
        assert by_kind["message"].oldest is not None
        assert abs(by_kind["message"].oldest - ago(400)) < timedelta(seconds=1)
        assert "6 rows would be deleted, of 2 users in 2 conversations" in str(planned)
        assert await contents(memory) == before
        done = await memory.apply_retention(policy)
        assert (done.rows, done.removed) == (6, 6)
        assert await contents(memory) == ["a fact of 2000", "tool 1 now", "user 10 now"]
        assert (await memory.apply_retention(policy)).rows == 0
        assert json.dumps(done.to_dict())


async def test_pinned_rows_are_kept(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path / "s"), embedder="hash") as memory:
        await fill(memory)
        (old,) = [
            one for one in await memory.retrieve_messages("talk of ana")
            if one.content.startswith("user 400")
        ]  # fmt: skip
        await memory.pin(old.id, user_id="ana")
        report = await memory.apply_retention(365)
        assert {kind.kind: (kind.rows, kind.pinned) for kind in report.kinds} == {
            "message": (1, 1), "memory": (2, 0),
        }  # fmt: skip
        assert "1 as old are pinned, and kept" in str(report)
        assert any(text.startswith("user 400") for text in await contents(memory))


async def test_maintain_applies_the_setting_and_erases(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    settings: dict[str, Any] = {"embedder": "hash", "retention_days": {"message": 30}}
    async with open_memory(str(folder), embedder="hash") as memory:
        await fill(memory)
        assert (await memory.maintain()).too_old_removed == 0
    assert await found(folder, [OLD_WORD])
    async with open_memory(str(folder), **settings) as memory:
        report = await memory.maintain()
        assert report.ok, report.problems
        assert report.too_old_removed == 4
        assert "rows removed that were too old: 4" in str(report)
    assert await found(folder, [OLD_WORD]) == {}


async def test_a_mistake_is_refused_before_anything_is_deleted(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path / "s"), embedder="hash") as memory:
        await fill(memory)
        before = await contents(memory)
        for wrong in (
            0, -1, 0.5, 40_000, float("nan"), float("inf"), True, "30", [], {}, {"message": 0},
            {"message": "30"}, {"message": True}, {"messages": 30}, {"memory.diary": 30}, {3: 30},
        ):  # fmt: skip
            with pytest.raises(InvalidInputError) as refused:
                await memory.apply_retention(wrong)
            assert refused.value.field == "retention_days", wrong
            if wrong != "30":  # from the environment a number is a text
                with pytest.raises(InvalidInputError) as refused:
                    MemoryConfig.build(retention_days=wrong)
                assert refused.value.field == "retention_days", wrong
        with pytest.raises(InvalidInputError) as refused:
            await memory.apply_retention()
        assert refused.value.field == "policy"
        with pytest.raises(ForeignUserError):
            await memory.for_user("ana").apply_retention(30)
        assert await contents(memory) == before
    async with open_memory(str(tmp_path / "s"), embedder="hash", read_only=True) as reader:
        assert (await reader.apply_retention(30, dry_run=True)).rows == 6
        with pytest.raises(ReadOnlyError):
            await reader.apply_retention(30)


def test_the_setting_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRUNO_MEMORY_RETENTION_DAYS", '{"message": 365, "message.system": null}')
    assert MemoryConfig().retention_days == {"message": 365.0, "message.system": None}
    monkeypatch.setenv("BRUNO_MEMORY_RETENTION_DAYS", "90")
    assert MemoryConfig().retention_days == {"message": 90.0, "memory": 90.0}


async def test_facts_and_summaries_go_with_what_they_are_made_of(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path / "s"), embedder="hash", extract="patterns") as memory:
        messages = []
        for number in range(30):
            text = "My name is Ana and I live in Lisbon." if number == 3 else f"turn {number} of it"
            messages.append(
                Message(role="user", content=f"{text} It was a long day in the office.")
            )
            messages[-1].timestamp = ago(100)
        await memory.store_messages(messages, "talk", user_id="ana")
        await memory.facts.extract(user_id="ana")
        compressed = await memory.compress("ana", policy={"keep_newest": 4})
        assert compressed.ok
        facts = await memory.list_memories("ana")
        assert facts
        report = await memory.apply_retention({"message": 30})
        assert report.removed == 30
        assert await memory.list_memories("ana", include_archived=True) == []


@pytest.fixture
def run() -> Callable[..., Done]:
    return run_here


async def test_the_command(tmp_path: Path, run: Callable[..., Done]) -> None:
    folder = str(tmp_path / "s")
    async with open_memory(folder, embedder="hash") as memory:
        await fill(memory)

    async def call(*words: str) -> Done:
        return await asyncio.to_thread(run, *words)

    planned = await call("retention", "--store", folder, "--days", "message=30", "--dry-run")
    assert (planned.code, planned.out.splitlines()[0]) == (
        0, "4 rows would be deleted, of 2 users in 2 conversations",
    )  # fmt: skip
    for wrong in ("0", "message=0", "message=x", "x=30", "-3"):
        refused = await call("retention", "--store", folder, f"--days={wrong}")
        assert refused.code in (1, 2), wrong
        assert "Traceback" not in refused.err
    missing = await call("retention", "--store", folder)
    assert missing.code == 2
    done = await call("retention", "--store", folder, "--days", "message=30", "--json")
    assert json.loads(done.out)["removed"] == 4


def test_a_refusal_is_a_sentence() -> None:
    for given, said in ({"message": "30"}, "of 'message' is a str"), (10**9, "is 1,000,000,000"):
        with pytest.raises(InvalidInputError, match=said):
            retention_of(given)
