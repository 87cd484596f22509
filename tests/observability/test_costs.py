"""What observes grows with nothing, and is not there where it is off."""

from __future__ import annotations

import asyncio
import gc
import logging
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message, MessageRole
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, generate_latest

import bruno_memory_vec.observability as room
from bruno_memory_vec import VectorMemory, open_memory
from tests.amounts import amount


def said(text: str) -> Message:
    return Message(role=MessageRole.USER, content=text)


@pytest.mark.slow
async def test_thousands_of_operations_leave_nothing_behind(tmp_path: Path) -> None:
    logging.getLogger("bruno_memory_vec.operations").addHandler(logging.NullHandler())
    registry, calls = CollectorRegistry(), amount(1_500, 20_000)
    async with open_memory(
        tmp_path / "m",
        embedder="hash",
        metrics=registry,
        tracing=TracerProvider(),
        operation_log="json",
    ) as memory:
        await memory.store_message(said("the boat"), "c", user_id="ana")

        async def work(count: int) -> None:
            for number in range(count):
                await memory.get_context("ana", "c")
                if number % 10 == 0:
                    await memory.recall("boat", user_id="ana")
                    generate_latest(registry)

        await work(300)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.take_snapshot()
        await work(calls)
        gc.collect()
        after = tracemalloc.take_snapshot()
        tracemalloc.stop()
    folder = str(Path(room.__file__).parent / "*")
    ours = [tracemalloc.Filter(True, folder)]
    grown = sum(
        one.size_diff
        for one in after.filter_traces(ours).compare_to(before.filter_traces(ours), "filename")
    )
    # A byte for each call would be more.
    assert grown < max(calls, 20_000), f"{grown:,} bytes more after {calls:,} calls"


async def test_off_no_observer_is_asked_for_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("somebody observes")

    for name in ("begin", "recalled", "built", "commit", "background", "deleted", "opened"):
        monkeypatch.setattr(f"bruno_memory_vec.observability.observer.Observer.{name}", refuse)
    monkeypatch.setattr("bruno_memory_vec.observability.stages.Stages.__init__", refuse)
    async with open_memory(tmp_path / "m", embedder="hash") as memory:
        await memory.store_message(said("the boat"), "c", user_id="ana")
        await memory.recall("boat", user_id="ana")
        await memory.build_context("boat", user_id="ana", conversation_id="c")
        await memory.clear_history("c", keep_system_messages=False)
        await asyncio.sleep(0)
        assert (await memory.health())["problems"] == {}


async def test_hostile_names_of_a_store(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    name = 'a"b\\\n# HELP x\x1b[31m\u202e{store="c"}'
    async with open_memory(
        tmp_path / "m", embedder="hash", metrics=registry, observed_as=name
    ) as memory:
        await memory.recall("boat", user_id="ana")
        text = generate_latest(registry).decode()
    from prometheus_client.parser import text_string_to_metric_families

    stores = {
        sample.labels["store"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert len(stores) == 1
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_no_password_of_a_url_is_in_a_name() -> None:
    for url, name in (
        ("qdrant://key:secret@127.0.0.1:6333/memory?api_key=secret", "memory"),
        ("memory://", "memory://"),
        ("/srv/memories/diary/", "diary"),
    ):
        observer = VectorMemory(url, metrics="process")._lazy.observer
        assert observer is not None
        assert observer.name == name
        assert "secret" not in observer.name


async def test_two_event_loops_one_after_the_other(tmp_path: Path) -> None:
    memory = VectorMemory(str(tmp_path / "m"), embedder="hash", metrics="process")

    def use() -> None:
        asyncio.run(_use(memory))

    await asyncio.to_thread(use)
    await asyncio.to_thread(use)
    await asyncio.to_thread(lambda: asyncio.run(memory.close()))
    observer = memory._lazy.observer
    assert observer is not None
    assert observer.recorder is not None
    assert observer.recorder.operations()["recall"].calls == 2


async def _use(memory: VectorMemory) -> None:
    observer = memory._lazy.observer
    assert observer is not None
    observer._due_at = 0.0
    await memory.recall("boat", user_id="ana")
