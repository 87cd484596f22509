"""The order of turns, pages that keep a call with its results, and breaks in the order."""

from __future__ import annotations

from typing import Any

import pytest
from bruno_core.models.message import MessageType

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import InvalidInputError
from tests.durability.support import message

CALL = {"tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}]}


async def store(memory: VectorMemory, *said: str | tuple[str, dict[str, Any]]) -> None:
    """Messages of these roles, each with its number as text."""
    messages = []
    for number, one in enumerate(said):
        role, fields = (one, {}) if isinstance(one, str) else one
        messages.append(message(str(number), role, **fields))
    await memory.store_messages(messages, "talk", user_id="ana")


CALLS = ("assistant", {"metadata": CALL})


async def test_messages_keep_the_order_of_the_calls(memory: VectorMemory) -> None:
    for number in range(60):
        await memory.store_message(message(f"text {number}"), "talk", user_id="ana")
    shown = await memory.conversations.turns("talk")
    assert [one.message.content for one in shown] == [f"text {number}" for number in range(60)]
    assert [one.turn for one in shown] == list(range(60))


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 100])
async def test_no_page_ends_between_a_call_and_its_results(
    memory: VectorMemory, newest_first: bool, limit: int
) -> None:
    roles = ["user", CALLS, "tool", "tool", "assistant", "user", CALLS, "function", "assistant"]
    await store(memory, *roles)
    seen: list[int] = []
    after = None
    while True:
        page = await memory.conversations.turns(
            "talk", limit=limit, after=after, newest_first=newest_first
        )
        shown = [one.turn for one in page]
        for call, results in ((1, (2, 3)), (6, (7,))):
            assert all((call in shown) == (result in shown) for result in results)
        assert len(shown) <= limit + 2
        seen += shown
        after = page.next
        if after is None:
            break
    expected = list(range(len(roles)))
    assert seen == (expected[::-1] if newest_first else expected)


async def test_pages_of_an_empty_conversation_and_of_no_cursor(memory: VectorMemory) -> None:
    session = await memory.conversations.start("ana")
    page = await memory.conversations.turns(session.conversation_id)
    assert (page, page.next) == ([], None)
    await store(memory, "user")
    for after in ("x", "-1", '["1"]', "1.5"):
        with pytest.raises(InvalidInputError, match="after"):
            await memory.conversations.turns("talk", after=after)
    with pytest.raises(InvalidInputError, match="limit"):
        await memory.conversations.turns("talk", limit=0)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["user", "assistant", "user", "assistant"], []),
        (["system", "user", "system", "assistant"], []),
        (["user", CALLS, "tool", "tool", "assistant", "user"], []),
        (["user", "user", "assistant"], [("two_questions", 1, 0)]),
        (["user", "system", "user"], [("two_questions", 2, 0)]),
        (["assistant", "user"], [("answer_without_question", 0, None)]),
        (["user", "assistant", "assistant"], [("answer_without_question", 2, 1)]),
        (["user", "tool", "assistant"], [("result_without_call", 1, 0)]),
        (["tool"], [("result_without_call", 0, None)]),
        (["user", CALLS, "assistant"], [("call_without_result", 1, None)]),
        (["user", CALLS], [("call_without_result", 1, None)]),
        (
            ["user", ("assistant", {"message_type": MessageType.ACTION}), "user"],
            [("call_without_result", 1, None)],
        ),
        (["user", ("assistant", {"metadata": {"tool_calls": []}}), "user"], []),
        ([], []),
    ],
)
async def test_breaks(said: list[Any], expected: list[Any]) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.conversations.start("ana")
        talk = (await memory.get_context("ana")).conversation_id
        if said:
            talk = "talk"
            await store(memory, *said)
        found = await memory.conversations.turn_breaks(talk)
        assert [(one.kind, one.turn, one.after) for one in found] == expected
        shown = {str(one.message.id): one.turn for one in await memory.read_turns(talk)}
        assert all(shown[one.message_id] == one.turn for one in found)
