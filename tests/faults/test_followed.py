"""A conversation that is followed while other processes write to it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from tests.durability.support import message
from tests.faults.processes import Processes
from tests.servers.fixtures import SharedStore

pytestmark = pytest.mark.redis_server


async def test_a_conversation_is_followed_from_another_process(
    shared_store: SharedStore, tmp_path: Path
) -> None:
    """Each new message once and in order, of whichever process it is."""
    async with open_memory(
        shared_store.url, sessions=shared_store.sessions, embedder="hash"
    ) as memory:
        await memory.store_message(message("ana before"), "ana-0", user_id="ana")
        told: list[str] = []
        ready = asyncio.Event()

        async def follow() -> None:
            async for one in memory.follow("ana-0"):
                if one.content == "ana ready":
                    ready.set()
                told.append(str(one.id))

        following = asyncio.create_task(follow())
        while not ready.is_set():
            assert not following.done(), following.result()
            await memory.store_message(message("ana ready"), "ana-0", user_id="ana")
            await asyncio.sleep(0.02)
        with Processes(
            shared_store.rows, shared_store.sessions, tmp_path / "log", seed=7
        ) as others:
            others.start(1)
            await others.work(0.3)
            others.end()
        assert not others.wrong
        last = message("ana last")
        await memory.store_message(last, "ana-0", user_id="ana")
        while str(last.id) not in told:
            assert not following.done(), following.result()
            await asyncio.sleep(0.02)
        following.cancel()
        assert len(told) == len(set(told))
        # The other also clears the conversation: what is left was all told.
        left = [str(one.id) for one in reversed(await memory.retrieve_messages("ana-0"))]
        first = next(number for number, id_ in enumerate(left) if id_ in told)
        assert set(left[first:]) <= set(told)
        places = [told.index(id_) for id_ in left[first:]]
        assert places == sorted(places)
