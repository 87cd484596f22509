"""The rows of a store of any format, as they lie on the disk.

Nothing of the store is opened by this package's own engines, which know the newest format only: the
table is read by LanceDB, and the log by its segments, which say their own schema.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bruno_memory_vec._version import __version__
from bruno_memory_vec.errors import EngineError, NotAStoreError, StoreVersionError
from bruno_memory_vec.indexers.schema import LOG
from bruno_memory_vec.store import manifest
from bruno_memory_vec.upkeep.migrations import sessions
from bruno_memory_vec.upkeep.migrations.formats import NEWEST, in_format

_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Stored:
    """A store of any format.

    Attributes:
        folder: where it is.
        manifest: ``store.json``.
        format: the format of its rows.
        rows: the folder of its rows.
        dimension: the number of values of a vector.
        encrypted: whether its rows are sealed.
    """

    folder: Path
    manifest: dict[str, Any]
    format: int
    rows: Path
    dimension: int
    encrypted: bool = False


def stored_in(folder: Path) -> Stored:
    """What a folder says of itself.

    Raises:
        NotAStoreError: there is no store, or ``store.json`` is damaged.
        StoreVersionError: a newer version wrote it, in a format that is not known here.
    """
    path = folder / manifest.FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        kinds = (manifest.FORMAT, manifest.SEALED_FORMAT)
        if not isinstance(data, dict) or data.get("format") not in kinds:
            raise ValueError(f"it was not written by {manifest.FORMAT}")
        number, name = data["schema"], data.get("rows", manifest.ROWS)
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ValueError(f"its schema {number!r} is no format")
        dimension = int(data["embedder"]["dimension"]) if number <= NEWEST else 0
        if not manifest.is_name_of_rows(name):
            raise ValueError(f"{name!r} is no folder of rows")
    except FileNotFoundError as error:
        raise manifest.no_store(folder) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotAStoreError(
            f"{path} cannot be read: {error}",
            fix="Name the folder of a store, or restore the file from a backup.",
            cause=error if isinstance(error, Exception) else None,
        ) from error
    if number > NEWEST:
        raise StoreVersionError(
            f"{folder} has the format {number}, and this version ({__version__}) knows those up to "
            f"{NEWEST}; it was written by {data.get('written_by')}",
            fix=manifest.newer_version(data.get("written_by")),
        )
    encrypted = data["format"] == manifest.SEALED_FORMAT
    return Stored(folder, data, number, folder / name, dimension, encrypted)


async def rows_of(stored: Stored) -> AsyncIterator[pa.Table]:
    """All rows, in parts, with the columns of the store's format; each row once.

    Raises:
        EngineError: they cannot be read.
    """
    from bruno_memory_vec.indexers.lance.table import errors, import_lancedb

    path = stored.rows
    newest = -1
    if not (path / "rows.lance").is_dir():
        raise EngineError(
            "lancedb", "read rows", f"there are no rows in {path}", fix="Restore them first."
        )
    lancedb = await asyncio.to_thread(import_lancedb)
    with errors("read rows", str(path)):
        database = await lancedb.connect_async(str(path))
        table = await database.open_table("rows")
        async for batch in await table.query().to_batches(max_batch_length=_BATCH):
            if batch.num_rows:
                part = await asyncio.to_thread(
                    in_format, pa.Table.from_batches([batch]), stored.format
                )
                newest = max(newest, *part.column("seq").to_pylist())
                yield part
    for part in await asyncio.to_thread(_logged, stored, newest):
        yield part


def _logged(stored: Stored, newest: int) -> list[pa.Table]:
    """The rows that are only in the log: past the newest one of the table."""
    from bruno_memory_vec.indexers.lance.write_ahead_log import read_segment, segments

    known = None
    found: list[pa.Table] = []
    for path in segments(stored.rows / LOG):
        if known is None:
            known = sessions.known_gone(stored.folder / sessions.FILE) or (-1, frozenset())
        segment = read_segment(path)
        if segment.damaged:
            raise EngineError(
                "write-ahead log",
                "read",
                f"{segment.damaged:,} bytes of {path} cannot be read",
                fix="Open the store once with the version that wrote it, which keeps what it can.",
            )
        for rows in segment.rows:
            seqs = rows.column("seq").to_pylist()
            kept = np.array(
                [seq > newest and (seq > known[0] or seq in known[1]) for seq in seqs], np.bool_
            )
            newest = max(newest, *seqs)
            if kept.any():
                found.append(in_format(rows.filter(pa.array(kept)), stored.format))
    return found


async def write_rows(
    folder: Path, parts: AsyncIterator[pa.Table], number: int, dimension: int
) -> None:
    """Make a table of a format's rows in a new folder.

    Raises:
        EngineError: they cannot be written.
    """
    from bruno_memory_vec.indexers.lance.table import errors, import_lancedb
    from bruno_memory_vec.upkeep.migrations.formats import schema_of

    lancedb = await asyncio.to_thread(import_lancedb)
    with errors("write rows", str(folder)):
        database = await lancedb.connect_async(str(folder))
        table = await database.create_table("rows", schema=schema_of(number, dimension))
        async for part in parts:
            if part.num_rows:
                await table.add(part)
