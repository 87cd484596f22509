"""Rows that are lost, damaged or there again: what is said about them, and how they are settled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.embedders.run import embed_texts
from bruno_memory_vec.indexers.checked import note_damaged, readable, unchecked
from bruno_memory_vec.indexers.checksum import changed, only_derived, with_checksums
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import CHECKSUM, MESSAGE
from bruno_memory_vec.indexers.snapshot import LOADED
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.sessions.protocol import Acknowledged, LostRow
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.projections import Problem
from bruno_memory_vec.writing.reconcile import differences, note, seqs_of

_log = get_logger(__name__)

_NAMED = 5
_ROWS_AT_ONCE = 2_000

_MEND = (
    "Restore the store from a snapshot or a backup that has them. Or run: bruno-memory-vec doctor "
    "--repair, which {}."
)


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """A row that is not as it was stored.

    Attributes:
        seq: its ``seq``, as it reads now; so are all other attributes.
        id: its id.
        kind: "message" or "memory".
        user_id: whose it is.
        conversation_id: where it was said, None for a memory without a conversation.
        turn: its position there, None for a memory.
        mendable: only its vector or its access counts have changed.
    """

    seq: int
    id: str
    kind: str
    user_id: str
    conversation_id: str | None
    turn: int | None
    mendable: bool

    def __str__(self) -> str:
        place = "" if self.conversation_id is None else f" in {self.conversation_id!r}"
        return f"the {self.kind} {self.id} of {self.user_id!r}{place} (seq {self.seq})"


@dataclass(frozen=True, slots=True)
class LossReport:
    """What a repair found lost or damaged, and settled.

    Attributes:
        at: when, UTC.
        lost: rows that had been acknowledged and are gone.
        removed: rows that were damaged, and are removed.
        mended: damaged rows whose vector or access counts were made anew; nothing of these is lost.
        returned: the ``seq`` of rows that had been deleted or replaced, are there again, and stay.
        log_kept_in: the folder that keeps damaged files of the log, None where there were none.
    """

    at: datetime
    lost: tuple[LostRow, ...]
    removed: tuple[DamagedRow, ...]
    mended: int
    returned: tuple[int, ...]
    log_kept_in: str | None = None

    def __bool__(self) -> bool:
        settled = self.lost or self.removed or self.mended or self.returned
        return bool(settled) or self.log_kept_in is not None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold; the time in ISO 8601."""
        return {**asdict(self), "at": self.at.isoformat()}

    def __str__(self) -> str:
        """A line for each, for people."""
        lines = []
        if self.lost:
            lines.append(f"given up: {_lost(self.lost)}")
        if self.removed:
            lines.append(
                f"removed: {counted(len(self.removed), 'row')} that had changed on the disk:"
            )
            lines.extend(f"  {row}" for row in self.removed)
        if self.mended:
            lines.append(f"mended: the vectors or counts of {counted(self.mended, 'row')}")
        if self.returned:
            lines.append(
                f"kept: {counted(len(self.returned), 'row')} that had been deleted or replaced: "
                f"seq {some(self.returned)}"
            )
        if self.log_kept_in is not None:
            lines.append(f"damaged files of the write-ahead log are kept in {self.log_kept_in}")
        return "\n".join(lines)


def ledger_problems(known: Acknowledged) -> list[Problem]:
    """The problems of a ledger: rows that are lost, and rows that are there again."""
    problems = []
    if known.lost:
        fix = _MEND.format("gives them up, and keeps a record of that")
        problems.append(Problem("lost", _lost(known.lost), fix))
    if len(known.returned):
        problems.append(
            Problem(
                "returned",
                f"{counted(len(known.returned), 'row')} that had been deleted or replaced "
                f"{_be(len(known.returned))} there again, as if from an older copy: "
                f"seq {some(known.returned.tolist())}",
                "Delete them again. Or run: bruno-memory-vec doctor --repair, which keeps them.",
            )
        )
    return problems


def damage_problem(damaged: Sequence[DamagedRow]) -> list[Problem]:
    """The problem of damaged rows, if there are any."""
    if not damaged:
        return []
    shown = ", ".join(map(str, damaged[:_NAMED]))
    more = f" and {len(damaged) - _NAMED:,} more" if len(damaged) > _NAMED else ""
    fix = _MEND.format("mends what it can, removes the others and names them")
    about = f"{counted(len(damaged), 'row')} not as stored, and not given out: {shown}{more}"
    return [Problem("damaged", about, fix)]


def damaged_in(rows: pa.Table) -> list[DamagedRow]:
    """The rows of a table (``LOADED``) that are not as they were stored."""
    unlike = changed(rows)
    if not unlike.any():
        return []
    wrong = rows.filter(pa.array(unlike))
    columns = ["seq", "id", "kind", "user_id", "conversation_id", "turn"]
    shown = readable(wrong.select(columns))
    lines = zip(*(shown.column(name).to_pylist() for name in columns), strict=True)
    mendable = only_derived(wrong).tolist()
    return [
        DamagedRow(seq, id_, kind, user, talk, turn, its)
        for (seq, id_, kind, user, talk, turn), its in zip(lines, mendable, strict=True)
    ]


