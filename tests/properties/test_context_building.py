"""The window of a context: the newest turns, with room for what is said next."""

from __future__ import annotations

from bruno_core.models.context import SessionContext, UserContext
from bruno_core.models.message import Message, MessageRole
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec import MemoryConfig
from bruno_memory_vec.conversations.context import RECALLED, build_context, put_recalled

roles = st.sampled_from([MessageRole.SYSTEM, MessageRole.USER, MessageRole.ASSISTANT])
talks = st.lists(roles, max_size=30).map(
    lambda said: [Message(role=role, content=f"{i} {role.value}") for i, role in enumerate(said)]
)
limits = st.integers(2, 12)


def context(messages: list[Message], limit: int) -> list[Message]:
    user, session = UserContext(user_id="ana"), SessionContext(user_id="ana")
    built = build_context("talk", user, session, messages, MemoryConfig(max_messages=limit))
    assert (built.conversation_id, built.max_messages) == ("talk", limit)
    return built.messages


@given(talks, limits)
def test_newest_turns_in_their_order(messages: list[Message], limit: int) -> None:
    built = context(messages, limit)
    assert len(built) <= limit
    places = [messages.index(message) for message in built]
    assert places == sorted(places)
    others = [m for m in messages if m.role is not MessageRole.SYSTEM]
    shown = [m for m in built if m.role is not MessageRole.SYSTEM]
    assert shown == others[len(others) - len(shown) :]


@given(talks, limits)
def test_system_messages_fill_at_most_half(messages: list[Message], limit: int) -> None:
    built = context(messages, limit)
    systems = [m for m in built if m.role is MessageRole.SYSTEM]
    assert len(systems) <= max(1, limit // 2)
    every = [m for m in messages if m.role is MessageRole.SYSTEM]
    assert systems == every[len(every) - len(systems) :]


@given(talks, limits)
def test_a_question_always_fits(messages: list[Message], limit: int) -> None:
    user, session = UserContext(user_id="ana"), SessionContext(user_id="ana")
    built = build_context("talk", user, session, messages, MemoryConfig(max_messages=limit))
    question = Message(role=MessageRole.USER, content="and now?")
    built.add_message(question)
    assert built.messages[-1] is question


@given(talks.filter(bool), st.booleans())
def test_recalled_goes_behind_the_leading_system_messages(
    messages: list[Message], again: bool
) -> None:
    user, session = UserContext(user_id="ana"), SessionContext(user_id="ana")
    built = build_context("talk", user, session, messages, MemoryConfig(max_messages=100))
    held, before = built.messages, list(built.messages)
    recalled = Message(role=MessageRole.SYSTEM, content="recalled", metadata={RECALLED: 1})
    for _ in range(1 + again):
        put_recalled(built, recalled)
    assert built.messages is held, "changed in place: an assistant may hold the list"
    place = held.index(recalled)
    assert [m for m in held if m is not recalled] == before
    assert all(m.role is MessageRole.SYSTEM for m in held[:place])
    assert held[-1] is before[-1], "the question stays last"
    put_recalled(built, None)
    assert held == before
