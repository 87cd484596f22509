"""The metrics of a memory: name, kind, labels and meaning of each, and their values now.

No label is an id or a text: an operation is a method of ours, an error a class, a stage, a cache
or a work in the background one of a few names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from bruno_memory_vec._version import __version__
from bruno_memory_vec.observability.latency import AMOUNTS, Histogram
from bruno_memory_vec.observability.observer import BACKGROUND, CONTEXT, RECALL, WRITE
from bruno_memory_vec.observability.recorder import OUTCOMES, Recorder

if TYPE_CHECKING:
    from bruno_memory_vec.observability.observer import Observer

Kind = Literal["counter", "gauge", "histogram"]
#: The label that every metric has: which store (``observed_as``).
STORE: Final = "store"

#: Upper bounds of the buckets of times, in seconds. A recall of a user in memory takes some
#: milliseconds, a write one, a copy minutes.
SECONDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 50.0, 250.0),
)


class Metric(NamedTuple):
    """A metric.

    Attributes:
        name: without the suffix that the format gives it (``_total``, ``_bucket``).
        kind: what it is.
        labels: its labels, behind :data:`STORE`.
        help: what it says.
        bounds: upper bounds of the buckets of a histogram.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    bounds: tuple[float, ...] = SECONDS


class Sample(NamedTuple):
    """A value of a metric, or a histogram, with the values of its labels."""

    metric: str
    labels: tuple[str, ...]
    value: float | Histogram


_PREFIX: Final = "bruno_memory_"
_ROWS: Final = tuple(AMOUNTS)

#: All of them.
METRICS: Final[tuple[Metric, ...]] = (
    Metric("operations", "counter", ("operation", "outcome"), "Calls of public methods that ended: "
           "ok, refused, failed, cancelled."),
    Metric("operation_duration_seconds", "histogram", ("operation",), "How long calls took."),
    Metric("operations_in_flight", "gauge", ("operation",), "Calls that run now."),
    Metric("operation_errors", "counter", ("operation", "error"), "Errors raised, by their class, "
           "refusals among them."),
    Metric("rows_given", "counter", ("operation", "kind"), "Messages, memories and others that "
           "reading calls gave out."),
    Metric("recalls", "counter", ("result",), "Questions answered, of callers and for contexts: "
           "with hits, or with nothing."),
    Metric("recalls_without_words", "counter", (), "Questions answered by meaning only, as the "
           "lexical index could not be read."),
    Metric("recall_stage_seconds", "histogram", ("stage",), "How long the parts of a recall took: "
           "rows, freshen, embedding, lexical, semantic (or search), fetching, ranking."),
    Metric("context_stage_seconds", "histogram", ("stage",), "How long the parts of build_context "
           "took: turns, recall, reading, packing."),
    Metric("context_tokens", "histogram", (), "Tokens of the contexts that were built.", _ROWS),
    Metric("write_stage_seconds", "histogram", ("stage",), "How long the parts of a write took: "
           "wait (in the queue), embed, place, announce, rows, projections."),
    Metric("write_batch_rows", "histogram", (), "Rows of a commit.", _ROWS),
    Metric("write_batch_calls", "histogram", (), "Calls whose rows were one commit.", _ROWS),
    Metric("rows_written", "counter", ("kind",), "Rows committed: messages, memories."),
    Metric("rows_deleted", "counter", (), "Rows deleted."),
    Metric("write_queue_rows", "gauge", (), "Rows that are queued or in a commit."),
    Metric("write_queue_limit_rows", "gauge", (), "How many of these make callers wait for room."),
    Metric("write_callers_waiting", "gauge", (), "Callers that wait for room in the queue."),
    Metric("uses_waiting", "gauge", (), "Rows whose uses are counted and not written yet."),
    Metric("sessions_behind", "gauge", (), "1 while something that is stored waits to be written "
           "into the sessions; how often that is written, and how long it takes, is among the "
           "background runs."),
    Metric("cache_lookups", "counter", ("cache", "result"), "Look-ups in the caches of rows "
           "(recall), hot contexts (context) and vectors (embedding): hit, miss."),
    Metric("background_runs", "counter", ("work", "outcome"), "Runs of work that no caller waits "
           "for, such as compaction and erasure: ok, failed, cancelled."),
    Metric("background_seconds", "histogram", ("work",), "How long these took."),
    Metric("rows", "gauge", (), "Rows in the store."),
    Metric("rows_unindexed", "gauge", (), "Rows that the lexical index has not committed."),
    Metric("conversations", "gauge", (), "Conversations in the store."),
    Metric("bytes", "gauge", ("part",), "Bytes of the rows, their log and the files of users on "
           "the disk, and of the caches: rows, log, user_files, recall_cache, embedding_cache."),
    Metric("rows_damaged", "gauge", (), "Rows that are not as they were stored, and are not given "
           "out."),
    Metric("rows_lost", "gauge", (), "1 where rows that were acknowledged are not there any more."),
    Metric("problems", "gauge", (), "Problems that health() names. 0 is healthy."),
    Metric("sizes_timestamp_seconds", "gauge", (), "When sizes and problems were looked at, which "
           "is done every 10 seconds while the memory is used."),
    Metric("opened_timestamp_seconds", "gauge", (), "When the memory was opened."),
    Metric("observing_failures", "counter", ("work",), "Failures of metrics, spans and logs "
           "themselves. No operation fails for one."),
    Metric("info", "gauge", ("version", "embedder", "read_only"), "1; its labels say what is "
           "open."),
)  # fmt: skip

