"""Names of users and conversations of a store in a folder, without opening it.

For what has a tenth of a second and needs no certainty, such as a shell that completes a word. They
are read from the sessions, which know every conversation; a user with memories alone is missing.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bruno_memory_vec.store.manifest import SESSIONS


def quick_users(folder: Path, begin: str, most: int = 50) -> list[str]:
    """Users whose id begins so, in alphabetical order; none where they cannot be read."""
    return _ask(
        folder,
        "SELECT DISTINCT user_id FROM conversations WHERE substr(user_id, 1, ?) = ? "
        "ORDER BY user_id LIMIT ?",
        (len(begin), begin, most),
    )


def quick_conversations(
    folder: Path, begin: str, user_id: str | None = None, most: int = 50
) -> list[str]:
    """Conversations whose id begins so, the newest first; none where they cannot be read."""
    return _ask(
        folder,
        "SELECT conversation_id FROM conversations WHERE substr(conversation_id, 1, ?) = ? "
        "AND (? IS NULL OR user_id = ?) ORDER BY touched DESC LIMIT ?",
        (len(begin), begin, user_id, user_id, most),
    )


def _ask(folder: Path, query: str, given: tuple[object, ...]) -> list[str]:
    file = folder / SESSIONS
    if not file.is_file():  # SQLite would make one
        return []
    try:
        with closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0.2)
        ) as database:
            return [row[0] for row in database.execute(query, given)]
    except sqlite3.Error:  # encrypted, of another format, being written: nothing to propose
        return []
