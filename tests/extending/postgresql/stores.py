"""Stores in PostgreSQL for tests: the engine alone, and a store that is empty again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.indexers.text.analysis import analyser

if TYPE_CHECKING:
    from bruno_memory_vec_postgresql.database import Database
    from bruno_memory_vec_postgresql.index import PostgreSQLIndex


def database_of(url: str) -> Database:
    """Connections to the database of a store."""
    from bruno_memory_vec_postgresql.database import Database
    from bruno_memory_vec_postgresql.settings import settings_of

    return Database(settings_of(url))


async def open_index(url: str, dimension: int) -> PostgreSQLIndex:
    """The engine of a store, which is made if it is not there."""
    from bruno_memory_vec_postgresql import layout
    from bruno_memory_vec_postgresql.index import PostgreSQLIndex

    database, english = database_of(url), analyser("english")
    if await layout.find(database) is None:
        made_by = HashEmbedder(dimension).fingerprint
        await layout.make(database, layout.Manifest.new(made_by, "english", english.name))
    return PostgreSQLIndex(database, dimension, english)


async def empty(url: str) -> None:
    """Let a store have no rows and no sessions, if it is there: making it anew takes longer."""
    from bruno_memory_vec_postgresql import layout

    database = database_of(url)
    if await layout.find(database) is not None:
        await database.fetch("empty", f"DELETE FROM {database.rows}")
        await database.fetch("empty", f"UPDATE {database.store} SET sessions = NULL")
    await database.close()
