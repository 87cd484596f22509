"""Rows as an engine has them: sealed, with keyed hashes in place of names.

A sealed row is a row of the same schema, so any engine can keep it, and its log, indexes and
upkeep need know nothing of it. In the clear it has:

==================  ================================================================================
``seq``             the position in the store's write order
``kind``            message or memory
``id``, ``user_id``, ``conversation_id``  keyed hashes, the same for the same name
``turn``            a message's position in its conversation
``words``           how many terms its text has, by which BM25 divides
``expires_at``, ``archived_at``, ``pinned_at``  whether there is one; the time itself is sealed
==================  ================================================================================

All else, the vector included, is in ``content``: base64 of a version, the number of the user's key,
the nonce and the payload under AES-256-GCM. What is in the clear is bound to it as additional data,
so a row that was moved to another user, conversation, turn or ``seq`` cannot be opened.
"""

from __future__ import annotations

import binascii
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..aio import yielding_gil
from ..schema import COLUMNS, row_schema
from ..words.terms import TERMS
from .payload import decoded, encoded, fields_of, vectors_of
from .rotation import Rotation

#: The length of the vectors in the engine, which are all zero, where there is no keyed index.
DIMENSION = 1
#: The columns of a sealed row that opening it reads.
READ = (
    "seq",
    "kind",
    "id",
    "user_id",
    "conversation_id",
    "turn",
    "expires_at",
    "archived_at",
    "pinned_at",
    "content",
)
#: The columns that the engine has as they are.
PLAIN = frozenset(("seq", "kind", "turn"))
#: The times of which the engine knows only whether there is one.
MARKED = ("expires_at", "archived_at", "pinned_at")
#: The columns that name somebody or something; the engine has their keyed hashes.
HASHED = ("id", "user_id", "conversation_id")

_ENGINE = row_schema(DIMENSION)
# Stands in the engine for any time.
_SOME_TIME = datetime(2000, 1, 1, tzinfo=timezone.utc)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FORMAT = 1
_PREFIX = struct.Struct("<BI")
_NONCE, _TAG = 12, 16
_BETWEEN_YIELDS = 512


class Sealing(Protocol):
    """AES-256-GCM under one key."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """The data sealed, and a tag of it and of what it is bound to."""
        ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """What :meth:`encrypt` was given.

        Raises:
            cryptography.exceptions.InvalidTag: another key, or a byte has changed.
        """
        ...


class OneKey(Protocol):
    """A user's key, and which of the user's keys it is."""

    @property
    def version(self) -> int:
        """Its number among the user's keys."""
        ...

    @property
    def cipher(self) -> Sealing:
        """AES-256-GCM under it."""
        ...


