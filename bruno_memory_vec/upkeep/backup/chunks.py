"""Rows as the bytes of a piece, and back.

A piece is some parts. Each part is an Arrow stream of rows, compressed and sealed; where users are
sealed apart, of one user. Beside each chunk lies its list: the ``seq`` and the checksum of each of
its rows, by which a backup knows what it has without reading the rows.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bruno_memory_vec.indexers.schema import CHECKSUM
from bruno_memory_vec.upkeep.backup.repository import damaged
from bruno_memory_vec.upkeep.backup.sealing import Sealing

_COUNT = struct.Struct("<I")
_PART = struct.Struct("<IQ")
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a piece: how many things it holds, and its sealed bytes."""

    count: int
    sealed: bytes


def packed(parts: Sequence[Part]) -> bytes:
    """Parts as a piece."""
    begin = _COUNT.pack(len(parts))
    lengths = b"".join(_PART.pack(part.count, len(part.sealed)) for part in parts)
    return b"".join((begin, lengths, *(part.sealed for part in parts)))


def unpacked(data: bytes, name: str) -> list[Part]:
    """The parts of a piece.

    Raises:
        EngineError: it is none.
    """
    try:
        (number,) = _COUNT.unpack_from(data)
        found, at = [], _COUNT.size + number * _PART.size
        for n in range(number):
            count, length = _PART.unpack_from(data, _COUNT.size + n * _PART.size)
            found.append(Part(count, data[at : at + length]))
            at += length
    except struct.error as error:
        raise damaged(f"{name} is no piece of a backup", error) from error
    if at != len(data):
        raise damaged(f"{name} is no piece of a backup")
    return found


def rows_to_parts(rows: pa.Table, sealing: Sealing) -> tuple[list[Part], pa.Table]:
    """Rows as parts, and the same rows in the order in which the parts have them."""
    if not sealing.by_user:
        return [Part(rows.num_rows, sealing.seal(table_to_bytes(rows), None))], rows
    tables, parts = [], []
    for user in pc.unique(rows.column("user_id")).to_pylist():
        own = rows.filter(pc.equal(rows.column("user_id"), user))
        tables.append(own)
        parts.append(Part(own.num_rows, sealing.seal(table_to_bytes(own), user)))
    return parts, pa.concat_tables(tables)


def rows_of_parts(
    parts: Sequence[Part], sealing: Sealing, name: str
) -> list[tuple[int, pa.Table | None]]:
    """How many rows each part has, and its rows; None where its key was destroyed.

    Raises:
        EngineError: a part is no table.
        StoreError: the key is another one.
    """
    found: list[tuple[int, pa.Table | None]] = []
    for part in parts:
        data = sealing.open(part.sealed)
        table = None if data is None else table_of_bytes(data, name)
        if table is not None and table.num_rows != part.count:
            raise damaged(f"{name} holds {table.num_rows} rows, not {part.count}")
        found.append((part.count, table))
    return found


def list_of(rows: pa.Table) -> bytes:
    """The list of rows, before it is sealed."""
    both = np.stack([rows.column(name).to_numpy() for name in ("seq", CHECKSUM)])
    return both.astype("<i8").tobytes()


def read_list(data: bytes, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ``seq`` and the checksum of each row of a list, int64 (n,).

    Raises:
        EngineError: it is none.
    """
    if len(data) % 16:
        raise damaged(f"{name} is no list of rows")
    both = np.frombuffer(data, "<i8").astype(np.int64).reshape(2, -1)
    return both[0], both[1]


def table_to_bytes(rows: pa.Table) -> bytes:
    """A table as a compressed Arrow stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema, options=_COMPRESSED) as writer:
        writer.write_table(rows.combine_chunks())
    return sink.getvalue()


def table_of_bytes(data: bytes, name: str) -> pa.Table:
    """The table that :func:`table_to_bytes` was given.

    Raises:
        EngineError: it is none.
    """
    try:
        return pa.ipc.open_stream(pa.BufferReader(data)).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise damaged(f"{name} cannot be read: {error}", error) from error
