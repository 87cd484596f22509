"""What is deleted while facts are found and stored is not stored again as a fact."""

from __future__ import annotations

from typing import Any

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.writing.writer import Writer
from tests.knowledge.extraction.support import message
from tests.scripted_llm import ScriptedLLM

ANSWER = '{"facts":[{"attribute":"home","value":"Lisbon","about":"user","sources":["u1"]}]}'


class Meanwhile(ScriptedLLM):
    """Before it answers, something else happens in its memory."""

    happens: Any

    async def generate(self, messages: list[Message], **options: Any) -> str:
        await self.happens()
        return await super().generate(messages, **options)


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("change", ["deleted", "another text"])
async def test_while_the_model_is_asked(background: bool, change: str) -> None:
    llm, told = Meanwhile(ANSWER), message("I live in Lisbon")
    setting: Any = "llm" if background else "off"
    async with open_memory("memory://", embedder="hash", llm=llm, extract=setting) as memory:

        async def happens() -> None:
            if change == "deleted":
                await memory.delete_messages(told.id)
            else:
                other = told.model_copy(update={"content": "I like tea"})
                await memory.store_message(other, "talk", user_id="ana")

        llm.happens = happens
        await memory.store_messages([told, message("Nice.", 1, "assistant")], "talk", user_id="ana")
        if background:
            await memory.facts.wait()
        else:
            report = await memory.facts.extract("talk")
            assert (report.found, report.new) == (1, 0)
        assert llm.asked
        assert await memory.facts.history("ana") == []
        hits = await memory.recall("Lisbon", user_id="ana", include_archived=True)
        assert not any("Lisbon" in hit.content for hit in hits)


class Deletes:
    """Deletes messages right before the first commit of a kind."""

    def __init__(self, memory: VectorMemory, monkeypatch: pytest.MonkeyPatch, commit: str) -> None:
        original = getattr(Writer, commit)
        self.ids: list[str] = []

        async def patched(writer: Writer, *given: Any, **named: Any) -> Any:
            ids, self.ids = self.ids, []
            if ids:
                await memory.delete_messages(ids)
            return await original(writer, *given, **named)

        monkeypatch.setattr(Writer, commit, patched)


async def test_right_before_the_new_fact_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        told = [message("I live in Lisbon", 0), message("I love tea", 1)]
        await memory.store_messages(told, "talk", user_id="ana")
        Deletes(memory, monkeypatch, "write").ids = [str(told[0].id)]
        report = await memory.facts.extract("talk")
        assert (report.found, report.new) == (2, 1)
        assert [fact.value for fact in await memory.facts.history("ana")] == ["tea"]


async def test_a_fact_is_not_superseded_by_one_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        told = [message("I live in Lisbon", 0), message("I've moved to Porto", 1)]
        await memory.store_message(told[0], "talk", user_id="ana")
        await memory.facts.extract("talk")
        await memory.store_message(told[1], "talk", user_id="ana")
        # The new fact is stored, and goes again before the old one is archived.
        Deletes(memory, monkeypatch, "rewrite").ids = [str(told[1].id)]
        await memory.facts.extract("talk")
        (fact,) = await memory.facts.history("ana")
        assert (fact.value, fact.archived_at, fact.superseded_by) == ("Lisbon", None, None)


async def test_a_repetition_outlives_the_fact_that_it_was_to_strengthen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        told = [message("I love tea", 0), message("I love tea!", 1)]
        await memory.store_message(told[0], "talk", user_id="ana")
        await memory.facts.extract("talk")
        await memory.store_message(told[1], "talk", user_id="ana")
        Deletes(memory, monkeypatch, "rewrite").ids = [str(told[0].id)]
        await memory.facts.extract("talk")
        (fact,) = await memory.facts.list("ana")
        assert (fact.value, fact.sources) == ("tea", (str(told[1].id),))


async def test_a_fact_by_hand_whose_source_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        told = message("We talked of it")
        await memory.store_message(told, "talk", user_id="ana")
        Deletes(memory, monkeypatch, "write").ids = [str(told.id)]
        with pytest.raises(InvalidInputError, match="deleted meanwhile"):
            await memory.facts.add("home", "Faro", user_id="ana", sources=[told.id])
        assert await memory.facts.history("ana") == []
