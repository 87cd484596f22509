"""Bring a store of an older format to this one, once, when it is opened to write."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import CUE_COLUMNS, ROWS_VERSION, SCHEMA_VERSION, row_schema
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.rows import tagged_json as jsonable
from bruno_memory_vec.rows.models import cues
from bruno_memory_vec.store.manifest import Manifest
from bruno_memory_vec.writing.projections import Progress

_log = get_logger(__name__)

_ROWS_A_COMMIT = 20_000


async def upgrade(
    rows: RowIndex, found: Manifest, folder: Path, progress: Progress | None = None
) -> Manifest:
    """Fill in what the format of ``found`` did not have; does nothing for the present one.

    Format 1 had no cues. Format 2 had no log, and its rows are as they should be. Killed half-way,
    it begins again at the next opening: until the manifest says otherwise the store is of the old
    format.

    Raises:
        EngineError: the rows cannot be read or written.
    """
    if found.schema == SCHEMA_VERSION:
        return found
    if found.schema < ROWS_VERSION:
        await _add_cues(rows, found, progress)
    # Before anything is logged.
    now = replace(found, schema=SCHEMA_VERSION)
    await asyncio.to_thread(now.write, folder)
    return now


async def _add_cues(rows: RowIndex, found: Manifest, progress: Progress | None) -> None:
    total = await rows.count(Scope.all_users(), RowFilter())
    _log.info("store_upgraded", schema=found.schema, to=SCHEMA_VERSION, rows=total)
    done, waiting = 0, list[pa.Table]()
    # Read whole before the first write: the rows move while they are written.
    read = [batch async for batch in rows.after(-1, ["seq", "content", "metadata"])]
    for batch in read:
        waiting.append(await asyncio.to_thread(_cues_of, batch))
        if sum(table.num_rows for table in waiting) >= _ROWS_A_COMMIT:
            await rows.update(pa.concat_tables(waiting))
            waiting.clear()
        done += batch.num_rows
        if progress is not None and batch.num_rows:
            progress("upgrading the store", done, total)
    if waiting:
        await rows.update(pa.concat_tables(waiting))


def _cues_of(batch: pa.RecordBatch) -> pa.Table:
    schema = row_schema(1)
    fields = [schema.field(name) for name in ("seq", *CUE_COLUMNS)]
    read = [
        {"seq": row["seq"], **cues(row["content"], jsonable.loads(row["metadata"]))}
        for row in batch.to_pylist()
    ]
    return pa.Table.from_pylist(read, schema=pa.schema(fields))
