"""Cost of language models and embeddings, as far as bruno-llm's trackers count it.

A client of bruno-llm has a ``cost_tracker`` with a record for each request. It counts what the
client was asked by anybody in this process since it was made, this memory or others; nothing of it
is stored. A model without one, such as the default embedder, which runs in this process, is named
as not tracked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone, tzinfo
from typing import Any, ClassVar

import pyarrow as pa

from bruno_memory_vec.analytics.periods import zone_name
from bruno_memory_vec.analytics.reading import Chosen
from bruno_memory_vec.analytics.result import DAY, NUMBER, TEXT, WHOLE, Result, Shown, short
from bruno_memory_vec.wording import counted


@dataclass(frozen=True, slots=True)
class CostLine:
    """What one model was asked on one day, and what it cost.

    Attributes:
        used_for: "llm" or "embedding".
        provider: the tracker's name of it.
        model: the model's name.
        day: in the time zone of the result.
        requests: how many.
        input_tokens: as the tracker counted them.
        output_tokens: likewise.
        cost: in ``currency``, by the tracker's prices; 0 where it has none for the model.
        currency: such as "USD".
    """

    used_for: str
    provider: str
    model: str
    day: date
    requests: int
    input_tokens: int
    output_tokens: int
    cost: float
    currency: str


@dataclass(frozen=True, slots=True)
class Costs(Result):
    """What language models and embeddings cost in this process.

    Attributes:
        lines: by model and day, the oldest first.
        totals: by currency, the sum.
        requests: how many.
        untracked: what was used that nobody counts the cost of, and why.
        zone: the time zone of days.
    """

    lines: tuple[CostLine, ...]
    totals: Mapping[str, float]
    requests: int
    untracked: tuple[str, ...]
    zone: str

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "used_for": TEXT,
        "provider": TEXT,
        "model": TEXT,
        "day": DAY,
        "requests": WHOLE,
        "input_tokens": WHOLE,
        "output_tokens": WHOLE,
        "cost": NUMBER,
        "currency": TEXT,
    }

    def records(self) -> list[dict[str, Any]]:
        """A row for each model and day."""
        return [{name: getattr(line, name) for name in self.columns} for line in self.lines]

    def shown(self) -> list[Shown]:
        """The sum of each model, and what is not tracked."""
        sums: dict[tuple[str, str, str], list[float]] = {}
        for line in self.lines:
            known = sums.setdefault((line.used_for, line.model, line.currency), [0, 0, 0])
            known[0] += line.requests
            known[1] += line.input_tokens + line.output_tokens
            known[2] += line.cost
        rows = tuple(
            (use, short(model, 40), f"{asked:,.0f}", f"{tokens:,.0f}", f"{cost:.4f} {currency}")
            for (use, model, currency), (asked, tokens, cost) in sums.items()
        )
        heads = ("", "model", "requests", "tokens", "cost") if rows else ()
        notes = tuple(f"Not tracked: {one}." for one in self.untracked)
        return [Shown("Cost", heads, rows, frozenset((2, 3, 4)), notes)]

    def _draw(self, axes: Any) -> Any:
        from bruno_memory_vec.analytics.plots import draw_costs

        return draw_costs(self, axes)


def costs(llm: Any, embedder: Any, chosen: Chosen, zone: tzinfo) -> Costs:
    """What the trackers of a model and of an embedder have counted.

    Args:
        llm: the model that the memory was given, or None.
        embedder: that of the open store.
        chosen: of which times.
        zone: of days.
    """
    sums: dict[tuple[str, str, str, str, date], list[Any]] = {}
    untracked = []
    seen: set[int] = set()
    for use, asked in (("llm", llm), ("embedding", _provider(embedder))):
        if asked is None:
            continue
        tracker = getattr(asked, "cost_tracker", None)
        history = getattr(tracker, "usage_history", None)
        if not isinstance(history, Sequence):
            untracked.append(f"{use}, by {type(asked).__name__}, which has no cost tracker")
            continue
        if id(tracker) in seen:
            continue
        seen.add(id(tracker))
        provider = str(getattr(tracker, "provider_name", ""))
        currency = str(getattr(tracker, "currency", ""))
        unread = 0
        for record in list(history):
            told = _told(record)
            if told is None:
                unread += 1
                continue
            at, model, given, answered, cost = told
            if chosen.since is not None and at < chosen.since:
                continue
            if chosen.until is not None and at >= chosen.until:
                continue
            key = (use, provider, model, currency, at.astimezone(zone).date())
            known = sums.setdefault(key, [0, 0, 0, 0.0])
            known[0] += 1
            known[1] += given
            known[2] += answered
            known[3] += cost
        if unread:
            untracked.append(f"{use}, {counted(unread, 'record')} not of bruno-llm's tracker")
    lines = [
        CostLine(use, provider, model, day, requests, given, answered, cost, currency)
        for (use, provider, model, currency, day), (requests, given, answered, cost) in sums.items()
    ]
    lines.sort(key=lambda line: (line.day, line.used_for, line.model))
    totals: dict[str, float] = {}
    for line in lines:
        totals[line.currency] = totals.get(line.currency, 0.0) + line.cost
    return Costs(
        lines=tuple(lines),
        totals=totals,
        requests=sum(line.requests for line in lines),
        untracked=tuple(untracked),
        zone=zone_name(zone),
    )


def _provider(embedder: Any) -> Any:
    """What makes the vectors, behind a cache and behind what adapts it."""
    while hasattr(embedder, "inner"):
        embedder = embedder.inner
    return getattr(embedder, "provider", embedder)


def _told(record: Any) -> tuple[datetime, str, int, int, float] | None:
    """Time, model, tokens in and out, and cost of a record; None where it has none of these."""
    try:
        return (
            datetime.fromtimestamp(record.timestamp, timezone.utc),
            str(record.model),
            int(record.input_tokens),
            int(record.output_tokens),
            float(record.total_cost),
        )
    except (AttributeError, TypeError, ValueError, OverflowError, OSError):
        return None
