"""Metrics of an open memory, as a scrape gets them."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message, MessageRole
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import (
    InvalidInputError,
    MissingDependencyError,
    NotPermittedError,
)
from bruno_memory_vec.observability.metrics import METRICS, full_name
from bruno_memory_vec.observability.prometheus import metrics_app, serve_metrics

Told = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def told(registry: CollectorRegistry) -> Told:
    """Every sample of a scrape, by its name and labels, after its text was parsed."""
    from prometheus_client import generate_latest

    text = generate_latest(registry).decode()
    assert len(re.findall("^# TYPE", text, re.M)) == len(
        set(re.findall("^# TYPE (.*)", text, re.M))
    )
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(scrape: Told, name: str, **labels: str) -> float:
    """The value of one sample; the label of the store may be left out."""
    found = [
        number
        for (sample, known), number in scrape.items()
        if sample == f"bruno_memory_{name}" and labels.items() <= dict(known).items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def said(text: str) -> Message:
    return Message(role=MessageRole.USER, content=text)


async def used(memory: VectorMemory) -> None:
    """Some of each kind of call."""
    for number in range(3):
        await memory.store_message(said(f"the boat is green {number}"), "harbour", user_id="ana")
    await asyncio.gather(
        *(memory.store_message(said(f"and {n}"), f"talk {n}", user_id="ana") for n in range(20))
    )
    await memory.recall("what colour is the boat?", user_id="ana")
    await memory.recall("boat", user_id="ana", k=2)
    await memory.recall("boat", user_id="nobody")
    await memory.get_context("ana", "harbour")
    await memory.get_context("ana", "harbour")
    await memory.conversations.list(user_id="ana")
    await memory.clear_history("talk 3", keep_system_messages=False)
    with pytest.raises(NotPermittedError):
        await memory.for_user("ana", role="reader").store_message(said("no"), "harbour")
    with pytest.raises(InvalidInputError):
        await memory.recall("boat", user_id="ana", k=-1)


async def test_a_scrape_says_what_was_done_and_of_nobody(tmp_path: Path) -> None:
    registry = CollectorRegistry(auto_describe=True)
    async with open_memory(tmp_path / "diary", embedder="hash", metrics=registry) as memory:
        await used(memory)
        await what_was_done(memory, registry)
        await sizes_and_upkeep(memory, registry)
        labels_of_ours(registry)
        with pytest.raises(NotPermittedError):
            await memory.for_user("ana").latencies()


async def what_was_done(memory: VectorMemory, registry: CollectorRegistry) -> None:
    scrape = told(registry)
    assert {dict(labels)["store"] for _, labels in scrape} == {"diary"}
    assert value(scrape, "operations_total", operation="recall", outcome="ok") == 3
    assert value(scrape, "operations_total", operation="recall", outcome="failed") == 1
    assert value(scrape, "operation_errors_total", operation="recall") == 1
    assert value(scrape, "operations_total", operation="store_message", outcome="ok") == 23
    assert value(scrape, "operations_total", operation="store_message", outcome="refused") == 1
    assert value(scrape, "operation_duration_seconds_count", operation="store_message") == 24
    assert value(scrape, "operations_total", operation="conversations.list", outcome="ok") == 1
    assert value(scrape, "recalls_total", result="hits") == 2
    assert value(scrape, "recalls_total", result="nothing") == 1
    assert value(scrape, "rows_written_total", kind="message") == 23
    assert value(scrape, "rows_deleted_total") == 1
    assert value(scrape, "write_batch_rows_sum") == 23
    # Twenty calls at once are fewer commits, and each call has waited.
    assert 4 <= value(scrape, "write_batch_calls_count") < 23
    assert value(scrape, "write_stage_seconds_count", stage="wait") == 23
    for stage in ("embed", "place", "rows", "projections"):
        assert value(scrape, "write_stage_seconds_count", stage=stage) >= 4
    for stage in ("embedding", "semantic", "ranking"):
        assert value(scrape, "recall_stage_seconds_count", stage=stage) >= 2
    assert value(scrape, "cache_lookups_total", cache="context", result="miss") >= 1
    assert value(scrape, "write_queue_rows") == 0
    assert value(scrape, "operations_in_flight", operation="recall") == 0
    latencies = await memory.latencies()
    assert latencies["recall"].outcomes == {"ok": 3, "failed": 1}
    assert 0 < latencies["recall"].latency.p50 <= latencies["recall"].latency.p99


async def sizes_and_upkeep(memory: VectorMemory, registry: CollectorRegistry) -> None:
    observer = memory._lazy.observer
    assert observer is not None
    assert observer.recorder is not None
    while not observer.recorder.counts("background_runs"):  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.02)
    observer._due_at = 0.0
    await memory.health()
    assert observer._looking is not None
    await observer._looking
    scrape = told(registry)
    assert value(scrape, "rows") == 22
    assert value(scrape, "conversations") == 21
    assert value(scrape, "bytes", part="rows") + value(scrape, "bytes", part="log") > 1_000
    assert value(scrape, "problems") == value(scrape, "rows_lost") == 0
    assert value(scrape, "info", read_only="false") == 1
    runs = [name for name, _ in scrape if name == "bruno_memory_background_runs_total"]
    assert runs


def labels_of_ours(registry: CollectorRegistry) -> None:
    allowed = {"store", *(label for metric in METRICS for label in metric.labels), "le"}
    for name, labels in told(registry):
        assert {label for label, _ in labels} <= allowed
        assert not any(word in f"{name}{labels}" for word in ("ana", "harbour", "talk", "green"))


async def test_memories_of_one_process_are_apart_and_closing_takes_one_out(tmp_path: Path) -> None:
    registry = CollectorRegistry(auto_describe=True)
    paths = [tmp_path / "a" / "mem", tmp_path / "b" / "mem"]
    one = await open_memory(paths[0], embedder="hash", metrics=registry)
    two = await open_memory(paths[1], embedder="hash", metrics=registry)
    third = await open_memory("memory://", embedder="hash", metrics=registry, observed_as="third")
    await one.store_message(said("a boat"), "c", user_id="ana")
    scrape = told(registry)
    assert {dict(labels)["store"] for _, labels in scrape} == {"mem", "mem (2)", "third"}
    assert value(scrape, "rows_written_total", store="mem", kind="message") == 1
    await one.close()
    assert {dict(labels)["store"] for _, labels in told(registry)} == {"mem (2)", "third"}
    await two.close()
    await third.close()
    await third.close()
    assert not told(registry)
    assert not list(registry.collect())
    again = await open_memory(paths[0], embedder="hash", metrics=registry)
    assert {dict(labels)["store"] for _, labels in told(registry)} == {"mem"}
    await again.close()


async def test_a_memory_that_nobody_closed_is_not_kept(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    memory = await open_memory(tmp_path / "m", embedder="hash", metrics=registry)
    await memory.store_message(said("a boat"), "c", user_id="ana")
    del memory
    for _ in range(200):
        gc.collect()
        await asyncio.sleep(0.02)
        if not told(registry):
            return
    raise AssertionError("a scrape still tells of it")


async def test_a_child_that_was_forked_tells_nothing(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with open_memory(tmp_path / "m", embedder="hash", metrics=registry) as memory:
        await memory.recall("boat", user_id="ana")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writing, b"nothing" if not told(registry) else b"something")
            finally:
                os._exit(0)
        await asyncio.to_thread(os.waitpid, child, 0)
        assert os.read(reading, 100) == b"nothing"
        os.close(reading)
        os.close(writing)
        assert told(registry)


async def test_a_registry_that_refuses_fails_no_opening(tmp_path: Path) -> None:
    class Full(CollectorRegistry):
        def register(self, collector: Any) -> None:
            raise ValueError("Duplicated timeseries")

    async with open_memory(tmp_path / "m", embedder="hash", metrics=Full()) as memory:
        await memory.recall("boat", user_id="ana")
        assert (await memory.latencies())["recall"].calls == 1


async def test_an_engine_with_odd_figures_spoils_no_scrape(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    one = await open_memory(tmp_path / "one", embedder="hash", metrics=registry)
    two = await open_memory(tmp_path / "two", embedder="hash", metrics=registry)
    observer = one._lazy.observer
    assert observer is not None
    await observer.closing()  # so that nothing looks again meanwhile
    observer.report, observer.reported_at = {"rows": None, "problems": 3}, 1.0
    scrape = told(registry)
    assert value(scrape, "operations_total", store="two", operation="connect", outcome="ok") == 1
    assert value(scrape, "operations_total", store="one", operation="connect", outcome="ok") == 1
    assert value(told(registry), "observing_failures_total", work="answer a scrape") >= 1
    await one.close()
    await two.close()


async def test_a_scrape_of_another_thread_while_it_works(tmp_path: Path) -> None:
    registry, ended = CollectorRegistry(), threading.Event()
    scrapes: list[Told] = []

    def scrape() -> None:
        while not ended.wait(0.01):
            scrapes.append(told(registry))

    async with open_memory(tmp_path / "m", embedder="hash", metrics=registry) as memory:
        scraping = asyncio.create_task(asyncio.to_thread(scrape))
        await used(memory)
        while len(scrapes) < 3:  # noqa: ASYNC110 - a thread makes them
            await asyncio.sleep(0.01)
        ended.set()
        await scraping
    labels = (("operation", "recall"), ("outcome", "ok"), ("store", "m"))
    counts = [one.get(("bruno_memory_operations_total", labels), 0.0) for one in scrapes]
    assert counts == sorted(counts)


async def test_it_is_served_alone_and_mounted(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with open_memory(tmp_path / "m", embedder="hash", metrics=registry) as memory:
        await memory.recall("boat", user_id="ana")
        with pytest.raises(OverflowError):
            serve_metrics(70_000, registry=registry)
        from prometheus_client import start_http_server

        server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
        taken = server.server_port
        with pytest.raises(OSError, match="in use"):
            serve_metrics(taken, registry=registry)
        server.shutdown()
        server.server_close()
        thread.join()
        end = serve_metrics(taken, registry=registry)
        try:
            url = f"http://127.0.0.1:{taken}/metrics"
            answer = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
        finally:
            end()
        assert 'bruno_memory_operations_total{operation="recall"' in answer
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
        await metrics_app(registry)(scope, receive, send)
        assert sent[0]["status"] == 200
        assert b"bruno_memory_operations_total" in sent[1]["body"]


async def test_off_it_is_not_there(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "m", embedder="hash") as memory:
        assert memory._lazy.observer is None
        with pytest.raises(InvalidInputError, match=r"metrics.*off.*metrics="):
            await memory.latencies()


async def test_in_the_process_alone_no_package_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    async with open_memory(tmp_path / "m", embedder="hash", metrics="process") as memory:
        await memory.recall("boat", user_id="ana")
        assert (await memory.latencies())["recall"].calls == 1
    with pytest.raises(MissingDependencyError, match=r"bruno-memory-vec\[metrics\]"):
        VectorMemory(tmp_path / "n", metrics=True)
    with pytest.raises(MissingDependencyError, match=r"bruno-memory-vec\[otel\]"):
        VectorMemory(tmp_path / "n", tracing=True)


@pytest.mark.parametrize("given", ["prometheus", 1.5, object(), [], "ja"])
def test_odd_settings_are_refused_by_name(given: Any) -> None:
    with pytest.raises(InvalidInputError, match="metrics"):
        VectorMemory("memory://", metrics=given)
    with pytest.raises(InvalidInputError, match="tracing"):
        VectorMemory("memory://", tracing=given)
    with pytest.raises(InvalidInputError, match="operation_log"):
        VectorMemory("memory://", operation_log=given)
    with pytest.raises(InvalidInputError, match="audit_key"):
        VectorMemory("memory://", operation_log_users="hashed")
    with pytest.raises(InvalidInputError, match="operation_log_users"):
        VectorMemory("memory://", operation_log_users="given", key=b"k" * 32)


def test_the_environment_switches_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRUNO_MEMORY_METRICS", "process")
    monkeypatch.setenv("BRUNO_MEMORY_OPERATION_LOG", "json")
    observer = VectorMemory("memory://")._lazy.observer
    assert observer is not None
    assert observer.recorder is not None
    assert observer.log is not None
    monkeypatch.setenv("BRUNO_MEMORY_METRICS", "off")
    monkeypatch.setenv("BRUNO_MEMORY_OPERATION_LOG", "off")
    assert VectorMemory("memory://")._lazy.observer is None


def test_every_metric_is_named_once_and_by_the_rules() -> None:
    names = [full_name(metric) for metric in METRICS]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"bruno_memory_[a-z][a-z_]*[a-z]", name) for name in names)
