"""The next turn of a conversation never goes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.sessions.protocol import HotTurn
from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore
from tests.durability.support import message, turns_of


async def store(memory: VectorMemory, *messages: Message) -> None:
    await memory.store_messages(messages, "talk", user_id="ana")


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("again", [(0,), (1, 0), (0, 3), (0, 1, 2, 3)])
async def test_after_old_messages_were_stored_again(
    tmp_path: Path, again: tuple[int, ...], reopened: bool
) -> None:
    said = [message(f"turn {number}") for number in range(4)]
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await store(memory, *said)
        await store(memory, *(said[number] for number in again))
        if not reopened:
            await store(memory, message("the next"))
    if reopened:
        # What is not in this process's memory any more is on the disk.
        async with open_memory(str(tmp_path), embedder="hash") as memory:
            await store(memory, message("the next"))
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        texts = [*(f"turn {number}" for number in range(4)), "the next"]
        assert await turns_of(memory, "talk") == list(enumerate(texts))
        context = await memory.get_context("ana", "talk")
        assert [one.content for one in context.messages] == texts


async def test_old_and_new_in_one_call(tmp_path: Path) -> None:
    said = [message(f"turn {number}") for number in range(3)]
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await store(memory, *said)
        await store(memory, message("turn 3"), said[0], message("turn 4"), said[1])
        await store(memory, message("turn 5"))
        assert await turns_of(memory, "talk") == [(n, f"turn {n}") for n in range(6)]


async def test_the_sessions_alone(tmp_path: Path) -> None:
    """They follow rows in any order, by either way, and keep the highest."""
    sessions = await SQLiteSessionStore.open(tmp_path / "sessions.sqlite", 20)

    async def next_turn() -> int:
        known = await sessions.conversation("talk")
        assert known is not None
        return known.next_turn

    def turn(number: int) -> HotTurn:
        from bruno_memory_vec.rows.models import message_row

        row = message_row(message(f"turn {number}"), "ana", "talk") | {"seq": number}
        return HotTurn("ana", "talk", number, row)

    await sessions.apply([turn(4), turn(2)], 1)
    assert await next_turn() == 5
    await sessions.apply([turn(0)], 2)
    assert await next_turn() == 5
    await sessions.restore([("talk", "ana", 1)], 3)
    assert await next_turn() == 5
    await sessions.restore([("talk", "ana", 9)], 4)
    assert await next_turn() == 9
    assert await sessions.last_seq() == 4
    # Nor does the row up to which they have followed.
    await sessions.apply([turn(1)], 0)
    assert await sessions.last_seq() == 4
    await sessions.close()
