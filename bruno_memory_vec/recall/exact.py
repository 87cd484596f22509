"""The rows that hold a phrase, of rows in memory or of an engine.

Rows in memory are compared at once. Of an engine every row of the scope is read, its text only, in
batches, and then those that hold the phrase. No lexical index is asked: it cuts texts at the marks
that a phrase may hold, and a phrase may begin within a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import Candidates, RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.indexers.snapshot import LOADED, HeldRows, Snapshot
from bruno_memory_vec.prompts.notes import is_notes
from bruno_memory_vec.recall import copies
from bruno_memory_vec.recall.hits import Hit, make_hit
from bruno_memory_vec.recall.in_period import FindWords
from bruno_memory_vec.recall.phrase import Phrase
from bruno_memory_vec.recall.request import Among
from bruno_memory_vec.rows.models import Row, read_all

#: Of more matching rows that are not in memory, a question ranks the newest so many.
MOST_RANKED = 10_000

_LIGHT = ("seq", "created_at", *copies.COLUMNS)
# How many rows an engine is asked for by their `seq` at once.
_AT_ONCE = 2_000
# Of so few matching rows the lexical index is told the ids, so it ranks no others; else it is asked
# for more until enough of its candidates match.
_FEW = 1_000
_MORE = 8


class Holding(NamedTuple):
    """The rows of a scope and a filter that hold a phrase.

    Attributes:
        seq: int64 (n,), the newest first, by the time they were created; of copies the newest.
        snapshot: all rows of the user in memory; None where they are not.
    """

    seq: NDArray[np.int64]
    snapshot: Snapshot | None


async def rows_holding(
    phrase: Phrase, rows: RowIndex, scope: Scope, where: RowFilter, snapshot: Snapshot | None
) -> Holding:
    """Find them.

    Args:
        phrase: what a row's text holds.
        rows: the engine.
        scope: whose rows.
        where: which of them.
        snapshot: all rows of the scope's user, where they are in memory.
    """
    if snapshot is not None:
        found = await asyncio.to_thread(_in_memory, phrase, snapshot, scope, where)
        return Holding(found, snapshot)
    seqs: list[int] = []
    async for batch in rows.after(-1, ("seq", "content"), scope):
        held = await asyncio.to_thread(phrase.among, batch.column("content"))
        seqs += batch.column("seq").to_numpy()[held].tolist()
    return Holding(_newest_first(await _read(rows, scope, where, _LIGHT, seqs)), None)


def _in_memory(
    phrase: Phrase, snapshot: Snapshot, scope: Scope, where: RowFilter
) -> NDArray[np.int64]:
    matching = snapshot.matching(scope, where)
    contents = snapshot.table.column("content")
    if matching is None:
        rows = np.flatnonzero(phrase.among(contents))
    else:
        rows = np.flatnonzero(matching)
        rows = rows[phrase.among(contents.take(pa.array(rows)))]
    return _newest_first(snapshot.taken(rows, _LIGHT))


async def _read(
    rows: RowIndex, scope: Scope, where: RowFilter, columns: tuple[str, ...], seqs: list[int]
) -> pa.Table:
    """Columns of the rows with these ``seq`` that match, in any order."""
    parts = [await rows.read(scope, where, columns, seqs=seqs[:_AT_ONCE])]
    for at in range(_AT_ONCE, len(seqs), _AT_ONCE):
        parts.append(await rows.read(scope, where, columns, seqs=seqs[at : at + _AT_ONCE]))
    return pa.concat_tables(parts)


def _newest_first(rows: pa.Table) -> NDArray[np.int64]:
    """The ``seq`` of some rows (:data:`_LIGHT`), without older copies, the newest first."""
    seq = rows.column("seq").to_numpy()
    created = rows.column("created_at").cast(pa.int64()).to_numpy()
    ordered: NDArray[np.int64] = seq[np.lexsort((-seq, -created))]
    number = copies.numbered(rows)
    if number is None:
        return ordered
    return ordered[~np.isin(ordered, copies.older_copies(seq, number))]


async def held_in_memory(
    holding: Holding, rows: RowIndex, scope: Scope
) -> tuple[Snapshot, NDArray[np.int64]]:
    """A snapshot with the matching rows among others, and their ``seq``, ascending.

    Where the user's rows are in memory, it is all of these. Else it is made for this question, of
    the newest :data:`MOST_RANKED` matching rows.
    """
    if holding.snapshot is not None:
        return holding.snapshot, np.sort(holding.seq)
    table = await _read(rows, scope, RowFilter(), LOADED, holding.seq[:MOST_RANKED].tolist())
    snapshot = await asyncio.to_thread(lambda: HeldRows(table, mixed=True).snapshot())
    return snapshot, snapshot.columns["seq"]


async def newest_hits(
    holding: Holding, rows: RowIndex, scope: Scope, k: int
) -> tuple[list[Hit], NDArray[np.int64]]:
    """The ``k`` newest as hits, and their ``seq``; none is a block of our own notes."""
    hits: dict[int, Hit] = {}
    for at in range(0, len(holding.seq), k):
        wanted = holding.seq[at : at + k].tolist()
        table = await rows.read(scope, RowFilter(), COLUMNS, seqs=wanted)
        found = dict(await read_all(table, _hit))
        # What was deleted meanwhile is left out.
        hits.update((seq, hit) for seq in wanted if (hit := found.get(seq)) is not None)
        if len(hits) >= k:
            break
    chosen = dict(list(hits.items())[:k])
    return list(chosen.values()), np.fromiter(chosen, np.int64, len(chosen))


def _hit(row: Row) -> tuple[int, Hit | None]:
    return row["seq"], None if is_notes(row["content"]) else make_hit(row)


def among(seqs: NDArray[np.int64], snapshot: Snapshot) -> Among:
    """The rows of a snapshot with these ``seq`` (int64, ascending), to be asked for alone."""
    ids: tuple[str, ...] = ()
    if len(seqs) <= _FEW:
        positions, _ = snapshot.find(seqs)
        held = snapshot.table.column("id").take(pa.array(positions)).to_pylist()
        ids = tuple(dict.fromkeys(held))
    return Among(seqs, ids)


def words_among(
    among: Among, find_words: FindWords
) -> Callable[[int, RowFilter], Coroutine[Any, Any, Candidates]]:
    """``find_words``, of which only candidates among some rows are left."""

    async def find(limit: int, where: RowFilter) -> Candidates:
        if among.ids:
            where = replace(where, ids=among.ids)
        reach = limit
        while True:
            found = await find_words(reach, where)
            others = found.seq[~np.isin(found.seq, among.seqs)]
            kept = found.without(others, limit)
            if len(kept) == limit or len(found) < reach:
                return kept
            reach *= _MORE

    return find
