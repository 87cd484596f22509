"""Large values of a caller are checked, written and read in a thread, and bounded by settings."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.rows import tagged_json
from bruno_memory_vec.rows.weight import HEAVY, is_heavy, weight
from bruno_memory_vec.testing import HashEmbedder

_MANY = 5_000


class Noting(dict[str, Any]):
    """Notes in which thread it is written, and how many of its keys are looked at."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.threads: set[int] = set()
        self.looked_at = 0

    def items(self) -> Any:
        self.threads.add(threading.get_ident())
        return super().items()

    def __iter__(self) -> Iterator[str]:
        for key in super().__iter__():
            self.looked_at += 1
            yield key


def large(kind: str) -> tuple[dict[str, Any], Noting]:
    """Metadata that is large in one way, and the dict in it that notes who writes it."""
    noting = Noting({"a": 1})
    if kind == "many small dicts":
        return {"held": [noting, *({"n": n} for n in range(_MANY))]}, noting
    if kind == "many keys":
        noting.update({f"key {n}": "value" for n in range(_MANY)})
        return {"held": noting}, noting
    if kind == "nested":
        inner: Any = [noting, "x" * HEAVY]
        for _ in range(40):
            inner = [inner]
        return {"held": inner}, noting
    if kind == "one long text":
        return {"held": noting, "text": "x" * HEAVY}, noting
    if kind == "a huge number":
        return {"held": noting, "number": [2**12_000] * 10}, noting
    return {"held": noting, "tuples": tuple((n, n) for n in range(_MANY))}, noting


KINDS = (
    "many small dicts",
    "many keys",
    "nested",
    "one long text",
    "a huge number",
    "tuples",
)


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[VectorMemory]:
    async with open_memory(str(tmp_path / "store"), embedder=HashEmbedder()) as opened:
        yield opened


def fact(**held: Any) -> MemoryEntry:
    metadata = MemoryMetadata.model_construct(**(MemoryMetadata().__dict__ | held))
    plain = MemoryEntry(content="a fact", memory_type=MemoryType.FACT, user_id="ana")
    return MemoryEntry.model_construct(**(plain.__dict__ | {"metadata": metadata}))


@pytest.mark.parametrize("kind", KINDS)
async def test_large_values_are_written_in_a_thread(memory: VectorMemory, kind: str) -> None:
    here = threading.get_ident()
    calls: list[Callable[[dict[str, Any]], Awaitable[Any]]] = [
        lambda given: memory.store_message(
            Message(role=MessageRole.USER, content="x").model_copy(update={"metadata": given}),
            str(uuid4()),
            user_id="ana",
        ),
        lambda given: memory.store_memory(fact(custom_fields=given)),
        lambda given: memory.save_user(
            UserContext(user_id="ana").model_copy(update={"preferences": given})
        ),
        lambda given: memory.create_session("ana", metadata=given),
    ]
    for call in calls:
        given, noting = large(kind)
        assert is_heavy(given)
        await call(given)
        assert noting.threads
        assert here not in noting.threads


async def test_small_values_are_not_worth_a_thread(memory: VectorMemory) -> None:
    noting = Noting({"a": 1, "b": [1, 2]})
    message = Message(role=MessageRole.USER, content="x")
    await memory.store_message(
        message.model_copy(update={"metadata": {"held": noting}}), "talk", user_id="ana"
    )
    assert noting.threads == {threading.get_ident()}


async def test_large_values_are_read_in_a_thread(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"held": [{"n": n} for n in range(2 * _MANY)]}
    message = Message(role=MessageRole.USER, content="a short text", metadata=given)
    entry = fact(custom_fields=given)
    await memory.store_message(message, "talk", user_id="ana")
    await memory.store_memory(entry)
    await memory.save_user(UserContext(user_id="ana", profile=given))
    session = await memory.create_session("ana", metadata=given)
    threads: list[int] = []
    inner = tagged_json.loads

    def loads(text: str) -> Any:
        if len(text) > HEAVY:
            threads.append(threading.get_ident())
        return inner(text)

    monkeypatch.setattr(tagged_json, "loads", loads)
    found = await memory.get_message(message.id)
    assert found is not None
    assert found.metadata == given
    held = await memory.get_memory(entry.id)
    assert held is not None
    assert held.metadata.custom_fields == given
    assert (await memory.get_user("ana")).profile == given
    assert [one.metadata for one in await memory.list_sessions("ana", limit=1)] == [given]
    again = await memory.get_session(session.session_id)
    assert again is not None
    assert again.metadata == given
    assert (await memory.get_context("ana", "talk")).messages[0].metadata == given
    assert (await memory.retrieve_messages("talk"))[0].metadata == given
    assert (await memory.read_turns("talk"))[0].message.metadata == given
    assert (await memory.list_memories("ana"))[0].metadata.custom_fields == given
    hits = await memory.recall("a short text", user_id="ana")
    assert {type(hit.record) for hit in hits} == {Message, MemoryEntry}
    assert len(threads) >= 9
    assert threading.get_ident() not in threads


