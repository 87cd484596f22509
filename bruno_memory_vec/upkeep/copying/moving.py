"""The rows of a copy: written in batches, and verified by their checksums."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.run import embed_texts
from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.checked import unchecked
from bruno_memory_vec.indexers.checksum import USED, changed, checksums, with_checksums
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import row_schema
from bruno_memory_vec.indexers.snapshot import LOADED

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
    here: NDArray[np.int64],
    there: NDArray[np.int64],
    *,
    embedded: bool,
    told: Told,
) -> NDArray[np.int64]:
    """Read rows from both stores, and return the ``seq`` in the source of those that differ.

    A row that is gone from the source meanwhile is not among them.

    Args:
        source: the rows of the source.
        target: those of the target.
        here: int64 (n,), the ``seq`` of rows in the source, ascending.
        there: int64 (n,), the ``seq`` of the same rows in the target.
        embedded: the target's vectors were made anew, and are not compared.
        told: called with how many rows are done.

    Raises:
        EngineError: one of the stores cannot be read.
    """
    differ = [np.empty(0, np.int64)]
    for start in range(0, len(here), ROWS_AT_ONCE):
        mine, theirs = here[start : start + ROWS_AT_ONCE], there[start : start + ROWS_AT_ONCE]
        ours = await unchecked(source).read(EVERYONE, RowFilter(), LOADED, seqs=mine.tolist())
        other = await unchecked(target).read(EVERYONE, RowFilter(), LOADED, seqs=theirs.tolist())
        differ.append(await asyncio.to_thread(_unlike, ours, other, mine, theirs, embedded))
        told(start + len(mine))
    return np.concatenate(differ)


def _unlike(
    ours: pa.Table,
    other: pa.Table,
    mine: NDArray[np.int64],
    theirs: NDArray[np.int64],
    embedded: bool,
) -> NDArray[np.int64]:
    ours = ours.sort_by("seq")
    known: NDArray[np.int64] = ours.column("seq").to_numpy()
    # Where each of the source's rows is in the target.
    wanted = theirs[np.searchsorted(mine, known)]
    seqs = other.column("seq").to_numpy()
    order = np.argsort(seqs)
    at = np.searchsorted(seqs, wanted, sorter=order).clip(max=max(len(seqs) - 1, 0))
    if not len(seqs):
        return known
    at = order[at]
    there = seqs[at] == wanted
    other = other.take(at)
    # What is stored there has to fit its own checksum, too.
    differs = ~there | changed(other) | (_identity(ours, embedded) != _identity(other, embedded))
    for name in USED:
        differs |= pc.not_equal(ours.column(name), other.column(name)).to_numpy()
    found: NDArray[np.int64] = known[differs]
    return found


def _identity(rows: pa.Table, embedded: bool) -> NDArray[np.int64]:
    """The checksum of each row as if its ``seq`` were 0: a copy of it has the same."""
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
            f"{len(seqs):,} rows are not as they were stored, such as seq {min(seqs)}",
            fix="Restore them from a snapshot or a backup, or run: bruno-memory-vec doctor "
            "--repair",
        )
