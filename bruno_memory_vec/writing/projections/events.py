"""The events of stored messages, as a projection of the rows.

Each row that this process stores is told once, after its commit and in the order of ``seq``. Where
the end of a commit is not known (a time-out, a disk error), the rows are asked for what became of
it before the next write, so that what was stored after all is told, too. What was stored before the
memory was opened, or by another process, is not told: the process that stored it has told it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bruno_memory_vec.events import Events
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.writing.projections import Change, Problem, Progress, RowFacts, Standing


class EventsProjection:
    """Tells of stored messages.

    Args:
        events: tells the bus.
    """

    name = "events"

    def __init__(self, events: Events) -> None:
        self._events = events
        self._last_seq = -1
        # A commit that was begun, and whose end is not known yet.
        self._begun: Change | None = None

    async def standing(self) -> Standing:
        """As of :class:`Projection`."""
        return Standing(self._last_seq)

    async def before(self, change: Change) -> None:
        """As of :class:`Projection`."""
        if change.rows:  # a deletion may come before the end of the last commit is known
            self._begun = None if change.rewritten else change

    async def apply(self, change: Change) -> None:
        """As of :class:`Projection`."""
        if change.last_seq is None:
            return  # a deletion, or columns that were repaired
        self._begun = None
        self._last_seq = max(self._last_seq, change.last_seq)
        if not change.rewritten:
            self._tell(change.rows, change.again)

    async def settle(self) -> bool:
        """Does nothing: the events publish themselves."""
        return False

    async def catch_up(self, rows: RowIndex, progress: Progress | None) -> Sequence[int]:
        """Tell what was stored by a commit whose end was not known."""
        begun, self._begun = self._begun, None
        if begun is not None:
            seqs = [row["seq"] for row in begun.rows]
            found = await rows.read(EVERYONE, RowFilter(), ["seq"], seqs=seqs)
            stored = set(found.column("seq").to_pylist())
            self._tell([row for row in begun.rows if row["seq"] in stored], begun.again)
        self._last_seq = await rows.last_seq()
        return ()

    async def compare(self, facts: RowFacts, stood: Standing) -> Sequence[Problem]:
        """Nothing is kept that could differ from the rows."""
        return ()

    async def health(self) -> dict[str, Any]:
        """How many events were published, wait, were dropped, and failed; the last failure."""
        return self._events.health()

    async def close(self) -> None:
        """Publish what waits, for some seconds at most."""
        await self._events.close()

    def _tell(self, rows: Sequence[Row], again: frozenset[int]) -> None:
        told = sorted((row for row in rows if row["kind"] == MESSAGE), key=lambda row: row["seq"])
        self._events.messages_stored(told, again)
