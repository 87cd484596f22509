"""The blocking memory: that it has everything, and how it behaves among threads and processes."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message, MessageRole
from bruno_core.utils.exceptions import BrunoError

import bruno_memory_vec
from bruno_memory_vec import VectorMemory, sync
from bruno_memory_vec import open_memory as open_asynchronous
from bruno_memory_vec.errors import (
    ForeignUserError,
    InvalidInputError,
    StoreClosedError,
    StoreError,
    StoreLockedError,
)
from bruno_memory_vec.sync import api
from bruno_memory_vec.sync.blocking import has_coroutines, public
from tests.sync.test_background import run

MANAGERS = [
    name
    for name, member in public(VectorMemory)
    if isinstance(member, property) and name != "config"
]


def said(text: str) -> Message:
    return Message(role=MessageRole.USER, content=text)


@pytest.fixture(scope="module")
def memory() -> Iterator[sync.Memory]:
    """One memory for the tests that only use it; each has users of its own."""
    with sync.open_memory("memory://", embedder="hash") as opened:
        yield opened


# That it has everything


def pairs() -> Iterator[tuple[str, Any, Any]]:
    """Each public member of the memory and of its managers, beside the blocking one."""
    unopened = VectorMemory("memory://", embedder="hash")
    kinds: list[tuple[type, type]] = [(VectorMemory, sync.Memory)]
    for manager in MANAGERS:
        kind = type(getattr(unopened, manager))
        kinds.append((kind, getattr(sync, kind.__name__)))
    for kind, blocking in kinds:
        for name, member in public(kind):
            where = f"{kind.__name__}.{name}"
            assert hasattr(blocking, name), f"{where} is missing in bruno_memory_vec.sync"
            yield where, member, inspect.getattr_static(blocking, name)


def test_every_public_method_is_there_with_its_parameters_and_docstring() -> None:
    found = list(pairs())
    assert len(found) > 130
    for where, member, blocking in found:
        if isinstance(member, property):
            assert isinstance(blocking, property), where
            assert blocking.__doc__ == member.__doc__, where
            continue
        if not callable(member) and not isinstance(member, classmethod):
            assert blocking == member, where
            continue
        one, other = (getattr(of, "__func__", of) for of in (member, blocking))
        assert inspect.signature(one).parameters == inspect.signature(other).parameters, where
        assert inspect.getdoc(other), where
        if where not in ("VectorMemory.close", "VectorMemory.shutdown"):
            assert inspect.getdoc(other) == inspect.getdoc(one), where
        assert not inspect.iscoroutinefunction(other), where
        assert not inspect.isasyncgenfunction(other), where


def test_every_function_for_stores_is_there() -> None:
    for name in bruno_memory_vec.__all__:
        if inspect.iscoroutinefunction(getattr(bruno_memory_vec, name)):
            assert name in sync.__all__
            assert not inspect.iscoroutinefunction(getattr(sync, name))
    ours, theirs = (inspect.signature(one) for one in (sync.open_memory, open_asynchronous))
    assert ours.parameters == theirs.parameters
    assert inspect.signature(sync.Memory).parameters == inspect.signature(VectorMemory).parameters


def test_nothing_that_comes_back_has_to_be_awaited(
    memory: sync.Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each method is called with what it needs; whatever comes back can be used as it is."""
    monkeypatch.chdir(tmp_path)  # some take the name of a file
    given: dict[str, Any] = {
        "message": said("The harbour has a crane"), "messages": [said("It is blue")],
        "entries": [], "conversation_id": "all", "user_id": "all", "query": "crane",
        "session_id": "all", "content": "The crane is blue", "task": "lift", "steps": ["one"],
        "worked": True, "given": lambda saved: saved,
    }  # fmt: skip
    called = 0
    for owner in (memory, *(getattr(memory, manager) for manager in MANAGERS)):
        for name, _ in public(type(owner)):
            member = getattr(owner, name)
            if not callable(member) or name in ("close", "shutdown", "from_config", "for_user"):
                continue
            needed = {
                one.name: given.get(one.name, "nothing")
                for one in inspect.signature(member).parameters.values()
                if one.default is one.empty and one.kind is not one.VAR_KEYWORD
            }
            try:
                found = member(**needed)
            except BrunoError:  # of the arguments; the others were enough
                continue
            called += 1
            if isinstance(found, sync.Stream):
                found.close()
            assert not inspect.isawaitable(found), name
            assert not has_coroutines(type(found)), name
    assert called > 25


# How it is used


