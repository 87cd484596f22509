"""Several processes change one user's profile: none of their changes is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bruno_core.models.context import UserContext

from bruno_memory_vec import open_memory
from tests.knowledge.people import preference
from tests.sessions.test_mending import SharedRows, memory_at

pytestmark = pytest.mark.redis_server


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, store_name: str) -> SharedRows:
    rows = SharedRows(store_name)
    monkeypatch.setattr("bruno_memory_vec.store.store.deployment_of", lambda url: rows)
    return rows


async def test_none_of_their_changes_is_lost(shared: SharedRows, redis_url: str) -> None:
    async with memory_at(redis_url) as one, memory_at(redis_url) as two:
        changes: list[Any] = []
        for number in range(15):
            for name, memory in (("one", one), ("two", two)):
                key = f"{name} {number}"
                changes.append(memory.users.set_preference(key, number, user_id="ana"))
        entry = preference("The user prefers tea.", "drink", "tea")
        await one.store_memory(entry)
        await asyncio.gather(*changes, *(two.users.refresh("ana") for _ in range(5)))
        known = await two.users.profile("ana")
        assert len(known.preferences) == 31
        assert known.preferences["drink"].origin == "learned"
        await two.delete_memory(str(entry.id))
        assert "drink" not in (await one.get_user("ana")).preferences


async def test_a_change_is_made_again_where_another_came_first(
    shared: SharedRows, redis_url: str
) -> None:
    async with memory_at(redis_url) as memory:
        sessions = (await memory._handle.store()).sessions
        await sessions.save_user(UserContext(user_id="ana", preferences={"a": 1}))
        calls = 0

        def change(saved: UserContext | None) -> UserContext:
            nonlocal calls
            calls += 1
            assert saved is not None
            return saved.model_copy(update={"preferences": {**saved.preferences, "c": calls}})

        user = sessions.user

        async def meanwhile() -> None:
            now = await user("ana")
            await sessions.save_user(
                now.model_copy(update={"preferences": {**now.preferences, "b": 2}})
            )

        run, told = sessions._run, False

        async def slow(what: str, command: Any) -> Any:
            nonlocal told
            found = await run(what, command)
            if what == "read a user" and not told:
                told = True
                await meanwhile()
            return found

        sessions._run = slow
        changed = await sessions.change_user("ana", change)
        sessions._run = run
        assert (calls, changed.preferences) == (2, {"a": 1, "b": 2, "c": 2})
        assert (await sessions.user("ana")).preferences == changed.preferences
        assert await sessions.change_user("ana", lambda saved: None) == await sessions.user("ana")


async def test_one_process_takes_turns() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await asyncio.gather(
            *(memory.users.set_profile(f"k{n}", n, user_id="ana") for n in range(30)),
            *(memory.users.refresh("ana") for _ in range(5)),
        )
        assert len((await memory.get_user("ana")).profile) == 30
