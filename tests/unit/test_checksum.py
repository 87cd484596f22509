"""The checksum of a row: made one by one and in arrays alike, and other for every change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bruno_core.models.message import Message, MessageRole
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.indexers.checksum import (
    USED,
    changed,
    checksums,
    only_derived,
    row_checksum,
    used,
    with_checksums,
)
from bruno_memory_vec.indexers.schema import CHECKSUM, COLUMNS, row_schema
from bruno_memory_vec.rows.models import (
    from_table,
    memory_row,
    message_row,
    to_table,
    with_positions,
)
from bruno_memory_vec.testing import rows as made
from bruno_memory_vec.testing.strategies import memory_entries, messages

DIMENSION = 5
ROWS = made.table(
    [
        made.message(3, "Where is the *ferry* timetable?", tags=["a", "bb"], speaker="Ana"),
        made.memory(7, "日本 🍊", extra='{"x":1}', metadata_pairs=['"n"=1'], parent_id="p"),
        made.memory(9, ""),
    ],
    DIMENSION,
)


@given(st.lists(messages() | memory_entries(), min_size=1, max_size=4), st.integers(0, 2**40))
def test_one_by_one_and_in_arrays_alike(models: Sequence[Any], seq: int) -> None:
    rows = []
    for offset, model in enumerate(models):
        talk = getattr(model, "role", None) is not None
        row = message_row(model, "ana", "talk") if talk else memory_row(model)
        rows.append(row | {"seq": seq + offset, "turn": offset if talk else None})
    vectors = np.random.default_rng(seq).random((len(rows), DIMENSION), np.float32)
    table = to_table(rows, vectors, row_schema(DIMENSION))
    one_by_one = [row_checksum(row, vector) for row, vector in zip(rows, vectors, strict=True)]
    assert checksums(table).tolist() == one_by_one == table.column(CHECKSUM).to_pylist()
    # Whatever the chunks and the slices, and read back as plain values.
    parts = pa.concat_tables([table.slice(i, 1) for i in range(len(rows))])
    assert checksums(parts).tolist() == one_by_one
    assert not changed(table.drop_columns(["vector"])).any()
    again = list(from_table(table.drop_columns(["vector"])))
    assert [row_checksum(row, vectors[i]) for i, row in enumerate(again)] == one_by_one


@pytest.mark.parametrize("count", [1, 128, 129, 700])
def test_rows_laid_out_before_they_have_a_place_get_the_same_one(count: int) -> None:
    rows = [
        message_row(Message(role=MessageRole.USER, content=f"{n} é", metadata={"n": n}), "", "talk")
        for n in range(count)
    ]
    vectors = np.random.default_rng(count).random((count, DIMENSION), np.float32)
    early = to_table(rows, vectors, row_schema(DIMENSION), placed=False)
    for number, row in enumerate(rows):
        row.update(seq=number + 5, turn=number, user_id="ana", origin="tool", pinned_at=number)
    late = with_positions(early, rows)
    assert not changed(late).any()
    assert late.equals(to_table(rows, vectors, row_schema(DIMENSION)))


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, datetime):
        return datetime(1999, 1, 1, tzinfo=timezone.utc)
    if isinstance(value, list):
        return [*value, ""]
    return "" if value is None else f"{value}\0"


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != CHECKSUM])
@pytest.mark.parametrize("row", range(3))
def test_a_change_of_any_column_shows(name: str, row: int) -> None:
    rows = ROWS.to_pylist()
    if rows[row][name] is None and not pa.types.is_string(ROWS.schema.field(name).type):
        number = pa.types.is_integer(ROWS.schema.field(name).type)
        rows[row][name] = 0 if number else datetime(1970, 1, 1, tzinfo=timezone.utc)
    else:
        rows[row][name] = _other(rows[row][name])
    table = pa.Table.from_pylist(rows, schema=ROWS.schema)
    assert np.flatnonzero(changed(table)).tolist() == [row]
    found = changed(table.drop_columns(["vector"]))
    assert np.flatnonzero(found).tolist() == ([] if name in USED else [row])
    assert only_derived(table)[row] == (name in USED)


def test_every_bit_of_a_vector_and_of_a_checksum_shows() -> None:
    for name, width in (("vector", 4 * DIMENSION), (CHECKSUM, 8)):
        column = ROWS.column(name).combine_chunks()
        whole = (column.flatten() if name == "vector" else column).to_numpy()
        for bit in range(8 * width):
            data = bytearray(whole.tobytes())
            data[width + bit // 8] ^= 1 << bit % 8
            values = pa.array(np.frombuffer(bytes(data), whole.dtype))
            if name == "vector":
                values = pa.FixedSizeListArray.from_arrays(values, DIMENSION)
            at = ROWS.schema.get_field_index(name)
            table = ROWS.set_column(at, ROWS.schema.field(at), values)
            assert np.flatnonzero(changed(table)).tolist() == [1]


def test_text_that_moves_from_one_column_to_the_next_shows() -> None:
    rows = ROWS.to_pylist()
    rows[0] |= {"source": "ab", "category": "c"}
    table = with_checksums(pa.Table.from_pylist(rows, schema=ROWS.schema))
    rows = table.to_pylist()
    rows[0] |= {"source": "a", "category": "bc"}
    assert changed(pa.Table.from_pylist(rows, schema=ROWS.schema)).tolist() == [True, False, False]


def test_an_update_keeps_what_was_wrong_before() -> None:
    at = ROWS.schema.get_field_index("content")
    wrong = ROWS.set_column(at, ROWS.schema.field(at), pa.array(["x", "日本 🍊", ""]))
    for before, damaged in ((ROWS, [False] * 3), (wrong, [True, False, False])):
        rows = before.to_pylist()
        for row in rows:
            row |= {"access_count": 12, "last_accessed": datetime(2026, 1, 1, tzinfo=timezone.utc)}
        after = pa.Table.from_pylist(rows, schema=ROWS.schema)
        place = after.schema.get_field_index(CHECKSUM)
        table = after.set_column(place, after.schema.field(place), used(before, after))
        assert changed(table).tolist() == damaged
