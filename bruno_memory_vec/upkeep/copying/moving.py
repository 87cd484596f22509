"""The rows of a copy: written in batches, and verified by their checksums."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.run import embed_texts
from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.checked import readable, unchecked
from bruno_memory_vec.indexers.checksum import USED, changed, checksums, with_checksums
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import row_schema
from bruno_memory_vec.indexers.snapshot import LOADED
from bruno_memory_vec.upkeep.copying.comparison import ODD
from bruno_memory_vec.wording import not_as_stored

if TYPE_CHECKING:
    from bruno_memory_vec.writing.writer import Writer

#: How many rows are read at once; a killed copy has to repeat at most one commit of them.
ROWS_AT_ONCE = 2_048
# More bytes than this are several commits.
_BYTES_A_COMMIT = 32 * 2**20

Told = Callable[[int], None]


async def move(
    rows: RowIndex,
    seqs: NDArray[np.int64],
    writer: Writer,
    embedder: Embedder | None,
    timeout: float | None,
    told: Told,
) -> int:
    """Copy rows, in the order of their ``seq``. Returns how many there were.

    Args:
        rows: those of the source.
        seqs: which of them, ascending. Those that are deleted meanwhile are left out.
        writer: of the target.
        embedder: makes their vectors anew; None where they are copied.
        timeout: how long it may take, see :func:`embed_texts`.
        told: called with how many rows of ``seqs`` are done.

    Raises:
        EngineError: a row is damaged, or one of the stores failed.
        EmbeddingError: the embedder failed.
    """
    copied = 0
    for start in range(0, len(seqs), ROWS_AT_ONCE):
        part = seqs[start : start + ROWS_AT_ONCE].tolist()
        found = await unchecked(rows).read(EVERYONE, RowFilter(), LOADED, seqs=part)
        await asyncio.to_thread(_refuse_damaged, found)
        for commit in _commits(found.sort_by("seq")):
            if embedder is None:
                await writer.write_copies(commit)
            else:
                texts = await asyncio.to_thread(commit.column("content").to_pylist)
                vectors = await embed_texts(embedder, texts, "document", timeout)
                await writer.write_copies(await asyncio.to_thread(_with_vectors, commit, vectors))
            copied += commit.num_rows
        told(start + len(part))
    return copied


async def unlike(
    source: RowIndex,
    target: RowIndex,
    scope: Scope,
    here: NDArray[np.int64],
    there: NDArray[np.int64],
    *,
    embedded: bool,
    whole: bool,
    told: Told,
) -> NDArray[np.int64]:
    """Read rows from both stores, and return the ``seq`` in the source of those that differ.

    A row that is gone from the source meanwhile is not among them.

    Args:
        source: the rows of the source.
        target: those of the target.
        scope: whose rows these are.
        here: int64 (n,), the ``seq`` of rows in the source, ascending.
        there: int64 (n,), the ``seq`` of the same rows in the target.
        embedded: the target's vectors were made anew, and are not compared.
        whole: they are most of the scope's rows, so one pass over all of them is faster.
        told: called with how many rows are done, of both stores.

    Raises:
        EngineError: one of the stores cannot be read.
    """
    mine = await _states(source, scope, here, embedded, whole, told)
    theirs = await _states(
        target, scope, there, embedded, whole, lambda done: told(len(here) + done)
    )
    known = np.flatnonzero(np.isin(here, mine.seq))
    ours, other = mine.at(here[known]), theirs.at(there[known])
    same = (ours.identity == other.identity) & (ours.used == other.used)
    # What is stored there has to be there, and to fit its own checksum, too.
    found: NDArray[np.int64] = here[known[~(same & other.fits)]]
    return found


@dataclass(frozen=True, slots=True)
class _States:
    """What is compared of rows; arrays of one length, by ``seq``, ascending.

    Attributes:
        seq: int64, of the rows.
        identity: int64, their checksums as if their ``seq`` were 0: a copy has the same.
        used: int64, a number for their uses.
        fits: bool, whether they are as they were stored.
    """

    seq: NDArray[np.int64]
    identity: NDArray[np.int64]
    used: NDArray[np.int64]
    fits: NDArray[np.bool_]

    def at(self, seqs: NDArray[np.int64]) -> _States:
        """Those of these rows, in this order; a row that is not here does not fit."""
        if not len(self.seq):
            nothing = np.zeros(len(seqs), np.int64)
            return _States(seqs, nothing, nothing, np.zeros(len(seqs), bool))
        at = np.searchsorted(self.seq, seqs).clip(max=len(self.seq) - 1)
        fits = self.fits[at] & (self.seq[at] == seqs)
        return _States(seqs, self.identity[at], self.used[at], fits)


async def _states(
    rows: RowIndex,
    scope: Scope,
    seqs: NDArray[np.int64],
    embedded: bool,
    whole: bool,
    told: Told,
) -> _States:
    parts, done = [_States(*(np.empty(0, kind) for kind in (int, int, int, bool)))], 0
    async for table in _tables(rows, scope, seqs, whole):
        parts.append(await asyncio.to_thread(_state, table, embedded))
        done += table.num_rows
        told(min(done, len(seqs)))
    seq, identity, used, fits = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("seq", "identity", "used", "fits")
    )
    order = np.argsort(seq)
    return _States(seq[order], identity[order], used[order], fits[order])


async def _tables(
    rows: RowIndex, scope: Scope, seqs: NDArray[np.int64], whole: bool
) -> AsyncIterator[pa.Table]:
    """The rows of these ``seq``, or all of the scope, with all columns; in any order."""
    if whole:
        async for batch in unchecked(rows).after(-1, LOADED, scope):
            if batch.num_rows:
                yield readable(pa.Table.from_batches([batch]))
        return
    for start in range(0, len(seqs), ROWS_AT_ONCE):
        part = seqs[start : start + ROWS_AT_ONCE].tolist()
        yield readable(await unchecked(rows).read(EVERYONE, RowFilter(), LOADED, seqs=part))


def _state(rows: pa.Table, embedded: bool) -> _States:
    count, last = (rows.column(name).cast(pa.int64()).to_numpy() for name in USED)
    seq = rows.column("seq").to_numpy()
    return _States(seq, _identity(rows, embedded), last + count * ODD, ~changed(rows))


def _identity(rows: pa.Table, embedded: bool) -> NDArray[np.int64]:
    """The checksum of each row as if its ``seq`` were 0; where embedded, without the vector."""
    at = rows.schema.get_field_index("seq")
    zeros = pa.array(np.zeros(rows.num_rows, np.int64))
    rows = rows.set_column(at, rows.schema.field(at), zeros)
    return checksums(rows.drop_columns(["vector"]) if embedded else rows)


def _commits(rows: pa.Table) -> Iterator[pa.Table]:
    if rows.num_rows > 1 and rows.nbytes > _BYTES_A_COMMIT:
        half = rows.num_rows // 2
        yield from _commits(rows.slice(0, half).combine_chunks())
        yield from _commits(rows.slice(half).combine_chunks())
    elif rows.num_rows:
        yield rows


def _with_vectors(rows: pa.Table, vectors: NDArray[np.float32]) -> pa.Table:
    """Rows as a table with these vectors, float32 (n, d), in place of theirs."""
    schema = row_schema(vectors.shape[1])
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), pa.float32())
    made = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    table = rows.drop_columns(["vector"]).append_column(schema.field("vector"), made)
    return with_checksums(table.select(schema.names).cast(schema))


def _refuse_damaged(rows: pa.Table) -> None:
    unfit = changed(rows)
    if unfit.any():
        seqs = rows.column("seq").filter(pa.array(unfit)).to_pylist()
        raise EngineError(
            "rows",
            "copy",
            f"{not_as_stored(len(seqs))}, such as seq {min(seqs)}",
            fix="Restore them from a snapshot or a backup, or run: bruno-memory-vec doctor "
            "--repair",
        )
