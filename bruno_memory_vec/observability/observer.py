"""The one thing that the rest of the library knows of this room: None where nothing was asked for.

What it is told never fails and never waits: an exporter, a span processor or a handler of logs that
raises is counted, logged once, and the operation goes on.
"""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.observability.operation_log import OperationLog
from bruno_memory_vec.observability.recorder import Outcome, Recorder
from bruno_memory_vec.observability.stages import Stage, Stages
from bruno_memory_vec.observability.tracing import Tracing, conventional

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_log = get_logger(__name__)

#: How old the sizes may be that a scrape is told, in seconds, while the memory is used.
SIZES_EVERY: Final = 10.0

# Closing waits so many seconds for such a look.
_LOOKING_MAY_TAKE: Final = 5.0

#: What is measured in parts, as :meth:`.Recorder.took` has it.
RECALL, WRITE, CONTEXT = "recall_stage", "write_stage", "context_stage"
BACKGROUND = "background"


class Acted(Protocol):
    """A call of a public method (:class:`.acts.Act`)."""

    action: Any
    error: str | None
    refused: bool
    users: dict[str, None]
    talks: dict[str, None]
    counts: dict[str, int]


class Committed(Protocol):
    """A call whose rows are committed (:class:`.writing.queue.Request`)."""

    rows: list[Any]
    asked_at: int
    ahead: list[Stage]

    @property
    def watch(self) -> Watch | None:
        """The operation that it is part of."""
        ...


class Figures(Protocol):
    """An open store, as a scrape asks it: at once, from any thread."""

    def figures(self) -> Mapping[str, float]:
        """What changes from moment to moment, by its name."""
        ...


