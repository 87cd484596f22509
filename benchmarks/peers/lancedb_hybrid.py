"""LanceDB's own hybrid search: its full-text index, its vector search, its RRF reranker.

As its guide shows it: one table; an `FTS` index with its default settings (English stemming
and stop words, words of up to 40 letters); ``nearest_to(vector).nearest_to_text(text)``
with ``RRFReranker()`` (k = 60), which fuses the `limit` best of either side; the
user as a filter applied before the search, with a scalar index on its column, as the filtering
guide advises. Rows are added in large batches and the indexes made after. No vector index:
the guide advises one from some hundred thousand rows on, and without one the search is exact.
Distance is the default (L2), which orders unit vectors as cosine does.

The default tokenizer takes what stands between spaces and punctuation for a word. `icu` makes a
second peer with the one of its other tokenizers that knows words of Chinese, Japanese and the like
and needs no download.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.peers.base import RunEmbedder, batches, versions
from benchmarks.retrieval.datasets.base import Turn
from bruno_memory_vec.embedders import Embedder

_TABLE = "turns"


class LanceDBHybrid:
    """One LanceDB table, through its async API.

    Args:
        embedder: the run's embedder.
        tokenizer: of the full-text index, by LanceDB's name.
    """

    def __init__(self, embedder: Embedder, *, tokenizer: str = "simple") -> None:
        self.name = "lancedb_hybrid" if tokenizer == "simple" else f"lancedb_hybrid_{tokenizer}"
        self._tokenizer: Any = tokenizer
        self._embedder = RunEmbedder(embedder)
        self.settings: dict[str, Any] = {
            "embedder": self._embedder.about,
            "fts": f"{tokenizer} tokenizer, English stemmer and stop words",
            "reranker": "RRFReranker(K=60)",
            "filter": "user_id, before the search, bitmap index",
        }
        self.versions = versions("lancedb")
        self.counts: dict[str, int] = {}
        self.filters_time = False
        self._connection: Any = None
        self._table: Any = None
        self._reranker: Any = None

    async def open(self, folder: Path) -> None:
        """Open the table in the folder, or make it."""
        # The library itself depends on lancedb; importing it takes seconds.
        import lancedb
        from lancedb.rerankers import RRFReranker

        self._reranker = RRFReranker()
        self._connection = await lancedb.connect_async(str(folder))
        schema = pa.schema(
            [
                pa.field("turn_id", pa.string()),
                pa.field("user_id", pa.string()),
                pa.field("text", pa.string()),
                pa.field("vector", pa.list_(pa.float32(), self._embedder.dimension)),
            ]
        )
        self._table = await self._connection.create_table(_TABLE, schema=schema, exist_ok=True)

    async def store(self, turns: Sequence[Turn]) -> None:
        """Add the rows, then make the indexes, or bring them up to the rows."""
        from lancedb.index import FTS, Bitmap

        schema = await self._table.schema()
        for batch in batches(turns, 10_000):
            vectors = await self._embedder.documents(batch)
            columns = [
                pa.array([turn.id for turn in batch]),
                pa.array([turn.user_id for turn in batch]),
                pa.array([turn.content for turn in batch]),
                pa.FixedSizeListArray.from_arrays(
                    pa.array(vectors.ravel()), self._embedder.dimension
                ),
            ]
            await self._table.add(pa.Table.from_arrays(columns, schema=schema))
        if await self._table.list_indices():
            await self._table.optimize()
        else:
            await self._table.create_index("text", config=FTS(base_tokenizer=self._tokenizer))
            await self._table.create_index("user_id", config=Bitmap())

    async def ask(
        self, text: str, user_id: str, k: int, now: datetime, until: datetime | None = None
    ) -> list[str]:
        """The ids of the `k` best turns of the hybrid search."""
        vector = await self._embedder.query(text)
        user = user_id.replace("'", "''")
        found = (
            await self._table.query()
            .where(f"user_id = '{user}'")
            .nearest_to(vector)
            .nearest_to_text(text, columns="text")
            .rerank(self._reranker)
            .limit(k)
            .to_arrow()
        )
        ids: list[str] = found["turn_id"].to_pylist()
        return ids

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()


def icu(embedder: Embedder) -> LanceDBHybrid:
    """LanceDB's hybrid search with words found by ICU's dictionaries."""
    return LanceDBHybrid(embedder, tokenizer="icu")
