"""The numbers of one memory, kept in the process: what was called, how long it took, how it ended.

They grow with the number of different operations, never with the number of calls, and hold neither
ids nor texts. Any thread may tell and ask them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from threading import Lock
from typing import Any, Final, Literal, get_args

from bruno_memory_vec.observability.latency import AMOUNTS, Histogram, Latency

#: How an operation ended. A refusal is a caller who may not do that, or names another user's.
Outcome = Literal["ok", "refused", "failed", "cancelled"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

#: What counts as an error of another name, once so many names are known: a user's embedder may
#: raise classes that it makes as it goes.
OTHER_ERROR: Final = "other"
_MOST_ERRORS: Final = 64


@dataclass(frozen=True, slots=True)
class OperationFigures:
    """What is known of one public method, since the memory was made.

    Attributes:
        operation: its name, such as "recall", or of a manager "conversations.list".
        outcomes: how often it ended how: "ok", "refused", "failed", "cancelled".
        in_flight: how many calls of it run now.
        errors: by the name of the error's class, how often it was raised, refusals among them.
        latency: how long it took. Of methods that give their results one by one nothing is
            measured, as that is the caller's time too.
    """

    operation: str
    outcomes: Mapping[str, int]
    in_flight: int
    errors: Mapping[str, int]
    latency: Latency

    @property
    def calls(self) -> int:
        """How many calls have ended."""
        return sum(self.outcomes.values())

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return {
            "operation": self.operation,
            "calls": self.calls,
            "outcomes": dict(self.outcomes),
            "in_flight": self.in_flight,
            "errors": dict(self.errors),
            "latency": self.latency.to_dict(),
        }


class _Operation:
    __slots__ = ("errors", "in_flight", "outcomes", "times")

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.in_flight = 0
        self.times = Histogram()


class Recorder:
    """The numbers of one memory and all its views. See :attr:`operations` for the quick look.

    ``memory.latencies()`` gives :meth:`operations` of an open memory; a room of the library finds
    the recorder as ``handle.lazy.observer.recorder``, where ``observer`` and ``recorder`` are None
    unless the memory was opened with ``metrics=``.
    """

    def __init__(self) -> None:
        #: When it began to count (timezone-aware).
        self.since = datetime.now(timezone.utc)
        self._lock = Lock()
        self._operations: dict[str, _Operation] = {}
        self._errors: set[str] = set()
        # By what is measured and of which part of it, such as ("recall_stage", "lexical").
        self._times: dict[tuple[str, str], Histogram] = {}
        self._amounts: dict[str, Histogram] = {}
        self._counts: Counter[tuple[str, str, str]] = Counter()

    # What it is told

    def begun(self, operation: str) -> None:
        """A call has begun."""
        with self._lock:
            self._of(operation).in_flight += 1

    def ended(
        self, operation: str, outcome: Outcome, seconds: float | None, error: str | None = None
    ) -> None:
        """A call that had begun has ended.

        Args:
            operation: its name.
            outcome: how it ended.
            seconds: how long it took; None where that says nothing of the memory.
            error: the name of the class of what it raised.
        """
        with self._lock:
            one = self._of(operation)
            one.in_flight -= 1
            one.outcomes[outcome] += 1
            if seconds is not None:
                one.times.add(seconds)
            if error is not None:
                one.errors[self._known(error)] += 1

    def took(self, what: str, part: str, seconds: float) -> None:
        """A part of something took so long, such as the stage "lexical" of a recall."""
        with self._lock:
            times = self._times.get((what, part))
            if times is None:
                times = self._times[what, part] = Histogram()
            times.add(seconds)

    def amount(self, what: str, value: float) -> None:
        """There were so many of something, such as rows in a commit."""
        with self._lock:
            amounts = self._amounts.get(what)
            if amounts is None:
                amounts = self._amounts[what] = Histogram(AMOUNTS)
            amounts.add(value)

    def count(self, what: str, first: str = "", second: str = "", by: int = 1) -> None:
        """Something happened; ``first`` and ``second`` say of which kind, from a small set."""
        with self._lock:
            self._counts[what, first, second] += by

    # What it tells

    def operations(self) -> dict[str, OperationFigures]:
        """What is known of each public method that was called, by its name."""
        with self._lock:
            copies = {
                name: (dict(one.outcomes), one.in_flight, dict(one.errors), one.times.copy())
                for name, one in self._operations.items()
            }
        return {
            name: OperationFigures(name, outcomes, in_flight, errors, times.latency())
            for name, (outcomes, in_flight, errors, times) in sorted(copies.items())
        }

    def stages(self, what: str) -> dict[str, Latency]:
        """How long the parts of something took: of "recall_stage" or "write_stage" the stages, of
        "background" the work that no caller waits for."""
        return {part: times.latency() for part, times in self.times(what).items()}

    def operation_times(self) -> dict[str, Histogram]:
        """The histograms of the operations, copied."""
        with self._lock:
            return {name: one.times.copy() for name, one in sorted(self._operations.items())}

    def times(self, what: str) -> dict[str, Histogram]:
        """The histograms of the parts of something, copied."""
        with self._lock:
            return {
                part: times.copy()
                for (kind, part), times in sorted(self._times.items())
                if kind == what
            }

    def amounts(self, what: str) -> Histogram | None:
        """How many there were of something each time; None where there was none."""
        with self._lock:
            found = self._amounts.get(what)
            return None if found is None else found.copy()

    def counts(self, what: str) -> dict[tuple[str, str], int]:
        """How often something happened, by its two kinds."""
        with self._lock:
            return {
                (first, second): count
                for (kind, first, second), count in sorted(self._counts.items())
                if kind == what
            }

    def _of(self, operation: str) -> _Operation:
        found = self._operations.get(operation)
        if found is None:
            found = self._operations[operation] = _Operation()
        return found

    def _known(self, error: str) -> str:
        if error in self._errors:
            return error
        if len(self._errors) >= _MOST_ERRORS:
            return OTHER_ERROR
        self._errors.add(error)
        return error
