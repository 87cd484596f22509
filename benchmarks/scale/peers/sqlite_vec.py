"""The bare floor: SQLite's FTS5 and sqlite-vec in one file, fused by rank in Python.

What a careful afternoon gives: a table of rows; a full-text index with the Porter stemmer that
holds the user as one more word of each row, so that a search reads the user's matches only; a
``vec0`` table with the user as its partition key, searched exactly; the hundred best of each,
fused by RRF. WAL with ``synchronous = NORMAL``: as with ours, what was acknowledged
survives a killed process and not a power cut.

It goes through apsw, because many builds of Python's own sqlite3 cannot load an extension.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.peers.base import load
from benchmarks.peers.baselines import reciprocal_rank_fusion
from benchmarks.scale.peers.base import Batch, Lacks, Peer, Row, Vectors

_POOL = 100
_WORD = re.compile(r"\w+")
# A partition takes whole chunks: the default of 1,024 rows gives a megabyte to each small user.
_CHUNK = 128
_TABLES = (
    "CREATE TABLE IF NOT EXISTS rows"
    " (id INTEGER PRIMARY KEY, user TEXT, conversation TEXT, text TEXT)",
    "CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5"
    " (user, text, content='', tokenize='porter unicode61')",
    "CREATE VIRTUAL TABLE IF NOT EXISTS vectors USING vec0 (id INTEGER PRIMARY KEY,"
    " user TEXT PARTITION KEY, vector FLOAT[{dimension}] distance_metric=cosine,"
    " chunk_size={chunk})",
    "CREATE INDEX IF NOT EXISTS by_conversation ON rows (conversation, id)",
)
_BY_WORDS = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?"
_BY_VECTOR = "SELECT id FROM vectors WHERE vector MATCH ? AND user = ? AND k = ? ORDER BY distance"
_OF_ALL = "SELECT id FROM vectors WHERE vector MATCH ? AND k = ? ORDER BY distance"
_LAST = "SELECT id, text FROM rows WHERE conversation = ? ORDER BY id DESC LIMIT ?"


class SqliteVec(Peer):
    """One database file."""

    name = "sqlite_vec"
    about = "FTS5 (porter) and vec0 (exact, partitioned by user), RRF over the 100 best of each"
    packages = ("sqlite-vec", "apsw")
    extra = "peer-sqlite-vec"

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self._database: Any = None

    def load(self, folder: Path) -> None:
        load("sqlite_vec", package="sqlite-vec", extra=self.extra)
        load("apsw", package="apsw", extra=self.extra)

    async def open(self, folder: Path) -> None:
        apsw = load("apsw", package="apsw", extra=self.extra)
        extension = load("sqlite_vec", package="sqlite-vec", extra=self.extra)
        self._database = apsw.Connection(str(folder / "floor.sqlite"))
        self._database.enable_load_extension(True)
        self._database.load_extension(extension.loadable_path())
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        for table in _TABLES:
            self._database.execute(table.format(dimension=self.dimension, chunk=_CHUNK))
        # The user's word says nothing about a row's relevance.
        self._database.execute("INSERT INTO words (words, rank) VALUES ('rank', 'bm25(0.0, 1.0)')")

    async def add_bulk(self, batch: Batch) -> None:
        self._add(batch.rows())

    async def finish(self) -> None:
        self._database.execute("INSERT INTO words (words) VALUES ('optimize')")
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    async def add_one(self, row: Row) -> None:
        self._add([row])

    async def recall(self, text: str, vector: Vectors, user: str, k: int) -> list[int]:
        return self._fused(self._by_words(text, user), await self.nearest(vector, user, _POOL), k)

    async def recall_all(self, text: str, vector: Vectors, k: int) -> list[int]:
        return self._fused(self._by_words(text, None), await self.nearest_all(vector, _POOL), k)

    def _fused(self, words: list[int], nearest: list[int], k: int) -> list[int]:
        ranked = [[str(number) for number in found] for found in (words, nearest)]
        best = [int(number) for number in reciprocal_rank_fusion(ranked)[:k]]
        marks = ", ".join("?" * len(best))
        # Every other peer reads the rows that it answers with.
        self._database.execute(f"SELECT id, text FROM rows WHERE id IN ({marks})", best).fetchall()
        return best

    async def nearest(self, vector: Vectors, user: str, k: int) -> list[int]:
        found = self._database.execute(_BY_VECTOR, (vector.tobytes(), user, k))
        return [number for (number,) in found]

    async def nearest_all(self, vector: Vectors, k: int) -> list[int]:
        found = self._database.execute(_OF_ALL, (vector.tobytes(), k))
        return [number for (number,) in found]

    async def context(self, user: str, conversation: str, count: int) -> int:
        return len(self._database.execute(_LAST, (conversation, count)).fetchall())

    async def delete(self, row: Row) -> None:
        with self._database:
            self._remove(row.id)

    async def replace(self, row: Row) -> None:
        with self._database:
            self._remove(row.id)
            self._insert(row)

    async def compact(self) -> None:
        raise Lacks("its 'optimize' holds whoever calls it, and waits for nobody")

    async def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def _add(self, rows: Iterable[Row]) -> None:
        with self._database:
            for row in rows:
                self._insert(row)

    def _insert(self, row: Row) -> None:
        self._database.execute(
            "INSERT INTO rows VALUES (?, ?, ?, ?)",
            (row.id, row.user, row.conversation, row.text),
        )
        self._database.execute(
            "INSERT INTO words (rowid, user, text) VALUES (?, ?, ?)",
            (row.id, _one_word(row.user), row.text),
        )
        self._database.execute(
            "INSERT INTO vectors (id, user, vector) VALUES (?, ?, ?)",
            (row.id, row.user, row.vector.tobytes()),
        )

    def _remove(self, number: int) -> None:
        # The full-text index keeps no texts: it is told what it held.
        for user, text in self._database.execute(
            "DELETE FROM rows WHERE id = ? RETURNING user, text", (number,)
        ).fetchall():
            self._database.execute(
                "INSERT INTO words (words, rowid, user, text) VALUES ('delete', ?, ?, ?)",
                (number, _one_word(user), text),
            )
        self._database.execute("DELETE FROM vectors WHERE id = ?", (number,))

    def _by_words(self, text: str, user: str | None) -> list[int]:
        words = " OR ".join(f'"{word}"' for word in dict.fromkeys(_WORD.findall(text)))
        if not words:
            return []
        match = f"text : ({words})"
        if user is not None:
            match = f"user : {_one_word(user)} AND {match}"
        return [number for (number,) in self._database.execute(_BY_WORDS, (match, _POOL))]


def _one_word(user: str) -> str:
    # A name in letters that FTS5 takes for one word; ending in a digit, it has no ending to stem.
    return f"u{user.encode().hex()}0"
