"""Settings, whose call it is, whose a conversation is, what each filter means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.config import MemoryConfig as BrunoMemoryConfig
from bruno_core.models.context import SessionContext, UserContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryQuery, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import ALL_USERS, MemoryConfig, VectorMemory, open_memory
from bruno_memory_vec.errors import (
    EngineError,
    ForeignUserError,
    InvalidInputError,
    NotFoundError,
    ReadOnlyError,
    StoreClosedError,
)
from bruno_memory_vec.rows import models
from bruno_memory_vec.sessions import owners as owners_module
from bruno_memory_vec.testing import HashEmbedder
from tests.durability.support import message, rows_of

START = datetime(2024, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as opened:
        yield opened


async def contents(memory: VectorMemory, conversation: str) -> list[str]:
    return [one.content for one in await memory.retrieve_messages(conversation)][::-1]


async def owner_of(memory: VectorMemory, conversation: str) -> set[str]:
    found = [row for row in await rows_of(memory) if row["conversation_id"] == conversation]
    return {row["user_id"] for row in found}


# Settings


def test_settings_come_from_arguments(tmp_path: Path) -> None:
    made = VectorMemory(
        str(tmp_path), embedder="hash", profile="fast", read_only=True, recall_k=3
    ).config
    assert (made.url, made.embedder, made.profile) == (str(tmp_path), "hash", "fast")
    assert (made.read_only, made.recall_k) == (True, 3)
    assert VectorMemory(read_only=False).config.read_only is False
    assert VectorMemory(tmp_path).config.url == str(tmp_path)  # type: ignore[arg-type]


def test_what_is_not_given_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRUNO_MEMORY_URL", "memory://")
    monkeypatch.setenv("BRUNO_MEMORY_EMBEDDER", "hash")
    monkeypatch.setenv("BRUNO_MEMORY_READ_ONLY", "true")
    made = VectorMemory().config
    assert (made.url, made.embedder, made.read_only) == ("memory://", "hash", True)
    assert VectorMemory("there", read_only=False).config.read_only is False


def test_a_whole_config() -> None:
    config = MemoryConfig.build(url="memory://", embedder="hash")
    assert VectorMemory(config=config).config is config
    bruno = BrunoMemoryConfig(backend="lancedb", connection_string="memory://", max_messages=7)
    made = VectorMemory(config=bruno).config  # type: ignore[arg-type]
    assert (made.url, made.max_messages) == ("memory://", 7)
    for given in ({"url": "x"}, {"embedder": "hash"}, {"read_only": True}, {"recall_k": 3}):
        with pytest.raises(InvalidInputError, match=f"beside {next(iter(given))}"):
            VectorMemory(config=config, **given)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="is a dict"):
        VectorMemory(config={"url": "x"})  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"default_user": " "}, {"profile": "none such"}])
def test_a_setting_that_cannot_be_used(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        VectorMemory("memory://", **settings)


async def test_an_embedder_of_ones_own_and_a_profile() -> None:
    from bruno_memory_vec.recall.profiles import load_profile

    own, profile = HashEmbedder(16), load_profile("semantic")
    async with open_memory("memory://", embedder=own, profile=profile) as memory:
        store = await memory._lazy.get()
        assert store.embedder.fingerprint.dimension == 16
        assert (await memory.health())["profile"] == "semantic"


async def test_it_is_opened_once_and_closed_for_good() -> None:
    memory = VectorMemory("memory://", embedder="hash")
    stores = await asyncio.gather(*(memory._lazy.get() for _ in range(5)))
    assert len({id(store) for store in stores}) == 1
    await asyncio.gather(memory.close(), memory.close())
    await memory.close()
    with pytest.raises(StoreClosedError):
        await memory.connect()
    never = VectorMemory("memory://", embedder="hash")
    await never.close()
    with pytest.raises(StoreClosedError):
        await never.recall("x", user_id="ana")


async def test_a_caller_that_is_cancelled_leaves_the_closing_to_finish(tmp_path: Path) -> None:
    memory = await open_memory(str(tmp_path), embedder="hash")
    await memory.store_message(message("kept"), "talk", user_id="ana")
    closing = asyncio.ensure_future(memory.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await memory.close()
    # Its lock is free.
    async with open_memory(str(tmp_path), embedder="hash") as again:
        assert await contents(again, "talk") == ["kept"]


async def test_read_only(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await memory.store_message(message("one"), "talk", user_id="ana")
        session = await memory.create_session("ana")
    async with open_memory(str(tmp_path), embedder="hash", read_only=True) as reader:
        calls = [
            reader.store_message(message("two"), "talk", user_id="ana"),
            reader.store_memory(note("two")),
            reader.delete_memory("x"),
            reader.clear_history("talk"),
            reader.create_session("ana"),
            reader.end_session(session.session_id),
            reader.save_user_context(UserContext(user_id="ana"))
            if hasattr(reader, "save_user_context")
            else reader.create_session("ana"),
        ]
        for call in calls:
            with pytest.raises(ReadOnlyError):
                await call
        context = await reader.get_context("ana", "talk")
        assert [one.content for one in context.messages] == ["one"]
        # A reader begins no conversation.
        assert (await reader.get_context("ben", "new")).messages == []
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await memory.store_message(message("mine"), "new", user_id="cy")


async def test_an_embedder_that_is_not_known_is_the_callers_mistake() -> None:
    memory = VectorMemory("memory://", embedder="none such")
    with pytest.raises(InvalidInputError, match="none such"):
        await memory.connect()
    await memory.close()


# Whose call it is


def note(text: str = "one", user: str = "ana", **fields: Any) -> MemoryEntry:
    return MemoryEntry(content=text, memory_type=MemoryType.FACT, user_id=user, **fields)


async def test_whose_a_conversation_is(memory: VectorMemory) -> None:
    """The user who is named; else who has it; else who is named in a message; else the default."""
    named = message("two", metadata={"user_id": "ben"})
    await memory.store_message(message("one"), "anas", user_id="ana")
    await memory.store_message(named, "anas")
    await memory.store_message(named, "bens")
    await memory.store_message(message("three"), "bens")
    await memory.store_messages([message("one"), named, message("two")], "bens too")
    await memory.store_message(message("one"), "nobodys")
    await memory.store_message(message("one", metadata={"user_id": " "}), "blank")
    await memory.store_message(message("one", metadata={"user_id": 7}), "number")
    wanted = {"anas": "ana", "bens": "ben", "bens too": "ben"}
    for conversation in ("anas", "bens", "bens too", "nobodys", "blank", "number"):
        owner = wanted.get(conversation, "default")
        assert await owner_of(memory, conversation) == {owner}, conversation
    for conversation, user in (("anas", "ben"), ("nobodys", "ana")):
        with pytest.raises(ForeignUserError):
            await memory.store_message(message("x"), conversation, user_id=user)
    two = [message("x", metadata={"user_id": user}) for user in ("ana", "ben")]
    with pytest.raises(InvalidInputError, match=r"'ana' and 'ben'"):
        await memory.store_messages(two, "whose")
    # A name counts only where nobody is named.
    await memory.store_messages(two, "cys", user_id="cy")
    assert await owner_of(memory, "cys") == {"cy"}
    long = message("x", metadata={"user_id": "u" * 2_000})
    with pytest.raises(InvalidInputError, match="user_id"):
        await memory.store_message(long, "long")


async def test_another_default_user() -> None:
    async with open_memory("memory://", embedder="hash", default_user="me") as memory:
        await memory.store_message(message("one"), "talk")
        assert await owner_of(memory, "talk") == {"me"}


async def test_a_first_write_that_fails_owns_nothing(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await memory.store_message(message("one"), "anas", user_id="ana")
    store = await memory._lazy.get()

    async def fail(*_: Any, **__: Any) -> None:
        raise EngineError("test", "append", "as asked", fix="None.")

    with monkeypatch.context() as failing:
        failing.setattr(store.rows, "upsert", fail)
        calls = [
            memory.store_message(message("x"), "new", user_id="ana"),
            memory.store_message(message("x"), "anas", user_id="ana"),
            memory.store_memory(note(conversation_id="noted")),
        ]
        for call in calls:
            with pytest.raises(EngineError):
                await call
    for conversation in ("new", "noted"):
        await memory.store_message(message("mine"), conversation, user_id="ben")
        assert await owner_of(memory, conversation) == {"ben"}
    with pytest.raises(ForeignUserError):
        await memory.store_message(message("x"), "anas", user_id="ben")


async def test_memories_and_conversations(memory: VectorMemory) -> None:
    await memory.store_message(message("one"), "anas", user_id="ana")
    await memory.store_memory(note(conversation_id="anas"))
    with pytest.raises(ForeignUserError):
        await memory.store_memory(note(user="ben", conversation_id="anas"))
    # Two users' memories in one conversation, in one call.
    with pytest.raises(ForeignUserError):
        await memory.store_memories(
            [note(conversation_id="new"), note(user="ben", conversation_id="new")]
        )
    assert len(await rows_of(memory)) == 2
    await memory.store_memories(
        [note(conversation_id="a"), note(user="ben", conversation_id="b"), note("free")]
    )
    for conversation, user in (("a", "ben"), ("b", "ana")):
        with pytest.raises(ForeignUserError):
            await memory.store_message(message("x"), conversation, user_id=user)


async def test_views(memory: VectorMemory) -> None:
    ana, ben = memory.for_user("ana"), memory.for_user("ben")
    await ana.store_message(message("of ana"), "anas")
    await ben.store_message(message("of ben"), "bens", user_id="ben")
    with pytest.raises(ForeignUserError):
        await ana.store_message(message("x"), "anas", user_id="ben")
    with pytest.raises(ForeignUserError):
        await ana.store_message(message("x"), "bens")
    with pytest.raises(ForeignUserError):
        await ana.store_memory(note(user="ben"))
    with pytest.raises(ForeignUserError):
        ana.for_user("ben")
    assert ana.for_user("ana")._caller.user_id == "ana"
    assert [hit.content for hit in await ana.recall("of")] == ["of ana"]
    assert await ana.recall("of", conversation_id="bens") == []
    assert await ana.retrieve_messages("bens") == []
    assert [one.content for one in await ana.search_messages("of")] == ["of ana"]
    for call in (ana.recall("of", user_id=ALL_USERS), ana.recall("of", user_id="ben")):
        with pytest.raises(ForeignUserError):
            await call
    await ana.clear_history("bens")
    assert await contents(memory, "bens") == ["of ben"]
    assert set(await ana.health()) == {"status"}
    assert len(await memory.health()) > 5


async def test_whose_rows_a_search_is_about(memory: VectorMemory) -> None:
    for user in ("ana", "ben"):
        await memory.store_message(message(f"of {user}"), f"{user}s", user_id=user)
        await memory.store_message(message(f"more of {user}"), f"{user}s too", user_id=user)
    with pytest.raises(InvalidInputError, match="user_id"):
        await memory.recall("of")
    for given, wanted in (
        ({"user_id": "ana"}, ["more of ana", "of ana"]),
        ({"user_id": "ana", "conversation_id": "anas"}, ["of ana"]),
        ({"user_id": ALL_USERS, "conversation_id": "bens"}, ["of ben"]),
        ({"user_id": "cy"}, []),
        ({"user_id": "cy", "conversation_id": "new"}, []),
    ):
        hits = await memory.recall("of", **given)  # type: ignore[arg-type]
        assert sorted(hit.content for hit in hits) == wanted, given
    assert len(await memory.recall("of", user_id=ALL_USERS)) == 4
    assert len(await memory.search_messages("of")) == 4
    with pytest.raises(ForeignUserError):
        await memory.recall("of", user_id="ana", conversation_id="bens")
    for bad in ({"user_id": " "}, {"user_id": "ana", "conversation_id": ""}):
        with pytest.raises(InvalidInputError):
            await memory.recall("of", **bad)  # type: ignore[arg-type]


async def test_a_sessions_id_names_its_conversation(memory: VectorMemory) -> None:
    session = await memory.create_session("ana", {"device": "phone"})
    key = session.session_id
    await memory.store_message(message("one"), key, user_id="ana")
    assert await contents(memory, session.conversation_id) == ["one"]
    assert await contents(memory, key) == ["one"]
    hits = await memory.recall("one", user_id="ana", conversation_id=key)
    assert len(hits) == 1
    context = await memory.get_context("ana", key)
    assert context.conversation_id == session.conversation_id
    assert context.session.metadata == {"device": "phone"}
    for call in (
        memory.get_context("ben", key),
        memory.store_message(message("x"), key, user_id="ben"),
    ):
        with pytest.raises(ForeignUserError):
            await call
    await memory.clear_history(key)
    assert await contents(memory, session.conversation_id) == []


async def test_metadata_that_cannot_be_kept(memory: VectorMemory) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"deeper": deep}
    for bad in ({"x": object()}, {"x": [1j]}, deep):
        with pytest.raises(InvalidInputError, match="metadata"):
            await memory.create_session("ana", bad)


async def test_sessions(memory: VectorMemory) -> None:
    session = await memory.create_session("ana")
    assert await memory.get_session(session.session_id) == session
    assert await memory.for_user("ben").get_session(session.session_id) is None
    for unknown in ("none", "", " ", "\ud800"):
        assert await memory.get_session(unknown) is None
    with pytest.raises(NotFoundError):
        await memory.for_user("ben").end_session(session.session_id)
    await memory.end_session(session.session_id)
    ended = await memory.get_session(session.session_id)
    assert ended is not None
    assert not ended.is_active
    await memory.end_session(session.session_id)
    assert await memory.get_session(session.session_id) == ended
    with pytest.raises(NotFoundError, match="none"):
        await memory.end_session("none")
    # Its conversation is its user's from the beginning.
    begun = await memory.create_session("ana")
    with pytest.raises(ForeignUserError):
        await memory.store_message(message("x"), begun.conversation_id, user_id="ben")
    with pytest.raises(InvalidInputError, match="metadata"):
        await memory.create_session("ana", {1: "a key that is no text"})  # type: ignore[dict-item]


# Contexts


async def test_where_a_user_was_last(memory: VectorMemory) -> None:
    first = await memory.get_context("ana")
    assert (await memory.get_context("ana")).conversation_id == first.conversation_id
    await memory.get_context("ana", "there")
    assert (await memory.get_context("ana")).conversation_id == "there"
    session = await memory.create_session("ana")
    assert (await memory.get_context("ana")).conversation_id == session.conversation_id
    assert (await memory.get_context("ben")).conversation_id not in {
        first.conversation_id, "there", session.conversation_id,
    }  # fmt: skip
    # What was asked for is nobody's yet, and what was made for a user is theirs.
    assert (await memory.get_context("ben", "there")).messages == []
    for made in (first.conversation_id, session.conversation_id):
        with pytest.raises(ForeignUserError):
            await memory.get_context("ben", made)
        with pytest.raises(ForeignUserError):
            await memory.store_message(message("x"), made, user_id="ben")


async def test_a_context_has_its_session_and_its_user(memory: VectorMemory) -> None:
    one = await memory.get_context("ana", "talk")
    two = await memory.get_context("ana", "talk")
    assert one.session.session_id == two.session.session_id
    assert isinstance(await memory.get_session(one.session.session_id), SessionContext)
    assert (one.user.user_id, one.max_messages) == ("ana", 20)


async def test_a_conversation_is_remembered_by_its_owner_alone(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are: memory of owners is bounded, and what was forgotten is read."""
    monkeypatch.setattr(owners_module, "_REMEMBERED_OWNERS", 3)
    for number in range(8):
        await memory.store_message(message("one"), f"talk {number}", user_id=f"user {number % 2}")
    owners = (await memory._owners())._owners
    assert list(owners) == ["talk 5", "talk 6", "talk 7"]
    for number in range(8):
        with pytest.raises(ForeignUserError):
            await memory.store_message(
                message("x"), f"talk {number}", user_id=f"user {1 - number % 2}"
            )


