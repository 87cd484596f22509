"""Use: which rows are recalled most and least, which never, and which not for long."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from bruno_memory_vec.analytics.bins import binned
from bruno_memory_vec.analytics.reading import Chosen, numbers, parts, rows_by_seq
from bruno_memory_vec.analytics.result import (
    TEXT,
    TIME,
    WHOLE,
    Result,
    Shown,
    percent,
    short,
)
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.indexers.schema import MEMORY, micros
from bruno_memory_vec.recall.copies import COLUMNS as COPIED
from bruno_memory_vec.rows.models import Row, utc
from bruno_memory_vec.store.store import Store

_READ: Final = ("seq", *COPIED, "access_count", "last_accessed", "created_at")
_TOLD: Final = (
    "id",
    "kind",
    "user_id",
    "conversation_id",
    "turn",
    "role",
    "content",
    "created_at",
    "last_accessed",
    "access_count",
)
#: Of a row's text so many characters are given.
EXCERPT: Final = 300
_SHOWN_TEXT: Final = 90
_TOP_SHARE: Final = 0.1
_EDGES: Final = (0, 1, 2, 3, 6, 11, 101)


@dataclass(frozen=True, slots=True)
class UsedRow:
    """A message or memory, and how often it was recalled.

    Attributes:
        id: its id, as text.
        kind: "message" or "memory".
        user_id: whose.
        conversation_id: where it was said; None for a memory without one.
        turn: its turn there; None for a memory.
        text: the beginning of its text, 300 characters at most.
        created_at: when it was said or stored, UTC.
        recalls: how often it was given out by a recall.
        last_recalled: when last, UTC; None where it never was.
    """

    id: str
    kind: str
    user_id: str
    conversation_id: str | None
    turn: int | None
    text: str
    created_at: datetime
    recalls: int
    last_recalled: datetime | None


@dataclass(frozen=True, slots=True)
class RecallBin:
    """Rows that were recalled so often.

    Attributes:
        label: "never", "1", "3-5", "101+".
        smallest: the fewest recalls.
        largest: the most; None for no bound.
        rows: how many rows.
    """

    label: str
    smallest: int
    largest: int | None
    rows: int


@dataclass(frozen=True, slots=True)
class Usage(Result):
    """How often what is stored was recalled. Expired and archived rows are left out.

    Attributes:
        user_id: whose; None for all users.
        rows: how many there are; a message that is in several conversations is one.
        recalls: how often all of them were given out.
        never_recalled: how many rows never were.
        top_share: of all recalls, the share of the tenth of rows that is recalled most, 0..1.
        bins: rows by their number of recalls.
        most: recalled most; of equally many the one that was recalled last first.
        least: recalled at least once, and least; of equally few the one whose recall is longest
            ago first.
        never: never recalled, the oldest first.
        stale_days: for so many days a stale row was neither stored nor recalled.
        stale_rows: how many rows are.
        stale: those that are so for longest first.
    """

    user_id: str | None
    rows: int
    recalls: int
    never_recalled: int
    top_share: float
    bins: tuple[RecallBin, ...]
    most: tuple[UsedRow, ...]
    least: tuple[UsedRow, ...]
    never: tuple[UsedRow, ...]
    stale_days: float
    stale_rows: int
    stale: tuple[UsedRow, ...]

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "list": TEXT,
        "id": TEXT,
        "kind": TEXT,
        "user_id": TEXT,
        "conversation_id": TEXT,
        "turn": WHOLE,
        "text": TEXT,
        "created_at": TIME,
        "recalls": WHOLE,
        "last_recalled": TIME,
    }

    def records(self) -> list[dict[str, Any]]:
        """A row for each listed row; ``list`` is "most", "least", "never" or "stale"."""
        return [
            {"list": name, **{key: getattr(row, key) for key in list(self.columns)[1:]}}
            for name in ("most", "least", "never", "stale")
            for row in getattr(self, name)
        ]

    def shown(self) -> list[Shown]:
        """The sums, and each list."""
        never = percent(self.never_recalled / self.rows) if self.rows else "0 %"
        sums = (
            ("rows", f"{self.rows:,}"),
            ("recalls", f"{self.recalls:,}"),
            ("never recalled", f"{self.never_recalled:,} ({never})"),
            (f"stale for {self.stale_days:g} days", f"{self.stale_rows:,}"),
            ("recalls of the top tenth", percent(self.top_share)),
        )
        tables = [Shown("Use", (), sums, frozenset((1,)))]
        heads = {
            "most": "Most recalled",
            "least": "Least recalled",
            "never": "Never recalled, the oldest",
            "stale": "Stale for longest",
        }
        for name, title in heads.items():
            listed: tuple[UsedRow, ...] = getattr(self, name)
            if listed and not (name == "stale" and listed == self.never):
                tables.append(Shown(title, (), tuple(map(_cells, listed)), frozenset((0,))))
        return tables

    def _draw(self, axes: Any) -> Any:
        from bruno_memory_vec.analytics.plots import draw_usage

        return draw_usage(self, axes)


def _cells(row: UsedRow) -> tuple[str, ...]:
    at = row.created_at if row.last_recalled is None else row.last_recalled
    return (f"{row.recalls:,}", f"{at:%Y-%m-%d}", short(row.text, _SHOWN_TEXT))


async def usage(
    store: Store, scope: Scope, chosen: Chosen, now: datetime, stale_days: float, limit: int
) -> Usage:
    """Read the use of the rows of a scope, and the texts of those that are listed.

    Of copies of one message, the uses are added up.

    Raises:
        EngineError: an engine failed.
    """
    pending = {} if store.writer is None else dict(store.writer.pending_uses)
    # By what is one row: its seq, recalls, last recall or 0, and since when it is there.
    kept = _Kept()
    async for rows in parts(store, scope, chosen, _READ):
        await asyncio.to_thread(kept.add, rows, pending, micros(now))
    seq, recalls, recalled_at, created_at = kept.arrays()
    was = recalls > 0
    quiet_since = np.where(was, np.maximum(recalled_at, created_at), created_at)
    stale = quiet_since < micros(now - timedelta(days=stale_days))
    order = {
        "most": np.flatnonzero(was)[np.lexsort((-seq[was], -recalled_at[was], -recalls[was]))],
        "least": np.flatnonzero(was)[np.lexsort((seq[was], recalled_at[was], recalls[was]))],
        "never": np.flatnonzero(~was)[np.lexsort((seq[~was], created_at[~was]))],
        "stale": np.flatnonzero(stale)[np.lexsort((seq[stale], quiet_since[stale]))],
    }
    listed = {name: places[:limit].tolist() for name, places in order.items()}
    wanted = sorted({int(seq[place]) for places in listed.values() for place in places})
    read = await rows_by_seq(store, scope, wanted, _TOLD)

    def told(places: Iterable[int]) -> tuple[UsedRow, ...]:
        return tuple(
            _used(read[int(seq[place])], int(recalls[place]), int(recalled_at[place]))
            for place in places
            if int(seq[place]) in read
        )

    total = int(recalls.sum())
    top = heapq.nlargest(-(-len(recalls) // int(1 / _TOP_SHARE)), recalls.tolist())
    return Usage(
        user_id=scope.user_id,
        rows=len(seq),
        recalls=total,
        never_recalled=int(np.count_nonzero(~was)),
        top_share=sum(top) / total if total else 0.0,
        bins=_bins(recalls),
        most=told(listed["most"]),
        least=told(listed["least"]),
        never=told(listed["never"]),
        stale_days=stale_days,
        stale_rows=int(np.count_nonzero(stale)),
        stale=told(listed["stale"]),
    )


class _Kept:
    """The numbers of rows, those of copies together."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, bool, str], list[int]] = {}

    def add(self, rows: pa.Table, pending: Mapping[int, int], now: int) -> None:
        """Take some rows in; ``pending`` are uses that are not in the rows yet."""
        columns = (
            *(rows.column(name).to_pylist() for name in ("user_id", "kind", "id")),
            *(
                numbers(rows, name).tolist()
                for name in ("seq", "access_count", "last_accessed", "created_at")
            ),
        )
        for user, kind, name, seq, recalls, at, created in zip(*columns, strict=True):
            more = pending.get(seq, 0)
            used, last = recalls + more, now if more else at
            known = self._of.get((user, kind == MEMORY, name))
            if known is None:
                self._of[user, kind == MEMORY, name] = [seq, used, last if used else 0, created]
                continue
            known[0] = max(known[0], seq)
            known[1] += used
            known[2] = max(known[2], last if used else 0)
            known[3] = min(known[3], created)

    def arrays(self) -> tuple[Any, Any, Any, Any]:
        """seq, recalls, last recall and time of each, int64 (n,)."""
        held = np.array(list(self._of.values()), np.int64).reshape(-1, 4)
        return held[:, 0], held[:, 1], held[:, 2], held[:, 3]


def _used(row: Row, recalls: int, recalled_at: int) -> UsedRow:
    return UsedRow(
        id=row["id"],
        kind=row["kind"],
        user_id=row["user_id"],
        conversation_id=row["conversation_id"],
        turn=row["turn"],
        text=row["content"][:EXCERPT],
        created_at=utc(row["created_at"]),
        recalls=recalls,
        last_recalled=utc(recalled_at) if recalls else None,
    )


def _bins(recalls: Any) -> tuple[RecallBin, ...]:
    never, *others = (RecallBin(*one) for one in binned(recalls, _EDGES))
    return (replace(never, label="never"), *others)
