"""A conversation with rows of several users, or of another than its owner, is a problem by name."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, diagnose_store, open_memory, repair_store
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.testing import HashEmbedder
from bruno_memory_vec.testing.rows import memory as memory_row
from bruno_memory_vec.testing.rows import message as message_row
from bruno_memory_vec.testing.rows import table

DIMENSION = HashEmbedder().fingerprint.dimension


def said(text: str) -> Message:
    return Message(role="user", content=text)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    async with open_memory(str(path), embedder="hash") as memory:
        for talk, user in (("a", "ana"), ("b", "ben")):
            await memory.store_message(said(f"of {user}"), talk, user_id=user)
        session = await memory.create_session("ana")  # of which there is no row
        assert session.is_active
    return path


async def smuggle(folder: Path, row: dict[str, Any]) -> None:
    """Write a row past the memory, as no call of ours does."""
    index = await LanceIndex.open(str(folder / "rows"), DIMENSION)
    vectors = np.zeros((1, DIMENSION), np.float32)
    await index.upsert(table([row], DIMENSION, vectors), all_new=True)
    await index.close()


async def found(memory: VectorMemory) -> str:
    return "; ".join(one.found for one in (await memory.maintain()).problems)


async def doctors(folder: Path) -> dict[str, str]:
    checks = await diagnose_store(str(folder), embedder="hash")
    return {one.name: one.found for one in checks if one.state == "problem"}


async def test_sound(folder: Path) -> None:
    assert await doctors(folder) == {}
    async with open_memory(str(folder), embedder="hash") as memory:
        assert await found(memory) == ""


@pytest.mark.parametrize("kind", ["message", "memory"])
async def test_rows_of_two_users_in_one_conversation(folder: Path, kind: str) -> None:
    row = message_row(1000, turn=7) if kind == "message" else memory_row(1000)
    secret = {**row, "user_id": "ben", "conversation_id": "a", "content": "of ben"}
    await smuggle(folder, secret)
    named = "conversation has rows of several users, such as 'a' of 'ana' and 'ben'"
    assert named in (await doctors(folder))["owners"]
    async with open_memory(str(folder), embedder="hash") as memory:
        assert f"1 {named}" in await found(memory)
        # Nobody sees the other's, whatever is wrong.
        context = await memory.get_context("ana", "a")
        assert [one.content for one in context.messages] == ["of ana"]
        hits = await memory.recall("of ben", user_id="ana", conversation_id="a")
        assert [hit.content for hit in hits] == ["of ana"]
        # The advice can be followed.
        view = memory.for_user("ben")
        if kind == "message":
            assert await view.delete_messages([row["id"]], "a") == 1
        else:
            await view.delete_memory(row["id"])
        assert await found(memory) == ""
    assert await doctors(folder) == {}


@pytest.mark.parametrize(
    "wrong", ["UPDATE conversations SET user_id = 'cy'", "DELETE FROM conversations"]
)
async def test_an_owner_that_is_not_that_of_the_rows(folder: Path, wrong: str) -> None:
    (folder / "sessions.sqlite.checksum").unlink(missing_ok=True)  # or it counts as damaged
    with sqlite3.connect(folder / "sessions.sqlite") as database:
        database.execute(f"{wrong} WHERE conversation_id = 'a'")
    database.close()
    whose = "'cy'" if "cy" in wrong else "nobody"
    named = f"1 conversation has another owner than their rows, such as 'a', which is {whose}'s"
    assert named in (await doctors(folder))["sessions"]
    async with open_memory(str(folder), embedder="hash") as memory:
        assert named in await found(memory)
        assert (await memory.for_user("cy").get_context("cy", "a")).messages == []
    report = await repair_store(str(folder), embedder="hash")
    assert (report.ok, report.owners_given) == (True, 1)
    assert await doctors(folder) == {}
    async with open_memory(str(folder), embedder="hash") as memory:
        assert await memory.conversation_owner("a") == "ana"
        assert len((await memory.get_context("ana", "a")).messages) == 1
        await memory.store_message(said("more"), "a", user_id="ana")
        assert await found(memory) == ""
