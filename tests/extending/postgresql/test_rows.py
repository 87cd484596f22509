"""Rows in PostgreSQL pass the suite of engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.testing import RowIndexConformance

if TYPE_CHECKING:
    from bruno_memory_vec_postgresql.index import PostgreSQLIndex


async def open_index(url: str, dimension: int) -> PostgreSQLIndex:
    """The engine of a store, which is made if it is not there."""
    from bruno_memory_vec_postgresql import layout
    from bruno_memory_vec_postgresql.database import Database
    from bruno_memory_vec_postgresql.index import PostgreSQLIndex
    from bruno_memory_vec_postgresql.settings import settings_of

    database, english = Database(settings_of(url)), analyser("english")
    made_by = HashEmbedder(dimension).fingerprint
    if await layout.find(database) is None:
        await layout.make(database, layout.Manifest.new(made_by, "english", english.name))
    return PostgreSQLIndex(database, dimension, english)


class TestPostgreSQL(RowIndexConformance):
    @pytest.fixture(autouse=True)
    def _give_store(self, url: str) -> None:
        self.url = url

    async def make_index(self) -> RowIndex:
        return await open_index(self.url, self.dimension)