class Watch:
    """One operation that goes on.

    Attributes:
        operation: its name.
        span: its span; None where nothing is traced.
        changed: by kind, how many rows it stored or deleted.
    """

    __slots__ = ("_act", "_began", "_observer", "_timed", "_token", "changed", "operation", "span")

    def __init__(self, observer: Observer, operation: str, act: Acted, *, timed: bool) -> None:
        self._observer = observer
        self._act = act
        self._timed = timed
        self.operation = operation
        self.span: Span | None = None
        self.changed: dict[str, int] = {}
        self._token: Any = None
        if observer.recorder is not None:
            observer.recorder.begun(operation)
        if observer.tracing is not None:
            try:
                self.span, self._token = observer.tracing.begin(operation)
            except Exception as error:
                observer.failed("begin a span", error)
        self._began = time.perf_counter()

    def pause(self) -> None:
        """The caller goes on between two results, so the span is not the current one."""
        token, self._token = self._token, None
        observer = self._observer
        if token is not None and observer.tracing is not None:
            observer.tried("leave a span", observer.tracing.leave, token)

    def resume(self) -> None:
        """The caller asks for the next result."""
        observer = self._observer
        if self.span is not None and self._token is None and observer.tracing is not None:
            self._token = observer.tried("enter a span", observer.tracing.enter, self.span)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Around work that another task does for it: its span is the current one there."""
        with self._observer.on_behalf_of(self.span):
            yield

    def stored(self, kind: str, count: int) -> None:
        """So many rows of a kind were changed for it."""
        self.changed[kind] = self.changed.get(kind, 0) + count

    def end(self, *, cancelled: bool = False) -> None:
        """It has ended; how, the act says."""
        seconds = time.perf_counter() - self._began
        try:
            self._end(seconds, cancelled)
        except Exception as error:
            self._observer.failed("end an operation", error)

    def _end(self, seconds: float, cancelled: bool) -> None:
        observer, act = self._observer, self._act
        outcome: Outcome = "ok"
        if act.error is not None:
            outcome = "cancelled" if cancelled else "refused" if act.refused else "failed"
        if observer.recorder is not None:
            observer.recorder.ended(
                self.operation, outcome, seconds if self._timed else None, act.error
            )
            if outcome == "ok" and act.action in ("read", "export"):
                for kind, count in act.counts.items():
                    observer.recorder.count("rows_given", self.operation, kind, count)
        counts = act.counts if act.action in ("read", "export") else self.changed
        trace = None
        if self.span is not None and observer.tracing is not None:
            try:
                context = self.span.get_span_context()
                trace = f"{context.trace_id:032x}" if context.is_valid else None
                # Its own error, so that it is the current one no more whatever the processor does.
                self.pause()
                observer.tracing.end(self.span, counts=counts, error=act.error, talks=act.talks)
            except Exception as error:
                observer.failed("end a span", error)
        if observer.log is not None and observer.log.writes:
            observer.log.write(
                self.operation,
                act.action,
                outcome,
                seconds,
                error=act.error,
                counts=counts,
                users=act.users,
                trace=trace,
            )
        observer.look_if_due()


class Observer:
    """Measures, traces and logs what one memory does. One for a memory and all its views.

    Args:
        name: what names the store in metrics, spans and lines.
        recorder: keeps numbers.
        tracing: makes spans.
        log: writes a line an operation.
        expose: gives the recorder to a scrape when the store is open; returns what takes it back.
    """

    def __init__(
        self,
        name: str,
        recorder: Recorder | None = None,
        tracing: Tracing | None = None,
        log: OperationLog | None = None,
        expose: Callable[[Observer], Callable[[], None]] | None = None,
    ) -> None:
        self.name = name
        self.recorder = recorder
        self.tracing = tracing
        self.log = log
        #: The report of ``health()``, looked at from time to time: sizes, problems.
        self.report: Mapping[str, Any] = {}
        #: When that was, by ``time.time``.
        self.reported_at = 0.0
        #: When the store was opened, by ``time.time``; 0 while it is not.
        self.opened_at = 0.0
        self._expose = expose
        self._withdraw: Callable[[], None] | None = None
        self._health: Callable[[], Awaitable[Mapping[str, Any]]] | None = None
        self._store: Callable[[], Figures | None] = lambda: None
        self._looking: asyncio.Task[None] | None = None
        self._due_at = 0.0
        self._told: set[str] = set()
        self._process = os.getpid()

    # The store's life

    def opened(self, store: Figures, health: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        """The store is open.

        Args:
            store: it is asked at each scrape. It is not kept open by this.
            health: its sizes and problems; it must not keep the store open.
        """
        self._store, self._health = weakref.ref(store), health
        self.opened_at = time.time()
        if self._expose is not None and self._withdraw is None:
            try:
                self._withdraw = self._expose(self)
            except Exception as error:
                self.failed("register the metrics", error)
        self.look_if_due()

    async def closing(self) -> None:
        """The store is about to be closed: nothing looks at it any more."""
        self._health = None
        looking, self._looking = self._looking, None
        if looking is None or looking.done():
            return
        if looking.get_loop() is asyncio.get_running_loop():
            # It takes milliseconds, and threads of it may be in the files; a server may be away.
            await asyncio.wait([looking], timeout=_LOOKING_MAY_TAKE)
            looking.cancel()

    def closed(self) -> None:
        """The store is closed, so a scrape hears of it no more."""
        self.opened_at, self._store = 0.0, lambda: None
        withdraw, self._withdraw = self._withdraw, None
        if withdraw is not None:
            try:
                withdraw()
            except Exception as error:
                self.failed("take the metrics back", error)

    @property
    def is_here(self) -> bool:
        """Whether this is the process that the memory is in, and no child of it."""
        return os.getpid() == self._process

    def figures(self) -> Mapping[str, float]:
        """What the open store says of this moment; nothing where it is closed."""
        store = self._store()
        return {} if store is None else store.figures()

    # Operations

    def begin(self, operation: str, act: Acted, *, timed: bool = True) -> Watch | None:
        """An operation begins; None where that cannot be followed."""
        try:
            return Watch(self, operation, act, timed=timed)
        except Exception as error:
            self.failed("begin an operation", error)
            return None

    def recalled(
        self,
        watch: Watch | None,
        stages: Stages,
        query: str,
        found: Sequence[Any],
        *,
        without_words: bool,
    ) -> None:
        """A recall has ended, of a caller or for a context.

        Args:
            watch: the operation that it is part of; None in the background.
            stages: its parts.
            query: the question.
            found: the hits.
            without_words: whether it was answered by meaning only, as the words could not be read.
        """
        try:
            if self.recorder is not None:
                for stage in stages.stages:
                    self.recorder.took(RECALL, stage.name, stage.seconds)
                self.recorder.count("recalls", "hits" if found else "nothing")
                if without_words:
                    self.recorder.count("recalls_without_words")
            span = None if watch is None else watch.span
            if self.tracing is None or span is None or watch is None:
                return
            self.tracing.stages(span, stages.stages, "bruno.memory.recall")
            if conventional(watch.operation) == "search_memory":
                self.tracing.query(span, query)
                if self.tracing.content:
                    self.tracing.records(
                        span, ((str(hit.id), hit.content, hit.score) for hit in found)
                    )
        except Exception as error:
            self.failed("follow a recall", error)

    def built(self, watch: Watch | None, stages: Stages, tokens: int) -> None:
        """A context was built for a question.

        Args:
            watch: the operation that it is part of.
            stages: its parts, in which recalls are parts of their own.
            tokens: how many tokens it has.
        """
        try:
            if self.recorder is not None:
                for stage in stages.stages:
                    self.recorder.took(CONTEXT, stage.name, stage.seconds)
                self.recorder.amount("context_tokens", tokens)
            span = None if watch is None else watch.span
            if self.tracing is not None and span is not None:
                told = {"bruno.memory.context.tokens": tokens}
                self.tracing.stages(span, stages.stages, "bruno.memory.context", told)
        except Exception as error:
            self.failed("follow a context", error)

    # Commits

    @contextmanager
    def commit(self, requests: Sequence[Committed]) -> Iterator[Stages]:
        """Around a commit of several calls; its parts are noted in what is given."""
        stages = Stages()
        first = next((span for one in requests if (span := _span(one)) is not None), None)
        error: str | None = None
        with self.on_behalf_of(first):
            try:
                yield stages
            except BaseException as raised:
                error = type(raised).__name__
                raise
            finally:
                try:
                    self._committed(requests, stages, error)
                except Exception as raised:
                    self.failed("follow a commit", raised)

    def _committed(self, requests: Sequence[Committed], stages: Stages, error: str | None) -> None:
        rows = sum(len(one.rows) for one in requests)
        recorder = self.recorder
        if recorder is not None:
            for stage in stages.stages:
                recorder.took(WRITE, stage.name, stage.seconds)
            for one in requests:
                if one.asked_at:
                    recorder.took(WRITE, "wait", (stages.began - one.asked_at) / 1e9)
                for stage in one.ahead:
                    recorder.took(WRITE, stage.name, stage.seconds)
            if error is None:
                recorder.amount("write_batch_rows", rows)
                recorder.amount("write_batch_calls", len(requests))
        for one in requests if error is None else ():
            for kind, count in Counter(row["kind"] for row in one.rows).items():
                if recorder is not None:
                    recorder.count("rows_written", kind, by=count)
                if one.watch is not None:
                    one.watch.stored(kind, count)
        if self.tracing is None:
            return
        shared = {"bruno.memory.batch.rows": rows, "bruno.memory.batch.calls": len(requests)}
        for one in requests:
            span = _span(one)
            if span is not None:
                self.tracing.conversations(span, {row.get("conversation_id") for row in one.rows})
                waited = [Stage("wait", one.asked_at, stages.began)] if one.asked_at else []
                parts = [*waited, *one.ahead, *stages.stages]
                self.tracing.stages(span, parts, "bruno.memory.write", shared)

    def copied(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of another store, or of a file, were committed."""
        if self.recorder is not None:
            for kind, count in Counter(row["kind"] for row in rows).items():
                self.recorder.count("rows_written", kind, by=count)

    def deleted(self, watch: Watch | None, rows: int) -> None:
        """Rows were deleted, by a caller, or in the background."""
        if self.recorder is not None and rows:
            self.recorder.count("rows_deleted", by=rows)
        if watch is not None and rows:
            watch.stored("deleted", rows)

    @contextmanager
    def on_behalf_of(self, span: Span | None) -> Iterator[None]:
        """Around work for a caller: what it traces belongs to the caller's span."""
        tracing = self.tracing
        token = None if tracing is None else self.tried("enter a span", tracing.enter, span)
        try:
            yield
        finally:
            if tracing is not None and token is not None:
                self.tried("leave a span", tracing.leave, token)

    def tried(self, work: str, function: Callable[..., Any], *given: Any) -> Any:
        """What a function gives; None where it fails."""
        try:
            return function(*given)
        except Exception as error:
            self.failed(work, error)
            return None

    # Background work

    @contextmanager
    def background(self, work: str) -> Iterator[None]:
        """Around work that no caller waits for: a trace of its own."""
        tracing, began = self.tracing, time.perf_counter()
        span = None
        if tracing is not None:
            span = self.tried("begin a span", tracing.begin_background, work)
        error: BaseException | None = None
        with self.on_behalf_of(span):
            try:
                yield
            except BaseException as raised:
                error = raised
                raise
            finally:
                self.tried("end background work", self._ended, work, began, span, error)

    def _ended(
        self, work: str, began: float, span: Span | None, error: BaseException | None
    ) -> None:
        if self.recorder is not None:
            cancelled = isinstance(error, asyncio.CancelledError)
            outcome = "ok" if error is None else "cancelled" if cancelled else "failed"
            self.recorder.took(BACKGROUND, work, time.perf_counter() - began)
            self.recorder.count("background_runs", work, outcome)
        if self.tracing is not None and span is not None:
            self.tracing.end(span, counts={}, error=None if error is None else type(error).__name__)

    # Sizes and problems

    def look_if_due(self) -> None:
        """Look at sizes and problems in the background, if that was a while ago."""
        if self.recorder is None or self._health is None or time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + SIZES_EVERY
        self._looking = asyncio.get_running_loop().create_task(
            self._look(self._health), name="bruno-memory: look at sizes"
        )

    async def _look(self, health: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        try:
            self.report = await health()
            self.reported_at = time.time()
        except Exception as error:
            self.failed("look at sizes", error)

    # What goes wrong here

    def failed(self, work: str, error: Exception) -> None:
        """Something of this room has failed: it is counted, and logged the first time."""
        if self.recorder is not None:
            self.recorder.count("observing_failures", work)
        if work not in self._told:
            self._told.add(work)
            _log.warning("observing_failed", work=work, error=f"{type(error).__name__}: {error}")


def _span(request: Committed) -> Span | None:
    watch = request.watch
    return None if watch is None else watch.span
