"""The bytes of a user's file: rows in memory as arrays that are ready when they are read.

A file is a head of fixed length, a description in JSON, the arrays, each at a multiple of 64 bytes,
and the table as an Arrow stream. The checksum in the head is of all that follows it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from ..snapshot import CODED, HeldParts, HeldRows
from ..words.index import WordIndex
from ..words.row_words import RowWords

#: The number of this layout, in each file.
FORMAT = 1

_MAGIC = b"brunorow"
# Magic, format, the checksum, and the lengths of description, arrays and table.
_HEAD = struct.Struct("<8sIIQQQ")
_ALIGNED = 64
_NAMED = "names"
_VECTORS, _WORDS = "vectors", "words."


class NotUsable(Exception):
    """A file that is damaged, or not what was asked for; the text says why."""


def pack(parts: HeldParts, about: Mapping[str, Any]) -> list[bytes | memoryview]:
    """The bytes of a file, in pieces.

    Args:
        parts: the rows. Their arrays are not copied.
        about: what the file is to say of itself, as plain values for JSON.
    """
    arrays: dict[str, Any] = {_VECTORS: parts.vectors, **parts.columns}
    words = parts.words.index
    if words is not None:
        # Of these rows: there may be words of rows that were added since.
        count = len(parts.vectors)
        words = words if len(words) <= count else words.taken(np.arange(count))
        arrays |= {f"{_WORDS}{name}": held for name, held in words.arrays().items()}
    described, at = [], 0
    pieces: list[bytes | memoryview] = []
    for name, values in arrays.items():
        held = np.ascontiguousarray(values)
        described.append((name, held.dtype.str, held.shape, at))
        pieces.append(held.reshape(-1).view(np.uint8).data)
        gap = -held.nbytes % _ALIGNED
        pieces.append(bytes(gap))
        at += held.nbytes + gap
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, parts.table.schema) as writer:
        writer.write_table(parts.table)
    table = sink.getvalue()
    description = json.dumps(
        {
            "about": dict(about),
            "arrays": described,
            _NAMED: {name: list(parts.names[name]) for name in CODED},
            "repeated": parts.repeated,
            "archived_until": parts.archived_until,
        }
    ).encode()
    pieces = [description, *pieces, memoryview(table)]
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return [_HEAD.pack(_MAGIC, FORMAT, crc, len(description), at, table.size), *pieces]


def unpack(file: BinaryIO, about: Mapping[str, Any]) -> tuple[HeldRows, dict[str, Any]]:
    """The rows of a file, and what it says of itself.

    Args:
        file: at its beginning.
        about: what it has to say of itself, at least.

    Raises:
        NotUsable: it is damaged, or says something else.
        OSError: it cannot be read.
    """
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise NotUsable("it was cut")
    magic, format_, crc, of_description, of_arrays, of_table = _HEAD.unpack(head)
    if magic != _MAGIC or format_ != FORMAT:
        raise NotUsable("it has another format")
    left = file.seek(0, 2) - _HEAD.size
    file.seek(_HEAD.size)
    if of_description + of_arrays + of_table != left:
        raise NotUsable("it was cut")
    # Apart, so that the arrays are freed when rows are added to copies of them. They are read, not
    # mapped: a file that is cut while it is mapped ends the process.
    parts = [bytearray(length) for length in (of_description, of_arrays, of_table)]
    for part in parts:
        if file.readinto(part) != len(part):  # type: ignore[attr-defined]
            raise NotUsable("it was cut")
    found = 0
    for part in parts:
        found = zlib.crc32(part, found)
    if found != crc:
        raise NotUsable("its checksum differs")
    described = json.loads(parts[0])
    said = described["about"]
    for name, value in about.items():
        if said.get(name) != value:
            raise NotUsable(f"its {name} is another one")
    arrays: dict[str, Any] = {
        name: np.ndarray(tuple(shape), np.dtype(kind), parts[1], offset)
        for name, kind, shape, offset in described["arrays"]
    }
    vectors = arrays.pop(_VECTORS)
    held = [name for name in arrays if name.startswith(_WORDS)]
    words = {name.removeprefix(_WORDS): arrays.pop(name) for name in held}
    rows = HeldRows.from_parts(
        HeldParts(
            vectors=vectors,
            columns=arrays,
            names=described[_NAMED],
            table=pa.ipc.open_stream(pa.py_buffer(parts[2])).read_all(),
            repeated=described["repeated"],
            archived_until=described["archived_until"],
            words=RowWords(WordIndex.from_arrays(words) if words else None),
        )
    )
    return rows, said
