"""Growth: how many rows, users, conversations, characters and bytes there are, over time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bruno_memory_vec.access import SPACE
from bruno_memory_vec.analytics import periods
from bruno_memory_vec.analytics.periods import Ints, Period
from bruno_memory_vec.analytics.reading import Chosen, Codes, numbers, parts
from bruno_memory_vec.analytics.result import DAY, TEXT, WHOLE, Result, Shown, bars
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.indexers.schema import MEMORY
from bruno_memory_vec.rows.models import utc
from bruno_memory_vec.store.record import readable_size
from bruno_memory_vec.store.store import Store

_READ: Final = ("user_id", "kind", "conversation_id", "created_at", "content", "metadata")
# A float32.
_BYTES_OF_A_NUMBER: Final = 4
# Of more periods only the last are printed.
_SHOWN: Final = 14


@dataclass(frozen=True, slots=True)
class GrowthPoint:
    """One period: what was added in it, and what there was at its end.

    Attributes:
        start: its first day, in the time zone of the result.
        label: its name, such as "2026-03" or "2026-W09".
        messages: added in it.
        memories: added in it.
        users: whose first row is of it.
        active_users: with a row of it.
        conversations: whose first message is of it.
        active_conversations: with a message of it.
        characters: of the texts that were added.
        bytes: of the texts, metadata and vectors that were added, before any compression.
        total_rows, total_users, total_conversations, total_characters, total_bytes: of all periods
            up to this one.
        disk_bytes: the share of the store's size on disk now that falls to ``total_bytes``: an
            estimate, as files are not kept by time. None where the size is not known.
    """

    start: date
    label: str
    messages: int
    memories: int
    users: int
    active_users: int
    conversations: int
    active_conversations: int
    characters: int
    bytes: int
    total_rows: int
    total_users: int
    total_conversations: int
    total_characters: int
    total_bytes: int
    disk_bytes: int | None

    @property
    def rows(self) -> int:
        """Messages and memories that were added."""
        return self.messages + self.memories


@dataclass(frozen=True, slots=True)
class Growth(Result):
    """How what is stored now has grown, by the times of its rows.

    What was deleted is not counted, also not in the periods in which it was there.

    Attributes:
        user_id: whose; None for all users.
        by: how long a period is.
        zone: the time zone of days.
        points: the periods from the first to the last one with a row; those between without one
            are there, too, unless there would be more than 2,000.
        rows: messages and memories; a message counts in each conversation that it is in.
        messages: how many.
        memories: how many.
        users: how many; shared spaces are none.
        conversations: with a message.
        characters: of all texts.
        bytes: of all texts, metadata and vectors, before any compression.
        disk_bytes: the size of the store's folder now; None of one user, and where there is none.
        first: the time of the oldest row, UTC; None without one.
        last: of the newest.
    """

    user_id: str | None
    by: Period
    zone: str
    points: tuple[GrowthPoint, ...]
    rows: int
    messages: int
    memories: int
    users: int
    conversations: int
    characters: int
    bytes: int
    disk_bytes: int | None
    first: datetime | None
    last: datetime | None

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "start": DAY,
        "label": TEXT,
        "messages": WHOLE,
        "memories": WHOLE,
        "users": WHOLE,
        "active_users": WHOLE,
        "conversations": WHOLE,
        "active_conversations": WHOLE,
        "characters": WHOLE,
        "bytes": WHOLE,
        "total_rows": WHOLE,
        "total_users": WHOLE,
        "total_conversations": WHOLE,
        "total_characters": WHOLE,
        "total_bytes": WHOLE,
        "disk_bytes": WHOLE,
    }

    def records(self) -> list[dict[str, Any]]:
        """A row for each period."""
        return [{name: getattr(point, name) for name in self.columns} for point in self.points]

    def shown(self) -> list[Shown]:
        """The sums, and the last periods."""
        sums = [
            ("messages", f"{self.messages:,}"),
            ("memories", f"{self.memories:,}"),
            ("users", f"{self.users:,}"),
            ("conversations", f"{self.conversations:,}"),
            ("characters", f"{self.characters:,}"),
            ("texts, metadata, vectors", readable_size(self.bytes)),
        ]
        if self.disk_bytes is not None:
            sums.append(("on disk now", readable_size(self.disk_bytes)))
        if self.first is not None and self.last is not None:
            sums.append(("from", f"{self.first:%Y-%m-%d}"))
            sums.append(("to", f"{self.last:%Y-%m-%d}"))
        tables = [Shown("Growth", (), tuple(sums), frozenset((1,)))]
        last = self.points[-_SHOWN:]
        if last:
            drawn = bars([point.rows for point in last])
            rows = tuple(
                (point.label, f"{point.rows:,}", f"{point.total_rows:,}", bar)
                for point, bar in zip(last, drawn, strict=True)
            )
            before = len(self.points) - len(last)
            notes = (f"and {before:,} periods before",) if before else ()
            title = f"Rows by {self.by}, {self.zone}"
            heads = (self.by, "new", "in all", "")
            tables.append(Shown(title, heads, rows, frozenset((1, 2)), notes))
        return tables

    def _draw(self, axes: Any) -> Any:
        from bruno_memory_vec.analytics.plots import draw_growth

        return draw_growth(self, axes)


async def growth(
    store: Store,
    scope: Scope,
    chosen: Chosen,
    by: Any,
    zone: tzinfo,
    *,
    disk_bytes: int | None,
) -> Growth:
    """Count the rows of a scope by their time.

    Args:
        store: the open store.
        scope: whose rows.
        chosen: which of them.
        by: the length of a period, None for one of which there are few.
        zone: of days.
        disk_bytes: the store's size on disk, where it is to be told.

    Raises:
        InvalidInputError: there is no such period.
        EngineError: an engine failed.
    """
    # A period by days is what all longer ones are made of, so one reading is enough.
    counting = _Counting(store.embedder.fingerprint.dimension, zone)
    async for rows in parts(store, scope, chosen, _READ):
        await asyncio.to_thread(counting.add, rows)
    return await asyncio.to_thread(counting.result, scope.user_id, by, disk_bytes)


class _Counting:
    """Sums by day, and the first day of each user and conversation."""

    def __init__(self, dimension: int, zone: tzinfo) -> None:
        self._vector = dimension * _BYTES_OF_A_NUMBER
        self._zone = zone
        self._users, self._talks = Codes(), Codes()
        # By day: messages, memories, characters, bytes.
        self._sums: dict[int, NDArray[np.int64]] = {}
        self._days_of_users: set[tuple[int, int]] = set()
        self._days_of_talks: set[tuple[int, int]] = set()
        self._first: int | None = None
        self._last: int | None = None

    def add(self, rows: pa.Table) -> None:
        """Count some rows."""
        moments = numbers(rows, "created_at")
        first, last = int(moments.min()), int(moments.max())
        self._first = first if self._first is None else min(first, self._first)
        self._last = last if self._last is None else max(last, self._last)
        days, places = np.unique(
            periods.days_of(periods.local(moments, self._zone)), return_inverse=True
        )
        texts, about = rows.column("content"), rows.column("metadata")
        memory = pc.equal(rows.column("kind"), MEMORY).to_numpy(zero_copy_only=False)
        size = _lengths(pc.binary_length(texts)) + _lengths(pc.binary_length(about)) + self._vector
        for at, values in enumerate((~memory, memory, _lengths(pc.utf8_length(texts)), size)):
            for day, total in zip(
                days.tolist(), np.bincount(places, values, len(days)).tolist(), strict=True
            ):
                self._sums.setdefault(day, np.zeros(4, np.int64))[at] += int(total)
        here = days[places]
        users = self._users.codes(rows, "user_id")
        self._days_of_users.update(_pairs(here, users))
        said = ~memory
        talks = self._talks.codes(rows, "conversation_id")
        self._days_of_talks.update(_pairs(here[said], talks[said]))

    def result(self, user_id: str | None, by: Any, disk_bytes: int | None) -> Growth:
        """What was counted."""
        days = np.array(sorted(self._sums), np.int64)
        period = periods.chosen(by, days)
        places = periods.all_between(periods.of_days(days, period))
        at = {number: place for place, number in enumerate(places)}

        def place_of(day: int) -> int:
            return at[int(periods.of_days(np.array([day], np.int64), period)[0])]

        where = {day: place_of(day) for day in self._sums}
        sums = np.zeros((len(places), 4), np.int64)
        for day, values in self._sums.items():
            sums[where[day]] += values
        people = {
            (day, user)
            for day, user in self._days_of_users
            if not self._users.names[user].startswith(SPACE)
        }
        active_users, new_users = _active_and_new(people, where, len(places))
        active_talks, new_talks = _active_and_new(self._days_of_talks, where, len(places))
        whole = sums.sum(axis=0)
        totals = np.cumsum(sums, axis=0)
        users_so_far, talks_so_far = np.cumsum(new_users), np.cumsum(new_talks)
        points = []
        for place, number in enumerate(places):
            start = periods.begins(number, period)
            messages, memories, characters, size = sums[place].tolist()
            all_messages, all_memories, all_characters, all_bytes = totals[place].tolist()
            points.append(
                GrowthPoint(
                    start=start,
                    label=periods.label(start, period),
                    messages=messages,
                    memories=memories,
                    users=int(new_users[place]),
                    active_users=int(active_users[place]),
                    conversations=int(new_talks[place]),
                    active_conversations=int(active_talks[place]),
                    characters=characters,
                    bytes=size,
                    total_rows=all_messages + all_memories,
                    total_users=int(users_so_far[place]),
                    total_conversations=int(talks_so_far[place]),
                    total_characters=all_characters,
                    total_bytes=all_bytes,
                    disk_bytes=None
                    if disk_bytes is None
                    else round(disk_bytes * all_bytes / int(whole[3])),
                )
            )
        return Growth(
            user_id=user_id,
            by=period,
            zone=periods.zone_name(self._zone),
            points=tuple(points),
            rows=int(whole[0] + whole[1]),
            messages=int(whole[0]),
            memories=int(whole[1]),
            users=int(new_users.sum()),
            conversations=int(new_talks.sum()),
            characters=int(whole[2]),
            bytes=int(whole[3]),
            disk_bytes=disk_bytes,
            first=None if self._first is None else utc(self._first),
            last=None if self._last is None else utc(self._last),
        )


def _lengths(held: pa.ChunkedArray) -> Ints:
    found: Ints = pc.fill_null(held, 0).to_numpy().astype(np.int64)
    return found


def _pairs(days: Ints, codes: Ints) -> list[tuple[int, int]]:
    """The different pairs of a day and a code, of rows that have one."""
    known = codes >= 0
    pairs = np.unique(np.stack([days[known], codes[known]], axis=1), axis=0)
    return [(day, code) for day, code in pairs.tolist()]


def _active_and_new(
    pairs: set[tuple[int, int]], where: Mapping[int, int], size: int
) -> tuple[Ints, Ints]:
    """For each period, how many are in it, and how many are in it first, int64 (size,) each."""
    active, new = np.zeros(size, np.int64), np.zeros(size, np.int64)
    first: dict[int, int] = {}
    for place, code in {(where[day], code) for day, code in pairs}:
        active[place] += 1
        first[code] = min(place, first.get(code, place))
    for place in first.values():
        new[place] += 1
    return active, new
