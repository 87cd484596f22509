"""Single texts of an Arrow column."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.indexers.text_column import TextColumn

texts = st.lists(st.none() | st.text(max_size=6), max_size=20)


def said(column: TextColumn, rows: list[int]) -> list[str | None]:
    return [None if one is None else str(one, "utf-8") for one in column.raw(rows)]


@given(st.lists(texts, max_size=4), st.sampled_from([pa.string(), pa.large_string()]), st.data())
def test_as_arrow_has_them(parts: list[list[str | None]], kind: Any, data: st.DataObject) -> None:
    column = pa.chunked_array([pa.array(part, kind) for part in parts], kind)
    start = data.draw(st.integers(0, len(column)))
    column = column.slice(start, data.draw(st.integers(0, len(column))))
    held = column.to_pylist()
    rows = data.draw(st.lists(st.integers(0, len(held) - 1), max_size=20)) if held else []
    assert said(TextColumn(column), rows) == [held[row] for row in rows]


@given(st.lists(texts, max_size=5), st.data())
def test_a_column_that_has_grown(parts: list[list[str | None]], data: st.DataObject) -> None:
    chunks = [pa.array(part, pa.string()) for part in parts]
    known = data.draw(st.integers(0, len(chunks)))
    former = TextColumn(pa.chunked_array(chunks[:known], pa.string()))
    column = pa.chunked_array(chunks, pa.string())
    held = column.to_pylist()
    former.raw(range(sum(map(len, chunks[:known]))))
    assert said(TextColumn(column, former), list(range(len(held)))) == held


@pytest.mark.parametrize("row", [-1, 2])
def test_a_row_that_is_not_there(row: int) -> None:
    with pytest.raises(IndexError):
        TextColumn(pa.chunked_array([pa.array(["a", "b"])])).raw([row])
