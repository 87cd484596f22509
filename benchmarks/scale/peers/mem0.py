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
from benchmarks.scale.peers.base import Batch, Lacks, Peer, Row, Vectors
from benchmarks.scale.peers.ours import GivenVectors

# More turns than a conversation has here.
_WHOLE = 1_000


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
        # Its ids of what `add_memories` stored last.
        self._memories: dict[int, str] = {}

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
        self._add(row)

    async def add_memories(self, batch: Batch) -> None:
        self._memories = {row.id: self._add(row) for row in batch.rows()}

    def _add(self, row: Row) -> str:
        """Store a row: mem0's id of it."""
        self._vector = row.vector
        added = self._memory.add(
            [{"role": row.role, "content": row.text}],
            user_id=row.user,
            run_id=row.conversation,
            metadata={"row": row.id},
            infer=False,
        )
        name: str = added["results"][0]["id"]
        return name

    async def recall(self, text: str, vector: Vectors, user: str, k: int) -> list[int]:
        self._vector = vector
        found = self._memory.search(text, top_k=k, filters={"user_id": user})
        return [entry["metadata"]["row"] for entry in found["results"]]

    async def nearest(self, vector: Vectors, user: str, k: int) -> list[int]:
        return await self.recall("?", vector, user, k)

    async def recall_all(self, text: str, vector: Vectors, k: int) -> list[int]:
        raise Lacks("a search has to name a user, an agent or a run")

    async def context(self, user: str, conversation: str, count: int) -> int:
        # It gives them in no order.
        chosen = {"user_id": user, "run_id": conversation}
        found = self._memory.get_all(filters=chosen, top_k=_WHOLE)["results"]
        return len(sorted(found, key=lambda entry: str(entry["created_at"]))[-count:])

    async def delete(self, row: Row) -> None:
        self._memory.delete(self._memories[row.id])

    async def replace(self, row: Row) -> None:
        self._vector = row.vector
        self._memory.update(self._memories[row.id], row.text)

    async def close(self) -> None:
        await self._system.close()

    @property
    def _memory(self) -> Any:
        return self._system._memory
