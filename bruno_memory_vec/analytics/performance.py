"""Performance: how often each operation of this memory was called, and how long it took.

The figures are those of :mod:`bruno_memory_vec.observability`, which keeps them in the process
where the memory was opened with ``metrics``; nothing of them is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import pyarrow as pa

from bruno_memory_vec.analytics.result import NUMBER, TEXT, WHOLE, Result, Shown
from bruno_memory_vec.observability.recorder import Recorder


@dataclass(frozen=True, slots=True)
class OperationTime:
    """One operation since the memory was made.

    Attributes:
        operation: its name, such as "recall" or "conversations.list".
        calls: how many have ended.
        failed: how many of them raised an error, refusals included.
        seconds: of all of them together.
        mean, p50, p95, p99, longest: of one, in seconds; quantiles are read off buckets that are
            12 % wide. 0 where nothing was timed.
    """

    operation: str
    calls: int
    failed: int
    seconds: float
    mean: float
    p50: float
    p95: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class Performance(Result):
    """How long the operations of this memory took, of all its users.

    Attributes:
        measured: whether anything is; it is not where the memory was opened without ``metrics``.
        since: when measuring began, UTC; None where it did not.
        operations: the one that took most time in all first.
    """

    measured: bool
    since: datetime | None
    operations: tuple[OperationTime, ...]

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "operation": TEXT,
        "calls": WHOLE,
        "failed": WHOLE,
        "seconds": NUMBER,
        "mean": NUMBER,
        "p50": NUMBER,
        "p95": NUMBER,
        "p99": NUMBER,
        "longest": NUMBER,
    }

    def records(self) -> list[dict[str, Any]]:
        """A row for each operation."""
        return [{name: getattr(one, name) for name in self.columns} for one in self.operations]

    def shown(self) -> list[Shown]:
        """A row for each operation, in milliseconds."""
        if not self.measured:
            note = 'Nothing is measured: open the memory with metrics="process".'
            return [Shown("Performance", notes=(note,))]
        rows = tuple(
            (
                one.operation,
                f"{one.calls:,}",
                *(f"{1000 * value:.1f}" for value in (one.p50, one.p95, one.p99)),
            )
            for one in self.operations
        )
        heads = ("", "calls", "p50", "p95", "p99 ms") if rows else ()
        return [Shown("Performance", heads, rows, frozenset((1, 2, 3, 4)))]

    def _draw(self, axes: Any) -> Any:
        from bruno_memory_vec.analytics.plots import draw_performance

        return draw_performance(self, axes)


def performance(recorder: Recorder | None) -> Performance:
    """What a recorder has measured; None where there is none."""
    if recorder is None:
        return Performance(False, None, ())
    found = [
        OperationTime(
            operation=one.operation,
            calls=one.calls,
            failed=sum(one.errors.values()),
            seconds=one.latency.seconds,
            mean=one.latency.mean,
            p50=one.latency.p50,
            p95=one.latency.p95,
            p99=one.latency.p99,
            longest=one.latency.longest,
        )
        for one in recorder.operations().values()
        if one.calls
    ]
    found.sort(key=lambda one: (-one.seconds, one.operation))
    return Performance(True, recorder.since, tuple(found))
