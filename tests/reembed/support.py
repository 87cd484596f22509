"""What the tests of re-embedding share: embedders that fail or wait, and the rows with vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message, MessageRole
from numpy.typing import NDArray

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.embedders.protocol import Embedder, EmbedKind
from bruno_memory_vec.indexers.checksum import changed
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.rows.models import from_table
from bruno_memory_vec.store import manifest
from bruno_memory_vec.store.manifest import Manifest

OLD, NEW = HashEmbedder(32), HashEmbedder(48)
EVERYTHING = (Scope.all_users(), RowFilter())


class Failing(HashEmbedder):
    """Fails once it has embedded ``after`` texts; ``after`` may be raised."""

    def __init__(self, dimension: int, after: int) -> None:
        super().__init__(dimension)
        self.after = after
        self.texts = 0

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> NDArray[np.float32]:
        if self.texts + len(texts) > self.after:
            raise ConnectionError("the provider is away")
        self.texts += len(texts)
        return super().embed(texts, kind=kind)


class Gated(HashEmbedder):
    """Embeds documents only while its gate is open; says when it is waited for."""

    def __init__(self, dimension: int, free: int = 0) -> None:
        super().__init__(dimension)
        self.gate = asyncio.Event()
        self.reached = asyncio.Event()
        self._free = free

    async def embed(  # type: ignore[override]  # as the protocol allows
        self, texts: Sequence[str], *, kind: EmbedKind = "document"
    ) -> NDArray[np.float32]:
        if kind == "document":
            self._free -= len(texts)
            if self._free < 0:
                self.reached.set()
                await self.gate.wait()
        return super().embed(texts, kind=kind)


def messages(count: int, first: int = 0) -> list[Message]:
    topics = ("harbour", "violin", "recipe", "mountain", "invoice")
    return [
        Message(
            role=MessageRole.USER if n % 2 else MessageRole.ASSISTANT,
            content=f"number {n} is about the {topics[n % len(topics)]}",
            metadata={"n": n},
        )
        for n in range(first, first + count)
    ]


def fact(text: str, **fields: Any) -> MemoryEntry:
    return MemoryEntry(content=text, memory_type=MemoryType.FACT, user_id="ana", **fields)


async def rows_and_vectors(memory: VectorMemory) -> tuple[list[dict[str, Any]], NDArray[Any]]:
    """Every row in the order of ``seq``, without its checksum, and their vectors."""
    rows = (await memory._lazy.get()).rows
    table = (await rows.read(*EVERYTHING, [*COLUMNS, "vector"])).sort_by("seq")
    assert not changed(table).any()
    vectors = np.array(table.column("vector").to_pylist(), dtype=np.float32)
    return list(from_table(table.drop_columns(["vector", "checksum"]))), vectors


async def assert_made_by(memory: VectorMemory, embedder: Embedder) -> list[dict[str, Any]]:
    """Each vector is the one that ``embedder`` makes of its row's text. Returns the rows."""
    rows, vectors = await rows_and_vectors(memory)
    if rows:
        expected = HashEmbedder(embedder.fingerprint.dimension).embed([r["content"] for r in rows])
        np.testing.assert_array_equal(vectors, expected)
    seqs = [row["seq"] for row in rows]
    assert len(set(seqs)) == len(seqs), "a row was doubled"
    return rows


def named(folder: Path) -> Manifest:
    found = manifest.read(folder)
    assert found is not None
    return found


def row_folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("rows*"))
