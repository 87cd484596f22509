"""Compares the ledger with the rows: what was acknowledged has to be there, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.indexers.forwarding import drop_user_files
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.sessions.protocol import (
    Acknowledged,
    LostRow,
    SessionStore,
    SharesChanges,
)

_log = get_logger(__name__)

_SEQS_A_READ = 10_000
# Where other processes write, numbers of rows differ for moments.
_LOOKS, _BETWEEN_LOOKS = 3, 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Differences:
    """How the rows differ from the ledger; int64 (n,) each, the ``seq`` of rows.

    Attributes:
        missing: they were acknowledged and not deleted, and are not there.
        back: they were lost, and are there again.
        returned: they were deleted or replaced, and are there again.
    """

    missing: NDArray[np.int64]
    back: NDArray[np.int64]
    returned: NDArray[np.int64]

    def still(self, known: Acknowledged) -> Differences:
        """Those that a ledger has from later on: rows have been deleted or replaced meanwhile."""
        missing = np.setdiff1d(np.intersect1d(self.missing, known.alive), known.leaving)
        extra = np.concatenate([self.back, self.returned])
        lost = np.array([row.seq for row in known.lost], np.int64)
        there = extra[~np.isin(extra, known.alive)]
        before = np.isin(there, np.concatenate([lost, known.given_up]))
        return Differences(missing, there[before], there[~before])

    def without(self, damaged: Iterable[int]) -> Differences:
        """Without rows that are there again but damaged: their ``seq`` may be another one's."""
        wrong = np.fromiter(damaged, np.int64)
        return Differences(
            self.missing, np.setdiff1d(self.back, wrong), np.setdiff1d(self.returned, wrong)
        )

    def without_ranges(self, ranges: Iterable[tuple[int, int]]) -> Differences:
        """Without what is in these ranges of ``seq``, both ends included."""
        kept = [self.missing, self.back, self.returned]
        for first, last in ranges:
            kept = [seqs[(seqs < first) | (seqs > last)] for seqs in kept]
        return Differences(*kept)

    def __bool__(self) -> bool:
        return bool(len(self.missing) or len(self.back) or len(self.returned))


def differences(known: Acknowledged, present: NDArray[np.int64]) -> Differences:
    """Compare a ledger with the ``seq`` of all rows.

    A row on its way out may be there or not. Of rows that the ledger has not heard of yet, nothing
    is said.
    """
    missing = np.setdiff1d(np.setdiff1d(known.alive, present), known.leaving)
    extra = np.setdiff1d(present[present <= known.last_seq], known.alive)
    lost = np.array([row.seq for row in known.lost], np.int64)
    before = np.isin(extra, np.concatenate([lost, known.given_up]))
    return Differences(missing, extra[before], extra[~before])


async def reconcile(sessions: SessionStore, rows: RowIndex) -> None:
    """Note in the ledger what is lost, and what is there again.

    The caller has applied every row that is newer than the ledger, and no change is under way. It
    compares how many rows there are and which is the newest; only if these differ, all of them.

    Raises:
        EngineError: an engine failed.
    """
    if isinstance(sessions, SharesChanges):
        await _reconcile_shared(sessions, sessions, rows)
        return
    ledger = sessions.ledger
    known = await ledger.read()
    if len(known.leaving):
        # A change that was about to remove these was interrupted.
        seqs = known.leaving.tolist()
        left = (await rows.read(EVERYONE, RowFilter(), ["seq"], seqs=seqs)).column("seq")
        stayed = set(left.to_pylist())
        await ledger.settle(alive=stayed, gone=[seq for seq in seqs if seq not in stayed])
        known = await ledger.read()
    count = await rows.count(EVERYONE, RowFilter())
    newest = int(known.alive[-1]) if len(known.alive) else -1
    if count == len(known.alive) and newest == await rows.last_seq():
        return
    await note(sessions, rows, differences(known, await seqs_of(rows)))


