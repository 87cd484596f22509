"""A conversation is the user's whose row is committed first in it, whatever fails or waits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message
from numpy.typing import NDArray

from bruno_memory_vec import Fingerprint, VectorMemory, open_memory
from bruno_memory_vec.errors import (
    EmbeddingError,
    EngineError,
    ForeignUserError,
    InvalidInputError,
)

TALK = "talk"


class Gate:
    """An embedder that can be held up, and fails at texts that say so."""

    fingerprint = Fingerprint(name="gate", version="1", dimension=4)

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.reached = asyncio.Event()

    async def embed(self, texts: Sequence[str], *, kind: str = "document") -> NDArray[np.float32]:
        self.reached.set()
        await self.open.wait()
        if any("bad" in text for text in texts):
            raise RuntimeError("a bad text")
        return np.tile(np.array([1, 0, 0, 0], np.float32), (len(texts), 1))


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture(params=["memory://", "folder"])
async def memory(
    gate: Gate, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[VectorMemory]:
    url = request.param if request.param == "memory://" else str(tmp_path / "store")
    async with open_memory(url, embedder=gate) as opened:
        yield opened


def said(text: str, **fields: Any) -> Message:
    return Message(role="user", content=text, **fields)


def fact(text: str, user: str, conversation: str | None = TALK) -> MemoryEntry:
    kind = MemoryType.FACT
    return MemoryEntry(content=text, memory_type=kind, user_id=user, conversation_id=conversation)


async def held(gate: Gate, *calls: Awaitable[object]) -> list[asyncio.Task[object]]:
    """Begin a first call, which is held up in its embedding, and then the others behind it."""
    gate.open.clear()
    gate.reached.clear()
    tasks = [asyncio.ensure_future(calls[0])]
    await gate.reached.wait()
    for call in calls[1:]:
        tasks.append(asyncio.ensure_future(call))
        for _ in range(20):  # into the queue
            await asyncio.sleep(0)
    return tasks


async def outcomes(tasks: Sequence[asyncio.Task[object]]) -> list[type[BaseException] | None]:
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(one) if isinstance(one, BaseException) else None for one in ended]


async def belongs(memory: VectorMemory, owner: str, texts: Sequence[str], talk: str = TALK) -> None:
    """The conversation is the owner's, has these messages, and nobody else sees any of them."""
    assert await memory.conversation_owner(talk) == owner
    turns = await memory.read_turns(talk)
    assert [(turn.user_id, turn.message.content) for turn in turns] == [(owner, t) for t in texts]
    context = await memory.get_context(owner, talk)
    assert [one.content for one in context.messages] == list(texts)
    for other in {"ana", "ben", "default"} - {owner}:
        with pytest.raises(ForeignUserError):
            await memory.get_context(other, talk)
        assert (await memory.for_user(other).get_context(other, talk)).messages == []
        with pytest.raises(ForeignUserError):
            await memory.store_message(said("mine"), talk, user_id=other)
    report = await memory.maintain()
    assert report.ok, report.problems


async def test_a_second_write_waits_while_the_first_fails_and_another_user_comes(
    memory: VectorMemory, gate: Gate
) -> None:
    """The order of the calls counts among those that are stored."""
    tasks = await held(
        gate,
        memory.store_message(said("bad"), TALK, user_id="ana"),
        memory.store_message(said("of ana"), TALK, user_id="ana"),
        memory.store_message(said("of ben"), TALK, user_id="ben"),
    )
    gate.open.set()
    assert await outcomes(tasks) == [EmbeddingError, None, ForeignUserError]
    await belongs(memory, "ana", ["of ana"])


async def test_another_user_comes_between_the_failing_write_and_the_second(
    memory: VectorMemory, gate: Gate
) -> None:
    tasks = await held(
        gate,
        memory.store_message(said("bad"), TALK, user_id="ana"),
        memory.store_message(said("of ben"), TALK, user_id="ben"),
        memory.store_message(said("of ana"), TALK, user_id="ana"),
    )
    gate.open.set()
    assert await outcomes(tasks) == [EmbeddingError, None, ForeignUserError]
    await belongs(memory, "ben", ["of ben"])