async def test_statistics(memory: VectorMemory) -> None:
    for hour, (talk, user) in enumerate([("a", "ana"), ("a", "ana"), ("b", "ana"), ("c", "ben")]):
        at = (START + timedelta(hours=hour)).replace(tzinfo=None)
        await memory.store_message(message(f"text {hour}", timestamp=at), talk, user_id=user)
    await memory.store_memory(note())
    start = START.replace(tzinfo=None)
    assert await memory.get_statistics("ana") == {
        "total_messages": 3,
        "conversations": 2,
        "memories": 1,
        "first_message_at": start,
        "last_message_at": start + timedelta(hours=2),
    }
    assert await memory.get_statistics("cy") == {
        "total_messages": 0,
        "conversations": 0,
        "memories": 0,
        "first_message_at": None,
        "last_message_at": None,
    }


async def test_what_was_read_from_the_rows_is_not_read_again(memory: VectorMemory) -> None:
    store = await memory._lazy.get()
    await memory.store_messages([message("one"), message("rule", "system")], "talk", user_id="ana")
    await memory.clear_history("talk")
    for _ in range(2):
        context = await memory.get_context("ana", "talk")
        assert [one.content for one in context.messages] == ["rule"]
        known = await store.sessions.conversation("talk")
        assert known is not None
        assert known.stale == 0


