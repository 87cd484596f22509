"""Branches: all of the past or none, in one commit; each goes on by itself; a tree, and its end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from bruno_core.events import EventType

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.compression_policy import CompressionPolicy
from bruno_memory_vec.conversations.branches import Branch, tree_of
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import EngineError, InvalidInputError
from bruno_memory_vec.sessions.protocol import ConversationNote
from bruno_memory_vec.store.notes import change_note
from bruno_memory_vec.upkeep.verification import verify
from tests.conversations.test_activity import NOW
from tests.conversations.test_life import say
from tests.durability.support import message, rows_of

OWN = ("conversation_id", "seq", "checksum")


async def turns(memory: VectorMemory, talk: str) -> list[tuple[int, str]]:
    return [(one.turn, one.message.content) for one in await memory.read_turns(talk)]


async def plain(memory: VectorMemory, talk: str) -> list[dict[str, Any]]:
    """The messages of a conversation without what is each one's own."""
    every = [row for row in await rows_of(memory) if row["kind"] == "message"]
    rows = [row for row in every if row["conversation_id"] == talk]
    rows.sort(key=lambda row: row["turn"])
    return [{name: held for name, held in row.items() if name not in OWN} for row in rows]


async def test_a_branch_shares_its_past_and_goes_on_by_itself(memory: VectorMemory) -> None:
    manager = memory.conversations
    await say(memory, "talk", "the violin is red", "is it old?", "it is new", "good")
    branch = await manager.fork("talk", 1, title="what if it were old")
    talk = branch.conversation_id
    assert (branch.parent_id, branch.forked_at, branch.messages) == ("talk", 1, 2)
    assert (branch.title, branch.title_by, branch.user_id) == (
        "what if it were old",
        "given",
        "ana",
    )
    assert await plain(memory, talk) == (await plain(memory, "talk"))[:2]
    # The branch is the current one, and goes on where it was forked.
    context = await memory.get_context("ana")
    assert context.conversation_id == talk
    assert [one.content for one in context.messages] == ["the violin is red", "is it old?"]
    await say(memory, talk, "it is very old")
    assert await turns(memory, talk) == [
        (0, "the violin is red"),
        (1, "is it old?"),
        (2, "it is very old"),
    ]
    assert len(await turns(memory, "talk")) == 4
    # A recall shows what both have once.
    hits = await memory.recall("the violin is red", user_id="ana", k=20)
    assert [hit.content for hit in hits].count("the violin is red") == 1
    assert {hit.content for hit in hits} >= {"it is new", "it is very old"}
    # A view of the owner may, another's may not (test_life). The store is sound.
    again = await memory.for_user("ana").conversations.fork(talk, 2, switch=False)
    assert await manager.current("ana") == talk
    assert again.forked_at == 2
    assert await verify(await memory._lazy.get()) == []


async def test_pins_times_and_what_was_archived(memory: VectorMemory) -> None:
    manager = memory.conversations
    said = [f"{name}, for the summary that stands for it" for name in ("one", "two", "three")]
    await say(memory, "talk", *said, "four", "five")
    ids = [one.message.id for one in await memory.read_turns("talk")]
    await memory.pin(ids[1])
    await memory.forget(ids[4], archive=True)
    policy = CompressionPolicy(keep_newest=1, min_turns=2, min_tokens=1, older_than=None)
    await memory.compress("ana", policy=policy)
    archived = [row["archived_at"] for row in await plain(memory, "talk")]
    assert archived[0] is not None, "compressed"
    branch = await manager.fork("talk")
    rows = await plain(memory, branch.conversation_id)
    # What is archived for a summary of the one is not archived in the other, which has none. What
    # was forgotten is forgotten there, too.
    assert [row["archived_at"] for row in rows] == [None] * 4 + [archived[4]]
    assert archived[4] is not None
    assert [row["pinned_at"] is not None for row in rows] == [n == 1 for n in range(5)]
    for row, there in zip(rows, await plain(memory, "talk"), strict=True):
        assert {**row, "archived_at": there["archived_at"]} == there
    found = await memory.recall("five", user_id="ana", k=20)
    assert "five" not in [hit.content for hit in found]
    # What was archived with the whole conversation is not archived in a branch that goes on.
    await manager.archive("talk")
    branch = await manager.fork("talk")
    rows = await plain(memory, branch.conversation_id)
    assert [row["archived_at"] for row in rows] == [None] * 4 + [archived[4]]
    assert branch.status == "active"