def test_what_is_stored_is_recalled(tmp_path: Path) -> None:
    with sync.open_memory(str(tmp_path / "a"), embedder="hash") as memory:
        memory.store_message(said("The boat lies in the harbour"), "talk", user_id="ana")
        hits = memory.recall("where is the boat?", user_id="ana", k=1)
        assert hits[0].content == "The boat lies in the harbour"
        assert memory.config.embedder == "hash"
    with pytest.raises(StoreClosedError, match="closed"):
        memory.recall("boat", user_id="ana")
    memory.close()

    async def again() -> str:
        async with open_asynchronous(str(tmp_path / "a"), embedder="hash") as opened:
            return (await opened.recall("where is the boat?", user_id="ana", k=1))[0].content

    assert asyncio.run(again()) == hits[0].content


def test_it_connects_at_first_use_or_at_once(tmp_path: Path) -> None:
    lazy = sync.Memory(str(tmp_path / "a"), embedder="hash")
    assert not (tmp_path / "a").exists()
    with lazy as memory:
        assert memory is lazy
        assert (tmp_path / "a").exists()
        with pytest.raises(StoreLockedError):
            sync.open_memory(str(tmp_path / "a"), embedder="hash")
    with pytest.raises(InvalidInputError, match="embedder"):
        sync.open_memory(str(tmp_path / "a"), embeder="hash")
    stream = memory.follow("talk")
    for one in (memory, memory.for_user("ana"), memory.conversations, memory.analytics, stream):
        with pytest.raises(StoreError, match="cannot be copied"):
            pickle.dumps(one)


def test_a_view_is_one_users(memory: sync.Memory) -> None:
    memory.store_message(said("Vera's key is under the mat"), "vera's", user_id="vera")
    vera, will = memory.for_user("vera"), memory.for_user("will")
    assert isinstance(vera, sync.Memory)
    assert len(vera.recall("key")) == 1
    assert len(will.recall("key")) == 0
    assert [one.conversation_id for one in vera.conversations.list()] == ["vera's"]
    assert not will.conversations.list()
    with pytest.raises(ForeignUserError):
        will.recall("key", user_id="vera")
    with vera:
        vera.shutdown()
    assert len(vera.recall("key")) == 1  # the memory is others', too


def test_managers_and_properties(memory: sync.Memory) -> None:
    mia = memory.for_user("mia")
    mia.users.set_preference("drink", "tea")
    assert mia.get_user("mia").preferences["drink"] == "tea"
    mia.semantic.add("Mia owns a red bicycle")
    assert "bicycle" in mia.semantic.recall("which bicycle?")[0].content
    assert mia.semantic.default_type == VectorMemory("memory://").semantic.default_type
    assert isinstance(mia.users, sync.UserManager)


def test_one_store_is_copied_into_another_that_is_open(tmp_path: Path) -> None:
    with (
        sync.open_memory("memory://", embedder="hash") as one,
        sync.open_memory(str(tmp_path / "b"), embedder="hash") as other,
    ):
        one.store_message(said("A bell"), "talk", user_id="ana")
        assert one.copy_to(other).to_dict()["dry_run"] is False
        assert len(other.recall("bell", user_id="ana")) == 1
    check = sync.diagnose_store(str(tmp_path / "b"))
    assert check


async def test_within_a_running_event_loop_it_works_and_blocks(memory: sync.Memory) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.ensure_future(tick())
    await asyncio.sleep(0.01)
    before = ticks
    memory.store_message(said("Said in a notebook"), "loop", user_id="lea")
    assert memory.recall("notebook", user_id="lea")
    assert ticks == before  # the caller's loop waited
    assert await asyncio.to_thread(memory.recall, "notebook", user_id="lea")
    ticking.cancel()


# Threads


def test_many_threads_use_it_at_once(memory: sync.Memory) -> None:
    def work(number: int) -> int:
        user = f"thread {number % 8}"
        memory.store_message(said(f"message {number}"), f"{user}'s", user_id=user)
        return len(memory.recall(f"message {number}", user_id=user, k=100))

    with ThreadPoolExecutor(16) as pool:
        assert min(pool.map(work, range(120))) >= 1
    stored = [len(memory.retrieve_messages(f"thread {number}'s")) for number in range(8)]
    assert stored == [15] * 8


def test_what_is_called_back_cannot_call_the_memory(tmp_path: Path) -> None:
    """It would wait for itself."""
    said_no: list[str] = []

    def counter(text: str) -> int:
        for call in (lambda: memory.recall("boat", user_id="ana"), memory.close):
            try:
                call()
            except StoreError as error:
                said_no.append(str(error))
        return len(text)

    with sync.open_memory("memory://", embedder="hash") as memory:
        memory.build_context("boat", user_id="ana", count_tokens=counter)
        assert said_no
        assert all("own thread" in text for text in said_no)
        assert not memory.recall("boat", user_id="ana")


def test_what_nobody_holds_any_more_is_closed(tmp_path: Path) -> None:
    memory = sync.open_memory(str(tmp_path / "a"), embedder="hash")
    memory.store_message(said("kept"), "talk", user_id="ana")
    del memory
    gc.collect()
    with sync.open_memory(str(tmp_path / "a"), embedder="hash") as memory:
        assert len(memory.retrieve_messages("talk")) == 1


