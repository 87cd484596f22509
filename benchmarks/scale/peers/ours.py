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
from bruno_core.models.message import Message, MessageRole

from benchmarks.scale.peers.base import Batch, Peer, Row, Vectors
from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.embedders import EmbedKind, Fingerprint


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

    def load(self, folder: Path) -> None:
        import lancedb  # noqa: F401
        import tantivy  # noqa: F401

    async def open(self, folder: Path) -> None:
        self._memory = await open_memory(str(folder), embedder=self._vectors)

    async def add_bulk(self, batch: Batch) -> None:
        conversations: dict[tuple[str, str], list[Message]] = {}
        for row in batch.rows():
            conversations.setdefault((row.user, row.conversation), []).append(_message(row))
        self._vectors.documents = dict(zip(batch.texts, batch.vectors, strict=True))
        await asyncio.gather(
            *(
                self._opened.store_messages(messages, conversation, user_id=user)
                for (user, conversation), messages in conversations.items()
            )
        )

    async def finish(self) -> None:
        self._vectors.documents = {}
        await self._opened.maintain()

    async def add_one(self, row: Row) -> None:
        self._vectors.documents = {row.text: row.vector}
        await self._opened.store_message(_message(row), row.conversation, user_id=row.user)

    async def recall(self, text: str, vector: Vectors, user: str, k: int) -> list[int]:
        self._vectors.question = vector
        hits = await self._opened.recall(text, user_id=user, k=k)
        return [UUID(hit.id).int for hit in hits]

    async def nearest(self, vector: Vectors, user: str, k: int) -> list[int]:
        self._vectors.question = vector
        hits = await self._opened.recall("?", user_id=user, k=k, profile="semantic")
        return [UUID(hit.id).int for hit in hits]

    async def close(self) -> None:
        if self._memory is not None:
            await self._memory.close()

    @property
    def _opened(self) -> VectorMemory:
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