async def test_a_profile_that_cannot_be_kept(memory: VectorMemory) -> None:
    for field in ("preferences", "profile", "metadata"):
        for bad in ({1: "a key that is no text"}, {"x": object()}):
            user = UserContext(user_id="ana")
            setattr(user, field, bad)
            with pytest.raises(InvalidInputError, match=field):
                await memory.save_user(user)


# Recall into contexts


async def prompt(memory: VectorMemory, question: str, talk: str = "now") -> list[str]:
    context = await memory.get_context("ana", talk)
    asked = Message(role=MessageRole.USER, content=question)
    context.add_message(asked)
    await memory.store_message(asked, talk, user_id="ana")
    return [one.content for one in context.messages]


async def test_only_a_users_message_asks_memory(memory: VectorMemory) -> None:
    await memory.store_message(message("The boiler cost 386 euros."), "old", user_id="ana")
    context = await memory.get_context("ana", "now")
    for role in (MessageRole.ASSISTANT, MessageRole.SYSTEM):
        said = Message(role=role, content="What did the boiler cost?")
        context.add_message(said)
        await memory.store_message(said, "now", user_id="ana")
        assert not any("386" in one.content for one in context.messages)
    assert "386" in " ".join(await prompt(memory, "What did the boiler cost?", "then"))


