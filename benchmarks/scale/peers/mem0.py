"""mem0's open-source `Memory` with ``infer=False``, as `benchmarks.peers.mem0` sets it up.

Its default vector store, Qdrant in local mode, searched by vectors. In its embedder's place is
one that hands out the vector which belongs to the text.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import mem0 as quality
from benchmarks.peers.base import load
from benchmarks.scale.peers.base import Batch, Peer, Row, Vectors
from benchmarks.scale.peers.ours import GivenVectors


class Mem0(Peer):
    """One mem0 store in a folder."""

    name = "mem0"
    about = (
        "`infer=False`, Qdrant in local mode, cosine of at least 0.1 (its default); vectors "
        "alone; one `add` a row, because metadata belongs to the call"
    )
    packages = ("mem0ai", "qdrant-client")
    extra = "peer-mem0"
    batch_rows = 100

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        # It is asked for its dimension only.
        self._system = quality.Mem0(GivenVectors(dimension))
        self._vector: Vectors = np.zeros(dimension, np.float32)

    def load(self, folder: Path) -> None:
        # Read when it is imported; its home would else be made in the user's.
        os.environ["MEM0_TELEMETRY"] = "False"
        os.environ.setdefault("MEM0_DIR", str(folder / "home"))
        load("mem0", package="mem0ai", extra=self.extra)

    async def open(self, folder: Path) -> None:
        self._system._open(folder, quality._Embedding(lambda text, kind: self._vector))

    async def add_bulk(self, batch: Batch) -> None:
        for row in batch.rows():
            await self.add_one(row)

    async def add_one(self, row: Row) -> None:
        self._vector = row.vector
        self._memory.add(
            [{"role": row.role, "content": row.text}],
            user_id=row.user,
            run_id=row.conversation,
            metadata={"row": row.id},
            infer=False,
        )

    async def recall(self, text: str, vector: Vectors, user: str, k: int) -> list[int]:
        self._vector = vector
        found = self._memory.search(text, top_k=k, filters={"user_id": user})
        return [entry["metadata"]["row"] for entry in found["results"]]

    async def nearest(self, vector: Vectors, user: str, k: int) -> list[int]:
        return await self.recall("?", vector, user, k)

    async def close(self) -> None:
        await self._system.close()

    @property
    def _memory(self) -> Any:
        return self._system._memory