@pytest.mark.parametrize("when", ["noted", "copied"])
async def test_a_fork_that_is_cancelled_leaves_all_or_nothing(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    await say(memory, "talk", "one", "two")
    store = await memory._lazy.get()
    sessions, writer = store.sessions, store.writer
    assert writer is not None
    save, branch = type(sessions).save_note, type(writer).branch

    async def save_and_cancel(self: Any, note: ConversationNote) -> None:
        await save(self, note)
        raise asyncio.CancelledError

    async def branch_and_cancel(self: Any, *given: Any) -> int:
        asyncio.get_running_loop().call_soon(forking.cancel)
        return await branch(self, *given)

    if when == "noted":
        monkeypatch.setattr(type(sessions), "save_note", save_and_cancel)
    else:
        monkeypatch.setattr(type(writer), "branch", branch_and_cancel)
    forking = asyncio.create_task(memory.conversations.fork("talk"))
    with pytest.raises(asyncio.CancelledError):
        await forking
    monkeypatch.undo()
    rows = await rows_of(memory)
    there = {row["conversation_id"] for row in rows} - {"talk"}
    notes = [note.conversation_id for note in await sessions.notes("ana") if note.parent_id]
    assert sorted(there) == notes
    assert len(rows) == 2 + 2 * len(there)
    assert len(there) == (when == "copied")


class Silent(HashEmbedder):
    """Fails where something is embedded while it is told to be silent."""

    silent = False

    def embed(self, texts: Any, *, kind: Any = "document") -> Any:
        assert not self.silent, "a vector was made anew"
        return super().embed(texts, kind=kind)


async def test_forking_embeds_nothing_and_is_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = Silent()
    async with open_memory(str(tmp_path / "m"), embedder=embedder) as memory:
        texts = [message(f"number {n}", "assistant" if n % 2 else "user") for n in range(600)]
        await memory.store_messages(texts, "talk", user_id="ana")
        rows = (await memory._lazy.get()).rows
        upsert, commits = type(rows).upsert, []

        async def counted(self: Any, table: Any, **kinds: Any) -> None:
            commits.append(table.num_rows)
            await upsert(self, table, **kinds)

        embedder.silent = True
        with monkeypatch.context() as patch:
            patch.setattr(type(rows), "upsert", counted)
            branch = await memory.conversations.fork("talk", 499)
        assert commits == [500]
        assert branch.messages == 500
        embedder.silent = False

        # A commit that fails leaves no branch, and no note with its title.
        async def failing(self: Any, table: Any, **kinds: Any) -> None:
            raise EngineError("rows", "append", "the disk is full", fix="Free some.")

        with monkeypatch.context() as patch:
            patch.setattr(type(rows), "upsert", failing)
            with pytest.raises(EngineError, match="full"):
                await memory.conversations.fork("talk", title="never")
        assert {one.title for one in await memory.conversations.list("ana")} == {"number 0"}
        notes = await (await memory._lazy.get()).sessions.notes("ana")
        assert [note.title for note in notes] == [None]
        assert len(list(await memory.conversations.branches("talk"))) == 2


async def test_facts_are_not_extracted_from_the_past_again(memory: VectorMemory) -> None:
    await say(memory, "talk", "a", "b", "c", "d")
    store = await memory._lazy.get()
    for extracted, expected in ((2, 2), (4, 3)):
        await change_note(store, "ana", "talk", extracted_turns=extracted)
        branch = await memory.conversations.fork("talk", 2)
        note = await store.sessions.note("ana", branch.conversation_id)
        assert note is not None
        assert note.extracted_turns == expected


async def test_a_fork_is_no_message() -> None:
    """Nobody has said its past once more: no event tells of it."""
    told = Told()
    async with open_memory("memory://", embedder="hash", events=told) as memory:  # type: ignore[arg-type]
        await say(memory, "talk", "a", "b")
        branch = await memory.conversations.fork("talk")
        await say(memory, branch.conversation_id, "c")
    stored = [one for one in told.events if one.event_type == EventType.MESSAGE_PROCESSED]
    assert [(one.conversation_id, one.data["turn"]) for one in stored] == [
        ("talk", 0),
        ("talk", 1),
        (branch.conversation_id, 2),
    ]


class Told:
    """A bus that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def publish(self, event: Any) -> None:
        self.events.append(event)


async def test_a_fork_of_a_fork_and_the_end_of_each(memory: VectorMemory) -> None:
    manager = memory.conversations
    await say(memory, "talk", "a", "b", "c", "d")
    first = (await manager.fork("talk", 2)).conversation_id
    second = (await manager.fork(first, 1)).conversation_id
    third = (await manager.fork("talk", 0)).conversation_id
    for name in ("talk", first, second, third):
        tree = await manager.branches(name)
        assert [(one.conversation_id, one.parent_id) for one in tree] == [
            ("talk", None),
            (first, "talk"),
            (second, first),
            (third, "talk"),
        ]
    await manager.switch("talk")
    assert await manager.current("ana") == "talk"
    # The end of one leaves the others, below it and above it.
    await manager.delete(first)
    assert [one.conversation_id for one in await manager.branches("talk")] == ["talk", third]
    assert await turns(memory, second) == [(0, "a"), (1, "b")]
    (alone,) = await manager.branches(second)
    assert (alone.conversation_id, alone.parent_id, alone.forked_at) == (second, None, None)
    info = await manager.get(second)
    assert (info.parent_id, info.forked_at) == (None, None)
    # What is said later under the id of one that was deleted is not its parent.
    await say(memory, first, "something else")
    assert [one.conversation_id for one in await manager.branches(first)] == [first]
    await manager.delete("talk")
    assert await turns(memory, third) == [(0, "a")]
    found = {hit.content for hit in await memory.recall("a b c d", user_id="ana")}
    assert found == {"a", "b", "something else"}


async def test_where_it_cannot_be_forked(memory: VectorMemory) -> None:
    manager = memory.conversations
    await say(memory, "talk", "a", "b")
    session = await manager.start("ana")
    for talk, turn, problem in (
        ("talk", 2, "no such turn"),
        ("talk", -1, "turn"),
        ("talk", True, "turn"),
        ("talk", "1", "turn"),
        (session.conversation_id, None, "no message"),
    ):
        with pytest.raises(InvalidInputError, match=problem):
            await manager.fork(talk, turn)  # type: ignore[arg-type]
    assert len(await manager.list("ana")) == 2


async def test_a_turn_that_was_deleted_is_told_with_those_there_are(memory: VectorMemory) -> None:
    await say(memory, "talk", "a", "b")
    await memory.conversations.delete("talk")
    await say(memory, "talk", "c", "d", "e")
    with pytest.raises(InvalidInputError, match=r"turn: is 0, .* it has 3 from turn 2 to 4"):
        await memory.conversations.fork("talk", 0)
    branch = await memory.conversations.fork("talk", 3)
    assert await turns(memory, branch.conversation_id) == [(2, "c"), (3, "d")]


async def test_a_tree_has_the_titles_that_get_has(memory: VectorMemory) -> None:
    manager = memory.conversations
    await memory.store_message(message("Be brief.", "system"), "talk", user_id="ana")
    await say(memory, "talk", "the  ferry", "it leaves at nine")
    first = (await manager.fork("talk")).conversation_id
    await manager.fork(first, title="by bus")
    await manager.archive(first)
    tree = list(await manager.branches("talk"))
    assert [one.title for one in tree] == ["the ferry", "the ferry", "by bus"]
    assert [one.title for one in tree] == [
        (await manager.get(one.conversation_id)).title for one in tree
    ]
    assert [one.archived for one in tree] == [False, True, False]


async def test_a_call_of_tools_comes_with_its_results(memory: VectorMemory) -> None:
    calls = {"tool_calls": [{"function": {"name": "weather"}}]}
    for role, metadata in (("user", {}), ("assistant", calls), ("tool", {}), ("assistant", {})):
        await memory.store_message(
            message(f"from {role}", role, metadata=metadata), "talk", user_id="ana"
        )
    branch = await memory.conversations.fork("talk", 1)
    assert (branch.forked_at, branch.messages) == (2, 3)


async def test_forks_at_the_same_time_while_it_goes_on(memory: VectorMemory) -> None:
    manager = memory.conversations
    await say(memory, "talk", *(f"turn {n}" for n in range(6)))
    made = await asyncio.gather(
        *(manager.fork("talk", 3, switch=False) for _ in range(4)),
        say(memory, "talk", *(f"more {n}" for n in range(4))),
    )
    branches = [one.conversation_id for one in made[:4] if one is not None]
    assert len(set(branches)) == 4
    for talk in branches:
        assert await turns(memory, talk) == [(n, f"turn {n}") for n in range(4)]
    assert len(await turns(memory, "talk")) == 10
    assert len(list(await manager.branches("talk"))) == 5


async def test_it_is_there_again_and_a_copy_has_it(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path / "a"), embedder="hash") as memory:
        await say(memory, "talk", "a", "b", "c")
        branch = await memory.conversations.fork("talk", 1, title="the other way")
        assert (await memory.copy_to(tmp_path / "b")).ok
    for folder in ("a", "b"):
        async with open_memory(str(tmp_path / folder), embedder="hash") as memory:
            tree = await memory.conversations.branches("talk")
            assert [(one.conversation_id, one.title) for one in tree] == [
                ("talk", "a"),
                (branch.conversation_id, "the other way"),
            ]
            assert await turns(memory, branch.conversation_id) == [(0, "a"), (1, "b")]


def note(name: str, parent: str | None) -> ConversationNote:
    return ConversationNote(name, "ana", NOW, parent_id=parent, forked_at=0)


def test_a_tree_that_is_deep_or_a_circle() -> None:
    names = [f"c{n:05}" for n in range(5_000)]
    notes = [note(name, above) for name, above in zip(names[1:], names, strict=False)]
    tree = tree_of(names[-1], notes, names)
    assert [one.conversation_id for one in tree] == names
    circle = [note("a", "b"), note("b", "a")]
    assert {one.conversation_id for one in tree_of("a", circle, ["a", "b"])} == {"a", "b"}
    # A note without a row is of a fork that was never finished.
    assert list(tree_of("a", [note("lost", "a")], ["a"])) == [Branch("a", None, None, "", False)]
