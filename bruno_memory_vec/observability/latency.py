"""A histogram of times that has a fixed size, however many times it is told."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

# Twenty steps a decade, each about 12 % above the one before (the rounded R20 series of ISO 3), so
# that 1, 2, 2.5 and 5 are among them: the bounds of a scrape are some of these.
_STEPS: Final = (
    *(1.0, 1.12, 1.25, 1.4, 1.6, 1.8, 2.0, 2.24, 2.5, 2.8),
    *(3.15, 3.55, 4.0, 4.5, 5.0, 5.6, 6.3, 7.1, 8.0, 9.0),
)
#: Upper bounds of the buckets, in seconds: from 10 microseconds to 9,000 seconds.
SECONDS: Final = tuple(round(step * 10.0**decade, 10) for decade in range(-5, 4) for step in _STEPS)
#: Upper bounds of the buckets of amounts, such as the rows of a commit: powers of two.
AMOUNTS: Final = tuple(float(2**power) for power in range(17))


@dataclass(frozen=True, slots=True)
class Latency:
    """How long something took.

    Attributes:
        count: how often it was measured.
        seconds: the sum.
        p50, p95, p99: quantiles in seconds, read off buckets that are 12 % wide; 0 where nothing
            was measured.
        longest: the longest, in seconds, exact.
    """

    count: int
    seconds: float
    p50: float
    p95: float
    p99: float
    longest: float

    @property
    def mean(self) -> float:
        """The mean in seconds; 0 where nothing was measured."""
        return self.seconds / self.count if self.count else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values; times in seconds."""
        return {
            "count": self.count,
            "seconds": self.seconds,
            "mean": self.mean,
            "p50": self.p50,
            "p95": self.p95,
            "p99": self.p99,
            "longest": self.longest,
        }


class Histogram:
    """How often which values came. It has no lock of its own.

    Args:
        bounds: upper bounds of its buckets, ascending. What is more than the last one is counted
            in one bucket behind it.
    """

    __slots__ = ("bounds", "buckets", "count", "largest", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.count = 0
        self.total = 0.0
        self.largest = 0.0

    def add(self, value: float) -> None:
        """Count one value; what is less than 0 counts as 0."""
        value = max(value, 0.0)
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.count += 1
        self.total += value
        self.largest = max(self.largest, value)

    def copy(self) -> Histogram:
        """The same, which does not change any more."""
        other = Histogram(self.bounds)
        other.buckets, other.count = self.buckets.copy(), self.count
        other.total, other.largest = self.total, self.largest
        return other

    def quantile(self, share: float) -> float:
        """The value below which a share of all values lies, 0..1; 0 where there is none.

        Within its bucket the values are taken to be spread evenly.
        """
        if not self.count:
            return 0.0
        wanted, below = share * self.count, 0
        for number, inside in enumerate(self.buckets):
            if inside and below + inside >= wanted:
                low = self.bounds[number - 1] if number else 0.0
                high = self.bounds[number] if number < len(self.bounds) else self.largest
                found = low + (high - low) * max(wanted - below, 0.0) / inside
                return min(found, self.largest)
            below += inside
        return self.largest

    def cumulative(self, bounds: Sequence[float]) -> list[int]:
        """For each of some of its bounds, how many values are not more than that."""
        sums = list(accumulate(self.buckets))
        return [sums[bisect_left(self.bounds, bound)] for bound in bounds]

    def latency(self) -> Latency:
        """It as one value."""
        return Latency(
            self.count,
            self.total,
            self.quantile(0.5),
            self.quantile(0.95),
            self.quantile(0.99),
            self.largest,
        )
