"""Spans, as OpenTelemetry's own SDK gets them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bruno_core.models.message import Message, MessageRole
from numpy.typing import NDArray
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.embedders.protocol import EmbedKind, Fingerprint
from bruno_memory_vec.errors import NotPermittedError
from bruno_memory_vec.observability.tracing import conventional

SECRET = "the harbour of Ystad"


class Spans:
    """The spans that have ended, and a provider that makes them."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def all(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def of(self, operation: str) -> list[ReadableSpan]:
        """The spans of an operation of ours."""
        return [
            span
            for span in self.all()
            if (span.attributes or {}).get("bruno.memory.operation") == operation
        ]

    def inside(self, span: ReadableSpan) -> list[ReadableSpan]:
        """The spans whose parent it is."""
        return [
            one for one in self.all() if one.parent and one.parent.span_id == span.context.span_id
        ]


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.provider.shutdown()


def said(text: str) -> Message:
    return Message(role=MessageRole.USER, content=text)


class Remote:
    """An embedder that traces its own calls, as a client of a provider does."""

    fingerprint = Fingerprint("remote", "1", 8)

    def __init__(self, provider: TracerProvider) -> None:
        self.tracer = provider.get_tracer("a provider's client")

    async def embed(self, texts: Any, *, kind: EmbedKind = "document") -> NDArray[np.float32]:
        with self.tracer.start_as_current_span(f"POST {kind}"):
            await asyncio.sleep(0)
        return np.eye(8, dtype=np.float32)[[len(text) % 8 for text in texts]]


async def test_a_recall_and_a_write_of_a_caller_with_a_span(tmp_path: Path, spans: Spans) -> None:
    mine = spans.provider.get_tracer("an application")
    async with open_memory(tmp_path / "m", embedder="hash", tracing=spans.provider) as memory:
        with mine.start_as_current_span("turn") as turn:
            await memory.store_message(said(SECRET), "c", user_id="ana")
            hits = await memory.recall("harbour", user_id="ana")
            assert trace.get_current_span() is turn
    (stored,), (asked,) = spans.of("store_message"), spans.of("recall")
    for span in (stored, asked):
        assert span.parent is not None
        assert span.parent.span_id == turn.get_span_context().span_id
        assert span.kind is trace.SpanKind.INTERNAL
        assert span.status.status_code is StatusCode.UNSET
    assert stored.name == "upsert_memory"
    assert dict(stored.attributes or {}) == {
        "gen_ai.operation.name": "upsert_memory",
        "gen_ai.memory.store.id": "m",
        "gen_ai.memory.record.count": 1,
        "bruno.memory.operation": "store_message",
    }
    assert asked.name == "search_memory"
    assert (asked.attributes or {})["gen_ai.memory.record.count"] == len(hits) == 1
    writes = [span.name.rpartition(".")[2] for span in spans.inside(stored)]
    assert writes == ["wait", "embed", "place", "announce", "rows", "projections"]
    reads = {span.name.rpartition(".")[2] for span in spans.inside(asked)}
    assert reads >= {"rows", "embedding", "lexical", "semantic", "fetching", "ranking"}
    for span in (*spans.inside(stored), *spans.inside(asked)):
        outer = stored if span in spans.inside(stored) else asked
        assert outer.start_time <= span.start_time <= span.end_time <= outer.end_time + 1_000_000
    everything = json.dumps([json.loads(span.to_json()) for span in spans.all()])
    assert "Ystad" not in everything
    assert "harbour" not in everything
    assert "ana" not in everything


async def test_calls_that_share_a_commit_have_its_parts_each(tmp_path: Path, spans: Spans) -> None:
    embedder = Remote(spans.provider)
    mine = spans.provider.get_tracer("an application")
    async with open_memory(tmp_path / "m", embedder=embedder, tracing=spans.provider) as memory:

        async def store(number: int) -> int:
            with mine.start_as_current_span(f"caller {number}") as span:
                text = said(f"text {number}")
                await memory.store_message(text, f"c{number}", user_id=f"u{number}")
                return span.get_span_context().trace_id

        traces = await asyncio.gather(*(store(number) for number in range(8)))
        again = await asyncio.create_task(store(9))
    stored = spans.of("store_message")
    assert {span.context.trace_id for span in stored} == {*traces, again}
    for span in stored:
        parts = [one.name for one in spans.inside(span)]
        assert "bruno.memory.write.rows" in parts
        assert {one.context.trace_id for one in spans.inside(span)} == {span.context.trace_id}
    sizes = [
        (one.attributes or {})["bruno.memory.batch.calls"]
        for span in stored
        for one in spans.inside(span)
        if one.name == "bruno.memory.write.rows"
    ]
    assert max(sizes) > 1, "no two calls shared a commit, so this shows nothing"
    # What the embedder's client does belongs to a caller whose rows it was for, never to one that
    # has ended: the writer's task was begun by an earlier call.
    of_client = [span for span in spans.all() if span.name == "POST document"]
    assert of_client
    callers = {span.context.span_id: span for span in stored}
    for span in of_client:
        assert span.parent is not None
        outer = callers[span.parent.span_id]
        assert outer.start_time <= span.start_time <= outer.end_time
    # A question's vector is asked for inside the recall.
    async with open_memory(tmp_path / "m", embedder=embedder, tracing=spans.provider) as memory:
        await memory.recall("text", user_id="u1")
    (asked,) = spans.of("recall")
    (query,) = [span for span in spans.all() if span.name == "POST query"]
    assert query.context.trace_id == asked.context.trace_id


