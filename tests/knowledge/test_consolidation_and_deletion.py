"""What is deleted while short-term memories become lasting, or afterwards, is gone for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import NotFoundError
from bruno_memory_vec.knowledge.kinds.consolidation import ConsolidationPolicy
from bruno_memory_vec.writing.writer import Writer

EVERY = ConsolidationPolicy(uses=None, age=timedelta(0))


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as opened:
        yield opened


async def texts(memory: VectorMemory) -> list[str]:
    return sorted(one.content for one in await memory.list_memories("ana", include_archived=True))


def before_the_first(
    monkeypatch: pytest.MonkeyPatch, commit: str, memory: VectorMemory, id_: Any
) -> None:
    """Delete a memory right before the next commit of a kind."""
    original, left = getattr(Writer, commit), [str(id_)]

    async def patched(writer: Writer, *given: Any, **named: Any) -> Any:
        if left:
            await memory.delete_memory(left.pop())
        return await original(writer, *given, **named)

    monkeypatch.setattr(Writer, commit, patched)


@pytest.mark.parametrize(
    ("commit", "known"), [("write", False), ("rewrite", False), ("rewrite", True)]
)
async def test_deleted_while_it_is_made_lasting(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch, commit: str, known: bool
) -> None:
    ana = memory.for_user("ana")
    secret = await ana.conversational.add("my secret is kumquat")
    if known:
        await ana.semantic.add("my secret is kumquat")
    await ana.conversational.add("harmless")
    before_the_first(monkeypatch, commit, memory, secret.id)
    report = await ana.conversational.consolidate(EVERY)
    assert secret.id not in {one.memory_id for one in report.consolidated}
    assert len(report.consolidated) == 1
    kept = ["my secret is kumquat"] if known else []
    assert await texts(memory) == ["harmless", "harmless", *kept]


async def test_changed_while_it_is_made_lasting(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = memory.for_user("ana").conversational
    added = await view.add("my secret is kumquat")
    original, told = Writer.write, ["it is no secret"]

    async def patched(writer: Writer, *given: Any, **named: Any) -> Any:
        if told:
            await memory.store_memory(added.model_copy(update={"content": told.pop()}))
        return await original(writer, *given, **named)

    monkeypatch.setattr(Writer, "write", patched)
    await view.consolidate(EVERY)
    assert await texts(memory) == ["it is no secret"] * 2


async def test_a_lasting_memory_takes_along_what_it_stands_for(memory: VectorMemory) -> None:
    ana = memory.for_user("ana")
    for text in ("I like figs", "I like figs!", "I like tea"):
        await ana.conversational.add(text)
    await memory.for_user("ben").conversational.add("I like figs")
    await ana.conversational.consolidate(EVERY)
    assert len(await texts(memory)) == 5
    (figs,) = [one for one in await ana.semantic.list() if "figs" in one.content]
    await memory.delete_memory(str(figs.id))
    assert await texts(memory) == ["I like tea"] * 2
    assert len(await memory.list_memories("ben")) == 1
    assert not (await memory.maintain()).problems


async def test_an_extracted_one_goes_with_its_message(memory: VectorMemory) -> None:
    told = [Message(role=MessageRole.USER, content="I live in Berlin") for _ in range(2)]
    await memory.store_messages(told, "talk", user_id="ana")
    fields = {"attribute": "home", "value": "Berlin", "subject": "user"}
    about = MemoryMetadata(
        category="fact", related_memories=[one.id for one in told], custom_fields=fields
    )
    short = MemoryEntry(
        content="The user lives in Berlin",
        memory_type=MemoryType.SHORT_TERM,
        user_id="ana",
        metadata=about,
    )
    await memory.store_memory(short, origin="extracted")
    await memory.for_user("ana").conversational.consolidate(EVERY)
    (lasting,) = await memory.semantic.list(user_id="ana")
    assert lasting.metadata.related_memories == [short.id, *about.related_memories]
    await memory.delete_messages(told[0].id)
    assert len(await texts(memory)) == 2
    await memory.delete_messages(told[1].id)
    assert await texts(memory) == []


async def test_a_statement_that_is_deleted_while_it_is_said_again_is_stored_anew(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = memory.for_user("ana")
    first = await ana.semantic.add("I love figs")
    before_the_first(monkeypatch, "rewrite", memory, first.id)
    again = await ana.semantic.add("I love figs!")
    assert await ana.semantic.get(again.id) is not None
    assert await texts(memory) == ["I love figs!"]


async def test_a_lasting_memory_that_is_deleted_while_it_is_strengthened_is_made_anew(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = memory.for_user("ana")
    first = await ana.semantic.add("I love figs")
    await ana.conversational.add("I love figs")
    before_the_first(monkeypatch, "rewrite", memory, first.id)
    (done,) = (await ana.conversational.consolidate(EVERY)).consolidated
    assert [one.id for one in await ana.semantic.list()] == [done.into]


async def test_what_is_deleted_while_its_text_is_changed_stays_deleted(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = memory.for_user("ana")
    added = await ana.semantic.add("I love figs")
    before_the_first(monkeypatch, "write", memory, added.id)
    with pytest.raises(NotFoundError):
        await ana.semantic.update(added.id, content="I love figs and tea")
    assert await texts(memory) == []
