"""Calls that somebody new to it writes: what is said names what to write."""

from __future__ import annotations

import asyncio
import gc
import inspect
import pickle
import re
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory, sync
from bruno_memory_vec.acts import declared
from bruno_memory_vec.errors import (
    InvalidInputError,
    LLMFailed,
    MissingDependencyError,
    StoreClosedError,
    WrongArgumentError,
)
from bruno_memory_vec.rows.arguments import meant
from bruno_memory_vec.rows.method_names import _WRITTEN

# A method's name elsewhere, and what it is here.
NAMED_ELSEWHERE = {
    "add": "store_message",
    "remember": "store_memory",
    "search": "recall",
    "get_all": "list_memories",
    "delete": "forget",
    "update": "store_memory",
    "stats": "get_statistics",
}
BOAT = Message(role=MessageRole.USER, content="a boat")


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as opened:
        yield opened


# A call, the argument at fault, and what to write in its place.
WRONG: list[tuple[Callable[[Any], Any], str, str]] = [
    (lambda memory: memory.recall("boat", limit=3), "limit", "k="),
    (lambda memory: memory.recall("boat", top_k=3), "top_k", "k="),
    (lambda memory: memory.recall("boat", n=3), "n", "k="),
    (lambda memory: memory.recall("boat", max_results=3), "max_results", "k="),
    (lambda memory: memory.recall(question="boat"), "question", "query="),
    (lambda memory: memory.recall(text="boat"), "text", "query="),
    (lambda memory: memory.recall("boat", user="ana"), "user", "user_id="),
    (lambda memory: memory.recall("boat", usr_id="ana"), "usr_id", "user_id="),
    (lambda memory: memory.recall("boat", thread_id="t"), "thread_id", "conversation_id="),
    (lambda memory: memory.recall("boat", filter={}), "filter", "metadata="),
    (lambda memory: memory.recall("boat", threshold=0.5), "threshold", "min_similarity="),
    (lambda memory: memory.recall("boat", "ana"), "arguments", "recall(..., user_id=...)"),
    (lambda memory: memory.recall(), "query", "missing"),
    (lambda memory: memory.build_context("boat", max_tokens=9), "max_tokens", "budget="),
    (lambda memory: memory.store_message(BOAT), "conversation_id", "missing"),
    (lambda memory: memory.store_message(BOAT, "t", user="ana"), "user", "user_id="),
    (lambda memory: memory.store_memory(memory=BOAT), "memory", "memory_entry="),
    (lambda memory: memory.get_memory(id="x"), "id", "memory_id="),
    (lambda memory: memory.forget(memory_id="x"), "memory_id", "ids="),
    (lambda memory: memory.list_memories(k=3), "k", "limit="),
    (lambda memory: memory.conversations.list(n=3), "n", "limit="),
    (lambda memory: memory.semantic.add(text="x"), "text", "statement="),
    (lambda memory: memory.recall("boat", flavour="x"), "flavour", "Its arguments are query,"),
    (lambda memory: memory.list_users(limit=3), "limit", "It has no arguments"),
]


async def test_a_wrong_argument_names_the_right_one(memory: VectorMemory) -> None:
    for call, field, said in WRONG:
        with pytest.raises(WrongArgumentError) as raised:
            await call(memory)
        assert raised.value.field == field
        assert said in str(raised.value)
        assert len(str(raised.value)) < 600
        assert isinstance(raised.value, TypeError)  # as Python's own is
        assert isinstance(raised.value, InvalidInputError)


async def test_a_wrong_argument_of_a_generator(memory: VectorMemory) -> None:
    follow: Any = memory.follow
    with pytest.raises(WrongArgumentError, match="conversation_id="):
        await anext(follow(conversation="t"))


async def test_what_a_call_itself_raises_stays(memory: VectorMemory) -> None:
    def counter(text: str) -> int:
        raise TypeError("counter() got an unexpected keyword argument 'limit'")

    with pytest.raises(Exception, match="unexpected keyword") as raised:
        await memory.build_context("boat", user_id="ana", count_tokens=counter)
    assert not isinstance(raised.value, WrongArgumentError)


def test_what_is_suggested_is_an_argument() -> None:
    """Of every public method: no name is suggested that it does not have."""
    for name, method in inspect.getmembers(VectorMemory, callable):
        if declared(method) is not None:
            names = list(inspect.signature(method).parameters)[1:]
            for odd in ("limit", "top_k", "user", "question", "id", "text", "zzz"):
                assert meant(odd, names) in (*names, None), name
    assert meant("zzz", ["query"]) is None


def test_a_wrong_setting_names_the_right_one() -> None:
    for wrong, right in (("path", "url"), ("model", "embedder"), ("password", "key")):
        with pytest.raises(InvalidInputError, match=f"Did you mean {right}\\?"):
            open_memory("memory://", **{wrong: "x"})


