"""Reads the rows of a damaged table that can still be read, where no version of it is whole.

A damaged byte may stop LanceDB from decoding a part of a file: then every read of a range of rows
with that part fails. So ranges that fail are halved, down to single rows. Where only the vectors
cannot be read, the rows are given with vectors of zeros, which their checksums tell.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import EngineError
from ..schema import COLUMNS, row_schema
from .recovery import _looks_whole, _manifests, _show_one_version
from .table import errors, import_lancedb

_TABLE = "rows"
_ROWS_AT_ONCE = 1_024
# At most so many reads may fail; then what is left of a failing range is not halved any more.
_FAILURES = 20_000


async def readable_rows(folder: Path, dimension: int) -> AsyncIterator[pa.Table]:
    """The rows that can be read, of the newest version whose list of files can.

    Args:
        folder: the folder of the rows.
        dimension: length of a vector.

    Raises:
        BackendUnavailable: the folder cannot be read.
    """
    lancedb = import_lancedb()
    for manifest in _manifests(folder):
        if not _looks_whole(manifest):
            continue
        with tempfile.TemporaryDirectory(prefix="bruno-memory-") as view:
            _show_one_version(folder, manifest, Path(view))
            try:
                with errors("open", str(folder)):
                    table = await (await lancedb.connect_async(view)).open_table(_TABLE)
                    total = await table.count_rows()
            except EngineError:
                continue
            found = False
            try:
                async for rows in _Salvage(table, dimension).ranges(total):
                    found = True
                    yield rows
            finally:
                table.close()
            if found:
                return


async def any_readable(folder: Path, dimension: int) -> bool:
    """Whether there is a row that can be read. Raises: as :func:`readable_rows`."""
    rows = readable_rows(folder, dimension)
    try:
        return await anext(rows, None) is not None
    finally:
        await rows.aclose()  # type: ignore[attr-defined]


class _Salvage:
    def __init__(self, table: Any, dimension: int) -> None:
        self._table = table
        self._schema = row_schema(dimension)
        self._dimension = dimension
        self._failures = 0

    async def ranges(self, total: int) -> AsyncIterator[pa.Table]:
        """The readable rows, range by range."""
        waiting = [
            (start, min(_ROWS_AT_ONCE, total - start)) for start in range(0, total, _ROWS_AT_ONCE)
        ]
        waiting.reverse()
        while waiting:
            start, count = waiting.pop()
            rows = await self._read(start, count, [*COLUMNS, "vector"])
            if rows is None and count == 1:
                rows = await self._read(start, count, list(COLUMNS))
                rows = None if rows is None else self._without_vectors(rows)
            if rows is not None:
                if rows.num_rows:
                    yield rows.select(self._schema.names).cast(self._schema)
            elif count > 1 and self._failures < _FAILURES:
                half = count // 2
                waiting += [(start + half, count - half), (start, half)]

    async def _read(self, start: int, count: int, columns: list[str]) -> pa.Table | None:
        try:
            with errors("read rows", "the rows"):
                query = self._table.query().select(columns).offset(start).limit(count)
                return await query.to_arrow()
        except EngineError:
            self._failures += 1
            return None

    def _without_vectors(self, rows: pa.Table) -> pa.Table:
        zeros = pa.array(np.zeros(rows.num_rows * self._dimension, np.float32))
        vectors = pa.FixedSizeListArray.from_arrays(zeros, self._dimension)
        return rows.append_column(self._schema.field("vector"), vectors)
