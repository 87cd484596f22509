"""Rows as the JSON that Tantivy reads: nothing of them is lost or changed."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pyarrow as pa
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS, row_schema
from bruno_memory_vec.indexers.tantivy.documents import MISSING, documents
from bruno_memory_vec.indexers.tantivy.index import TantivyIndex
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.rows.models import memory_row, message_row, to_table

_ODD = (
    'a "quoted" \\ back\\\\slash, a tab\t, a line\nand \x00\x01\x1f\x7f, é 北京 𝄞 \u2028 </script>'
)
_INTEGERS = {"seq", "turn", "created_at", "expires_at", "pinned_at", "archived_at"}


def _rows(count: int) -> pa.Table:
    entry = MemoryEntry(
        content=f"a memory with {_ODD}",
        memory_type=MemoryType.FACT,
        user_id=_ODD.replace("\x00", ""),
        metadata=MemoryMetadata(
            tags=["x", 'y"z', "\\"],
            category="c\t1",
            importance=1e-7,
            custom_fields={'k"': "v\\", "n": 1.5},
        ),
    )
    rows = [memory_row(entry)]
    for number in range(count - 1):
        message = Message(role=MessageRole.USER, content=f"number {number} {_ODD}")
        rows.append(message_row(message, f"u{number % 3}", f"c{number % 5}"))
    for seq, row in enumerate(rows):
        row["seq"], row["turn"] = seq, seq if row["kind"] == "message" else None
    return to_table(rows, np.zeros((count, 4), np.float32), row_schema(4)).select(LEXICAL_COLUMNS)


def test_each_field_is_there_as_it_is_in_the_row() -> None:
    for count in (1, 2, 300):
        rows = table = _rows(count)
        for name in ("created_at", "expires_at", "pinned_at", "archived_at"):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, table.column(name).cast(pa.int64()))
        found = [json.loads(text) for text in documents(rows, str.upper)]
        assert len(found) == count
        for document, row in zip(found, table.to_pylist(), strict=True):
            row["content"] = row["content"].upper()
            for name, value in row.items():
                absent = MISSING if name in _INTEGERS else [] if isinstance(value, list) else None
                assert document.pop(name, absent) == (absent if value is None else value), name
            assert not document


def test_tantivy_finds_it_by_each_kind_of_field() -> None:
    table = _rows(200)

    async def work() -> None:
        index = TantivyIndex(None, analyser("english"))
        index.add(table)
        await index.commit()
        assert await index.count() == 200

        def seqs(scope: Scope, where: RowFilter) -> list[int]:
            query = LexicalQuery("quoted memory number")
            found = index.search(query, scope, where, 300)
            return sorted(found.seq.tolist())

        everyone = Scope.all_users()
        user = table.column("user_id")[0].as_py()
        assert seqs(Scope.user(user), RowFilter()) == [0]
        assert seqs(everyone, RowFilter(tags=('y"z',))) == [0]
        assert seqs(everyone, RowFilter(categories=("c\t1",))) == [0]
        assert seqs(everyone, RowFilter(metadata=('"k\\""="v\\\\"',))) == [0]
        assert seqs(everyone, RowFilter(min_importance=0.1)) == list(range(1, 200))
        of_one = seqs(Scope("u1", "c1"), RowFilter())
        assert of_one == [n + 1 for n in range(199) if n % 15 == 1]
        await index.close()

    asyncio.run(work())


def test_many_small_additions_are_joined_and_stay_in_order_with_removals() -> None:
    table = _rows(3_000)

    async def work() -> None:
        index = TantivyIndex(None, analyser("english"))
        for start in range(0, 3_000, 3):
            index.add(table.slice(start, 3))
            if start == 600:
                index.remove([1, 600, 2_999])  # the last of these comes after its removal
        index.remove([5])
        await index.commit()
        query = LexicalQuery("memory number")
        found = index.search(query, Scope.all_users(), RowFilter(), 4_000)
        assert sorted(found.seq.tolist()) == sorted({*range(3_000)} - {1, 5, 600})
        await index.close()

    asyncio.run(work())
