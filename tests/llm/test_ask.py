"""Asking a language model: whatever it does, there is an answer or one kind of error, in time."""

from __future__ import annotations

import asyncio

import pytest
from bruno_core.models.message import Message, MessageRole
from bruno_llm.base.cost_tracker import CostTracker

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.errors import InvalidInputError, LLMFailed
from bruno_memory_vec.llm import Answer, ask, ask_all, looks_refused
from tests.scripted_llm import REFUSAL, Hang, ScriptedLLM, Step

PROMPT = [Message(role=MessageRole.USER, content="Summarise this.")]


def tracker() -> CostTracker:
    return CostTracker("scripted", {"scripted": {"input": 0.5, "output": 1.0}})


async def test_an_answer_is_its_text_without_space_and_thoughts() -> None:
    llm = ScriptedLLM(" Ana moved.\n", "<think>She said\nso.</think>\nAna moved.")
    for _ in range(2):
        assert (await ask(llm, PROMPT, timeout=5)).text == "Ana moved."


async def test_only_what_is_asked_for_is_passed_on() -> None:
    llm = ScriptedLLM()
    await ask(llm, PROMPT, timeout=5)
    await ask(llm, PROMPT, timeout=5, max_tokens=9, temperature=None)
    assert llm.given == [{"temperature": 0.0}, {"max_tokens": 9}]
    assert llm.asked == [PROMPT, PROMPT]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (RuntimeError("no such model"), "error"),
        (asyncio.TimeoutError(), "error"),
        (asyncio.CancelledError("the provider's own"), "error"),
        (None, "error"),
        ("", "empty"),
        (" \n", "empty"),
        ("<think>I have to be brief, so", "empty"),
        (Hang(), "timeout"),
        (Hang(stubborn=True), "timeout"),
    ],
)
async def test_each_failure_is_one_error_with_its_reason(step: Step, reason: str) -> None:
    with pytest.raises(LLMFailed) as failed:
        await ask(ScriptedLLM(step), PROMPT, timeout=0.05)
    assert failed.value.reason == reason
    if isinstance(step, RuntimeError):
        assert failed.value.__cause__ is step
        assert "no such model" in str(failed.value)


async def test_a_cancelled_caller_stops_the_model_and_is_cancelled() -> None:
    hang = Hang()
    llm = ScriptedLLM(hang)
    asking = asyncio.ensure_future(ask(llm, PROMPT, timeout=60))
    await hang.waits.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert hang.stopped == 1


async def test_cost_is_what_the_tracker_counted_for_this_request() -> None:
    costs = tracker()
    costs.track_request("scripted", 8000, 0)
    llm = ScriptedLLM("Fine.", RuntimeError("cut off"), cost_tracker=costs)
    assert (await ask(llm, PROMPT, timeout=5)).cost == pytest.approx(0.5)
    with pytest.raises(LLMFailed) as failed:
        await ask(llm, PROMPT, timeout=5)
    assert failed.value.cost == pytest.approx(0.5)
    assert (await ask(ScriptedLLM(), PROMPT, timeout=5)).cost is None


async def test_costs_of_requests_at_once_are_counted_once() -> None:
    costs = tracker()
    llm = ScriptedLLM(cost_tracker=costs, seconds=0.01)
    answers = await ask_all(llm, [PROMPT] * 6, timeout=5, at_once=3)
    assert llm.at_once == 3
    spent = [answer.cost for answer in answers if isinstance(answer, Answer)]
    assert len(spent) == 6
    assert sum(cost or 0.0 for cost in spent) == pytest.approx(costs.get_total_cost())


async def test_a_tracker_that_was_emptied_meanwhile_costs_nothing_negative() -> None:
    costs = tracker()
    costs.track_request("scripted", 8000, 0)

    def empties(_: list[Message]) -> str:
        costs.clear_history()
        return "Fine."

    assert (await ask(ScriptedLLM(empties, cost_tracker=costs), PROMPT, timeout=5)).cost == 0.0


async def test_one_failure_of_several_stops_no_other() -> None:
    llm = ScriptedLLM("One.", RuntimeError("away"), "Three.")
    first, second, third = await ask_all(llm, [PROMPT] * 3, timeout=5, at_once=1)
    assert isinstance(first, Answer)
    assert isinstance(second, LLMFailed)
    assert isinstance(third, Answer)
    assert (first.text, second.reason, third.text) == ("One.", "error", "Three.")


@pytest.mark.parametrize(
    "text",
    [
        REFUSAL,
        "I cannot help with that.",
        "Sorry, I can\u2019t provide a summary of this conversation.",
        "I'm unable to assist with this.",
        "As an AI language model, I do not have access to personal data.",
        "**I'm sorry**, but I must decline."[2:].replace("**", ""),
        "Unfortunately, I am not able to summarize this content.",
        "I won't be able to extract personal information.",
        "We cannot comply with this request.",
    ],
)
def test_refusals(text: str) -> None:
    assert looks_refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I can't eat nuts.",
        "Ana said: I cannot help with the move on Friday.",
        "The assistant refused: I'm sorry, but I can't assist with that.",
        "I'm sorry to hear about the cat. Ana's cat died in May.",
        "Sorry, I moved to Lisbon in March.",
        "Ana can't help with the move.",
        "[]",
        '{"facts": []}',
    ],
)
def test_what_is_no_refusal(text: str) -> None:
    assert not looks_refused(text)


def test_what_cannot_be_asked_is_refused_at_once() -> None:
    for given in ("x", object()):
        with pytest.raises(InvalidInputError, match=r"llm: .* has no method 'generate'"):
            VectorMemory("memory://", llm=given)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"events: .* has no coroutine 'publish'"):
        VectorMemory("memory://", events="x")  # type: ignore[arg-type]