async def test_of_several_messages_the_last_is_the_question(memory: VectorMemory) -> None:
    await memory.store_message(message("The boiler cost 386 euros."), "old", user_id="ana")
    await memory.store_message(message("The zebra grazes at dusk."), "older", user_id="ana")
    context = await memory.get_context("ana", "now")
    said = [message("When does the zebra graze?"), message("What did the boiler cost?")]
    for one in said:
        context.add_message(one)
    await memory.store_messages(said, "now", user_id="ana")
    (told,) = [one.content for one in context.messages if one.content.startswith("Recalled")]
    assert "386" in told
    assert "dusk" not in told


@pytest.mark.parametrize("k", [1, 2])
async def test_what_is_shown_already_takes_no_place(k: int) -> None:
    """Of the hits that are not in the context, the best ``recall_k`` are told."""
    async with open_memory("memory://", embedder="hash", recall_k=k, max_messages=20) as memory:
        for number in range(3):
            await memory.store_message(message(f"The boiler cost {number}."), "old", user_id="ana")
        for number in range(9):
            text = f"The boiler cost? What did the boiler cost? {number}"
            await memory.store_message(message(text), "now", user_id="ana")
        told = await prompt(memory, "What did the boiler cost?")
        notes = [text for text in told if text.startswith("Recalled")]
        assert len(notes) == 1
        assert notes[0].count("\n- [") == k
        assert "? " not in notes[0].split("\n", 1)[1]


