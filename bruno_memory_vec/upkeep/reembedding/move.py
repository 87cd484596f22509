"""Bring a second copy of a store's rows, with other vectors, up to the rows themselves.

The rows may change meanwhile, so this is done in rounds. Each round compares both by ``seq``,
which identifies a version of a row: rows that only the copy has are deleted from it, and rows that
it lacks are embedded and appended. Counting a use does not change the ``seq``, so access counts are
compared too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.run import embed_texts
from bruno_memory_vec.errors import EmbeddingError, EngineError, StoreClosedError
from bruno_memory_vec.indexers.checked import unchecked
from bruno_memory_vec.indexers.checksum import USED, changed, used, with_checksums
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import Compacts, RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import CHECKSUM, row_schema
from bruno_memory_vec.indexers.snapshot import LOADED
from bruno_memory_vec.indexers.uses import USE_COLUMNS
from bruno_memory_vec.wording import counted, not_as_stored
from bruno_memory_vec.writing.background import to_its_end
from bruno_memory_vec.writing.projections import Progress

# Bounds for the duration of a commit, in seconds; the number of rows is adapted to the embedder's
# speed. A killed process has to repeat at most one commit.
_QUICK, _SLOW = 0.5, 2.0
_FEWEST, _MOST, _FIRST = 8, 2048, 128
# Each commit lists all earlier ones, so thousands of them would take longer than the rows.
_COMMITS_BEFORE_UPKEEP = 200
_SEQS_A_STATEMENT = 10_000
# Up to this many rows are embedded while writers wait; for more, another round is done before, ...
_FEW = 32
# ... but at most so many rounds, in case new rows come all the time.
_ROUNDS = 8

_COUNTED: Final = ("seq", *USE_COLUMNS)
_IDENTIFIED: Final = ("seq", "id", "created_at", "updated_at")


class Move:
    """The work of one re-embedding, up to the switch.

    Args:
        rows: the current rows, which are only read.
        copy: the index for the rows with new vectors. Nobody else uses it.
        embedder: makes the new vectors.
        progress: called with the number of rows that are done.
    """

    def __init__(
        self, rows: RowIndex, copy: RowIndex, embedder: Embedder, progress: Progress | None
    ) -> None:
        # It gives out damaged rows, too, so that they are refused, not left out.
        self._rows = unchecked(rows)
        self._copy = copy
        self._embedder = embedder
        self._progress = progress
        self._schema = row_schema(embedder.fingerprint.dimension)
        self._stopped = asyncio.Event()
        self._rows_a_commit = _FIRST
        self._commits = 0
        #: How many rows this move has embedded, and how many an earlier, stopped move had.
        self.embedded = 0
        self.resumed = 0

    def stop(self) -> None:
        """End at the next commit; finished commits are kept."""
        self._stopped.set()

    async def run(self) -> None:
        """Run rounds until few rows are left for the switch, during which nobody writes.

        Raises:
            EmbeddingError: the embedder failed. Finished commits are kept.
            EngineError: the rows cannot be read, or the copy not be written.
            StoreClosedError: it was stopped.
        """
        await self._keep_what_is_true()
        for _ in range(_ROUNDS):
            if await self.catch_up() <= _FEW:
                break
        await self._maintain()
        # More rows may have come during the upkeep.
        for _ in range(_ROUNDS):
            if await self.catch_up() <= _FEW:
                break

    async def catch_up(self) -> int:
        """One round. Returns how many rows were embedded.

        Raises: as :meth:`run`.
        """
        mine, theirs = await _read(self._rows, _COUNTED), await _read(self._copy, _COUNTED)
        missing, gone, counted = await asyncio.to_thread(_differences, mine, theirs)
        await self._discard(gone)
        for start in range(0, counted.num_rows, _SEQS_A_STATEMENT):
            await to_its_end(self._copy.update(counted.slice(start, _SEQS_A_STATEMENT)))
        total, done = mine.num_rows, mine.num_rows - len(missing)
        left = missing
        while len(left):
            self._report(done, total)
            part, left = left[: self._rows_a_commit], left[self._rows_a_commit :]
            await self._add(part.tolist(), done, total)
            done += len(part)
        self._report(done, total)
        return len(missing)

    async def is_complete(self) -> bool:
        """Whether the copy has as many rows as the store, after a round without writes."""
        everything = (Scope.all_users(), RowFilter())
        return await self._rows.count(*everything) == await self._copy.count(*everything)

    async def forget_deleted(self) -> None:
        """Delete the rows from the copy that the store does not have any more.

        Raises:
            EngineError: the rows cannot be read, or the copy not be written.
        """
        theirs = await _read(self._copy, _IDENTIFIED)
        mine = await _read(self._rows, _IDENTIFIED)
        await self._discard(
            np.setdiff1d(theirs.column("seq").to_numpy(), mine.column("seq").to_numpy())
        )
        await self._discard(await asyncio.to_thread(_strangers, mine, theirs))

    async def _keep_what_is_true(self) -> None:
        """Drop rows of an earlier move that are not the same any more.

        A ``seq`` is not given twice, but a folder may have been restored from a backup.
        """
        theirs = await _read(self._copy, _IDENTIFIED)
        if theirs.num_rows:
            mine = await _read(self._rows, _IDENTIFIED)
            await self._discard(await asyncio.to_thread(_strangers, mine, theirs))
            self.resumed = await self._copy.count(Scope.all_users(), RowFilter())

    async def _maintain(self) -> None:
        compacts = capability(self._copy, Compacts)
        if compacts is not None:
            await to_its_end(compacts.maintain())

    async def _discard(self, seqs: NDArray[np.int64]) -> None:
        for start in range(0, len(seqs), _SEQS_A_STATEMENT):
            part = seqs[start : start + _SEQS_A_STATEMENT].tolist()
            await to_its_end(self._copy.delete(Scope.all_users(), RowFilter(), seqs=part))

    async def _add(self, seqs: list[int], done: int, total: int) -> None:
        """Embed rows and append them, as one commit."""
        started = time.perf_counter()
        # Rows that were deleted meanwhile are simply not read.
        rows = await self._rows.read(Scope.all_users(), RowFilter(), LOADED, seqs=seqs)
        await asyncio.to_thread(_check, rows)
        rows = rows.drop_columns(["vector"])
        texts = await asyncio.to_thread(lambda: rows.column("content").to_pylist())
        try:
            vectors = await self._embed(texts)
        except EmbeddingError as error:
            problem = str(error).removesuffix(error.fix).rstrip(" .")
            raise EmbeddingError(
                f"the re-embedding stopped after {done:,} of {counted(total, 'row')}: {problem}",
                fix="The store is as it was. Re-embed it with the same embedder again, to go on.",
                details=error.details,
                cause=error,
            ) from error
        table = await asyncio.to_thread(_with_vectors, rows, vectors, self._schema)
        await to_its_end(self._copy.upsert(table, all_new=True))
        self.embedded += rows.num_rows
        self._commits += 1
        if self._commits % _COMMITS_BEFORE_UPKEEP == 0:
            await self._maintain()
        took = time.perf_counter() - started
        if took < _QUICK:
            self._rows_a_commit = min(_MOST, 2 * self._rows_a_commit)
        elif took > _SLOW:
            self._rows_a_commit = max(_FEWEST, self._rows_a_commit // 2)

    async def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The texts' vectors; when stopped, it does not wait for the embedder."""
        stopping = asyncio.ensure_future(self._stopped.wait())
        embedding = asyncio.ensure_future(embed_texts(self._embedder, texts, "document"))
        try:
            if not self._stopped.is_set():
                await asyncio.wait({stopping, embedding}, return_when=asyncio.FIRST_COMPLETED)
            if self._stopped.is_set():
                raise StoreClosedError(
                    "the re-embedding was stopped; the store is as it was",
                    fix="Re-embed it with the same embedder again, to go on.",
                )
            return embedding.result()
        finally:
            for task in (stopping, embedding):
                task.cancel()

    def _report(self, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress("re-embedding", done, total)


async def _read(index: RowIndex, columns: Sequence[str]) -> pa.Table:
    """Columns of every row, in the order of ``seq``."""
    batches = [batch async for batch in index.after(-1, columns)]
    if not batches:
        return pa.schema([row_schema(1).field(name) for name in columns]).empty_table()
    return await asyncio.to_thread(lambda: pa.Table.from_batches(batches).sort_by("seq"))


def _differences(
    mine: pa.Table, theirs: pa.Table
) -> tuple[NDArray[np.int64], NDArray[np.int64], pa.Table]:
    """The ``seq`` that the copy lacks, those that only it has, and the rows with other counts."""
    here, there = mine.column("seq").to_numpy(), theirs.column("seq").to_numpy()
    _, at_mine, at_theirs = np.intersect1d(here, there, assume_unique=True, return_indices=True)
    missing = np.delete(here, at_mine)
    gone = np.delete(there, at_theirs)
    ours, other = mine.take(at_mine), theirs.take(at_theirs)
    unlike = _unlike(ours, other, USED)
    ours, other = ours.filter(unlike), other.filter(unlike)
    counted = ours.select(["seq", *USED]).append_column(CHECKSUM, used(other, ours))
    return missing, gone, counted


def _strangers(mine: pa.Table, theirs: pa.Table) -> NDArray[np.int64]:
    """The ``seq`` of each row of the copy that differs from the store's row of that ``seq``."""
    here, there = mine.column("seq").to_numpy(), theirs.column("seq").to_numpy()
    _, at_mine, at_theirs = np.intersect1d(here, there, assume_unique=True, return_indices=True)
    ours, other = mine.take(at_mine), theirs.take(at_theirs)
    strange = other.filter(_unlike(ours, other, _IDENTIFIED[1:]))
    seqs: NDArray[np.int64] = strange.column("seq").to_numpy()
    return seqs


def _unlike(ours: pa.Table, other: pa.Table, columns: Sequence[str]) -> Any:
    """For each row of two tables of equal length, whether any of these columns differs."""
    unlike = pa.array(np.zeros(ours.num_rows, bool))
    for name in columns:
        unlike = pc.or_(unlike, pc.not_equal(ours.column(name), other.column(name)))
    return unlike


def _with_vectors(rows: pa.Table, vectors: NDArray[np.float32], schema: pa.Schema) -> pa.Table:
    """Rows, without their vector, as a table of ``schema`` with these: float32 (n, d)."""
    kind = schema.field("vector").type
    flat = pa.array(vectors.reshape(-1), pa.float32())
    table = rows.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, kind.list_size))
    return with_checksums(table.select(schema.names).cast(schema).sort_by("seq"))


def _check(rows: pa.Table) -> None:
    """Refuse to copy rows that are not as they were stored: the copy would look whole."""
    unlike = changed(rows)
    if unlike.any():
        seqs = rows.column("seq").filter(pa.array(unlike)).to_pylist()
        raise EngineError(
            "rows",
            "re-embed",
            f"{not_as_stored(len(seqs))}, such as seq {min(seqs)}",
            fix="Restore them from a snapshot or a backup, or run: bruno-memory-vec doctor "
            "--repair",
        )