async def _reconcile_shared(sessions: SessionStore, shared: SharesChanges, rows: RowIndex) -> None:
    """As :func:`reconcile`, while other processes write: of their changes nothing is said."""
    for _ in range(_LOOKS):
        known = await sessions.ledger.read()
        count = await rows.count(EVERYONE, RowFilter())
        if count == len(known.alive):
            return
        if not await shared.under_way():
            break
        await asyncio.sleep(_BETWEEN_LOOKS)
    present = await seqs_of(rows)
    found = differences(known, present).still(await sessions.ledger.read())
    found = found.without_ranges([change.seqs for change in await shared.under_way()])
    if not shared.doubtful:
        await note(sessions, rows, found)
    elif found:
        # A ledger of some moment before: what it lacks was stored since, what it has too much may
        # have been deleted since.
        there = [*found.back.tolist(), *found.returned.tolist()]
        await sessions.ledger.settle(alive=there, gone=found.missing.tolist())


async def look(sessions: SessionStore, rows: RowIndex) -> Acknowledged:
    """The ledger with what is lost and there again by now, for a reader, which notes nothing.

    Another process may write meanwhile. All rows are compared only if there are more or fewer than
    the ledger has.

    Raises:
        EngineError: an engine failed.
    """
    known = await sessions.ledger.read()
    if await rows.count(EVERYONE, RowFilter()) == len(known.alive):
        return known
    present = await seqs_of(rows)
    if isinstance(sessions, SharesChanges):
        for first, last in [change.seqs for change in await sessions.under_way()]:
            present = present[(present < first) | (present > last)]
    return as_found(known, present, await sessions.ledger.read())


def as_found(before: Acknowledged, present: NDArray[np.int64], after: Acknowledged) -> Acknowledged:
    """A ledger with how the rows differ from it, read before and after the ``seq`` of all rows."""
    found = differences(before, present).still(after)
    back = set(found.back.tolist())
    lost = {row.seq: row for row in after.lost if row.seq not in back}
    missing = {seq: LostRow(seq) for seq in found.missing.tolist()}
    return replace(
        after,
        lost=tuple((missing | lost).values()),
        returned=np.union1d(after.returned, found.returned),
    )


async def seqs_of(rows: RowIndex) -> NDArray[np.int64]:
    """The ``seq`` of every row, int64 (n,), in no particular order."""
    parts = [np.empty(0, np.int64)]
    async for batch in rows.after(-1, ["seq"]):
        parts.append(batch.column("seq").to_numpy().copy())
    return np.concatenate(parts)


async def note(sessions: SessionStore, rows: RowIndex, found: Differences) -> None:
    """Note differences in the ledger. Contexts lose the lost rows, and show those that are back.

    Raises:
        EngineError: an engine failed.
    """
    if not found:
        return
    await drop_user_files(rows)
    places = await _places(rows, [*found.back.tolist(), *found.returned.tolist()])
    back = [seq for seq in found.back.tolist() if seq in places]
    returned = [seq for seq in found.returned.tolist() if seq in places]
    lost = found.missing.tolist()
    _log.error("rows_lost_or_returned", lost=len(lost), back=len(back), returned=len(returned))
    await sessions.ledger.settle(alive=back, lost=lost, returned=returned)
    turns: dict[str, tuple[str, int]] = {}
    for conversation, user, turn in places.values():
        if conversation is not None and turn is not None:
            _, last = turns.get(conversation, ("", -1))
            turns[conversation] = user, max(last, turn)
    if turns:
        next_turns = [(talk, user, turn + 1) for talk, (user, turn) in turns.items()]
        await sessions.restore(next_turns, await sessions.last_seq())


async def _places(
    rows: RowIndex, seqs: Sequence[int]
) -> dict[int, tuple[str | None, str, int | None]]:
    """The conversation, the user and the turn of the rows that are there, by ``seq``."""
    places: dict[int, tuple[str | None, str, int | None]] = {}
    columns = ["seq", "conversation_id", "user_id", "turn"]
    for start in range(0, len(seqs), _SEQS_A_READ):
        part = seqs[start : start + _SEQS_A_READ]
        for row in (await rows.read(EVERYONE, RowFilter(), columns, seqs=part)).to_pylist():
            places[row["seq"]] = row["conversation_id"], row["user_id"], row["turn"]
    return places