class Keys(Protocol):
    """The keys of a store. Any thread may use them."""

    def hashed(self, what: str, name: str) -> str:
        """A name as the engine has it: a keyed hash, the same each time."""
        ...

    def sealing(self, user_id: str) -> OneKey:
        """The key that a user's rows are sealed with; made at the first call."""
        ...

    def opening(self, user: str, version: int) -> OneKey | None:
        """A user's key by the hash of the name; None where there is none any more."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """Sealed rows that were opened.

    Attributes:
        rows: the columns that were asked for.
        at: which of the sealed rows they are, int64 (n,).
        unopened: the ``seq`` of those that could not be opened.
    """

    rows: pa.Table
    at: NDArray[np.int64]
    unopened: tuple[int, ...] = ()


def sealed(rows: pa.Table, keys: Keys, analysis: int, rotation: Rotation | None = None) -> pa.Table:
    """Rows with all columns, the vector and their terms as the engine has them.

    Args:
        rows: the rows, with :data:`TERMS`.
        keys: the keys of the store.
        analysis: a number of what made the terms.
        rotation: of the vectors that the engine has, too; None where it has none.
    """
    count = rows.num_rows
    users = rows.column("user_id").to_pylist()
    own = {user: keys.sealing(user) for user in dict.fromkeys(users)}
    plain = {
        "seq": rows.column("seq").to_pylist(),
        "kind": rows.column("kind").to_pylist(),
        "turn": rows.column("turn").to_pylist(),
        "words": pc.fill_null(pc.list_value_length(rows.column(TERMS)), 0).to_pylist(),
    }
    for name in HASHED:
        plain[name] = [
            None if one is None else keys.hashed(name, one)
            for one in (users if name == "user_id" else rows.column(name).to_pylist())
        ]
    for name in MARKED:
        there = rows.column(name).is_valid().to_pylist()
        plain[name] = [_SOME_TIME if one else None for one in there]
    about = _about(plain, count)
    payloads = encoded(rows, analysis)
    contents = []
    for i, payload in enumerate(yielding_gil(payloads, _BETWEEN_YIELDS)):
        key, nonce = own[users[i]], os.urandom(_NONCE)
        prefix = _PREFIX.pack(_FORMAT, key.version)
        body = key.cipher.encrypt(nonce, payload, prefix + about[i])
        contents.append(binascii.b2a_base64(prefix + nonce + body, newline=False))
    columns = {**plain, "content": pa.array(contents, pa.binary()).cast(pa.string())}
    schema = _ENGINE
    if rotation is not None:
        schema = row_schema(rotation.dimension)
        columns["vector"] = rotation.column(vectors_of(rows.column("vector")))
    return pa.Table.from_arrays([_column(field, columns, count) for field in schema], schema=schema)


def recoded(
    rows: pa.Table, keys: Keys, analysis: int, dimension: int, rotation: Rotation | None
) -> pa.Table:
    """Sealed rows with all columns, with the codes of a rotation, or with none, and else the same.

    Args:
        rows: the rows.
        keys: the keys of the store.
        analysis: a number of what makes terms.
        dimension: of the vectors.
        rotation: of the vectors that the engine is to have; None for none.
    """
    schema = row_schema(DIMENSION if rotation is None else dimension)
    if rotation is None:
        column = pa.array([[0.0] * DIMENSION] * rows.num_rows, schema.field("vector").type)
    else:
        found = opened(rows, ["vector"], keys, dimension, analysis)
        vectors = np.zeros((rows.num_rows, dimension), np.float32)
        vectors[found.at] = vectors_of(found.rows.column("vector"))
        column = rotation.column(vectors)
    others = [rows.column(name) for name in COLUMNS]
    return pa.Table.from_arrays([*others, column], schema=schema)


def changes_of(table: pa.Table, changed: Sequence[str]) -> pa.Table:
    """Of sealed rows what an update of some columns changes in the engine."""
    marked = [name for name in (*MARKED, "turn") if name in changed]
    marked += ["words"] if "content" in changed else []
    if "vector" in changed and table.schema.field("vector").type.list_size != DIMENSION:
        marked.append("vector")
    return table.select(["seq", "content", *marked])


def opened(
    table: pa.Table, columns: Sequence[str], keys: Keys, dimension: int, analysis: int
) -> Opened:
    """Columns of sealed rows (:data:`READ`); :data:`TERMS` are null where of another analysis.

    Rows that cannot be opened, because their key is destroyed or a byte has changed, are left out.
    """
    count = table.num_rows
    plain = {name: table.column(name).to_pylist() for name in READ if name != "content"}
    about = _about(plain, count)
    users, seqs = plain["user_id"], plain["seq"]
    found: list[bytes] = []
    at: list[int] = []
    unopened: list[int] = []
    known: dict[tuple[str, int], OneKey | None] = {}
    contents = table.column("content").cast(pa.binary()).to_pylist()
    refused = _refused()
    for i, content in enumerate(yielding_gil(contents, _BETWEEN_YIELDS)):
        payload = None
        try:
            data = binascii.a2b_base64(content)
            form, version = _PREFIX.unpack_from(data)
            named = users[i], version
            if named not in known:
                known[named] = keys.opening(*named)
            key, begin = known[named], _PREFIX.size + _NONCE
            if key is not None and form == _FORMAT and len(data) >= begin + _TAG:
                payload = key.cipher.decrypt(
                    data[_PREFIX.size : begin], data[begin:], data[: _PREFIX.size] + about[i]
                )
        except refused:
            payload = None
        if payload is None:
            unopened.append(seqs[i])
        else:
            found.append(payload)
            at.append(i)
    return Opened(
        decoded(found, columns, dimension, analysis), np.array(at, np.int64), tuple(unopened)
    )


def unopened_rows(table: pa.Table, columns: Sequence[str], dimension: int) -> pa.Table:
    """Rows that could not be opened, as rows whose checksum does not fit.

    They have their ``seq``, kind and turn, and the hashes of their names; so whoever looks for
    damage finds them, and they can be removed.
    """
    count = table.num_rows
    said: dict[str, Any] = {
        name: table.column(name).to_pylist() for name in (*PLAIN, *HASHED, *MARKED)
    }
    said["checksum"] = [-1] * count
    said["vector"] = [[0.0] * dimension] * count
    fields = fields_of(columns, dimension)
    return pa.Table.from_arrays([_column(one, said, count) for one in fields], schema=fields)


def _about(plain: dict[str, list[Any]], count: int) -> list[bytes]:
    """What is bound to each row: all that the engine has in the clear."""
    marks = zip(*(plain[name] for name in MARKED), strict=True)
    names = zip(*(plain[name] for name in ("kind", *HASHED, "turn", "seq")), strict=True)
    told: list[bytes] = [
        f"{'|'.join(map(str, named))}|{''.join('01'[one is not None] for one in marked)}".encode()
        for named, marked in zip(names, marks, strict=True)
    ]
    assert len(told) == count
    return told


def _column(field: pa.Field, given: dict[str, Any], count: int) -> pa.Array:
    if field.name in given:
        held = given[field.name]
        return held if isinstance(held, pa.Array) else pa.array(held, field.type)
    if field.nullable and field.name != "vector":
        return pa.nulls(count, field.type)
    return pa.array([_nothing(field)] * count, field.type)


def _nothing(field: pa.Field) -> Any:
    kind = field.type
    for of_kind, value in (
        (pa.types.is_string, "{}" if field.name == "metadata" else ""),
        (pa.types.is_boolean, False),
        (pa.types.is_timestamp, _EPOCH),
        (pa.types.is_fixed_size_list, [0.0] * getattr(kind, "list_size", 0)),
        (pa.types.is_list, []),
    ):
        check: Callable[[pa.DataType], bool] = of_kind
        if check(kind):
            return value
    return 0


def _refused() -> tuple[type[Exception], ...]:
    from cryptography.exceptions import InvalidTag

    return binascii.Error, struct.error, InvalidTag


assert set(READ) <= set(COLUMNS)