async def test_an_error_is_sent_to_another_process(memory: VectorMemory) -> None:
    """A pool of processes breaks where the error of a call cannot be pickled."""
    made: list[Exception] = [
        MissingDependencyError("pandas", "pandas", cause=ImportError("x")),
        LLMFailed("timeout", "took too long", seconds=3.0),
        StoreClosedError("the memory was closed", fix="Make a new one."),
    ]
    for call in (memory.recall("boat"), memory.recall("boat", k=0), memory.recall("boat", n=1)):  # type: ignore[call-arg]
        with pytest.raises(InvalidInputError) as raised:
            await call
        made.append(raised.value)
    for error in made:
        again = pickle.loads(pickle.dumps(error))  # our own
        assert type(again) is type(error)
        assert (str(again), again.args) == (str(error), error.args)
        told = {name: value for name, value in vars(error).items() if name != "cause"}
        assert {name: vars(again)[name] for name in told} == told


# Without await


def test_with_says_async_with() -> None:
    for made in (open_memory("memory://"), VectorMemory("memory://")):
        with pytest.raises(TypeError, match=r"async with .*bruno_memory_vec\.sync"), made:
            pytest.fail("it was entered")  # type: ignore[unreachable, unused-ignore]


def test_a_memory_that_was_not_awaited_says_so() -> None:
    memory: Any = open_memory("memory://", embedder="hash")
    for name in ("recall", "conversations", "store_message", "close"):
        with pytest.raises(AttributeError, match=f"no {name}. Write `memory = await open_memory"):
            getattr(memory, name)
    with pytest.raises(AttributeError, match="has no attribute 'recal'"):
        _ = memory.recal
    assert not hasattr(memory, "recall")


async def test_a_method_of_other_libraries_names_ours(memory: VectorMemory) -> None:
    asynchronous: Any = memory
    with sync.open_memory("memory://", embedder="hash") as plain:
        for owner in (asynchronous, asynchronous.for_user("ana"), plain, plain.for_user("ana")):
            for name, said in NAMED_ELSEWHERE.items():
                with pytest.raises(AttributeError, match=f"has no {name}. Use .*{said}") as raised:
                    getattr(owner, name)
                assert raised.value.name == name
                assert not hasattr(owner, name)
            with pytest.raises(AttributeError, match="has no attribute 'recal'"):
                _ = owner.recal
    with pytest.raises(AttributeError, match="not open yet"):
        _ = open_memory("memory://").search  # type: ignore[attr-defined]


def test_what_is_named_in_place_of_another_name_is_there() -> None:
    for name, written in _WRITTEN.items():
        assert not hasattr(VectorMemory, name), name
        for method in re.findall(r"\b([a-z_]+)\(", written):
            assert hasattr(VectorMemory, method), method


async def test_a_text_in_place_of_a_message(memory: VectorMemory) -> None:
    odd: Any = "we sail on Friday"
    with pytest.raises(InvalidInputError, match=r'Message\(role="user", content='):
        await memory.store_message(odd, "talk", user_id="ana")
    with pytest.raises(InvalidInputError, match=r'MemoryEntry\(content=.*memory_type="fact"'):
        await memory.store_memory(odd)


async def test_both_ways_to_open_work() -> None:
    async with open_memory("memory://", embedder="hash") as one:
        await one.recall("boat", user_id="ana")
    async with await open_memory("memory://", embedder="hash") as other:
        await other.recall("boat", user_id="ana")


async def test_a_coroutine_stays_python_s_own(memory: VectorMemory) -> None:
    """Whatever takes coroutines takes them, so nothing stands in their place."""
    assert inspect.iscoroutinefunction(memory.recall)
    one, other = (memory.recall("boat", user_id="ana") for _ in range(2))
    assert inspect.iscoroutine(one)
    both = await asyncio.gather(one, asyncio.create_task(other))
    assert both[0] == both[1]


def test_python_says_which_call_was_not_awaited() -> None:
    memory: Any = VectorMemory("memory://", embedder="hash")
    for call, name in (
        (memory.recall, "VectorMemory.recall"),
        (memory.semantic.recall, "TypedView.recall"),
    ):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            hits = call("boat", user_id="ana")
            assert name in repr(hits)
            with pytest.raises(TypeError, match="coroutine"):
                hits[0]
            del hits
            gc.collect()
        assert [f"coroutine '{name}' was never awaited" in str(one.message) for one in said]


def test_the_blocking_memory_says_the_same() -> None:
    with sync.open_memory("memory://", embedder="hash") as memory:
        recall: Any = memory.recall
        with pytest.raises(WrongArgumentError, match="Write k= in its place"):
            recall("boat", user_id="ana", limit=3)
        assert memory.recall("boat", user_id="ana") == []


async def test_a_backup_s_folder_in_place_of_a_summary(memory: VectorMemory) -> None:
    with pytest.raises(InvalidInputError, match=r"summary_id: .*restore_backup\("):
        await memory.restore("./backups")


async def test_an_erasure_of_a_user_who_has_nothing_says_so(memory: VectorMemory) -> None:
    for dry_run in (True, False):
        receipt = await memory.forget_user("nobody", dry_run=dry_run)
        assert str(receipt).startswith("nothing to erase: the user has nothing here")


async def test_what_is_no_embedder_is_named_by_its_type() -> None:
    for odd, told in ((3, "of type int"), (len, "of type builtin_function_or_method")):
        with pytest.raises(InvalidInputError, match=f"embedder: an object {told} is not"):
            await open_memory("memory://", embedder=odd)