async def test_in_one_batch_a_failing_first_write_refuses_nobody(memory: VectorMemory) -> None:
    calls = [
        memory.store_message(said("bad"), TALK, user_id="ana"),
        memory.store_message(said("of ben"), TALK, user_id="ben"),
        memory.store_message(said("of ana"), TALK, user_id="ana"),
        memory.store_message(said("of cy"), "another", user_id="cy"),
    ]
    ended = await outcomes([asyncio.ensure_future(call) for call in calls])
    assert ended == [EmbeddingError, None, ForeignUserError, None]
    await belongs(memory, "ben", ["of ben"])
    assert await memory.conversation_owner("another") == "cy"


async def test_who_is_refused_does_not_fail_the_others_of_the_batch(
    memory: VectorMemory, gate: Gate
) -> None:
    tasks = await held(
        gate,
        memory.store_message(said("first"), "before", user_id="cy"),
        memory.store_messages([said("one"), said("two")], TALK, user_id="ana"),
        memory.store_messages([said("x"), said("y")], TALK, user_id="ben"),
        memory.store_memory(fact("of ben", "ben")),
        memory.store_memory(fact("of ana", "ana")),
        memory.store_message(said("three"), TALK),
        memory.store_message(said("else"), "elsewhere", user_id="ben"),
    )
    gate.open.set()
    refused = ForeignUserError
    assert await outcomes(tasks) == [None, None, refused, refused, None, None, None]
    await belongs(memory, "ana", ["one", "two", "three"])
    assert await memory.conversation_owner("elsewhere") == "ben"
    assert [one.content for one in await memory.list_memories("ana")] == ["of ana"]
    assert await memory.list_memories("ben") == []


@pytest.mark.parametrize("queued", [False, True])
async def test_a_first_write_that_is_cancelled(
    memory: VectorMemory, gate: Gate, queued: bool
) -> None:
    """One that is under way is stored and owns; one that waits is dropped and owns nothing."""
    first = memory.store_message(said("first"), "before" if queued else TALK, user_id="ana")
    tasks = await held(gate, first)
    if queued:
        dropped = memory.store_message(said("dropped"), TALK, user_id="ana")
        tasks.append(asyncio.ensure_future(dropped))
        await asyncio.sleep(0.01)
    last = asyncio.ensure_future(memory.store_message(said("of ben"), TALK, user_id="ben"))
    await asyncio.sleep(0.01)
    tasks[-1].cancel()
    await asyncio.sleep(0.01)
    gate.open.set()
    await outcomes(tasks)
    if queued:
        await last
        await belongs(memory, "ben", ["of ben"])
    else:
        with pytest.raises(ForeignUserError):
            await last
        await belongs(memory, "ana", ["first"])


@pytest.mark.parametrize(
    "write",
    [
        lambda memory, text: memory.store_message(said(text), TALK, user_id="ana"),
        lambda memory, text: memory.store_messages([said("x"), said(text)], TALK, user_id="ana"),
        lambda memory, text: memory.for_user("ana").store_message(said(text), TALK),
        lambda memory, text: memory.store_memory(fact(text, "ana")),
        lambda memory, text: memory.store_message(said(text, metadata={"user_id": "ana"}), TALK),
        lambda memory, text: memory.store_message(said(text), TALK),
    ],
)
async def test_whatever_fails_first_owns_nothing(
    memory: VectorMemory,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[VectorMemory, str], Awaitable[None]],
) -> None:
    with pytest.raises(EmbeddingError):
        await write(memory, "bad")
    rows = (await memory._lazy.get()).rows

    async def fail(*_: Any, **__: Any) -> None:
        raise EngineError("rows", "commit", "as asked", fix="None.")

    with monkeypatch.context() as failing:
        failing.setattr(rows, "upsert", fail)
        with pytest.raises(EngineError):
            await write(memory, "good")
    assert await memory.conversation_owner(TALK) is None
    await memory.store_message(said("of ben"), TALK, user_id="ben")
    await belongs(memory, "ben", ["of ben"])
    if "default" not in str(await memory.list_users()):
        await memory.store_message(said("and more"), TALK)  # its owner's, where nobody is named
        await belongs(memory, "ben", ["of ben", "and more"])


