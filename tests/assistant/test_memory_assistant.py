"""MemoryAssistant: prompts that are built for the question, their report, and what is stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bruno_core.base.ability import BaseAbility
from bruno_core.base.assistant import BaseAssistant
from bruno_core.events import Event, EventBus, EventType
from bruno_core.interfaces.memory import MemoryInterface
from bruno_core.models.ability import AbilityMetadata, AbilityRequest, AbilityResponse
from bruno_core.models.message import Message, MessageRole
from bruno_core.models.response import ActionStatus, AssistantResponse
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.assistant import HybridMemory, MemoryAssistant
from bruno_memory_vec.context import Strategy
from bruno_memory_vec.errors import EmbeddingError, ForeignUserError, InvalidInputError
from bruno_memory_vec.recall import Retriever
from tests.assistant.scripted import Scripted


def said(text: str, **fields: Any) -> Message:
    return Message(**{"role": "user", "content": text, **fields})


class Bench:
    """An assistant with a scripted model over one memory."""

    def __init__(self, memory: Any, *answers: Any, **options: Any) -> None:
        self.memory = memory
        self.llm = Scripted(*answers)
        self.assistant = MemoryAssistant(self.llm, memory, **options)

    async def ask(
        self, text: str | Message, user: str = "ana", talk: str | None = "now", **options: Any
    ) -> AssistantResponse:
        if not self.assistant.initialized:
            await self.assistant.initialize()
        message = said(text) if isinstance(text, str) else text
        return await self.assistant.process_message(
            message, user_id=user, conversation_id=talk, **options
        )

    async def stored(self, talk: str = "now") -> list[str]:
        newest_first = await self.memory.retrieve_messages(talk)
        return [message.content for message in reversed(newest_first)]


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with VectorMemory("memory://", embedder="hash") as made:
        boiler = said("The boiler was repaired for 386 euros.")
        await made.store_message(boiler, "old", user_id="ana")
        yield made


async def test_the_prompt_is_built_and_its_report_is_shown(memory: VectorMemory) -> None:
    one = Bench(memory, "386 euros.")
    assert one.assistant.last_turn is None
    response = await one.ask("What did the boiler cost?")
    assert response.text == "386 euros."
    assert "386" in one.llm.text
    assert one.llm.prompt[-1].content == "What did the boiler cost?"
    report = response.metadata["context"]
    assert json.loads(json.dumps(report)) == report
    assert (report["strategy"], report["budget"]) == ("hybrid", 2000)
    recalled = [item for item in report["items"] if item["source"] == "recalled"]
    assert "386" in recalled[0]["text"]
    assert "context_problem" not in response.metadata
    turn = one.assistant.last_turn
    assert turn is not None
    assert turn.report is not None
    assert turn.report.to_dict() == report
    assert (turn.user_id, turn.conversation_id) == ("ana", "now")
    assert (turn.question.content, turn.answer) == ("What did the boiler cost?", "386 euros.")
    assert list(turn.prompt) == one.llm.prompt
    assert turn.problem is None


async def test_the_question_is_stored_before_the_model_is_asked_and_then_the_answer(
    memory: VectorMemory,
) -> None:
    seen: list[list[str]] = []

    async def look(prompt: list[Message]) -> str:
        seen.append(await one.stored())
        return "Done."

    one = Bench(memory, look)
    await one.ask("Is it there?")
    assert seen == [["Is it there?"]]
    assert await one.stored() == ["Is it there?", "Done."]


async def test_what_was_put_into_the_prompt_is_never_stored(memory: VectorMemory) -> None:
    one = Bench(memory)
    for number in range(4):
        await one.ask(f"What did the boiler cost? ({number})")
    assert (await memory.get_statistics("ana"))["total_messages"] == 9
    turn = one.assistant.last_turn
    assert turn is not None
    # Also where somebody stores the whole prompt.
    await memory.store_messages(list(turn.prompt), "copy", user_id="ana")
    stored = await one.stored("copy")
    assert len(stored) < len(turn.prompt)
    assert "What did the boiler cost? (3)" in stored
    assert not any("386" in text for text in stored)
    # The context that was asked for holds the conversation, and nothing else.
    context = await memory.get_context("ana", "now")
    assert [message.content for message in context.messages] == await one.stored()


async def test_a_model_that_repeats_what_it_was_quoted_has_none_of_it_stored(
    memory: VectorMemory,
) -> None:
    def repeats(prompt: list[Message]) -> str:
        return f"{prompt[0].content}\n\nIt was cheap."

    one = Bench(memory, repeats)
    assert "386" in (await one.ask("What did the boiler cost?")).text
    assert await one.stored() == ["What did the boiler cost?", "It was cheap."]


async def test_nothing_is_recalled_twice(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    recalls = []
    real = Retriever.recall

    async def counted(self: Retriever, *args: Any, **named: Any) -> Any:
        recalls.append(args)
        return await real(self, *args, **named)

    monkeypatch.setattr(Retriever, "recall", counted)
    await Bench(memory).ask("What did the boiler cost?")
    assert len(recalls) == 1


async def test_strategy_and_budget_of_a_turn(memory: VectorMemory) -> None:
    one = Bench(memory, strategy="sliding_window", budget=900)
    plain = await one.ask("What did the boiler cost?")
    assert "386" not in one.llm.text
    assert plain.metadata["context"]["strategy"] == "sliding_window"
    assert plain.metadata["context"]["budget"] == 900
    built = await one.ask("And what did the boiler cost?", strategy="hybrid", budget=400)
    assert "386" in one.llm.text
    assert built.metadata["context"]["budget"] == 400
    assert built.metadata["context"]["tokens"] <= 400
    again = await one.ask("Once more?")
    assert again.metadata["context"]["strategy"] == "sliding_window"
    own = await one.ask("Own?", strategy=Strategy("own", "the last turns", recent=1.0))
    assert own.metadata["context"]["strategy"] == "own"


async def test_archived_messages_are_recalled_where_that_was_asked_for(
    memory: VectorMemory,
) -> None:
    (old,) = await memory.retrieve_messages("old")
    await memory.forget(old.id, archive=True)
    for include, seen in ((False, False), (True, True)):
        bench = Bench(memory, "Let me see.", include_archived=include)
        response = await bench.ask("What did the boiler cost?", talk=f"include {include}")
        report = response.metadata["context"]
        assert any("386 euros" in item["text"] for item in report["items"]) is seen


async def test_what_is_not_usable_is_refused_before_anything_is_stored(
    memory: VectorMemory,
) -> None:
    one = Bench(memory)
    for wrong in ({"strategy": "psychic"}, {"budget": 0}, {"budget": "much"}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            await one.ask("Hello?", **wrong)
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            Bench(memory, **wrong)
    assert await one.stored() == []

    class Other(MemoryInterface):
        pass

    Other.__abstractmethods__ = frozenset()
    with pytest.raises(InvalidInputError, match="BaseAssistant"):
        MemoryAssistant(Scripted(), Other())  # type: ignore[abstract]


async def test_where_no_context_can_be_built_the_plain_one_is_used(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Bench(memory)
    await one.ask("My bike is red.")

    async def fails(*_: Any, **__: Any) -> Any:
        raise EmbeddingError("no vectors today", fix="Wait.")

    with monkeypatch.context() as patch:
        patch.setattr(Retriever, "recall", fails)
        response = await one.ask("What did the boiler cost?")
    assert response.success
    assert [message.content for message in one.llm.prompt] == [
        "My bike is red.", "Reply 1.", "What did the boiler cost?",
    ]  # fmt: skip
    assert response.metadata["context"] is None
    assert "no vectors today" in response.metadata["context_problem"]
    turn = one.assistant.last_turn
    assert turn is not None
    assert (turn.report, turn.problem) == (None, response.metadata["context_problem"])
    assert len(await one.stored()) == 4
    after = await one.ask("And now?")
    assert "context_problem" not in after.metadata

    def miscounts(text: str) -> int:
        raise ZeroDivisionError

    other = Bench(memory, count_tokens=miscounts)
    assert "context_problem" in (await other.ask("Hello?")).metadata


async def test_a_question_that_is_longer_than_the_budget_is_asked_all_the_same(
    memory: VectorMemory,
) -> None:
    one = Bench(memory, budget=20)
    response = await one.ask("What is this about? " + "It goes on and on. " * 20)
    assert one.llm.prompt[-1].content.startswith("What is this about?")
    assert "budget" in response.metadata["context_problem"]


async def test_a_model_that_fails_loses_nothing(memory: VectorMemory) -> None:
    one = Bench(memory, RuntimeError("the model is away"), TimeoutError("too slow"), "  ")
    question = said("What did the boiler cost?")
    for cause in ("the model is away", "too slow", "empty"):
        with pytest.raises(BrunoError, match="Failed to process message") as caught:
            await one.ask(question)
        assert cause in str(caught.value.cause)
        assert await one.stored() == [question.content]
    assert one.assistant.last_turn is None or one.assistant.last_turn.answer.strip()
    assert (await one.ask(question)).text == "Reply 4."
    assert await one.stored() == [question.content, "Reply 4."]


async def test_a_call_that_is_cancelled_leaves_the_next_one_alone(memory: VectorMemory) -> None:
    asked = asyncio.Event()

    async def hangs(_: list[Message]) -> str:
        asked.set()
        await asyncio.Event().wait()
        return ""

    one = Bench(memory, hangs)
    task = asyncio.ensure_future(one.ask("Are you there?", budget=300))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    response = await one.ask("And now?")
    assert response.metadata["context"]["budget"] == 2000
    assert await one.stored() == ["Are you there?", "And now?", "Reply 2."]


async def test_many_users_at_once_are_apart(memory: VectorMemory) -> None:
    async def answer(prompt: list[Message]) -> str:
        await asyncio.sleep(0)
        return f"You asked: {prompt[-1].content}"

    users = [f"user{number}" for number in range(6)]
    one = Bench(memory, *[answer] * 12)
    await one.assistant.initialize()
    for user in users:
        await memory.store_message(said(f"My code is X{user}Y."), f"{user} old", user_id=user)

    async def turn(user: str, number: int) -> None:
        budget = 500 + number
        response = await one.ask(
            f"What is my code, {user}, for the {number}. time?", user, f"{user} now", budget=budget
        )
        assert response.text.startswith(f"You asked: What is my code, {user},")
        assert response.metadata["context"]["budget"] == budget
        shown = json.dumps(response.metadata["context"])
        assert not [other for other in users if other != user and f"X{other}Y" in shown]

    await asyncio.gather(*(turn(user, number) for number in (1, 2) for user in users))
    assert len(one.llm.prompts) == 12
    for prompt in one.llm.prompts:
        text = "\n".join(message.content for message in prompt)
        user = prompt[-1].content.split(", ")[1]
        assert f"X{user}Y" in text
        assert not [other for other in users if other != user and f"X{other}Y" in text]
    for user in users:
        assert len(await one.stored(f"{user} now")) == 4


async def test_a_conversation_of_another_user_is_refused(memory: VectorMemory) -> None:
    one = Bench(memory)
    await one.ask("Hello.", "ana", "anas")
    with pytest.raises(BrunoError) as caught:
        await one.ask("Let me in.", "ben", "anas")
    assert isinstance(caught.value.cause, ForeignUserError)
    assert await one.stored("anas") == ["Hello.", "Reply 1."]
    assert len(one.llm.prompts) == 1


async def test_over_a_view_and_over_two_memories(memory: VectorMemory, tmp_path: Path) -> None:
    view = Bench(memory.for_user("ana"))
    await view.ask("What did the boiler cost?")
    assert "386" in view.llm.text
    async with HybridMemory(VectorMemory("memory://", embedder="hash"), memory) as hybrid:
        one = Bench(hybrid)
        response = await one.ask("What did the boiler cost?", talk="other")
        assert "386" in one.llm.text
        assert response.metadata["context"]["tokens"] > 0
        assert (await one.assistant.health_check())["memory"] == "ok"


async def test_a_context_that_the_caller_holds_is_used(memory: VectorMemory) -> None:
    one = Bench(memory)
    await one.assistant.initialize()
    context = await memory.get_context("ana", "now")
    response = await one.assistant.process_message(said("What did the boiler cost?"), context)
    assert "386" in one.llm.text
    assert response.metadata["context"]["items"]
    assert len(await one.stored()) == 2
    # Nothing was put into it but the turn.
    assert [message.content for message in context.messages] == [
        "What did the boiler cost?", "Reply 1.",
    ]  # fmt: skip
    # It is the caller's: with another assistant it is recalled into, as ever.
    base = BaseAssistant(Scripted(), memory)
    await base.initialize()
    await base.process_message(said("And the boiler, again?"), context)
    assert "386" in context.messages[0].content


class Timer(BaseAbility):
    """An ability that is asked for by its name."""

    asked: AbilityRequest | None = None

    def get_metadata(self) -> AbilityMetadata:
        return AbilityMetadata(name="timer", description="Sets timers.", version="1.0.0")

    def can_handle(self, request: AbilityRequest) -> bool:
        return True

    async def execute(self, request: AbilityRequest) -> AbilityResponse:
        self.asked = request
        return AbilityResponse(
            request_id=request.id, ability_name="timer", action="set", success=True, message="Set."
        )

    async def execute_action(self, request: AbilityRequest) -> AbilityResponse:
        return await self.execute(request)

    def get_supported_actions(self) -> list[str]:
        return ["execute"]


async def test_abilities_run_as_in_base_assistant(memory: VectorMemory) -> None:
    one, timer = Bench(memory), Timer()
    await one.assistant.register_ability(timer)
    response = await one.ask("Set a timer for the boiler.")
    assert [action.status for action in response.actions] == [ActionStatus.SUCCESS]
    assert timer.asked is not None
    assert (timer.asked.user_id, timer.asked.conversation_id) == ("ana", "now")
    assert response.metadata["context"]["items"]


async def test_health_names_the_memory(memory: VectorMemory, tmp_path: Path) -> None:
    one = Bench(memory)
    await one.assistant.initialize()
    health = await one.assistant.health_check()
    assert (health["status"], health["memory"]) == ("healthy", "ok")
    closed = VectorMemory(str(tmp_path / "closed"), embedder="hash")
    await closed.close()
    two = Bench(closed)
    await two.assistant.initialize()
    health = await two.assistant.health_check()
    assert (health["status"], health["memory"]) == ("degraded", "error")


async def test_a_built_context_is_told_on_the_bus(tmp_path: Path) -> None:
    bus, built = EventBus(), []

    def hear(event: Event) -> None:
        built.append(event.data)

    bus.subscribe(EventType.CONTEXT_UPDATED, hear)
    async with VectorMemory("memory://", embedder="hash", events=bus) as memory:
        response = await Bench(memory).ask("What did the boiler cost?")
        assert await memory._events.published()
    assert [data["reason"] for data in built] == ["given", "built"]
    assert built[1]["user_id"] == "ana"
    assert built[1]["conversation_id"] == "now"
    assert built[1]["tokens"] == response.metadata["context"]["tokens"]
    assert "boiler" not in str(built)


async def test_system_messages_of_the_conversation_lead_the_prompt(memory: VectorMemory) -> None:
    rule = Message(role=MessageRole.SYSTEM, content="Answer in one sentence.")
    await memory.store_message(rule, "now", user_id="ana")
    one = Bench(memory)
    await one.ask("What did the boiler cost?")
    assert one.llm.prompt[0].content == "Answer in one sentence."
