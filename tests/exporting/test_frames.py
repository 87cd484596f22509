"""Hits, lists and timelines as Arrow, pandas and Polars tables."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pytest

from bruno_memory_vec import Hits, VectorMemory, to_arrow, to_pandas, to_polars
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError

LONG_AGO = datetime(2024, 2, 29, 7, 0, 15, 123456, tzinfo=timezone.utc)


async def test_hits_with_their_signals(memory: VectorMemory) -> None:
    hits = await memory.recall("who likes the violin?", user_id="ana", k=3)
    table = hits.to_arrow()
    assert table.num_rows == 3
    assert table.schema.field("created_at").type == pa.timestamp("us", tz="UTC")
    first = table.to_pylist()[0]
    assert (first["content"], first["kind"], first["turn"]) == (hits[0].content, "memory", None)
    assert first["score"] == hits[0].score
    for name, value in hits[0].signals.items():
        assert first[f"signal_{name}"] == value
    frame = hits.to_pandas()
    assert str(frame["turn"].dtype) == "Int64"
    assert frame["created_at"][0].to_pydatetime() == LONG_AGO
    assert hits.to_polars()["content"].to_list() == [hit.content for hit in hits]


async def test_timelines_and_lists(memory: VectorMemory) -> None:
    page = await memory.timeline("ana", order="oldest")
    assert page.to_arrow().column("id").to_pylist() == [hit.id for hit in page]
    memories = await memory.list_memories("ana")
    (row,) = memories.to_arrow().to_pylist()
    assert (row["tags"], row["importance"], row["metadata"]) == (["music"], 0.75, '{"a":1}')
    assert row["created_at"] == LONG_AGO
    talk = (await memory.list_sessions(user_id="ana"))[0].conversation_id
    turns = await memory.read_turns(talk)
    assert to_arrow(turns).column("turn").to_pylist() == [turn.turn for turn in turns]
    messages = [turn.message for turn in turns]
    assert to_polars(messages)["role"].to_list() == [one.role.value for one in messages]
    talks = await memory.list_conversations("ana")
    assert to_pandas(talks)["conversation_id"].tolist() == [talk]
    users = await memory.list_users()
    assert to_arrow(users).column("messages").to_pylist() == [10, 10]


async def test_several_kinds_have_the_columns_of_all(memory: VectorMemory) -> None:
    talk = (await memory.list_sessions(user_id="ana"))[0].conversation_id
    mixed = [(await memory.read_turns(talk))[0].message, (await memory.list_memories("ana"))[0]]
    table = to_arrow(mixed)
    assert table.column("role").to_pylist() == ["assistant", None]
    assert table.column("memory_type").to_pylist() == [None, "fact"]


def test_nothing_and_what_is_no_row() -> None:
    assert to_arrow(Hits()).column_names[:3] == ["id", "kind", "speaker"]
    assert to_arrow([]).num_rows == 0
    with pytest.raises(InvalidInputError, match="a int is no row of a table"):
        to_arrow([3])


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    make = to_pandas if package == "pandas" else to_polars
    with pytest.raises(MissingDependencyError, match=rf"bruno-memory-vec\[{package}\]"):
        make([])


@pytest.mark.parametrize("nothing", [None, 5, [object()]])
def test_what_is_no_list_of_rows_is_refused(nothing: Any) -> None:
    with pytest.raises(InvalidInputError, match="is no row of a table"):
        to_arrow(nothing)
