"""Compares the ledger with the rows: what was acknowledged has to be there, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.sessions.protocol import Acknowledged, SessionStore

_log = get_logger(__name__)

_SEQS_A_READ = 10_000


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

    def __bool__(self) -> bool:
        return bool(len(self.missing) or len(self.back) or len(self.returned))


def differences(known: Acknowledged, present: NDArray[np.int64]) -> Differences:
    """Compare a ledger with the ``seq`` of all rows; a row on its way out may be there or not."""
    missing = np.setdiff1d(np.setdiff1d(known.alive, present), known.leaving)
    extra = np.setdiff1d(present, known.alive)
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
    _log.error(
        "rows_lost_or_returned",
        lost=len(found.missing),
        back=len(found.back),
        returned=len(found.returned),
    )
    await sessions.ledger.settle(
        alive=found.back.tolist(), lost=found.missing.tolist(), returned=found.returned.tolist()
    )
    seqs = [*found.back.tolist(), *found.returned.tolist()]
    turns: dict[str, tuple[str, int]] = {}
    columns = ["conversation_id", "user_id", "turn"]
    for start in range(0, len(seqs), _SEQS_A_READ):
        part = seqs[start : start + _SEQS_A_READ]
        table = await rows.read(EVERYONE, RowFilter(), columns, seqs=part)
        for row in table.to_pylist():
            conversation, turn = row["conversation_id"], row["turn"]
            if conversation is not None and turn is not None:
                _, last = turns.get(conversation, ("", -1))
                turns[conversation] = row["user_id"], max(last, turn)
    if turns:
        places = [(talk, user, turn + 1) for talk, (user, turn) in turns.items()]
        await sessions.restore(places, await sessions.last_seq())
