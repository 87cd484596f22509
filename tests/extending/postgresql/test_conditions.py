"""Every operator on every column that it suits finds the rows that the reference finds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa

from bruno_memory_vec.indexers.query import Condition, RowFilter
from bruno_memory_vec.indexers.reference import matches
from bruno_memory_vec.indexers.schema import COLUMNS, TIMESTAMP, row_schema
from bruno_memory_vec.testing.engine_suite import EVERYONE, ROWS
from bruno_memory_vec.testing.rows import table
from tests.extending.postgresql.stores import open_index

_DIMENSION = 8


class Asking(RowFilter):
    """A filter of one condition."""

    def __init__(self, condition: Condition) -> None:
        object.__setattr__(self, "asked", condition)

    def conditions(self) -> list[Condition]:
        return [self.asked]  # type: ignore[attr-defined]


def conditions(rows: list[dict[str, Any]]) -> Iterator[Condition]:
    """Each operator on each column, with values that are there, between and beyond."""
    schema = row_schema(_DIMENSION)
    for column in COLUMNS:
        kind = schema.field(column).type
        held = [row[column] for row in rows]
        if pa.types.is_list(kind):
            every = sorted({one for values in held for one in values})
            yield from (Condition(column, "any", (one, "\x00")) for one in every)
            yield Condition(column, "any", ("nowhere",))
            continue
        values = sorted({one for one in held if one is not None})
        yield Condition(column, "in", tuple(values[::2]))
        yield from (Condition(column, "in", (one,)) for one in values[:3])
        if pa.types.is_string(kind):
            yield Condition(column, "in", ("' OR TRUE --", "\ud800", "\x00"))
        elif not pa.types.is_boolean(kind):
            step: Any = timedelta(microseconds=1) if kind == TIMESTAMP else 1
            for bound in (*values[:3], *values[-2:], *(one + step for one in values[-1:])):
                yield from (Condition(column, op, bound) for op in ("ge", "lt", "alive"))


async def test_they_find_what_the_reference_finds(url: str) -> None:
    index = await open_index(url, _DIMENSION)
    made = table(ROWS, _DIMENSION)
    await index.upsert(made, all_new=True)
    rows = made.drop_columns(["vector"]).to_pylist()
    asked = list(conditions(rows))
    assert {(one.column, one.op) for one in asked} >= {("tags", "any"), ("turn", "alive")}
    found_some = 0
    for one in asked:
        wanted = [row["seq"] for row in rows if matches(row, [one])]
        found = await index.read(EVERYONE, Asking(one), ["seq"])
        assert sorted(found.column("seq").to_pylist()) == wanted, one
        found_some += bool(wanted)
    assert found_some > 100
    await index.close()