async def survey(rows: RowIndex) -> tuple[NDArray[np.int64], list[DamagedRow]]:
    """The ``seq`` of all rows, int64 (n,), and the damaged ones. It reads every row.

    Args:
        rows: an index that gives out damaged rows, too.

    Raises:
        EngineError: the rows cannot be read.
    """
    seqs, damaged = [np.empty(0, np.int64)], []
    async for batch in rows.after(-1, LOADED):
        table = pa.Table.from_batches([batch])
        seqs.append(batch.column("seq").to_numpy().copy())
        damaged.extend(await asyncio.to_thread(damaged_in, table))
    return np.concatenate(seqs), damaged


async def settle_losses(store: Store, log_kept_in: str | None = None) -> LossReport:
    """Make an open store consistent with what is left of it.

    Damaged rows are mended, if only their vector or their counts have changed, else removed. Lost
    rows are given up. The caller holds ``Writer.exclusive``, and lets the projections catch up.

    Args:
        store: a store that is open for writing.
        log_kept_in: for the report, where damaged files of the log are kept.

    Raises:
        EngineError: an engine failed.
        EmbeddingError: the vectors cannot be made anew.
    """
    rows, sessions = unchecked(store.rows), store.sessions
    seqs, damaged = await survey(rows)
    mendable = [row.seq for row in damaged if row.mendable]
    removed = tuple(row for row in damaged if not row.mendable)
    # A change goes through the outermost index, so that the cache follows.
    await _mend(store, rows, mendable)
    for row in removed:
        twice = int((seqs == row.seq).sum()) > 1
        where = RowFilter(ids=(row.id,)) if twice else RowFilter()
        await store.rows.delete(EVERYONE, where, seqs=[row.seq])
    note_damaged(store.rows, ())
    await sessions.ledger.settle(gone=[row.seq for row in removed])
    for talk in {row.conversation_id for row in removed if row.kind == MESSAGE}:
        if talk is not None:
            await sessions.mark_stale(talk)
    known = await sessions.ledger.read()
    await note(sessions, rows, differences(known, await seqs_of(rows)))
    known = await sessions.ledger.read()
    lost = known.lost
    returned = tuple(known.returned.tolist())
    at = datetime.now(timezone.utc)
    report = LossReport(at, lost, removed, len(mendable), returned, log_kept_in)
    if report and store.record is not None:
        # Before it is forgotten, so that a kill leaves it twice rather than not at all.
        await store.record.keep_losses(report.to_dict())
    await sessions.ledger.settle(given_up=[row.seq for row in lost], alive=returned)
    if report:
        _log.warning(
            "losses_settled",
            lost=len(lost),
            removed=len(removed),
            mended=len(mendable),
            returned=len(returned),
        )
    return report


async def _mend(store: Store, rows: RowIndex, seqs: Sequence[int]) -> None:
    """Make the vectors of rows anew, and their checksums."""
    for start in range(0, len(seqs), _ROWS_AT_ONCE):
        part = seqs[start : start + _ROWS_AT_ONCE]
        found = await rows.read(EVERYONE, RowFilter(), LOADED, seqs=part)
        texts = found.column("content").to_pylist()
        vectors = await embed_texts(store.embedder, texts, "document")
        at = found.schema.get_field_index("vector")
        field = found.schema.field(at)
        flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
        column = pa.FixedSizeListArray.from_arrays(flat, field.type.list_size)
        mended = with_checksums(found.set_column(at, field, column))
        await store.rows.update(mended.select(["seq", CHECKSUM, "vector"]))


def _lost(lost: Sequence[LostRow]) -> str:
    about = (
        f"{counted(len(lost), 'row')} that had been acknowledged, and not deleted, "
        f"{_be(len(lost))} gone: seq {some([row.seq for row in lost])}"
    )
    turns: dict[str, list[int]] = {}
    for row in lost:
        if row.conversation_id is not None and row.turn is not None:
            turns.setdefault(row.conversation_id, []).append(row.turn)
    places = [f"turn {some(numbers)} of {talk!r}" for talk, numbers in list(turns.items())[:_NAMED]]
    more = f" and of {len(turns) - _NAMED:,} more" if len(turns) > _NAMED else ""
    return f"{about}; among them {', '.join(places)}{more}" if places else about


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def some(numbers: Iterable[int]) -> str:
    """Numbers for people, those in a row as a range."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = [str(a) if a == b else f"{a} to {b}" for a, b in ranges[:_NAMED]]
    more = sum(b - a + 1 for a, b in ranges[_NAMED:])
    return ", ".join(shown) + (f" and {more:,} more" if more else "")
