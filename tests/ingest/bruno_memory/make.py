"""Makes ``bruno-memory-0.1.5.sqlite.gz``, by the API of bruno-memory.

    pip install "bruno-memory[sqlite]==0.1.5" asyncpg redis chromadb qdrant-client
    python tests/ingest/bruno_memory/make.py

It imports the clients of all its backends. The suite reads the file and needs none of them. Ids and
times of what is stored are fixed; those of sessions, users and conversations are the run's.
"""

from __future__ import annotations

import asyncio
import gzip
import sqlite3
import tempfile
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

from bruno_core.models import MemoryEntry, MemoryMetadata, MemoryType, Message, MessageRole
from bruno_memory import create_backend

WHERE = Path(__file__).with_name("bruno-memory-0.1.5.sqlite.gz")
BEGAN = datetime(2025, 10, 3, 18, 50, 0, 250_000)  # bruno-core's times are naive
INDIA = timezone(timedelta(hours=5, minutes=30))


async def fill(path: Path) -> None:
    backend = create_backend("sqlite", database_path=str(path))
    await backend.connect()
    await backend.get_context("ana", "trip")  # makes her context, the conversation's, a session
    said = [
        (MessageRole.SYSTEM, "You are a travel agent."),
        (MessageRole.USER, "We found a guesthouse in Alfama — it has a terrace 🌞"),
        (MessageRole.ASSISTANT, "Shall I book it?"),
        (MessageRole.USER, "Yes, three nights with breakfast"),
        (MessageRole.TOOL, '{"booked": true}'),
    ]
    for number, (role, content) in enumerate(said):
        await backend.store_message(
            Message(
                id=UUID(int=number + 1),
                role=role,
                content=content,
                timestamp=BEGAN + timedelta(minutes=number),
                metadata={"n": number, "nested": {"a": [1, None]}} if number != 2 else {},
                parent_id=UUID(int=number) if number else None,
                conversation_id="trip",
            )
        )
    # Of these two, only a session and nothing say whose they are.
    session = await backend.create_session("ben", "teeth")
    await backend.end_session(session.session_id)
    await backend.store_message(
        Message(
            id=UUID(int=11),
            role=MessageRole.USER,
            content="The dentist moved to Gloucester Road",
            timestamp=datetime(2026, 5, 9, 8, 0, tzinfo=INDIA),
            conversation_id="teeth",
        )
    )
    await backend.store_message(
        Message(id=UUID(int=12), role=MessageRole.USER, content="said to nobody", timestamp=BEGAN)
    )
    for number, kind in enumerate(MemoryType):
        await backend.store_memory(
            MemoryEntry(
                id=UUID(int=100 + number),
                content=f"what is remembered as {kind.value}",
                memory_type=kind,
                user_id="ana" if number % 2 else "ben",
                conversation_id="trip" if number == 1 else None,
                metadata=MemoryMetadata(
                    source="import",
                    confidence=0.5,
                    importance=number / 10,
                    tags=["travel", kind.value],
                    category="trips",
                    access_count=number,
                    custom_fields={"number": number},
                ),
                created_at=BEGAN,
                updated_at=BEGAN + timedelta(days=1),
                last_accessed=BEGAN + timedelta(days=2),
                expires_at=BEGAN + timedelta(days=40_000) if number == 2 else None,
            )
        )
    await backend.disconnect()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "memory.db")
        asyncio.run(fill(path))
        with closing(sqlite3.connect(path)) as database:
            # As one small file: without the log, in small pages.
            database.execute("PRAGMA journal_mode = DELETE")
            database.execute("PRAGMA page_size = 512")
            database.execute("VACUUM")
        WHERE.write_bytes(gzip.compress(path.read_bytes(), mtime=0))


if __name__ == "__main__":
    main()
