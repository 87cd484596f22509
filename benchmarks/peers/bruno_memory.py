"""bruno-memory's SQLite backend and its text search.

`search_memories` is the one search of that backend that knows users. It hands the question to
SQLite's FTS5 as a query: a question mark, an apostrophe or a hyphen is a syntax error there,
which the backend raises as a `QueryError`, and what is left is a conjunction of all words. Such
a question finds nothing; ``counts["refused_questions"]`` says how many there were. Rows come
back newest first: the backend has no relevance order.

`words` makes a second peer of what a user does after the first such error: the question's words,
each quoted, joined by OR.

It stores one entry a call, each with its own commit; there is nothing for bulk. Importing the
package imports the clients of all its backends, so the extra brings asyncpg, redis and chromadb.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryQuery, MemoryType

from benchmarks.peers.base import load, versions
from benchmarks.retrieval.datasets.base import Turn

_EXTRA = "peer-bruno-memory"
_WORD = re.compile(r"\w+")
# The backend refuses to give more.
_MOST = 1_000


class BrunoMemory:
    """One SQLite database of bruno-memory.

    Args:
        quoted: ask for any of the question's words, each quoted, in place of the question.
    """

    def __init__(self, *, quoted: bool = False) -> None:
        self.name = "bruno_memory_words" if quoted else "bruno_memory"
        self._quoted = quoted
        self.settings: dict[str, Any] = {
            "search": "search_memories (FTS5)",
            "question": "its words, quoted, joined by OR" if quoted else "as it is",
        }
        self.versions = versions("bruno-memory")
        self.counts: dict[str, int] = {"refused_questions": 0, "refused_texts": 0}
        self.filters_time = False
        self._backend: Any = None
        self._refused: type[Exception] = Exception

    async def open(self, folder: Path) -> None:
        """Open the database in the folder, or make it.

        Raises:
            MissingDependencyError: bruno-memory is not installed.
        """
        package = load("bruno_memory", package="bruno-memory", extra=_EXTRA)
        self._refused = package.QueryError
        self._backend = package.create_backend(
            "sqlite", database_path=str(folder / "bruno-memory.sqlite")
        )
        await self._backend.connect()

    async def store(self, turns: Sequence[Turn]) -> None:
        """Store each turn as a memory entry of its user. An empty one is refused, and counted."""
        for turn in turns:
            if not turn.content:
                self.counts["refused_texts"] += 1
                continue
            await self._backend.store_memory(entry(turn))

    async def ask(
        self, text: str, user_id: str, k: int, now: datetime, until: datetime | None = None
    ) -> list[str]:
        """The ids of the `k` newest turns that match, a thousand at most.

        None where the backend refuses the text.
        """
        words = " OR ".join(f'"{word}"' for word in _WORD.findall(text)) if self._quoted else text
        if not words.strip():
            return []  # the backend would give the newest of everything
        try:
            found = await self._backend.search_memories(
                MemoryQuery(user_id=user_id, query_text=words, limit=min(k, _MOST))
            )
        except self._refused:
            self.counts["refused_questions"] += 1
            return []
        return [json.loads(entry.metadata.source) for entry in found]

    @property
    def backend(self) -> Any:
        """bruno-memory's own, once it is open."""
        return self._backend

    async def close(self) -> None:
        """Close the database."""
        if self._backend is not None:
            await self._backend.disconnect()


def entry(turn: Turn) -> MemoryEntry:
    """A turn as a memory of its user."""
    at = turn.at or datetime.now(timezone.utc)
    return MemoryEntry(
        content=turn.content,
        memory_type=MemoryType.EPISODIC,
        user_id=turn.user_id,
        conversation_id=turn.conversation_id,
        metadata=MemoryMetadata(source=json.dumps(turn.id)),
        created_at=at,
        updated_at=at,
    )


def words() -> BrunoMemory:
    """The peer that asks for any of the question's words."""
    return BrunoMemory(quoted=True)
