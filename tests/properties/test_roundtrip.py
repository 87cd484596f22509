"""What is stored comes back equal, by every way there is; what cannot be kept is refused."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryQuery, MemoryType
from bruno_core.models.message import Message, MessageRole
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bruno_memory_vec import load_profile, open_memory
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.testing.strategies import identical, ids, memory_entries, messages
from tests.amounts import amount

NUMBERS = itertools.count()

_BALANCED = load_profile("balanced")
# Equal texts take one place in a recall; here each has its own.
EACH = replace(_BALANCED, rank=_BALANCED.rank.without("repeats", "asked_before"))


class World:
    """An open memory and the loop it lives in."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.memory: Any = self.run(_opened(url))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.run(self.memory.close())
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()


async def _opened(url: str) -> Any:
    return await open_memory(url, embedder="hash", max_messages=10)


@pytest.fixture(scope="module", params=["folder", "memory://"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("roundtrip") / "store"
    world = World(str(folder) if request.param == "folder" else request.param)
    yield world
    world.close()


@settings(max_examples=amount(15, 200), suppress_health_check=[HealthCheck.too_slow])
@given(stored=st.lists(messages(), min_size=1, max_size=4, unique_by=lambda m: m.id), user=ids())
def test_messages(world: World, stored: list[Message], user: str) -> None:
    memory, run = world.memory, world.run
    number = next(NUMBERS)
    user, conversation = f"{user}{number}", f"{user}/talk {number}"
    # Another user's message with the same id must not matter.
    run(memory.store_message(stored[0], f"decoy {number}", user_id=f"decoy {number}"))
    run(memory.store_messages(stored, conversation, user_id=user))
    found = run(memory.retrieve_messages(conversation))
    assert [m.id for m in found] == [m.id for m in stored[::-1]]
    for one, wanted in zip(found, stored[::-1], strict=True):
        assert identical(one, wanted)
    systems = [m for m in stored if m.role is MessageRole.SYSTEM]
    assert len(systems) <= 5, "else a context drops some"
    context = run(memory.get_context(user, conversation))
    for one, wanted in zip(context.messages, stored, strict=True):
        assert identical(one, wanted)
    hits = run(memory.recall(stored[0].content, user_id=user, k=100, profile=EACH))
    by_id = {hit.id: hit for hit in hits}
    assert by_id.keys() == {str(m.id) for m in stored}
    for turn, wanted in enumerate(stored):
        hit = by_id[str(wanted.id)]
        assert identical(hit.record, wanted)
        assert (hit.turn, hit.conversation_id, hit.content) == (turn, conversation, wanted.content)
        at = wanted.timestamp
        assert hit.created_at == (at if at.tzinfo else at.replace(tzinfo=timezone.utc))


@settings(max_examples=amount(15, 200), suppress_health_check=[HealthCheck.too_slow])
@given(entry=memory_entries())
def test_memories(world: World, entry: MemoryEntry) -> None:
    memory, run = world.memory, world.run
    number = next(NUMBERS)
    entry.user_id = f"{entry.user_id}{number}"
    entry.conversation_id = f"{entry.user_id}/talk" if number % 2 else None
    run(memory.store_memory(entry))
    (found,) = run(memory.retrieve_memories(MemoryQuery(user_id=entry.user_id)))
    assert identical(found, entry)
    (hit,) = run(memory.recall(entry.content, user_id=entry.user_id))
    assert identical(hit.record, entry)
    (found,) = run(memory.search_memories(entry.user_id, entry.content))
    assert found == entry


@settings(max_examples=amount(10, 100), suppress_health_check=[HealthCheck.too_slow])
@given(entry=memory_entries(st.just("ana")), user=ids())
def test_session_metadata_and_users(world: World, entry: MemoryEntry, user: str) -> None:
    memory, run = world.memory, world.run
    kept = entry.metadata.custom_fields
    session = run(memory.create_session(user, kept))
    assert run(memory.get_session(session.session_id)) == session
    assert session.metadata == kept
    profile = run(memory.get_user(user))
    profile.preferences, profile.name = kept, entry.content
    run(memory.save_user(profile))
    assert run(memory.get_user(user)) == profile


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
DEEP: Any = "deep"
for _ in range(100):
    DEEP = [DEEP]

UNKEEPABLE = {
    "an object": object(),
    "a function": lambda: None,
    "a class": int,
    "an array": np.zeros(2),
    "a numpy integer": np.int64(1),
    "a numpy datetime": np.datetime64("2024-01-01"),
    "a complex number": 1j,
    "a bytearray": bytearray(b"x"),
    "a generator": (i for i in ()),
    "a circle": CIRCLE,
    "too deep": DEEP,
    "inside a list": [1, {"a": object()}],
    "inside a key": {(1, object()): 1},
    "inside a tuple": (object(),),
    "an exception": ValueError("x"),
    "a huge integer": 10**5000,
}
SURROGATE = "caf\ud800"
BEYOND = [
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    datetime(9999, 12, 31, 23, 30, tzinfo=timezone(timedelta(hours=-1))),
]


async def everything(memory: Any) -> tuple[Any, ...]:
    """All that can be seen of Ana's."""
    return (
        await memory.get_statistics("ana"),
        await memory.get_statistics("default"),
        await memory.get_statistics("bo"),
        await memory.retrieve_messages("talk"),
        await memory.retrieve_memories(MemoryQuery(user_id="ana", include_expired=True)),
        (await memory.get_context("ana", "talk")).messages,
        (await memory.get_user("ana")).preferences,
    )


def a_message(**changes: Any) -> Message:
    """A message whose fields are set after its validation, as code that has one may do."""
    message = Message(role=MessageRole.USER, content="fine")
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def a_memory(**changes: Any) -> MemoryEntry:
    entry = MemoryEntry(content="fine", memory_type=MemoryType.FACT, user_id="ana")
    for name, value in changes.items():
        setattr(entry.metadata if name in MemoryMetadata.model_fields else entry, name, value)
    return entry


REFUSED: dict[str, Message | MemoryEntry] = {
    **{f"message: {name}": a_message(metadata={"x": v}) for name, v in UNKEEPABLE.items()},
    **{f"memory: {name}": a_memory(custom_fields={"x": v}) for name, v in UNKEEPABLE.items()},
    "message: surrogate": a_message(content=SURROGATE),
    "message: blank": a_message(content="   "),
    "message: no text": a_message(content=5),
    "message: no content": a_message(content=None),
    "message: no metadata": a_message(metadata=None),
    "message: text as id": a_message(id="1"),
    "message: text as parent": a_message(parent_id="1"),
    "message: unknown role": a_message(role="narrator"),
    "message: no role": a_message(role=None),
    "message: unknown type": a_message(message_type="smell"),
    "message: no time": a_message(timestamp=None),
    "message: time as text": a_message(timestamp="2024-01-01"),
    "message: before year 1": a_message(timestamp=BEYOND[0]),
    "message: after year 9999": a_message(timestamp=BEYOND[1]),
    "memory: surrogate": a_memory(content=SURROGATE),
    "memory: surrogate in a tag": a_memory(tags=[SURROGATE]),
    "memory: surrogate in the category": a_memory(category=SURROGATE),
    "memory: surrogate in the source": a_memory(source=SURROGATE),
    "memory: surrogate in the user": a_memory(user_id=SURROGATE),
    "memory: surrogate in the conversation": a_memory(conversation_id=SURROGATE),
    "memory: blank user": a_memory(user_id=" "),
    "memory: no text": a_memory(content=5),
    "memory: no tags": a_memory(tags=None),
    "memory: tag without text": a_memory(tags=[5]),
    "memory: unknown type": a_memory(memory_type="dream"),
    "memory: importance of 2": a_memory(importance=2.0),
    "memory: confidence NaN": a_memory(confidence=float("nan")),
    "memory: importance as text": a_memory(importance="high"),
    "memory: more accesses than fit": a_memory(access_count=2**63),
    "memory: accesses as text": a_memory(access_count="many"),
    "memory: embedding of text": a_memory(embedding=["a"]),
    "memory: related to no id": a_memory(related_memories=["a"]),
    "memory: related to nothing": a_memory(related_memories=None),
    "memory: expires before year 1": a_memory(expires_at=BEYOND[0]),
    "memory: updated after year 9999": a_memory(updated_at=BEYOND[1]),
    "memory: metadata as a dict": a_memory(metadata={"tags": []}),
}


@pytest.fixture
async def memory() -> AsyncIterator[Any]:
    """Fresh for each test: what is kept by mistake must not spoil the next one."""
    async with open_memory("memory://", embedder="hash") as memory:
        first = a_message(id=UUID(int=1), timestamp=datetime(2024, 1, 1))
        await memory.store_message(first, "talk", user_id="ana")
        yield memory


async def test_what_cannot_be_kept_is_refused(memory: Any) -> None:
    before = await everything(memory)
    for name, value in REFUSED.items():
        fine = uuid4()
        if isinstance(value, Message):
            call = memory.store_messages([a_message(id=fine), value], "talk", user_id="ana")
        else:
            call = memory.store_memories([a_memory(id=fine), value])
        try:
            await call
        except InvalidInputError as error:
            refusal = error
        else:
            pytest.fail(f"kept, and cannot be: {name}")
        assert refusal.fix, name
        assert refusal.field.startswith(("message", "memory")), name
        assert await everything(memory) == before, name


async def test_sessions_and_profiles_refuse_it_too(memory: Any) -> None:
    before = await everything(memory)
    for name, value in UNKEEPABLE.items():
        with pytest.raises(InvalidInputError, match="metadata"):
            await memory.create_session("ana", {"x": value})
        user = await memory.get_user("ana")
        user.preferences = {"x": value}
        with pytest.raises(InvalidInputError, match="preferences"):
            await memory.save_user(user)
        assert await everything(memory) == before, name


class Tagged(Message):
    """A user's own model, with a field that no column holds."""

    mood: str = "fine"


async def test_a_subclass_with_more_fields_is_refused(memory: Any) -> None:
    tagged = Tagged(role=MessageRole.USER, content="hello")
    with pytest.raises(InvalidInputError, match=r"mood.*metadata"):
        await memory.store_message(tagged, "talk", user_id="ana")
