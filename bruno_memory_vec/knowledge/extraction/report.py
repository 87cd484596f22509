"""What an extraction has done."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Stored:
    """How many facts were stored, said again, superseded, and ended."""

    new: int = 0
    repeated: int = 0
    superseded: int = 0
    ended: int = 0


@dataclass(slots=True)
class ExtractionReport:
    """What was read, found and stored.

    Attributes:
        method: "patterns" or "llm".
        turns: how many turns of users were read.
        found: how many facts were found in them, each time one was said.
        new: how many were stored.
        repeated: how many stored ones were said again.
        superseded: how many stored ones another one stands in place of now.
        ended: how many stored ones do not hold any more.
        dropped: facts of a model that the turns do not bear out, by the reason.
        failures: why a model gave no facts for a part of the turns; nothing was stored for it.
        cost: what a model cost, in the currency of its tracker; None where nobody counts.
        seconds: how long models took.
        dry_run: whether nothing was stored.
    """

    method: str
    turns: int = 0
    found: int = 0
    new: int = 0
    repeated: int = 0
    superseded: int = 0
    ended: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    cost: float | None = None
    seconds: float = 0.0
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)

    def spent(self, cost: float | None, seconds: float) -> None:
        """Count one answer, or one that failed."""
        self.seconds += seconds
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost

    def stored(self, done: Stored) -> None:
        """Count what was stored."""
        self.new += done.new
        self.repeated += done.repeated
        self.superseded += done.superseded
        self.ended += done.ended