async def test_many_fail_one_after_the_other(memory: VectorMemory) -> None:
    """As many users as may be: each loser is tried again, and the first good one has it."""
    calls = [memory.store_message(said(f"bad {n}"), TALK, user_id=f"user {n}") for n in range(300)]
    calls += [memory.store_message(said("good"), TALK, user_id=user) for user in ("ben", "ana")]
    ended = await outcomes([asyncio.ensure_future(call) for call in calls])
    assert set(ended[:-2]) == {EmbeddingError}
    assert ended[-2:] == [None, ForeignUserError]
    await belongs(memory, "ben", ["good"])


async def test_a_commit_with_an_unknown_end_owns_what_it_stored(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (await memory._lazy.get()).rows
    inner = rows.upsert

    async def stored_and_failed(table: pa.Table, *, all_new: bool) -> None:
        await inner(table, all_new=all_new)
        raise EngineError("rows", "commit", "the answer was lost", fix="Store it again.")

    with monkeypatch.context() as patched:
        patched.setattr(rows, "upsert", stored_and_failed)
        with pytest.raises(EngineError):
            await memory.store_message(said("of ana"), TALK, user_id="ana")
    with pytest.raises(ForeignUserError):
        await memory.store_message(said("of ben"), TALK, user_id="ben")
    await belongs(memory, "ana", ["of ana"])


@pytest.mark.parametrize("first", ["message", "memory"])
async def test_a_commit_that_the_sessions_missed_owns_what_it_stored(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Killed, or failing, between the rows and the sessions: the rows decide."""
    sessions = (await memory._lazy.get()).sessions

    async def fail(*_: Any, **__: Any) -> None:
        raise EngineError("sqlite", "follow the rows", "as asked", fix="None.")

    with monkeypatch.context() as failing:
        failing.setattr(sessions, "apply", fail)
        if first == "message":
            await memory.store_message(said("of ana"), TALK, user_id="ana")
        else:
            await memory.store_memory(fact("of ana", "ana"))
    with pytest.raises(ForeignUserError):
        await memory.store_message(said("of ben"), TALK, user_id="ben")
    await memory.store_message(said("more"), TALK, user_id="ana")
    await belongs(memory, "ana", ["of ana", "more"] if first == "message" else ["more"])


@pytest.mark.parametrize("first", ["message", "memory"])
async def test_a_process_that_ended_between_the_rows_and_the_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise EngineError("sqlite", "follow the rows", "as asked", fix="None.")

    folder = str(tmp_path / "store")
    async with open_memory(folder, embedder=Gate()) as memory:
        monkeypatch.setattr((await memory._lazy.get()).sessions, "apply", fail)
        if first == "message":
            await memory.store_message(said("of ana"), TALK, user_id="ana")
        else:
            await memory.store_memory(fact("of ana", "ana"))
    async with open_memory(folder, embedder=Gate()) as memory:
        with pytest.raises(ForeignUserError):
            await memory.store_message(said("of ben"), TALK, user_id="ben")
        await belongs(memory, "ana", ["of ana"] if first == "message" else [])


async def test_one_process_after_the_other(tmp_path: Path) -> None:
    folder = str(tmp_path / "store")
    async with open_memory(folder, embedder=Gate()) as memory:
        with pytest.raises(EmbeddingError):
            await memory.store_message(said("bad"), TALK, user_id="ana")
        await memory.get_context("ana", "asked for")
        await memory.store_memory(fact("of ana", "ana", "noted"))
    async with open_memory(folder, embedder=Gate()) as memory:
        for talk in (TALK, "asked for"):
            assert await memory.conversation_owner(talk) is None
            await memory.store_message(said("of ben"), talk, user_id="ben")
        with pytest.raises(ForeignUserError):
            await memory.store_message(said("of ben"), "noted", user_id="ben")
    async with open_memory(folder, embedder=Gate(), read_only=True) as reader:
        assert await reader.conversation_owner(TALK) == "ben"
        assert await reader.conversation_owner("noted") == "ana"
        with pytest.raises(ForeignUserError):
            await reader.get_context("ana", TALK)
        context = await reader.for_user("ana").get_context("ana", TALK)
        assert context.messages == []
    # What is derived is made anew from the rows, and owners with it.
    for name in await asyncio.to_thread(os.listdir, folder):
        if name.startswith("sessions.sqlite"):
            await asyncio.to_thread(os.unlink, os.path.join(folder, name))
    async with open_memory(folder, embedder=Gate()) as memory:
        await belongs(memory, "ben", ["of ben"])
        assert await memory.conversation_owner("noted") == "ana"


# Asking binds nothing


async def test_who_asks_first_does_not_own(memory: VectorMemory) -> None:
    await memory.get_context("ana", TALK)
    await memory.for_user("ana").get_context("ana", TALK)
    assert await memory.conversation_owner(TALK) is None
    await memory.store_message(said("of ben"), TALK, user_id="ben")
    await belongs(memory, "ben", ["of ben"])
    # Ana, whose current conversation it had been, is somewhere else.
    context = await memory.get_context("ana")
    assert context.conversation_id != TALK
    await memory.store_message(said("of ana"), context.conversation_id)
    await belongs(memory, "ana", ["of ana"], context.conversation_id)
    assert (await memory.get_context("ana")).conversation_id == context.conversation_id


async def test_a_message_is_its_contexts_users(memory: VectorMemory) -> None:
    """As a BaseAssistant stores it: no user is named, and two ask before one of them speaks."""
    contexts = {user: await memory.get_context(user, TALK) for user in ("ana", "ben", "cy")}
    questions = {user: said(f"of {user}") for user in contexts}
    for user in ("ben", "ana"):
        contexts[user].add_message(questions[user])
    await memory.store_message(questions["ben"], TALK)
    with pytest.raises(ForeignUserError):
        await memory.store_message(questions["ana"], TALK)
    answer = Message(role="assistant", content="to cy")
    contexts["cy"].add_message(answer)
    with pytest.raises(ForeignUserError):
        await memory.store_message(answer, TALK)
    await belongs(memory, "ben", ["of ben"])


async def test_what_is_recalled_goes_to_its_users_contexts(memory: VectorMemory) -> None:
    """Also where two users' contexts end with one message."""
    for user in ("ana", "ben"):
        await memory.store_message(said(f"secret of {user}"), f"old {user}", user_id=user)
    contexts = {user: await memory.get_context(user, TALK) for user in ("ana", "ben")}
    question = said("secret?")
    for context in contexts.values():
        context.add_message(question)
    with pytest.raises(InvalidInputError, match="user_id"):
        await memory.store_message(question, TALK)
    await memory.store_message(question, TALK, user_id="ben")
    shown = {user: str(context.model_dump()) for user, context in contexts.items()}
    assert "secret of ben" in shown["ben"]
    assert "secret of ben" not in shown["ana"]
    assert "secret of ana" not in shown["ben"]


async def test_who_is_meant_where_nobody_is_named(memory: VectorMemory) -> None:
    await memory.get_context("ana", TALK)
    await memory.store_message(said("of ana"), TALK)
    await belongs(memory, "ana", ["of ana"])
    for user in ("ana", "ben"):
        await memory.get_context(user, "both")
    with pytest.raises(InvalidInputError, match="user_id"):
        await memory.store_message(said("whose?"), "both")
    await memory.store_message(said("mine", metadata={"user_id": "ben"}), "both")
    await belongs(memory, "ben", ["mine"], "both")
    # Whoever comes late disputes nothing.
    await memory.for_user("ben").get_context("ben", TALK)
    await memory.store_message(said("more"), TALK)
    await belongs(memory, "ana", ["of ana", "more"])
    # A name in the message counts more than that somebody asked.
    await memory.get_context("ana", "named")
    await memory.store_message(said("mine", metadata={"user_id": "ben"}), "named")
    await belongs(memory, "ben", ["mine"], "named")
    # It was asked for by another user before, who may be meant: both have to be named now.
    with pytest.raises(InvalidInputError, match="user_id"):
        await memory.store_message(said("whose?"), "named")
    await memory.store_message(said("more"), "named", user_id="ben")
    with pytest.raises(ForeignUserError):
        await memory.store_message(said("more"), "named", user_id="ana")


@pytest.mark.parametrize("count", [1, 600])
async def test_who_was_meant_is_not_given_to_who_came_in_between(
    memory: VectorMemory, gate: Gate, count: int
) -> None:
    """Large calls, too, which others overtake. Only what nothing says of is the owner's."""
    await memory.get_context("ana", TALK)
    many = [said(f"for ana {n}") for n in range(count)]
    named = [said(f"for ana, too {n}", metadata={"user_id": "ana"}) for n in range(count)]
    tasks = await held(
        gate,
        memory.store_message(said("first"), "before", user_id="cy"),
        memory.store_message(said("of ben"), TALK, user_id="ben"),
        memory.store_messages(many, TALK),
        memory.store_messages(named, TALK),
    )
    gate.open.set()
    assert (await outcomes(tasks))[:2] == [None, None]
    assert set((await outcomes(tasks))[2:]) <= {ForeignUserError, InvalidInputError}
    tasks = await held(
        gate,
        memory.store_message(said("second"), "before", user_id="cy"),
        memory.store_message(said("mine"), "other", user_id="ben"),
        memory.store_messages([said(f"whose {n}") for n in range(count)], "other"),
    )
    gate.open.set()
    assert await outcomes(tasks) == [None, None, None]
    assert {turn.user_id for turn in await memory.read_turns("other")} == {"ben"}
    await belongs(memory, "ben", ["of ben"])


# A session's id


async def test_nobody_begins_a_conversation_under_anothers_session(memory: VectorMemory) -> None:
    made = await memory.create_session("ana")
    asked = (await memory.get_context("ana", TALK)).session
    for session in (made, asked):
        key = session.session_id
        for call in (
            memory.store_memory(fact("x", "ben", key)),
            memory.for_user("ben").store_memory(fact("x", "ben", key)),
            memory.store_message(said("x"), key, user_id="ben"),
            memory.for_user("ben").store_message(said("x"), key),
            memory.get_context("ben", key),
        ):
            with pytest.raises(ForeignUserError) as refusal:
                await call
            assert session.conversation_id not in str(refusal.value)
        assert (await memory.for_user("ben").get_context("ben", key)).messages == []
        with pytest.raises(ForeignUserError):
            await memory.store_message(said("x"), key, user_id="ben")
        await memory.store_message(said("of ana"), key)
        await belongs(memory, "ana", ["of ana"], session.conversation_id)
        assert await memory.conversation_owner(key) is None
        assert await memory.list_memories("ben") == []


async def test_a_memory_under_ones_own_session_is_in_its_conversation(
    memory: VectorMemory,
) -> None:
    session = await memory.create_session("ana")
    await memory.store_memory(fact("of ana", "ana", session.session_id))
    (entry,) = await memory.list_memories("ana")
    assert entry.conversation_id == session.conversation_id
    await memory.store_message(said("more"), session.session_id, user_id="ana")
    await belongs(memory, "ana", ["more"], session.conversation_id)
    hits = await memory.recall("of", user_id="ana", conversation_id=session.session_id)
    assert sorted(hit.content for hit in hits) == ["more", "of ana"]
