"""The window of a context in tokens, and where it cuts between a call of tools and its results."""

from __future__ import annotations

import pytest
from bruno_core.models.message import Message, MessageRole
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.conversations.window import last_messages
from bruno_memory_vec.errors import InvalidInputError

ROLES = {"s": MessageRole.SYSTEM, "u": MessageRole.USER, "a": MessageRole.ASSISTANT}
ROLES |= {"t": MessageRole.TOOL, "f": MessageRole.FUNCTION}
RESULTS = "tf"


def talk(roles: str, length: int = 1) -> list[Message]:
    return [Message(role=ROLES[role], content="x" * length) for role in roles]


def shown(messages: list[Message]) -> str:
    names = {role: name for name, role in ROLES.items()}
    return "".join(names[message.role] for message in messages)


def window(roles: str, most: int = 100, tokens: int | None = None, length: int = 1) -> str:
    return shown(last_messages(talk(roles, length)[-most:], most, tokens, len))


@given(st.text("suatf", max_size=30), st.integers(2, 12), st.none() | st.integers(1, 60))
def test_no_window_begins_with_a_result_that_was_cut_off(
    roles: str, most: int, tokens: int | None
) -> None:
    kept = window(roles, most, tokens)
    assert len(kept) <= most
    said = kept.replace("s", "")
    if len(roles) > most:
        assert not said or said[0] not in RESULTS or set(roles.replace("s", "")) <= set(RESULTS)
    assert roles.replace("s", "").endswith(said) or not said


@given(st.text("ua", min_size=1, max_size=30), st.integers(1, 100))
def test_the_newest_that_fit_are_kept_whole(roles: str, tokens: int) -> None:
    fitting = max(1, tokens // 5)  # a token each, and four for the message
    assert window(roles, tokens=tokens) == roles[-fitting:]


def test_how_calls_and_results_are_cut() -> None:
    assert window("uatta", 3) == "a"  # the call is out, so both results go
    assert window("uattau", 4) == "au"
    assert window("suattau", 5) == "au"
    assert window("uattauu", 6) == "auu"  # the next message will push out the call
    assert window("uatt", 3) == "att"  # but not while its results are the newest
    assert window("ttua", 5) == "ttua"  # nothing was cut
    assert window("ufau", 3) == "au"
    assert window("attt", 3) == ""  # more results than the window holds
    assert window("uatau", tokens=15) == "au"
    assert window("uat", tokens=5) == "at"  # a result is nothing without its call


def test_system_messages_take_half_of_the_tokens_at_most() -> None:
    assert window("sssuuuu", tokens=20) == "ssuu"
    assert window("suuuu", tokens=20) == "suuu"
    assert window("suu", tokens=20, length=50) == "u"


async def long_talk(memory: VectorMemory, turns: int = 20, length: int = 10_000) -> None:
    roles = [MessageRole.USER, MessageRole.ASSISTANT] * (turns // 2)
    messages = [Message(role=role, content="word " * (length // 5)) for role in roles]
    await memory.store_messages(messages, "talk", user_id="ana")


@pytest.mark.parametrize("url", ["memory://", "folder"])
async def test_a_context_has_no_more_tokens(
    url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = url if "://" in url else str(tmp_path_factory.mktemp(url))
    async with open_memory(place, embedder="hash", context_tokens=9_000) as memory:
        await long_talk(memory)
        context = await memory.get_context("ana", "talk")
        assert len(context.messages) == 4
    if "://" not in url:
        async with open_memory(place, embedder="hash") as memory:
            assert len((await memory.get_context("ana", "talk")).messages) == 20
        async with open_memory(
            place, embedder="hash", context_tokens=9_000, count_tokens=len, read_only=True
        ) as memory:
            assert len((await memory.get_context("ana", "talk")).messages) == 1


async def test_a_context_begins_with_no_result_whose_call_was_cut() -> None:
    async with open_memory("memory://", embedder="hash", max_messages=4) as memory:
        for number, message in enumerate(talk("uattau")):
            await memory.store_message(message, "talk", user_id="ana")
            context = await memory.get_context("ana", "talk")
            # The call is in the window as long as its results are.
            assert shown(context.messages) == ["u", "ua", "uat", "uatt", "a", "au"][number]


async def test_nor_when_a_question_is_added() -> None:
    async with open_memory("memory://", embedder="hash", max_messages=5) as memory:
        await memory.store_messages(talk("attau"), "talk", user_id="ana")
        context = await memory.get_context("ana", "talk")
        for question in talk("uu"):
            context.add_message(question)
            await memory.store_message(question, "talk")
            assert context.messages[0].role is not MessageRole.TOOL


async def test_a_counter_that_fails_is_named() -> None:
    def broken(text: str) -> int:
        raise ValueError("no such model")

    for count in (broken, lambda _: -1, lambda _: "7", lambda _: True):
        async with open_memory(
            "memory://", embedder="hash", context_tokens=100, count_tokens=count
        ) as memory:
            message = Message(role=MessageRole.USER, content="hello")
            await memory.store_message(message, "talk", user_id="ana")
            with pytest.raises(InvalidInputError, match="count_tokens"):
                await memory.get_context("ana", "talk")
