"""This library, through its public methods, with the vectors that all peers are given.

Embedding costs nothing here, as it does with every peer: the embedder hands out the vector that
belongs to a text. Everything else is as it ships.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message, MessageRole

from benchmarks.scale.peers.base import Batch, Peer, Row, Vectors
from bruno_memory_vec import ALL_USERS, Hit, VectorMemory, open_memory
from bruno_memory_vec.embedders import Embedder, EmbedKind, Fingerprint


class Ours(Peer):
    """One folder, default settings."""

    name = "ours"
    about = (
        "defaults, profile `balanced`; one `store_messages` a conversation, those of a batch at "
        "once, then `maintain()`; nearest: profile `semantic`"
    )
    packages = ("bruno-memory-vec", "lancedb", "tantivy")

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self._vectors = GivenVectors(dimension)
        self._memory: VectorMemory | None = None
        self._ready: dict[int, Message] = {}

    @property
    def embedder(self) -> Embedder:
        """What the store is opened with."""
        return self._vectors

    def ready(self, rows: Sequence[Row]) -> None:
        self._ready = {row.id: _message(row) for row in rows}

    def load(self, folder: Path) -> None:
        import lancedb  # noqa: F401
        import tantivy  # noqa: F401

    async def open(self, folder: Path) -> None:
        self._memory = await open_memory(str(folder), embedder=self.embedder)

    async def add_bulk(self, batch: Batch) -> None:
        conversations: dict[tuple[str, str], list[Message]] = {}
        for row in batch.rows():
            conversations.setdefault((row.user, row.conversation), []).append(self._message(row))
        self._vectors.documents = dict(zip(batch.texts, batch.vectors, strict=True))
        await asyncio.gather(
            *(
                self.memory.store_messages(messages, conversation, user_id=user)
                for (user, conversation), messages in conversations.items()
            )
        )

    async def finish(self) -> None:
        self._vectors.documents = {}
        await self.memory.maintain()

    async def add_one(self, row: Row) -> None:
        self._vectors.documents = {row.text: row.vector}
        await self.memory.store_message(self._message(row), row.conversation, user_id=row.user)

    async def recall(self, text: str, vector: Vectors, user: str, k: int) -> list[int]:
        self._vectors.question = vector
        hits = await self.memory.recall(text, user_id=user, k=k)
        return _read(hits)

    async def nearest(self, vector: Vectors, user: str, k: int) -> list[int]:
        self._vectors.question = vector
        hits = await self.memory.recall("?", user_id=user, k=k, profile="semantic")
        return _read(hits)

    async def recall_all(self, text: str, vector: Vectors, k: int) -> list[int]:
        self._vectors.question = vector
        hits = await self.memory.recall(text, user_id=ALL_USERS, k=k)
        return _read(hits)

    async def context(self, user: str, conversation: str, count: int) -> int:
        found = await self.memory.get_context(user, conversation)
        return len(found.messages[-count:])

    async def new_session(self, user: str) -> None:
        await self.memory.create_session(user)

    async def add_memories(self, batch: Batch) -> None:
        self._vectors.documents = dict(zip(batch.texts, batch.vectors, strict=True))
        await self.memory.store_memories([_memory(row) for row in batch.rows()])

    async def delete(self, row: Row) -> None:
        await self.memory.delete_memory(str(UUID(int=row.id)))

    async def replace(self, row: Row) -> None:
        self._vectors.documents = {row.text: row.vector}
        await self.memory.store_memory(_memory(row))

    async def compact(self) -> None:
        await self.memory.maintain()

    async def close(self) -> None:
        if self._memory is not None:
            await self._memory.close()

    def _message(self, row: Row) -> Message:
        return self._ready.pop(row.id, None) or _message(row)

    @property
    def memory(self) -> VectorMemory:
        """The open memory."""
        assert self._memory is not None, "not opened"
        return self._memory


class GivenVectors:
    """An embedder that is told the vectors of the texts being stored and of the question asked."""

    def __init__(self, dimension: int) -> None:
        self.fingerprint = Fingerprint("given", "1", dimension)
        # Of equal texts in one batch the last one's vector is used for all.
        self.documents: dict[str, Vectors] = {}
        self.question: Vectors = np.zeros(dimension, np.float32)

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> Vectors:
        if kind == "query":
            return np.stack([self.question] * len(texts))
        return np.stack([self.documents[text] for text in texts])


def _message(row: Row) -> Message:
    return Message(id=UUID(int=row.id), role=MessageRole(row.role), content=row.text)


def _memory(row: Row) -> MemoryEntry:
    return MemoryEntry(
        id=UUID(int=row.id),
        content=row.text,
        memory_type=MemoryType.SEMANTIC,
        user_id=row.user,
    )


def _read(hits: Sequence[Hit]) -> list[int]:
    # With the texts, as every other peer reads the rows that it answers with.
    found = [(UUID(hit.id).int, hit.content) for hit in hits]
    return [number for number, _ in found]
