"""Chroma with its persistent client: vectors only, filtered by metadata.

As in `benchmarks.peers.chroma`: everything is its default, telemetry is off, rows go in by the
largest batches that the client takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.base import load
from benchmarks.scale.peers.base import Batch, Peer, Row, Vectors


class Chroma(Peer):
    """One collection in a folder."""

    name = "chroma"
    about = "default HNSW (L2), `where` user; vectors alone, no search by words"
    packages = ("chromadb",)
    extra = "peer-chroma"
    # Below the client's own bound, which depends on its SQLite.
    batch_rows = 5_000

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self._client: Any = None
        self._collection: Any = None

    def load(self, folder: Path) -> None:
        load("chromadb", package="chromadb", extra=self.extra)

    async def open(self, folder: Path) -> None:
        chromadb = load("chromadb", package="chromadb", extra=self.extra)
        self._client = chromadb.PersistentClient(
            path=str(folder), settings=chromadb.Settings(anonymized_telemetry=False)
        )
        # Without an embedding function, or the client fetches the default one's model.
        self._collection = self._client.get_or_create_collection("rows", embedding_function=None)

    async def add_bulk(self, batch: Batch) -> None:
        self._collection.add(
            ids=[str(number) for number in batch.ids],
            embeddings=batch.vectors,
            documents=list(batch.texts),
            metadatas=[
                {"user": user, "conversation": conversation}
                for user, conversation in zip(batch.users, batch.conversations, strict=True)
            ],
        )

    async def add_one(self, row: Row) -> None:
        self._collection.add(**_one(row))

    async def recall(self, text: str, vector: Vectors, user: str, k: int) -> list[int]:
        return self._query(vector, k, {"user": user})

    async def nearest(self, vector: Vectors, user: str, k: int) -> list[int]:
        return self._query(vector, k, {"user": user})

    async def recall_all(self, text: str, vector: Vectors, k: int) -> list[int]:
        return self._query(vector, k, None)

    async def nearest_all(self, vector: Vectors, k: int) -> list[int]:
        return self._query(vector, k, None)

    async def context(self, user: str, conversation: str, count: int) -> int:
        found = self._collection.get(where={"conversation": conversation}, include=["documents"])
        turns = sorted(zip(map(int, found["ids"]), found["documents"], strict=True))
        return len(turns[-count:])

    async def delete(self, row: Row) -> None:
        self._collection.delete(ids=[str(row.id)])

    async def replace(self, row: Row) -> None:
        self._collection.upsert(**_one(row))

    def _query(self, vector: Vectors, k: int, where: dict[str, str] | None) -> list[int]:
        # With the texts, as every other peer reads the rows that it answers with.
        found = self._collection.query(
            query_embeddings=vector[None], n_results=k, where=where, include=["documents"]
        )
        return [int(number) for number in found["ids"][0]]

    async def close(self) -> None:
        if self._client is not None:
            self._client.close()


def _one(row: Row) -> dict[str, Any]:
    return {
        "ids": [str(row.id)],
        "embeddings": row.vector[None],
        "documents": [row.text],
        "metadatas": [{"user": row.user, "conversation": row.conversation}],
    }
