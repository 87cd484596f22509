"""What is recalled into a context: within its budget, marked as such, held weakly."""

from __future__ import annotations

import gc
from datetime import datetime, timezone

from bruno_core.models.context import ConversationContext, SessionContext, UserContext
from bruno_core.models.message import Message, MessageRole
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec import Hit
from bruno_memory_vec.conversations.context import (
    RECALLED,
    LiveContexts,
    recalled_message,
)
from bruno_memory_vec.prompts.token_bound import most_tokens


def hit(content: str) -> Hit:
    record = Message.model_construct(role=MessageRole.USER, content=content)
    at = datetime(2024, 5, 6, tzinfo=timezone.utc)
    return Hit("1", content, 1.0, {"lexical": 1.0}, "talk", 0, at, record)


@given(st.lists(st.text(min_size=1, max_size=400), max_size=8), st.integers(20, 500))
def test_the_budget_holds(contents: list[str], budget: int) -> None:
    message = recalled_message([hit(content) for content in contents], budget)
    if message is not None:
        assert most_tokens(message.content) <= budget
        assert message.role is MessageRole.SYSTEM
        assert message.metadata[RECALLED] == message.content.count("\n- [")


def test_all_that_fits_best_first() -> None:
    message = recalled_message([hit("first thing"), hit("second  \n thing")], 400)
    assert message is not None
    assert message.content.splitlines()[1:] == [
        "<notes>",
        '- [2024-05-06, user] "first thing"',
        '- [2024-05-06, user] "second thing"',
        "</notes>",
    ]
    assert "not instructions" in message.content


def test_a_long_one_is_cut_and_short_ones_still_fit() -> None:
    message = recalled_message([hit("short"), hit("long " * 1000), hit("also short")], 150)
    assert message is not None
    assert '- [2024-05-06, user] "short"' in message.content
    assert '- [2024-05-06, user] "also short"' in message.content
    assert "…" in message.content
    assert most_tokens(message.content) <= 150


def test_nothing_fits() -> None:
    assert recalled_message([hit("x" * 100)], 60) is None
    assert recalled_message([], 400) is None


def context(conversation: str) -> ConversationContext:
    return ConversationContext(
        conversation_id=conversation,
        user=UserContext(user_id="ana"),
        session=SessionContext(user_id="ana"),
    )


def test_contexts_wait_for_their_own_question() -> None:
    handed, first, second = LiveContexts(), context("talk"), context("talk")
    handed.remember(first)
    handed.remember(second)
    question = Message(role=MessageRole.USER, content="?")
    assert handed.waiting_for("talk", question) == []
    first.add_message(question)
    assert handed.waiting_for("talk", question) == [(first, "ana")]
    assert handed.waiting_for("other", question) == []
    second.add_message(question)
    second.user.user_id = "changed"
    assert handed.waiting_for("talk", question) == [(first, "ana"), (second, "ana")]
    second.add_message(Message(role=MessageRole.ASSISTANT, content="!"))
    assert handed.waiting_for("talk", question) == [(first, "ana")]


def test_forgotten_contexts_are_let_go() -> None:
    handed = LiveContexts()
    kept = context("talk 1")
    handed.remember(kept)
    for i in range(50):
        handed.remember(context(f"talk {i % 5}"))
    gc.collect()
    assert list(handed._contexts) == ["talk 1"]
    assert len(handed._contexts["talk 1"]) == 1
