"""Extraction in the background: it follows what is stored, holds up nothing, and misses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import BackendUnavailable, InvalidInputError
from bruno_memory_vec.knowledge.extraction import background
from bruno_memory_vec.store.notes import change_note
from tests.knowledge.extraction.support import message
from tests.scripted_llm import REFUSAL, Hang, ScriptedLLM


def ferret(messages: list[Message]) -> str:
    """The answer of a model that finds a ferret in the first turn of the user."""
    lines = messages[-1].content.splitlines()
    numbers = [line.split()[1] for line in lines if line.startswith("- u") and "ferret" in line]
    facts = [{"attribute": "pet", "value": "ferret", "sources": numbers[:1]}] if numbers else []
    return json.dumps({"facts": facts})


def opened(place: str | Path, **settings: Any) -> Any:
    settings = {"extract": "patterns", "embedder": "hash", **settings}
    return open_memory(str(place), **settings)


async def values(memory: VectorMemory, user: str = "ana") -> set[str]:
    return {fact.value for fact in await memory.facts.list(user)}


async def until(happened: Callable[[], Awaitable[Any]]) -> None:
    """Wait for something that the background does; only what hangs reaches the bound."""

    async def look() -> None:
        while not await happened():  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0.02)

    await asyncio.wait_for(look(), 60)


async def test_it_is_off_by_default() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
        await memory.facts.wait()
        assert await memory.facts.history("ana") == []
        assert "extraction" not in await memory.health()


async def test_it_needs_a_model_where_it_is_to_ask_one() -> None:
    with pytest.raises(InvalidInputError, match="extract"):
        VectorMemory("memory://", extract="llm")
    with pytest.raises(InvalidInputError, match="extract"):
        VectorMemory("memory://", extract="magic")


async def test_a_stored_turn_becomes_a_fact_by_itself() -> None:
    async with opened("memory://") as memory:
        await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
        await until(lambda: values(memory))
        assert await values(memory) == {"Lisbon"}


async def test_turns_before_the_setting_are_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path / "m", extract="off") as memory:
        await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
    async with opened(tmp_path / "m") as memory:
        await memory.store_message(message("I love tea", 1), "talk", user_id="ana")
        await memory.facts.wait()
        assert await values(memory) == {"tea"}


async def test_a_process_that_ends_first_misses_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "m") as memory:
        for number, text in enumerate(["I live in Lisbon", "I love tea"]):
            await memory.store_message(message(text, number), f"talk {number}", user_id="ana")
        await memory.store_message(message("I live in Oslo", 5), "other", user_id="ben")
        # Closed before the pause after the last turn has passed.
    async with opened(tmp_path / "m") as memory:
        await memory.facts.wait()
        assert await values(memory) == {"Lisbon", "tea"}
        assert await values(memory, "ben") == {"Oslo"}
        report = await memory.facts.extract(user_id="ana")
        assert (report.new, report.repeated) == (0, 0)


async def test_what_was_read_is_not_read_again(tmp_path: Path) -> None:
    llm = ScriptedLLM(ferret)
    for minute in range(2):
        async with opened(tmp_path / "m", extract="llm", llm=llm) as memory:
            await memory.store_message(message("A ferret", minute), "talk", user_id="ana")
            await memory.facts.wait()
    assert len(llm.asked) == 2
    # The first turn is there to understand the second one by, and is no source.
    assert " o1 " in llm.prompts[1]


async def test_storing_waits_for_no_model() -> None:
    hang = Hang()
    async with opened("memory://", extract="llm", llm=ScriptedLLM(hang), extract_pause=0) as memory:
        await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
        await asyncio.wait_for(hang.waits.wait(), 30)
        for minute in range(1, 4):
            stored = memory.store_message(message("And more", minute), "talk", user_id="ana")
            await asyncio.wait_for(stored, 30)
        assert len(await memory.retrieve_messages("talk")) == 4
    # Closing has stopped it.
    assert hang.stopped == 1


async def test_a_pause_makes_one_request_of_many_turns() -> None:
    llm = ScriptedLLM(ferret)
    async with opened("memory://", extract="llm", llm=llm, extract_pause=600) as memory:
        for minute in range(5):
            await memory.store_message(message("A ferret", minute), "talk", user_id="ana")
        await asyncio.sleep(0.5)
        assert llm.asked == []
        await memory.facts.wait()
        assert len(llm.asked) == 1
        for minute in range(5, 5 + 20):
            await memory.store_message(message("More", minute), "talk", user_id="ana")

        async def asked() -> bool:
            return len(llm.asked) > 1

        await until(asked)


async def test_a_model_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_AGAIN", 0.05)
    llm = ScriptedLLM(*[RuntimeError("away")] * 5, ferret)
    async with opened("memory://", extract="llm", llm=llm, extract_pause=0) as memory:
        await memory.store_message(message("I took in a ferret"), "talk", user_id="ana")
        await memory.facts.wait()
        health = await memory.health()
        assert "away" in health["problems"][background.WORK]
        assert health["status"] == "degraded"
        assert health["extraction"]["waiting"] == 1

        async def well() -> bool:
            return (await memory.health())["status"] == "ok"

        await until(well)
        assert await values(memory) == {"ferret"}
        health = await memory.health()
        assert health["extraction"] == {"extract": "llm", "waiting": 0, "passed_over": 0}


async def test_turns_that_a_model_refuses_are_left_to_the_patterns() -> None:
    def refuses(messages: list[Message]) -> str:
        told = [line for line in messages[-1].content.splitlines() if line.startswith("- u")]
        return REFUSAL if "Lisbon" in "".join(told) else ferret(messages)

    async with opened("memory://", extract="llm", llm=ScriptedLLM(refuses)) as memory:
        await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
        await memory.store_message(message("A ferret", 1), "other", user_id="ana")
        for _ in range(background.MOST_TRIES - 1):
            await memory.facts.wait()
            assert await values(memory) == {"ferret"}
        await memory.facts.wait()
        assert await values(memory) == {"ferret", "Lisbon"}
        health = await memory.health()
        assert health["extraction"] == {"extract": "llm", "waiting": 0, "passed_over": 1}
        assert health["status"] == "ok"
        # The conversation goes on with the model.
        await memory.store_message(message("My ferret is called Tom", 2), "talk", user_id="ana")
        await memory.facts.wait()
        (fact,) = await memory.facts.list("ana", attribute="pet")
        assert fact.times_seen == 2


async def test_its_failure_fails_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened("memory://") as memory:
        store = await memory._lazy.get()

        async def away(*_: Any) -> None:
            raise BackendUnavailable("sessions", "note", "away", fix="Wait.")

        with monkeypatch.context() as patch:
            patch.setattr(store.sessions, "note", away)
            await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
            assert background.WORK in (await memory.health())["problems"]
        await memory.store_message(message("I love tea", 1), "talk", user_id="ana")
        await memory.facts.wait()
        assert await values(memory) == {"tea"}
        assert (await memory.health())["status"] == "ok"


async def test_a_cleared_conversation_is_not_read() -> None:
    async with opened("memory://") as memory:
        await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
        await memory.clear_history("talk", keep_system_messages=False)
        await memory.facts.wait()
        assert await memory.facts.history("ana") == []


async def test_a_message_that_is_stored_again_is_read_again(tmp_path: Path) -> None:
    for place in ("memory://", tmp_path / "m"):
        async with opened(place) as memory:
            for minute, text in enumerate(["I live in Lisbon", "I love tea"]):
                await memory.store_message(message(text, minute), "talk", user_id="ana")
            await memory.facts.wait()
            await memory.store_message(message("I live in Porto"), "talk", user_id="ana")
            await memory.facts.wait()
            assert await values(memory) == {"Porto", "tea"}
    # In a process of its own, too, which has not stored the first text.
    async with opened(tmp_path / "m") as memory:
        await memory.store_message(message("I live in Braga"), "talk", user_id="ana")
        await memory.facts.wait()
        assert await values(memory) == {"Braga", "tea"}
        (tea,) = await memory.facts.list("ana", attribute="likes")
        assert tea.times_seen == 1


async def test_a_cleared_conversation_that_goes_on_is_read() -> None:
    async with opened("memory://") as memory:
        await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
        await memory.facts.wait()
        await memory.clear_history("talk", keep_system_messages=False)
        await memory.store_message(message("I love tea", 1), "talk", user_id="ana")
        await memory.facts.wait()
        assert await values(memory) == {"tea"}
        await memory.store_message(message("I love cake", 2), "talk", user_id="ana")
        await memory.facts.wait()
        assert await values(memory) == {"tea", "cake"}


class Slow(Hang):
    """Answers that there is nothing, when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()

    async def wait(self) -> str:
        self.waits.set()
        await self.goes_on.wait()
        return '{"facts": []}'


async def test_one_that_is_stored_again_while_the_rest_is_read_is_not_missed() -> None:
    slow = Slow()
    llm = ScriptedLLM(ferret, slow, ferret)
    async with opened("memory://", extract="llm", llm=llm) as memory:
        await memory.store_message(message("Hello"), "talk", user_id="ana")
        await memory.facts.wait()
        await memory.store_message(message("And more", 1), "talk", user_id="ana")
        reading = asyncio.ensure_future(memory.facts.wait())
        await slow.waits.wait()
        await memory.store_message(message("I have a ferret"), "talk", user_id="ana")
        slow.goes_on.set()
        await reading
        await memory.facts.wait()
        assert await values(memory) == {"ferret"}


async def test_a_title_and_a_mark_do_not_undo_each_other() -> None:
    async with opened("memory://") as memory:
        store = await memory._lazy.get()
        await asyncio.gather(
            *(change_note(store, "ana", "talk", title=str(n)) for n in range(10)),
            *(change_note(store, "ana", "talk", extracted_turns=n) for n in range(10)),
        )
        note = await store.sessions.note("ana", "talk")
        assert note is not None
        assert (note.title, note.extracted_turns) == ("9", 9)