async def test_content_only_where_it_is_asked_for(tmp_path: Path, spans: Spans) -> None:
    async with open_memory(
        tmp_path / "m", embedder="hash", tracing=spans.provider, trace_content=True
    ) as memory:
        await memory.store_message(said(SECRET), "c", user_id="ana")
        await memory.recall("harbour", user_id="ana")
        await memory.store_message(said(SECRET * 1_000), "long", user_id="bo")
        await memory.recall("harbour " * 5_000, user_id="bo")
    first, second = spans.of("recall")
    told = dict(first.attributes or {})
    assert told["gen_ai.memory.query.text"] == "harbour"
    (record,) = json.loads(str(told["gen_ai.memory.records"]))
    assert record["content"] == SECRET
    assert set(record) == {"id", "content", "score"}
    assert len(str((second.attributes or {})["gen_ai.memory.query.text"])) == 4_000
    assert len(str((second.attributes or {})["gen_ai.memory.records"])) < 5_000
    stored = dict(spans.of("store_message")[0].attributes or {})
    assert stored["gen_ai.conversation.id"] == "c"


async def test_errors_and_streams_and_background_work(tmp_path: Path, spans: Spans) -> None:
    async with open_memory(tmp_path / "m", embedder="hash", tracing=spans.provider) as memory:
        with pytest.raises(NotPermittedError):
            await memory.for_user("ana", role="reader").store_message(said(SECRET), "c")
        await memory.store_message(said(SECRET), "c", user_id="ana")
        following = memory.follow("c")
        begun = asyncio.ensure_future(following.__anext__())
        await asyncio.sleep(0.05)
        await memory.store_message(said("and more"), "c", user_id="ana")
        assert (await begun).content == "and more"
        assert not trace.get_current_span().get_span_context().is_valid
        await following.aclose()
        await memory.clear_history("c", keep_system_messages=False)
    refused = spans.of("store_message")[0]
    assert refused.status.status_code is StatusCode.ERROR
    assert (refused.attributes or {})["error.type"] == "NotPermittedError"
    assert not refused.status.description
    assert not refused.events, "the message may quote what was given"
    (followed,) = spans.of("follow")
    assert (followed.attributes or {})["gen_ai.memory.record.count"] == 1
    (cleared,) = spans.of("clear_history")
    assert cleared.name == "delete_memory"
    assert (cleared.attributes or {})["gen_ai.memory.record.count"] == 2
    background = [span for span in spans.all() if span.name.startswith("bruno.memory.background")]
    assert background
    assert all(span.parent is None for span in background)


async def test_a_processor_that_fails_fails_no_operation(tmp_path: Path) -> None:
    class Broken(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            raise RuntimeError("the exporter is broken")

        def on_end(self, span: Any) -> None:
            raise RuntimeError("the exporter is broken")

    class HalfBroken(SpanProcessor):
        def on_end(self, span: Any) -> None:
            raise RuntimeError("the exporter is broken")

    for number, processor in enumerate((Broken(), HalfBroken())):
        provider = TracerProvider()
        provider.add_span_processor(processor)
        async with open_memory(
            tmp_path / f"m{number}", embedder="hash", tracing=provider, metrics="process"
        ) as memory:
            await memory.store_message(said(SECRET), "c", user_id="ana")
            hits = await memory.recall("harbour", user_id="ana")
            assert [hit.content for hit in hits] == [SECRET]
            assert not trace.get_current_span().get_span_context().is_valid
            observer = memory._lazy.observer
            assert observer is not None
            assert observer.recorder is not None
            assert sum(observer.recorder.counts("observing_failures").values()) >= 3
            while not observer.recorder.counts("background_runs"):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.02)
            await memory.maintain()
            health = await memory.health()
            assert health["problems"] == {}


def test_each_name_of_the_conventions_is_an_operation_that_there_is() -> None:
    from bruno_memory_vec.observability.tracing import GEN_AI

    memory = VectorMemory("memory://", embedder="hash")
    for operation in GEN_AI:
        owner: Any = memory
        for part in operation.split("."):
            owner = getattr(owner, part)
        assert callable(owner), operation
    assert conventional("semantic.add") == "upsert_memory"
    assert conventional("episodic.delete") == "delete_memory"
    assert conventional("users.delete") is None
    assert conventional("health") is None
