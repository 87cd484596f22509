"""Chroma: a PersistentClient, one collection, the user as a metadata filter.

Vectors are given with the texts and the question, which its guide allows in place of an
embedding function, because Chroma's default function downloads its model (all-MiniLM-L6-v2 in
ONNX). Its usual figures are therefore those with the run's embedder set to that model.
Everything else is its default: the HNSW index with L2 distance, which orders unit vectors as
cosine does. Rows go in by batches of the size that the client allows, as its cookbook advises.
Telemetry is off.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.peers.base import BATCH, OneThread, RunEmbedder, batches, load, versions
from benchmarks.retrieval.datasets.base import Turn
from bruno_memory_vec.embedders import Embedder

_EXTRA = "peer-chroma"


class Chroma:
    """One Chroma collection in a folder."""

    name = "chroma"

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = RunEmbedder(embedder)
        self.settings: dict[str, Any] = {
            "embedder": self._embedder.about,
            "index": "default (HNSW, L2)",
            "filter": "where user_id",
        }
        self.versions = versions("chromadb")
        self.counts: dict[str, int] = {}
        self.filters_time = False
        self._thread = OneThread()
        self._client: Any = None
        self._collection: Any = None

    async def open(self, folder: Path) -> None:
        """Open the collection in the folder, or make it.

        Raises:
            MissingDependencyError: chromadb is not installed.
        """
        await self._thread.run(self._open, folder)

    async def store(self, turns: Sequence[Turn]) -> None:
        """Embed and add the turns, in the largest batches that the client takes."""
        size = min(BATCH, await self._thread.run(self._client.get_max_batch_size))
        for batch in batches(turns, size):
            await self._thread.run(
                self._collection.add,
                # Ids are unique in a collection; a turn's are so within its user.
                ids=[json.dumps([turn.user_id, turn.id]) for turn in batch],
                embeddings=await self._embedder.documents(batch),
                documents=[turn.content for turn in batch],
                metadatas=[{"user_id": turn.user_id, "turn_id": turn.id} for turn in batch],
            )

    async def ask(
        self, text: str, user_id: str, k: int, now: datetime, until: datetime | None = None
    ) -> list[str]:
        """The ids of the `k` nearest turns."""
        query = await self._embedder.query(text)
        found = await self._thread.run(
            self._collection.query,
            query_embeddings=query[None],
            n_results=k,
            where={"user_id": user_id},
            include=["metadatas"],
        )
        return [entry["turn_id"] for entry in found["metadatas"][0]]

    async def close(self) -> None:
        """Let the client go."""
        if self._client is not None:
            await self._thread.run(self._client.close)
        await self._thread.close()

    def _open(self, folder: Path) -> None:
        chromadb = load("chromadb", package="chromadb", extra=_EXTRA)
        self._client = chromadb.PersistentClient(
            path=str(folder), settings=chromadb.Settings(anonymized_telemetry=False)
        )
        # Without an embedding function, or the client fetches the default one's model.
        self._collection = self._client.get_or_create_collection("turns", embedding_function=None)