async def test_a_failing_recall_is_told_until_one_succeeds(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bruno_memory_vec.recall import Retriever

    await memory.store_message(message("The boiler cost 386 euros."), "old", user_id="ana")

    async def fail(*_: Any, **__: Any) -> Any:
        raise EngineError("test", "search", "as asked", fix="None.")

    with monkeypatch.context() as failing:
        failing.setattr(Retriever, "recall", fail)
        assert await prompt(memory, "What did the boiler cost?") == ["What did the boiler cost?"]
    report = await memory.health()
    assert (report["status"], list(report["problems"])) == ("degraded", ["recall into a context"])
    assert any("386" in text for text in await prompt(memory, "What did the boiler cost?", "b"))
    assert (await memory.health())["problems"] == {}


async def test_recall_for_a_prompt_counts_no_use(memory: VectorMemory) -> None:
    await memory.store_message(message("The boiler cost 386 euros."), "old", user_id="ana")
    await prompt(memory, "What did the boiler cost?")
    store = await memory._lazy.get()
    assert store.writer is not None
    assert dict(store.writer.pending_uses) == {}


async def test_many_models_are_made_into_rows_elsewhere(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a thread or not, they are the same, in their order."""
    for talk, many, long in (("a", 64, 20_000), ("b", 2, 20_000), ("c", 64, 3)):
        monkeypatch.setattr(models, "_ROWS_AT_ONCE", many)
        monkeypatch.setattr("bruno_memory_vec.rows.weight.HEAVY", long)
        await memory.store_messages([message(f"text {n}") for n in range(5)], talk, user_id="ana")
        assert await contents(memory, talk) == [f"text {n}" for n in range(5)]
    for wrong in ("text", b"text", 7, iter([message("x")])):
        with pytest.raises(InvalidInputError, match="expected a list"):
            await memory.store_messages(wrong, "d", user_id="ana")  # type: ignore[arg-type]
    assert await contents(memory, "d") == []


# Filters

UNUSABLE: tuple[tuple[str, Any], ...] = (
    *(("query", bad) for bad in (7, None, b"x", "", " \n")),
    *((name, bad) for name in ("user_id", "conversation_id") for bad in (7, b"x", "", "\ud800")),
    *((name, "x" * 1_025) for name in ("user_id", "conversation_id", "tags", "categories")),
    *((name, bad) for name in ("tags", "categories") for bad in (7, [None], ["a", "\ud800"])),
    *(
        (name, bad)
        for name in ("since", "until", "now", "as_of")
        for bad in ("today", 7, START.date())
    ),
    *(("metadata", bad) for bad in (7, "a", [("a", 1)], {"a": None}, {"a": [1]}, {1: 1})),
    ("since", datetime.min.replace(tzinfo=timezone(timedelta(hours=9)))),
    ("until", datetime.max.replace(tzinfo=timezone(timedelta(hours=-9)))),
    *((name, "king") for name in ("kinds", "roles", "memory_types")),
    *(("k", bad) for bad in (0, 1_001, 1.5, True, None)),
)


@pytest.mark.parametrize(("argument", "bad"), UNUSABLE, ids=lambda given: repr(given)[:20])
async def test_an_argument_that_is_not_usable_is_named(
    memory: VectorMemory, argument: str, bad: Any
) -> None:
    given = {"query": "x", "user_id": "ana", argument: bad}
    with pytest.raises(InvalidInputError, match=argument) as refused:
        await memory.recall(**given)
    assert refused.value.fix


async def test_the_largest_that_is_usable(memory: VectorMemory) -> None:
    longest = "x" * 1_024
    given: dict[str, Any] = {"user_id": longest, "conversation_id": longest, "tags": [longest, " "]}
    assert await memory.recall("x", k=1_000, since=datetime.min, until=datetime.max, **given) == []
    aware = datetime.max.replace(tzinfo=timezone.utc)
    assert await memory.recall("x", user_id="é", categories=("",), until=aware, k=1) == []
    for end in (datetime.min, datetime.max, aware):
        assert await memory.recall("x", user_id="é", as_of=end) == []


def _hour(hour: int) -> datetime:
    return (START + timedelta(hours=hour)).replace(tzinfo=None)


FILTERS: dict[str, tuple[dict[str, Any], str]] = {
    "one kind": ({"kinds": "memory"}, "fact old"),
    "kinds": ({"kinds": ["memory", "message"]}, "asked fact old said told"),
    "a role": ({"roles": MessageRole.ASSISTANT}, "told"),
    "roles": ({"roles": ["assistant", MessageRole.USER]}, "asked said told"),
    "a type": ({"memory_types": MemoryType.FACT}, "fact"),
    "types": ({"memory_types": {"fact", "semantic"}}, "fact old"),
    "a tag": ({"tags": "red"}, "fact"),
    "tags": ({"tags": ("red", "blue")}, "fact old"),
    "a category": ({"categories": ["taste"]}, "old"),
    "since": ({"since": START + timedelta(hours=2)}, "fact old told"),
    "since, naive": ({"since": datetime(2024, 1, 1, 2)}, "fact old told"),
    "until": ({"until": START + timedelta(hours=2)}, "asked said"),
    "between": (
        {"since": START + timedelta(hours=1), "until": START + timedelta(hours=3)},
        "asked told",
    ),
    "importance": ({"min_importance": 0.9}, "fact"),
    "confidence": ({"kinds": "memory", "min_confidence": 0.5}, "fact"),
    "expired too": ({"include_expired": True}, "asked fact gone old said told"),
    "before it expired": ({"now": START + timedelta(hours=4)}, "asked fact gone old said told"),
    "as of then": ({"as_of": START + timedelta(hours=2)}, "asked said told"),
    "as of then, naive": ({"as_of": datetime(2024, 1, 1, 1, 59)}, "asked said"),
    "as of before it expired": (
        {"as_of": START + timedelta(hours=5, minutes=59)},
        "asked fact gone old said told",
    ),
    "as of when it had expired": ({"as_of": _hour(6)}, "asked fact old said told"),
    "until before then": (
        {"as_of": START + timedelta(hours=2), "until": START + timedelta(hours=1)},
        "said",
    ),
    "similarity": ({"min_similarity": 0.99}, "said"),
    "nothing": ({"tags": [], "roles": (), "kinds": None}, "asked fact old said told"),
    "metadata": ({"metadata": {"project": "x"}}, "fact said"),
    "all of the metadata": ({"metadata": {"project": "x", "n": 1.0}}, "fact"),
    "several": ({"tags": ["red", "blue"], "categories": "taste"}, "old"),
}


@pytest.mark.parametrize(("given", "wanted"), FILTERS.values(), ids=list(FILTERS))
async def test_each_filter(memory: VectorMemory, given: dict[str, Any], wanted: str) -> None:
    for hour, (text, role) in enumerate(
        [("said", "user"), ("asked", "user"), ("told", "assistant")]
    ):
        at = (START + timedelta(hours=hour)).replace(tzinfo=None)
        about = {"project": "x" if text == "said" else "y"}
        told = message(text, role, timestamp=at, metadata=about)
        await memory.store_message(told, "talk", user_id="ana")
    custom = {"project": "x", "n": 1}
    made: list[tuple[str, MemoryType, dict[str, Any], dict[str, Any]]] = [
        (
            "fact",
            MemoryType.FACT,
            {"tags": ["red"], "importance": 0.9, "custom_fields": custom},
            {},
        ),
        (
            "old",
            MemoryType.SEMANTIC,
            {"tags": ["blue"], "category": "taste", "confidence": 0.2, "importance": 0.5},
            {},
        ),
        ("gone", MemoryType.EPISODIC, {"confidence": 0.2}, {"expires_at": _hour(6)}),
    ]
    for hour, (text, kind, about, more) in enumerate(made, start=3):
        await memory.store_memory(
            MemoryEntry(
                content=text,
                memory_type=kind,
                user_id="ana",
                metadata=MemoryMetadata(**about),
                created_at=_hour(hour),
                **more,
            )
        )
    hits = await memory.recall("said", user_id="ana", **given)
    assert sorted(hit.content for hit in hits) == wanted.split()


async def test_memories_without_a_text_are_filtered_too(memory: VectorMemory) -> None:
    for number in range(3):
        about = MemoryMetadata(tags=[f"tag {number}"], category=f"c{number}", importance=number / 2)
        kind = (MemoryType.FACT, MemoryType.SEMANTIC, MemoryType.EPISODIC)[number]
        await memory.store_memory(
            MemoryEntry(
                content=f"memory {number}",
                memory_type=kind,
                user_id="ana",
                metadata=about,
                created_at=_hour(number),
                expires_at=_hour(9) if number == 1 else None,
            )
        )
    for given, wanted in (
        ({}, [2, 0]),
        ({"include_expired": True}, [2, 1, 0]),
        ({"tags": ["tag 0"]}, [0]),
        ({"categories": ["c2"]}, [2]),
        ({"memory_types": [MemoryType.FACT]}, [0]),
        ({"min_importance": 0.8}, [2]),
        ({"limit": 1}, [2]),
    ):
        for text in (None, "", "memory"):
            query = MemoryQuery(user_id="ana", query_text=text, similarity_threshold=0.0, **given)
            found = await memory.retrieve_memories(query)
            texts = [one.content for one in found]
            order = sorted(texts, reverse=True) if text else texts
            if text and "limit" in given:
                assert len(texts) == 1
                continue
            assert order == [f"memory {number}" for number in wanted], (given, text)
