"""What conversations look like when they are printed: short, and nothing in them is hidden."""

from __future__ import annotations

from bruno_memory_vec import open_memory
from bruno_memory_vec.conversations.branches import Branch
from tests.conversations.test_life import say

LONG = "the ferry \x1b[2J\u202e leaves " * 10_000


async def test_each_is_short_and_says_what_it_is() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        manager = memory.conversations
        await say(memory, "talk", LONG, "at nine")
        branch = await manager.fork("talk", 1, title="by bus")
        info = str(await manager.get("talk"))
        assert "active, 2 messages  the ferry" in info
        assert info.endswith("(talk)")
        assert "by bus  (" in str(branch)
        assert str(branch).endswith(", from turn 1 of talk)")
        (found,) = await manager.search("the ferry leaves", "ana", limit=1)
        assert str(found).splitlines()[1].startswith("       user: the ferry")
        turn = (await manager.turns("talk"))[0]
        assert str(turn).startswith("0  user: the ferry")
        summary = (await memory.list_conversations("ana"))[0]
        hits = await memory.recall("the ferry leaves", user_id="ana")
        for printed in (info, str(found), repr(found), str(turn), str(summary), repr(hits)):
            assert len(printed) < 2_500
            assert "\x1b" not in printed
            assert "\u202e" not in printed
        tree = str(await manager.branches("talk"))
        assert [line[:5] for line in tree.splitlines()] == ["the f", "  by "]
        assert tree.endswith(f"by bus  ({branch.conversation_id}, from turn 1)")


def test_of_a_large_tree_a_part() -> None:
    below = tuple(Branch(f"b{number}", "a", 0, "", True) for number in range(60))
    lines = str(Branch("a", None, None, "first", False, below)).splitlines()
    assert len(lines) == 51
    assert lines[0] == "first  (a)"
    assert lines[1] == "  no title  (b0, from turn 0, archived)"
    assert lines[-1] == "…"