# Iterators


def test_follow_is_a_plain_iterator(memory: sync.Memory) -> None:
    stream = memory.follow("followed")
    got: list[str] = []

    def listen() -> None:
        for message in stream:
            got.append(message.content)
            if len(got) == 3:
                break
        stream.close()

    listener = threading.Thread(target=listen)
    listener.start()
    number = 0
    while listener.is_alive():  # it may not have begun to listen at the first ones
        memory.store_message(said(f"number {number}"), "followed", user_id="ana")
        number += 1
        listener.join(0.01)
    first = int(got[0].split()[1])
    assert got == [f"number {first + more}" for more in range(3)]
    assert list(stream) == []
    stream.close()


def test_another_thread_ends_an_iterator_that_waits(memory: sync.Memory) -> None:
    with memory.follow("silent") as stream:
        waiting = threading.Thread(target=list, args=(stream,))
        waiting.start()
        while stream._steps.task is None:
            time.sleep(0.001)
        stream.close()
        waiting.join(60)
        assert not waiting.is_alive()


def test_an_iterator_ends_with_its_memory() -> None:
    memory = sync.open_memory("memory://", embedder="hash")
    stream, unused = memory.follow("silent"), memory.follow("silent")
    waiting = threading.Thread(target=list, args=(stream,))
    waiting.start()
    while stream._steps.task is None:
        time.sleep(0.001)
    memory.close()
    waiting.join(60)
    assert not waiting.is_alive()
    assert list(stream) == []
    stream.close()
    with pytest.raises(StoreClosedError):
        next(unused)
    unused.close()


# Interrupts, forks, the end


def test_an_interrupt_cancels_the_call(memory: sync.Memory) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
    stream = memory.follow("interrupted")  # it waits for ever
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            next(stream)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert list(stream) == []  # it has ended; the memory goes on
    memory.store_message(said("after it"), "interrupted", user_id="ana")
    assert len(memory.retrieve_messages("interrupted")) == 1


def test_an_interrupted_call_is_cancelled_in_the_background() -> None:
    held = sync.open_memory("memory://", embedder="hash")
    ended: list[str] = []
    begun = threading.Event()

    async def waits(_: VectorMemory) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        begun.wait(60)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            held._background.run(waits)
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    held.close()  # waits for what is under way, which nothing would be for an hour
    assert ended == ["cancelled"]


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_an_interrupt_at_any_moment_leaves_nothing_under_way() -> None:
    """Also one that comes while a call is handed over, and not waited for yet."""

    class StopNow(Exception):
        pass

    def stop(*_: object) -> None:
        raise StopNow

    async def waits(_: VectorMemory) -> None:
        await asyncio.sleep(3600)

    held = sync.open_memory("memory://", embedder="hash")
    before = signal.signal(signal.SIGUSR1, stop)
    main = threading.main_thread().ident
    assert main is not None

    def interrupted(thread: threading.Thread) -> None:
        thread.start()
        held._background.run(waits)

    try:
        for number in range(40):
            thread = threading.Timer(number / 50_000, signal.pthread_kill, (main, signal.SIGUSR1))
            with pytest.raises(StopNow):
                interrupted(thread)
            thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert held.recall("boat", user_id="ana") == []
    held.close()  # which waits for what is under way


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_opens_a_memory_of_its_own(tmp_path: Path) -> None:
    program = """
import os, sys, warnings
from tests.sync.test_facade import *
warnings.simplefilter("ignore")
memory = sync.open_memory(sys.argv[1], embedder="hash")
memory.store_message(said("before"), "talk", user_id="ana")
stream = memory.follow("talk")
child = os.fork()
if child == 0:
    for call in (lambda: memory.recall("x", user_id="ana"), lambda: next(stream), stream.close):
        try:
            call()
        except StoreError as error:
            if "forked" in str(error):
                continue
        os._exit(2)
    memory.close()
    with sync.open_memory("memory://", embedder="hash") as own:
        own.store_message(said("in the child"), "talk", user_id="ana")
        os._exit(0 if len(own.retrieve_messages("talk")) == 1 else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
memory.store_message(said("after"), "talk", user_id="ana")
assert len(memory.retrieve_messages("talk")) == 2
"""
    run(program, tmp_path / "a")
    with sync.open_memory(str(tmp_path / "a"), embedder="hash") as memory:
        assert len(memory.retrieve_messages("talk")) == 2


def test_api_names_what_it_has() -> None:
    assert sorted(api.__all__) == sorted(set(api.__all__))
    assert all(hasattr(sync, name) for name in api.__all__)
    assert bruno_memory_vec.sync.open_memory is sync.open_memory
