"""A process that is killed after the rows are stored and before Redis knows of it."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError
from tests.durability.support import Child, message, turns_of
from tests.faults.load import NEVER, impatient, until_true
from tests.servers.fixtures import SharedStore

pytestmark = pytest.mark.redis_server

_CHILD = Path(__file__).resolve().parent / "child_killed.py"


def _is_killed_storing(store: SharedStore, first: list[str], texts: list[str]) -> None:
    order = {
        "url": store.url,
        "paths": store.rows.paths,
        "sessions": impatient(store.sessions),
        "place": "talk",
        "user": "ana",
        "first": first,
        "texts": texts,
    }
    child = Child(_CHILD, json.dumps(order))
    assert child.hear() == ""
    assert child.end() == -signal.SIGKILL


async def _finds(memory: VectorMemory, text: str) -> bool:
    hits = await memory.recall(text, user_id="ana", k=3)
    return text in [hit.content for hit in hits]


async def _shows(memory: VectorMemory, text: str) -> bool:
    context = await memory.get_context("ana", "talk")
    return text in [one.content for one in context.messages]


async def test_a_process_that_was_open_takes_up_what_a_killed_one_has_left(
    shared_store: SharedStore,
) -> None:
    """It finds the rows, shows them in the context, and gives none of their numbers again."""
    async with open_memory(
        shared_store.url, sessions=impatient(shared_store.sessions), embedder="hash"
    ) as memory:
        await memory.store_message(message("early words"), "other", user_id="ana")
        assert await _finds(memory, "early words")  # the user's rows are held in memory
        _is_killed_storing(shared_store, ["one", "two"], ["left behind", "and this"])
        # No number is given twice, from the first moment on.
        await memory.store_message(message("at once"), "talk", user_id="ana")
        told = await turns_of(memory, "talk")
        assert [text for _, text in told] == ["one", "two", "left behind", "and this", "at once"]
        assert len({turn for turn, _ in told}) == 5
        began = time.monotonic()
        await until_true(lambda: _finds(memory, "left behind"))
        await until_true(lambda: _shows(memory, "and this"))
        print(f"taken up after {time.monotonic() - began:.1f} s")
        context = await memory.get_context("ana", "talk")
        assert [one.content for one in context.messages] == [text for _, text in told]
        with pytest.raises(ForeignUserError):
            await memory.store_message(message("no"), "talk", user_id="bo")


async def test_a_process_that_opens_afterwards_takes_it_up(shared_store: SharedStore) -> None:
    """Also where it was the first row of its conversation, and nobody else was there."""
    _is_killed_storing(shared_store, [], ["left behind"])
    async with open_memory(
        shared_store.url, sessions=impatient(shared_store.sessions), embedder="hash"
    ) as memory:
        assert await _finds(memory, "left behind")
        with pytest.raises(ForeignUserError):
            await memory.store_message(message("no"), "talk", user_id="bo")
        await memory.store_message(message("at once"), "talk", user_id="ana")
        told = await turns_of(memory, "talk")
        assert [text for _, text in told] == ["left behind", "at once"]
        assert len({turn for turn, _ in told}) == 2
        await until_true(lambda: _shows(memory, "left behind"))
        context = await memory.get_context("ana", "talk")
        assert [one.content for one in context.messages] == ["left behind", "at once"]


async def test_a_conversation_whose_first_row_never_came_is_anybodys_again(
    shared_store: SharedStore,
) -> None:
    async with open_memory(
        shared_store.url, sessions=impatient(shared_store.sessions), embedder="hash"
    ) as memory:
        order = {
            "url": shared_store.url,
            "paths": shared_store.rows.paths,
            "sessions": impatient(shared_store.sessions),
            "place": "talk",
            "user": "ana",
            "first": [],
            "texts": ["never stored"],
            "before": True,
        }
        child = Child(_CHILD, json.dumps(order))
        assert child.hear() == ""
        assert child.end() == -signal.SIGKILL
        end = time.monotonic() + NEVER
        while True:
            try:
                await memory.store_message(message("bo begins it"), "talk", user_id="bo")
                break
            except ForeignUserError:
                assert time.monotonic() < end, "it stays claimed"
        assert [text for _, text in await turns_of(memory, "talk")] == ["bo begins it"]
