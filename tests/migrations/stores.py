"""What a store of any format holds."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from bruno_memory_vec.upkeep.migrations.reading import rows_of, stored_in

FIXTURES = Path(__file__).resolve().parent / "fixtures"
FORMATS = (1, 2, 3, 4, 5, 6)
#: What a format before 6 cannot hold, and the columns that follow from these.
OF_FORMAT_6 = ("origin", "pinned_at", "archived_at")


def rows(folder: Path) -> list[dict[str, Any]]:
    """The rows, by ``seq``."""

    async def read() -> list[dict[str, Any]]:
        parts = [part async for part in rows_of(stored_in(folder))]
        return sorted(
            (row for part in parts for row in part.to_pylist()), key=lambda row: row["seq"]
        )

    return asyncio.run(read())


def without(found: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """Rows without some columns."""
    return [{name: row[name] for name in row if name not in names} for row in found]


def sessions(folder: Path) -> dict[str, list[Any]]:
    """What every schema of the sessions holds."""
    statements = {
        "users": "SELECT user_id, current_conversation, payload FROM users ORDER BY 1",
        "owners": "SELECT conversation_id, user_id, next_turn FROM conversations ORDER BY 1",
        "sessions": "SELECT session_id, user_id, conversation_id, is_active, payload "
        "FROM sessions ORDER BY started",
    }
    with closing(sqlite3.connect(folder / "sessions.sqlite")) as database:
        return {name: database.execute(said).fetchall() for name, said in statements.items()}


def format_of(folder: Path) -> int:
    """What ``store.json`` says."""
    number: int = json.loads((folder / "store.json").read_text(encoding="utf-8"))["schema"]
    return number


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, but what says that somebody is there, and SQLite's shared memory."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("writer.") and "-shm" not in path.name
    }
