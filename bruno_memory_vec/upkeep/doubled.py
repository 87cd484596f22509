"""Rows that are there twice: found, told, and folded into one by a repair.

No version of this package leaves any; two writers, a fork of older versions or files that were
copied from another store may. Of rows with one key the newest counts, which has the largest
``seq``. Different rows with one ``seq`` get numbers of their own. Of messages that share a turn,
those that were written later get the next turns of their conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bruno_memory_vec.indexers.checked import unchecked
from bruno_memory_vec.indexers.checksum import with_checksums
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import CHECKSUM, KEY_COLUMNS, MESSAGE
from bruno_memory_vec.indexers.snapshot import LOADED
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.rows.models import from_table
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.writing.projections import Change, Problem

_log = get_logger(__name__)

_COLUMNS = (*KEY_COLUMNS, "seq", "turn")
_NAMED = 5
_FOLD = (
    "Run: bruno-memory-vec doctor --repair. Of rows with one key the newest stays; rows that share "
    "their number or their turn get one each."
)


@dataclass(frozen=True, slots=True)
class Doubled:
    """Rows that are there twice.

    Attributes:
        older: the ``seq`` of rows of whose key there is a newer one.
        shared: each ``seq`` that several rows have.
        turns: the ``seq`` of messages whose turn an earlier one has, ascending.
    """

    older: tuple[int, ...] = ()
    shared: tuple[int, ...] = ()
    turns: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.older or self.shared or self.turns)

    def problem(self) -> Problem:
        """What to say about them."""
        said = {
            "rows of which there is a newer one": self.older,
            "numbers (seq) that several rows have": self.shared,
            "messages whose turn another one has": self.turns,
        }
        found = "; ".join(
            f"{len(seqs):,} {what}, such as seq {', '.join(map(str, seqs[:_NAMED]))}"
            for what, seqs in said.items()
            if seqs
        )
        return Problem("doubled", found, _FOLD)


async def doubled(rows: RowIndex) -> Doubled:
    """Find the rows that are there twice. It reads a few columns of every row.

    Raises:
        EngineError: the rows cannot be read.
    """
    batches = [batch async for batch in unchecked(rows).after(-1, _COLUMNS) if batch.num_rows]
    if not batches:
        return Doubled()
    table = pa.Table.from_batches(batches)
    said = pc.equal(table.column("kind"), MESSAGE)
    # A memory's conversation is no part of its key.
    place = pc.if_else(said, table.column("conversation_id"), pa.scalar(None, pa.string()))
    keyed = table.set_column(table.column_names.index("conversation_id"), "conversation_id", place)
    seqs = table.column("seq").to_numpy()
    numbers, times = np.unique(seqs, return_counts=True)
    groups = keyed.group_by(list(KEY_COLUMNS)).aggregate([("seq", "list"), ("seq", "count")])
    several = groups.filter(pc.greater(groups.column("seq_count"), 1)).column("seq_list")
    older = {seq for group in several.to_pylist() for seq in group if seq < max(group)}
    left = table.filter(pc.and_(said, table.column("turn").is_valid()))
    left = left.filter(pc.invert(pc.is_in(left.column("seq"), pa.array(sorted(older), pa.int64()))))
    turns = left.group_by(["conversation_id", "turn"]).aggregate(
        [("seq", "distinct"), ("seq", "count_distinct")]
    )
    shared = turns.filter(pc.greater(turns.column("seq_count_distinct"), 1)).column("seq_distinct")
    later = {seq for group in shared.to_pylist() for seq in group if seq > min(group)}
    return Doubled(tuple(sorted(older)), tuple(numbers[times > 1].tolist()), tuple(sorted(later)))


async def fold(store: Store) -> Doubled:
    """Fold rows that are there twice, in the rows and all that is derived.

    Killed at any moment, no row is lost: a copy is written before what it replaces is deleted.
    The caller holds ``Writer.exclusive``.

    Returns:
        What there was.

    Raises:
        EngineError: an engine failed.
    """
    found = await doubled(store.rows)
    if not found:
        return found
    if found.shared:
        await _number_anew(store, found.shared)
    older = (await doubled(store.rows)).older
    if older:
        await _delete(store, older)
    turns = (await doubled(store.rows)).turns
    if turns:
        await _give_turns(store, turns)
    _log.warning(
        "rows_folded", older=len(found.older), numbers=len(found.shared), turns=len(found.turns)
    )
    return found


async def _number_anew(store: Store, seqs: Sequence[int]) -> None:
    assert store.lease is not None
    table = await unchecked(store.rows).read(EVERYONE, RowFilter(), LOADED, seqs=seqs)
    keys = list(
        zip(*(table.column(name).to_pylist() for name in (*KEY_COLUMNS, "seq")), strict=True)
    )
    # Copies of one row with one number are one row.
    first = sorted({key: at for at, key in reversed(list(enumerate(keys)))}.values())
    table = table.take(pa.array(first))
    start = await store.lease.next_seqs(table.num_rows)
    fresh = pa.array(range(start, start + table.num_rows), pa.int64())
    place = table.schema.get_field_index("seq")
    table = with_checksums(table.set_column(place, table.schema.field(place), fresh))
    await store.rows.upsert(table, all_new=True)
    rows = list(from_table(table))
    change = Change(start + table.num_rows - 1, table, rows, rewritten=True)
    await _delete(store, seqs, change)


async def _delete(store: Store, seqs: Sequence[int], change: Change | None = None) -> None:
    gone = await unchecked(store.rows).read(EVERYONE, RowFilter(), ["conversation_id"], seqs=seqs)
    talks = [talk for talk in pc.unique(gone.column("conversation_id")).to_pylist() if talk]
    change = replace(change or Change(), removed=np.array(seqs, np.int64), conversations=talks)
    await store.projections.before(change)
    await store.rows.delete(EVERYONE, RowFilter(), seqs=list(seqs))
    await store.projections.apply(change)


async def _give_turns(store: Store, seqs: Sequence[int]) -> None:
    rows = unchecked(store.rows)
    table = (await rows.read(EVERYONE, RowFilter(), LOADED, seqs=seqs)).sort_by("seq")
    last: dict[str, int] = {}
    async for batch in rows.after(-1, ["kind", "conversation_id", "turn"]):
        for row in batch.to_pylist():
            if row["kind"] == MESSAGE and row["turn"] is not None:
                talk = row["conversation_id"]
                last[talk] = max(row["turn"], last.get(talk, -1))
    given, owners = [], {}
    for row in table.select(["conversation_id", "user_id"]).to_pylist():
        talk = row["conversation_id"]
        last[talk] += 1
        given.append(last[talk])
        owners[talk] = row["user_id"]
    place = table.schema.get_field_index("turn")
    turned = with_checksums(
        table.set_column(
            place, table.schema.field(place), pa.array(given, table.schema.field(place).type)
        )
    )
    await store.rows.update(turned.select(["seq", CHECKSUM, "turn"]))
    changed = [(talk, user, last[talk] + 1) for talk, user in owners.items()]
    await store.sessions.restore(changed, await store.sessions.last_seq())
    await store.projections.rewritten(store.rows, list(seqs))
