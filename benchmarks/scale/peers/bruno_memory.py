"""bruno-memory's SQLite backend and its text search, as `benchmarks.peers.bruno_memory` uses it.

It is asked for any of the question's words, each quoted: a question as people type it is a syntax
error there, which would be measured as a very fast answer.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

from bruno_core.models.memory import MemoryEntry

from benchmarks.peers import bruno_memory as quality
from benchmarks.peers.base import load
from benchmarks.retrieval.datasets.base import Turn
from benchmarks.scale.peers.base import Batch, Lacks, Peer, Row, Vectors


class BrunoMemory(Peer):
    """One SQLite database."""

    name = "bruno_memory"
    about = (
        "`search_memories` (FTS5) with the question's words quoted and joined by OR; no vectors, "
        "newest first, not by relevance; one commit a row, as it has no bulk form"
    )
    packages = ("bruno-memory",)
    extra = "peer-bruno-memory"
    batch_rows = 100
    takes_vectors = False
    by_meaning = False

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self._system = quality.words()
        self._sessions = 0

    def load(self, folder: Path) -> None:
        load("bruno_memory", package="bruno-memory", extra=self.extra)

    async def open(self, folder: Path) -> None:
        await self._system.open(folder)

    async def add_bulk(self, batch: Batch) -> None:
        await self._system.store([_turn(row) for row in batch.rows()])

    async def add_one(self, row: Row) -> None:
        await self._system.store([_turn(row)])

    async def recall(self, text: str, vector: Vectors, user: str, k: int) -> list[int]:
        now = datetime.now(timezone.utc)
        return [int(number) for number in await self._system.ask(text, user, k, now)]

    async def recall_all(self, text: str, vector: Vectors, k: int) -> list[int]:
        raise Lacks("`search_memories` with a text finds one user's alone")

    async def context(self, user: str, conversation: str, count: int) -> int:
        raise Lacks("`get_context` reads messages, and what is searched are memories")

    async def new_session(self, user: str) -> None:
        self._sessions += 1
        await self._system.backend.create_session(user, f"session-{self._sessions}")

    async def add_memories(self, batch: Batch) -> None:
        for row in batch.rows():
            await self._system.backend.store_memory(_entry(row))

    async def delete(self, row: Row) -> None:
        await self._system.backend.delete_memory(UUID(int=row.id))

    async def replace(self, row: Row) -> None:
        await self._system.backend.update_memory(UUID(int=row.id), {"content": row.text})

    async def close(self) -> None:
        await self._system.close()


def _turn(row: Row) -> Turn:
    return Turn(str(row.id), row.user, row.conversation, row.role, row.text)


def _entry(row: Row) -> MemoryEntry:
    """As the system stores it, with an id that is known here."""
    return quality.entry(_turn(row)).model_copy(update={"id": UUID(int=row.id)})
