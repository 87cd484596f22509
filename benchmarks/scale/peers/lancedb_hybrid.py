"""LanceDB's own hybrid search, set up as its guides advise for a table of this size.

As in `benchmarks.peers.lancedb_hybrid`: a full-text index with its defaults, the user as a filter
before the search with a bitmap index on its column, ``RRFReranker()``. From `INDEX_FROM` rows on
a vector index as well: IVF_FLAT with its defaults, which keeps the vectors as they are.
A row that is added later is in no index until ``optimize()``; the engine reads it beside them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from benchmarks.scale.peers.base import Batch, Peer, Row, Vectors, vector_array

_TABLE = "rows"
#: Its guide: a brute-force search is fast enough up to some hundred thousand rows.
INDEX_FROM = 100_000


class LanceDB(Peer):
    """One table, through the async API."""

    name = "lancedb"
    about = (
        "FTS, bitmap(user) and btree(id, conversation) indexes, IVF_FLAT from "
        f"{INDEX_FROM:,} rows on, default probes; hybrid query with RRFReranker; single writes one "
        "after the other, without compaction between"
    )
    packages = ("lancedb",)
    batch_rows = 50_000

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self._connection: Any = None
        self._table: Any = None
        self._reranker: Any = None
        self._single = asyncio.Lock()

    def load(self, folder: Path) -> None:
        import lancedb.rerankers  # noqa: F401

    async def open(self, folder: Path) -> None:
        import lancedb
        import pyarrow as pa
        from lancedb.rerankers import RRFReranker

        self._reranker = RRFReranker()
        self._connection = await lancedb.connect_async(str(folder))
        schema = pa.schema(
            [
                pa.field("id", pa.int64()),
                pa.field("user", pa.string()),
                pa.field("conversation", pa.string()),
                pa.field("text", pa.string()),
                pa.field("vector", pa.list_(pa.float32(), self.dimension)),
            ]
        )
        self._table = await self._connection.create_table(_TABLE, schema=schema, exist_ok=True)

    async def add_bulk(self, batch: Batch) -> None:
        await self._table.add(self._as_table(batch))

    def _as_table(self, batch: Batch) -> Any:
        import pyarrow as pa

        columns = [
            pa.array(batch.ids, pa.int64()),
            pa.array(batch.users, pa.string()),
            pa.array(batch.conversations, pa.string()),
            pa.array(batch.texts, pa.string()),
            vector_array(batch.vectors),
        ]
        names = ["id", "user", "conversation", "text", "vector"]
        return pa.Table.from_arrays(columns, names)

    async def finish(self) -> None:
        from lancedb.index import FTS, Bitmap, BTree, IvfFlat

        await self._table.create_index("text", config=FTS())
        await self._table.create_index("user", config=Bitmap())
        await self._table.create_index("id", config=BTree())
        await self._table.create_index("conversation", config=BTree())
        if await self._table.count_rows() >= INDEX_FROM:
            await self._table.create_index("vector", config=IvfFlat())
        await self._table.optimize()

    async def add_one(self, row: Row) -> None:
        # Commits at the same time conflict with each other, and are tried again and again.
        async with self._single:
            await self.add_bulk(_one(row))

    async def recall(self, text: str, vector: Vectors, user: str, k: int) -> list[int]:
        return await self._hybrid(self._table.query().where(_is("user", user)), text, vector, k)

    async def recall_all(self, text: str, vector: Vectors, k: int) -> list[int]:
        return await self._hybrid(self._table.query(), text, vector, k)

    async def _hybrid(self, query: Any, text: str, vector: Vectors, k: int) -> list[int]:
        found = (
            await query.nearest_to(vector)
            .nearest_to_text(text, columns="text")
            .rerank(self._reranker)
            .limit(k)
            .to_arrow()
        )
        ids: list[int] = found["id"].to_pylist()
        return ids

    async def nearest(self, vector: Vectors, user: str, k: int) -> list[int]:
        found = (
            await self._table.query()
            .where(_is("user", user))
            .nearest_to(vector)
            .select(["id", "_distance"])
            .limit(k)
            .to_arrow()
        )
        ids: list[int] = found["id"].to_pylist()
        return ids

    async def context(self, user: str, conversation: str, count: int) -> int:
        query = self._table.query().where(_is("conversation", conversation))
        found = await query.select(["id", "text"]).to_arrow()
        return len(sorted(found.to_pylist(), key=lambda row: int(row["id"]))[-count:])

    async def delete(self, row: Row) -> None:
        await self._table.delete(f"id = {row.id}")

    async def replace(self, row: Row) -> None:
        merge = self._table.merge_insert("id").when_matched_update_all()
        await merge.when_not_matched_insert_all().execute(self._as_table(_one(row)))

    async def compact(self) -> None:
        await self._table.optimize()

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _one(row: Row) -> Batch:
    return Batch([row.id], [row.text], row.vector[None], [row.user], [row.conversation], [row.role])


def _is(column: str, value: str) -> str:
    return f"{column} = '" + value.replace("'", "''") + "'"
