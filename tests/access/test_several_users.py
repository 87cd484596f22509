"""One ranking over the rows of several users, on every engine that is here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError, NotPermittedError
from tests.durability.support import message, words_committed

ENGINES = ["folder", "memory://", "qdrant+local", "sealed"]


def at(engine: str, tmp_path: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {"embedder": "hash"}
    if engine == "memory://":
        return {**settings, "url": engine}
    if engine == "qdrant+local":
        return {**settings, "url": f"qdrant+local://{tmp_path}/q", "sessions": "sqlite://:memory:"}
    if engine == "sealed":
        settings["key"] = "a passphrase of many letters"
    return {**settings, "url": str(tmp_path / "store")}


async def filled(memory: VectorMemory) -> None:
    for user, text in [
        ("ana", "the boat of Ana lies in the harbour"),
        ("ana", "a recipe for soup"),
        ("space:team", "the boat of the team is red"),
        ("space:other", "the boat of the others is blue"),
        ("ben", "the boat of Ben sank"),
    ]:
        await memory.store_message(message(text), f"talk of {user}", user_id=user)


@pytest.mark.parametrize("engine", ENGINES)
async def test_own_rows_and_a_space_are_one_ranking(engine: str, tmp_path: Path) -> None:
    async with open_memory(**at(engine, tmp_path)) as memory:
        await filled(memory)
        view = memory.for_user("ana", spaces={"team": "read"})
        for _ in range(3):  # from the engine, then from memory
            hits = await view.recall("boat", spaces=["team"])
            assert {hit.user_id for hit in hits if "boat" in hit.content} == {"ana", "space:team"}
            assert {hit.user_id for hit in hits} <= {"ana", "space:team"}
            assert not {hit.user_id for hit in await view.recall("boat")} - {"ana"}
            await words_committed(memory)


@pytest.mark.parametrize("engine", ["folder", "memory://"])
async def test_what_is_written_and_deleted_meanwhile_is_seen(engine: str, tmp_path: Path) -> None:
    async with open_memory(**at(engine, tmp_path)) as memory:
        await filled(memory)
        view = memory.for_user("ana", spaces={"team": "write"})
        await view.recall("boat", spaces=["team"])
        new = message("another boat of the team")
        await view.store_message(new, "talk of space:team", user_id="space:team")
        found = [hit.id for hit in await view.recall("boat", spaces=["team"])]
        assert str(new.id) in found
        await view.forget(str(new.id), user_id="space:team")
        found = [hit.id for hit in await view.recall("boat", spaces=["team"])]
        assert str(new.id) not in found


async def test_a_view_asks_no_space_that_it_was_not_given() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await filled(memory)
        view = memory.for_user("ana", spaces={"team": "read"})
        with pytest.raises(ForeignUserError):
            await view.recall("boat", spaces=["other"])
        with pytest.raises(ForeignUserError):
            await view.recall("boat", spaces=["space:other"])
        with pytest.raises(ForeignUserError):
            await view.list_memories("space:other")
        with pytest.raises(NotPermittedError):
            await view.store_message(message("mine"), "elsewhere", user_id="space:team")
        everyone = await memory.recall("boat", user_id="ana", spaces=["team", "other"])
        assert {hit.user_id for hit in everyone} == {"ana", "space:team", "space:other"}
