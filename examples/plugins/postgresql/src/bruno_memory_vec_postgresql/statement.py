"""An SQL statement whose values are all bound parameters, and conditions on rows as SQL.

Only this module writes conditions. Names are of columns in the schema, and quoted; a value is
never part of the text.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from bruno_memory_vec.indexers.query import Condition, RowFilter, Scope
from bruno_memory_vec.indexers.schema import micros, row_schema

from .texts import comparable

_TYPES = {field.name: field.type for field in row_schema(1)}
#: Columns of texts that may be too long for an index (an id has up to 4 KiB), and the columns of
#: their hashes, which are indexed.
HASHED = {"user_id": "owner", "conversation_id": "place", "id": "handle"}


class Statement:
    """Collects the values of a statement while its text is made."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def bind(self, value: Any, kind: str) -> str:
        """The place of a value in the text, with its type."""
        self.values.append(value)
        return f"${len(self.values)}::{kind}"

    def within(self, scope: Scope, where: RowFilter) -> str:
        """The conditions of a scope and a filter; TRUE where every row matches."""
        return self.all_of([*scope.conditions(), *where.conditions()])

    def all_of(self, conditions: Iterable[Condition]) -> str:
        """Conditions that all have to hold; TRUE where there are none."""
        return " AND ".join(map(self.condition, conditions)) or "TRUE"

    def condition(self, asked: Condition) -> str:
        """One condition, on any column. It is true or false, never null."""
        column, op, value = asked
        name = quoted(column)
        kind = sql_type(_TYPES[column])
        if op in ("in", "any"):
            return self._one_of(column, op, value, kind)
        # A column of less precision is compared as it is read, which is exact.
        kind = "float8" if kind == "float4" else kind
        bound = self.bind(_plain(value, kind), kind)
        if op == "alive":
            return f"({name} IS NULL OR {name} > {bound})"
        return f"coalesce({name} {'>=' if op == 'ge' else '<'} {bound}, FALSE)"

    def _one_of(self, column: str, op: str, values: Iterable[Any], kind: str) -> str:
        name = quoted(column)
        if op == "any":
            return f"{name} && {self.bind(comparable(values), 'text[]')}"
        if kind == "text":
            texts = comparable(values)
            asked = f"coalesce({name} = ANY({self.bind(texts, 'text[]')}), FALSE)"
            if column in HASHED:
                hashes = self.bind(list(map(hash_of, texts)), "int8[]")
                asked = f"{HASHED[column]} = ANY({hashes}) AND {asked}"
            return asked
        kind = "float8" if kind == "float4" else kind
        plain = [_plain(value, kind) for value in values]
        return f"coalesce({name} = ANY({self.bind(plain, f'{kind}[]')}), FALSE)"


def quoted(name: str) -> str:
    """An identifier for the text of a statement."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def hash_of(text: str) -> int:
    """64 bits of a stored text, as an int8."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def sql_type(kind: pa.DataType) -> str:
    """The type of a column, but for the vector, whose type has an extension's name."""
    if pa.types.is_list(kind):
        return "text[]"
    return _SQL_TYPES[str(kind)]


_SQL_TYPES = {
    "string": "text",
    "int64": "int8",
    "float": "float4",
    "double": "float8",
    "bool": "bool",
    "timestamp[us, tz=UTC]": "timestamptz",
}


def _plain(value: Any, kind: str) -> Any:
    """A value as the codec of its column takes it: times are microseconds."""
    if isinstance(value, datetime):
        return micros(value)
    if kind == "float8":
        return float(value)
    return bool(value) if kind == "bool" else int(value)