def test_weighing_looks_at_no_more_than_it_must() -> None:
    noting = Noting({f"key {n}": n for n in range(1_000_000)})
    assert weight(noting) == HEAVY
    assert noting.looked_at == 0
    few = Noting({f"key {n}": "x" for n in range(100)})
    assert 100 < weight(few) < HEAVY
    itself: list[Any] = []
    itself.append(itself)
    assert weight(itself) == HEAVY
    assert weight(["x" * HEAVY] * 1000, most=100) == 100


async def test_what_changes_while_it_is_stored_is_refused(memory: VectorMemory) -> None:
    """In a thread a dict may change under it: then nothing is stored, and the error says why."""

    class Growing(dict[str, Any]):
        def items(self) -> Any:
            for pair in super().items():
                yield pair
                self[str(uuid4())] = 1

    given = {"held": Growing(a=1), "text": "x" * HEAVY}
    message = Message(role=MessageRole.USER, content="x").model_copy(update={"metadata": given})
    with pytest.raises(InvalidInputError, match="changed while it was being stored"):
        await memory.store_message(message, "talk", user_id="ana")
    assert await memory.retrieve_messages("talk") == []


@pytest.mark.parametrize(
    "value",
    [
        {"held": [{"n": n, "$": "tag"} for n in range(_MANY)]},
        {"held": {n: ("a", n) for n in range(_MANY)}},
        {str(n): [[], {}, [[n]], "ä\u2028" * 10] for n in range(_MANY)},
        {"held": [["x" * 1000] * 30] * 70, "none": None, "empty": [[]] * 300},
        {"set": {str(n) for n in range(_MANY)}, "bytes": b"\0" * HEAVY},
    ],
)
def test_large_values_come_back_equal(value: Any) -> None:
    text = tagged_json.dumps(value)
    assert tagged_json.loads(text) == value
    assert text.isascii()
    assert text == tagged_json._plain(tagged_json._encode(value, "", 0))


# Bounds


async def test_what_is_too_large_is_refused_by_name(tmp_path: Path) -> None:
    async with open_memory(
        str(tmp_path / "store"),
        embedder=HashEmbedder(),
        max_content_chars=100,
        max_metadata_bytes=50,
        max_rows_per_call=3,
    ) as memory:
        message = Message(role=MessageRole.USER, content="x")
        wrong: list[tuple[str, str, Awaitable[Any]]] = [
            (
                r"message\.content.* 101 characters.*max_content_chars",
                "Give less",
                memory.store_message(
                    message.model_copy(update={"content": "x" * 101}), "talk", user_id="ana"
                ),
            ),
            (
                r"message\.metadata.*max_metadata_bytes",
                "Give less",
                memory.store_message(
                    message.model_copy(update={"metadata": {"k": "x" * 50}}), "talk", user_id="ana"
                ),
            ),
            (
                r"messages.* 4 entries.*max_rows_per_call",
                "Give less",
                memory.store_messages([message] * 4, "talk", user_id="ana"),
            ),
            (
                r"memory\.content",
                "Give less",
                memory.store_memory(fact().model_copy(update={"content": "x" * 101})),
            ),
            (
                r"memory\.metadata\.custom_fields",
                "Give less",
                memory.store_memory(fact(custom_fields={"k": "x" * 50})),
            ),
            (
                r"memory\.metadata\.tags",
                "Give less",
                memory.store_memory(fact(tags=["tag"] * 20)),
            ),
            (
                r"memory\.metadata\.source",
                "Give less",
                memory.store_memory(fact(source="x" * 51)),
            ),
            (
                r"memory\.metadata\.embedding",
                "Give less",
                memory.store_memory(fact(embedding=[0.5] * 100)),
            ),
            (
                r"user\.profile",
                "Give less",
                memory.save_user(UserContext(user_id="ana", profile={"k": "x" * 50})),
            ),
            (
                r"metadata.*max_metadata_bytes",
                "Give less",
                memory.create_session("ana", metadata={"k": "x" * 50}),
            ),
        ]
        for match, fix, call in wrong:
            with pytest.raises(InvalidInputError, match=match) as refused:
                await call
            assert fix in str(refused.value)
        assert await memory.list_users() == []
        assert await memory.list_sessions("ana") == []
        # Just within the bounds it is taken.
        await memory.store_messages(
            [
                Message(role=MessageRole.USER, content="x" * 100, metadata={"k": "x" * 42})
                for _ in range(3)
            ],
            "talk",
            user_id="ana",
        )


async def test_filters_and_ids_are_bounded(memory: VectorMemory) -> None:
    with pytest.raises(InvalidInputError, match="at most 1,000"):
        await memory.recall("x", user_id="ana", tags=[str(n) for n in range(1_001)])
    with pytest.raises(InvalidInputError, match="at most 10,000"):
        await memory.delete_messages([uuid4() for _ in range(10_001)])