BY_NAME: Final[Mapping[str, Metric]] = {one.name: one for one in METRICS}


def full_name(metric: Metric) -> str:
    """The name in a scrape, without a suffix of the format."""
    return f"{_PREFIX}{metric.name}"


def scraped_name(metric: Metric) -> str:
    """The name as one writes it in a query: of a counter with ``_total``."""
    return f"{full_name(metric)}{'_total' if metric.kind == 'counter' else ''}"


def samples(observer: Observer) -> Iterator[Sample]:
    """The values of all metrics of one memory now."""
    if observer.recorder is not None:
        yield from _recorded(observer.recorder)
    yield from _of_this_moment(observer.figures())
    if observer.opened_at:
        yield Sample("opened_timestamp_seconds", (), observer.opened_at)
    if observer.reported_at:
        yield Sample("sizes_timestamp_seconds", (), observer.reported_at)
        yield from _reported(observer.report)


def _recorded(recorder: Recorder) -> Iterator[Sample]:
    for name, known in recorder.operations().items():
        # Zeros too: of what begins to exist with its first failure, no rate can be taken.
        for outcome in OUTCOMES:
            yield Sample("operations", (name, outcome), known.outcomes.get(outcome, 0))
        for error, count in sorted(known.errors.items()):
            yield Sample("operation_errors", (name, error), count)
        yield Sample("operations_in_flight", (name,), known.in_flight)
    for name, times in recorder.operation_times().items():
        if times.count:
            yield Sample("operation_duration_seconds", (name,), times)
    for metric, what in (
        ("recall_stage_seconds", RECALL),
        ("context_stage_seconds", CONTEXT),
        ("write_stage_seconds", WRITE),
        ("background_seconds", BACKGROUND),
    ):
        for part, times in recorder.times(what).items():
            yield Sample(metric, (part,), times)
    for metric in ("write_batch_rows", "write_batch_calls", "context_tokens"):
        amounts = recorder.amounts(metric)
        if amounts is not None:
            yield Sample(metric, (), amounts)
    for metric in (
        *("rows_given", "recalls", "recalls_without_words", "rows_written", "rows_deleted"),
        *("background_runs", "observing_failures"),
    ):
        used, counts = len(BY_NAME[metric].labels), recorder.counts(metric)
        if metric == "background_runs":
            works = {work for work, _ in counts}
            counts = {(work, how): 0 for work in works for how in ("ok", "failed")} | counts
        zeros = {(first, ""): 0 for first in _FROM_THE_BEGINNING.get(metric, ())}
        for kinds, count in sorted((zeros | counts).items()):
            yield Sample(metric, kinds[:used], count)


# What is told of before it has happened.
_FROM_THE_BEGINNING: Final[Mapping[str, tuple[str, ...]]] = {
    "recalls": ("hits", "nothing"),
    "recalls_without_words": ("",),
    "rows_written": ("message", "memory"),
    "rows_deleted": ("",),
}

_MOMENT: Final[Mapping[str, str]] = {
    "queued_rows": "write_queue_rows",
    "queue_bound": "write_queue_limit_rows",
    "callers_waiting": "write_callers_waiting",
    "uses_to_count": "uses_waiting",
    "sessions_behind": "sessions_behind",
}


def _of_this_moment(figures: Mapping[str, float]) -> Iterator[Sample]:
    for figure, metric in _MOMENT.items():
        if figure in figures:
            yield Sample(metric, (), float(figures[figure]))
    for cache in ("recall", "context", "embedding"):
        for plural, result in (("hits", "hit"), ("misses", "miss")):
            count = figures.get(f"{cache}_{plural}")
            if count is not None:
                yield Sample("cache_lookups", (cache, result), count)


_SIZES: Final[tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]] = (
    ("rows", (), ("rows", "rows")),
    ("rows_unindexed", (), ("lexical", "pending")),
    ("conversations", (), ("sessions", "conversations")),
    ("bytes", ("rows",), ("rows", "bytes")),
    ("bytes", ("log",), ("rows", "log", "bytes")),
    ("bytes", ("user_files",), ("rows", "user_files", "bytes")),
    ("bytes", ("recall_cache",), ("rows", "cache", "bytes")),
    ("bytes", ("embedding_cache",), ("embedding_cache", "bytes")),
)


def _reported(report: Mapping[str, Any]) -> Iterator[Sample]:
    for metric, labels, way in _SIZES:
        value: Any = report
        for name in way:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, (int, float)):
            yield Sample(metric, labels, float(value))
    rows, problems = report.get("rows", {}), report.get("problems", {})
    yield Sample("rows_damaged", (), len(rows.get("damaged") or ()))
    yield Sample("rows_lost", (), float("lost" in problems))
    yield Sample("problems", (), len(problems))
    embedder, read_only = str(report.get("embedder", "")), report.get("read_only", False)
    yield Sample("info", (__version__, embedder, str(bool(read_only)).lower()), 1.0)
