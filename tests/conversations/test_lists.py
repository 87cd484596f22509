"""Conversations listed by status, page by page, and found by what was said and by their titles."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import InvalidInputError
from tests.conversations.test_life import remembered, say

AGO = {"new": timedelta(0), "idle": timedelta(hours=1), "old": timedelta(days=2)}


async def filled(memory: VectorMemory) -> str:
    """One conversation of each status; the id of the one in which nothing was said."""
    now = datetime.now(timezone.utc)
    for talk in (*AGO, "ended", "archived"):
        await say(memory, talk, f"the {talk} harbour", f"about {talk} ships")
    sessions = (await memory._lazy.get()).sessions
    await sessions.touch({talk: now - ago for talk, ago in AGO.items() if ago})
    await memory.conversations.end("ended")
    await memory.conversations.archive("archived")
    await say(memory, "bens", "the harbour of ben", user="ben")
    return (await memory.conversations.start("ana", title="nothing yet")).conversation_id


async def test_lists_by_status(memory: VectorMemory) -> None:
    created = await filled(memory)
    expected = {
        "created": {created},
        "active": {"new"},
        "idle": {"idle"},
        "ended": {"ended", "old"},
        "archived": {"archived"},
    }

    async def listed(**asked: Any) -> set[str]:
        return {one.conversation_id for one in await memory.conversations.list("ana", **asked)}

    for status, names in expected.items():
        assert await listed(status=status) == names
    assert await listed(status=["created", "idle"]) == {created, "idle"}
    everything = await memory.conversations.list("ana")
    assert {one.conversation_id: one.status for one in everything} == {
        name: status for status, names in expected.items() for name in names
    }
    assert [one.conversation_id for one in await memory.conversations.list("ben")] == ["bens"]
    order = [one.last_activity for one in everything]
    assert order == sorted(order, reverse=True)
    assert everything[0].conversation_id == created
    assert everything[-1].conversation_id == "old"
    # Another message brings the oldest to the front.
    await say(memory, "old", "again")
    first = (await memory.conversations.list("ana", limit=1))[0]
    assert (first.conversation_id, first.status, first.messages) == ("old", "active", 3)


async def test_pages(memory: VectorMemory) -> None:
    await filled(memory)
    whole = [one.conversation_id for one in await memory.conversations.list("ana", limit=None)]
    for limit in (1, 2, 4, 6):
        seen: list[str] = []
        after = None
        while True:
            page = await memory.conversations.list("ana", limit=limit, after=after)
            assert len(page) <= limit
            seen += [one.conversation_id for one in page]
            after = page.next
            if after is None:
                break
        assert seen == whole
    for wrong in ({"after": "x"}, {"limit": 0}, {"status": "gone"}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            await memory.conversations.list("ana", **wrong)  # type: ignore[arg-type]


async def test_found_by_what_was_said_by_summary_and_by_title(memory: VectorMemory) -> None:
    manager = memory.conversations
    await say(memory, "music", "the violin is red", "a violin of wood", "and the violin is old")
    await say(memory, "food", "pancakes with syrup", "I like pancakes")
    await say(memory, "trip", "we took the train", "the train was late")
    await manager.rename("trip", "Holidays in Lisbon")
    await memory.store_memories(
        [remembered("they planned a birthday for Tom", "food", "summary")], origin="summary"
    )
    await say(memory, "bens", "the violin of ben", user="ben")
    found = await manager.search("what about the violin?", "ana")
    assert found[0].info.conversation_id == "music"
    assert "bens" not in {one.info.conversation_id for one in found}
    assert 1 <= len(found[0].hits) <= 3
    assert all(hit.conversation_id == "music" for hit in found[0].hits)
    assert len((await manager.search("violin", "ana", hits_each=1))[0].hits) == 1
    by_title = await manager.search("the holiday in Lisbon", "ana")
    assert by_title[0].info.conversation_id == "trip"
    assert by_title[0].title_matches == 1.0
    by_summary = await manager.search("whose birthday was planned?", "ana")
    assert by_summary[0].info.conversation_id == "food"
    assert by_summary[0].hits[0].record.content == "they planned a birthday for Tom"
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert len(await manager.search("the violin and the train", "ana", limit=1)) == 1
    await manager.archive("music")
    names = {one.info.conversation_id for one in await manager.search("violin", "ana")}
    assert "music" not in names
    again = await manager.search("violin", "ana", include_archived=True)
    assert again[0].info.conversation_id == "music"
    assert await manager.search("violin", "ana", status="idle") == []
    for wrong in ({"query": " "}, {"limit": 0}, {"hits_each": 0}, {"status": "x"}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            await manager.search(**{"query": "violin", "user_id": "ana", **wrong})  # type: ignore[arg-type]
    assert await manager.search("violin", "nobody") == []


async def test_a_search_counts_no_use() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await say(memory, "music", "the violin is red")
        writer = (await memory._lazy.get()).writer
        assert writer is not None
        await memory.conversations.search("violin", "ana")
        assert not writer.pending_uses
        await memory.recall("violin", user_id="ana")
        assert writer.pending_uses


async def test_what_was_only_asked_for_is_nobodys(memory: VectorMemory) -> None:
    """A context that was asked for begins nothing; whoever speaks first has the conversation."""
    await memory.get_context("ana", "talk")
    assert await memory.conversations.list("ana") == []
    await say(memory, "talk", "hello", user="ben")
    assert await memory.conversations.list("ana") == []
    assert [one.conversation_id for one in await memory.conversations.list("ben")] == ["talk"]
    assert await memory.conversations.current("ana") is None
