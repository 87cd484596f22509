"""The tables of a store: the rows, and one line that says how the store was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import asyncpg

from bruno_memory_vec import __version__
from bruno_memory_vec.embedders.protocol import Fingerprint
from bruno_memory_vec.errors import InvalidInputError, NotAStoreError, StoreVersionError
from bruno_memory_vec.indexers.errors import EngineError
from bruno_memory_vec.indexers.schema import SCHEMA_VERSION, row_schema

from .database import NAME, Database, set_codecs
from .statement import hash_of, quoted, sql_type

_FORMAT = "bruno-memory-vec"
#: Of this package's own tables; another number is refused.
LAYOUT = 1
#: pgvector keeps no longer vectors.
MOST_DIMENSIONS = 16_000


@dataclass(frozen=True, slots=True)
class Manifest:
    """How a store was made.

    Attributes:
        fingerprint: the embedder of its vectors.
        language: the stemmer of its words, None for none.
        analysis: what made the terms of its words (``Analyser.name``).
        rows: identifies its rows.
    """

    fingerprint: Fingerprint
    language: str | None
    analysis: str
    rows: str

    @classmethod
    def new(cls, fingerprint: Fingerprint, language: str | None, analysis: str) -> Manifest:
        """Of a store that is being made."""
        return cls(fingerprint, language, analysis, uuid4().hex)

    def to_json(self) -> str:
        """It as the table has it."""
        return json.dumps(
            {
                "format": _FORMAT,
                "layout": LAYOUT,
                "schema": SCHEMA_VERSION,
                "written_by": __version__,
                "embedder": self.fingerprint.to_dict(),
                "language": self.language,
                "analysis": self.analysis,
                "rows": self.rows,
            }
        )

    @classmethod
    def read(cls, text: str, shown: str) -> Manifest:
        """The inverse of :meth:`to_json`.

        Raises:
            NotAStoreError: it is damaged.
            StoreVersionError: another version of this package made the store.
        """
        try:
            data: Mapping[str, Any] = json.loads(text)
            if data["format"] != _FORMAT:
                raise ValueError(f"the format {data['format']!r}")
            found = (data["layout"], data["schema"])
            if found == (LAYOUT, SCHEMA_VERSION):
                return cls(
                    Fingerprint.from_dict(data["embedder"]),
                    data["language"],
                    str(data["analysis"]),
                    str(data["rows"]),
                )
            written_by = data.get("written_by")
        except (KeyError, TypeError, ValueError, InvalidInputError) as error:
            raise NotAStoreError(
                f"the line of the table `store` of {shown} is damaged: {error}",
                fix="Restore it from a backup; the rows are not touched.",
                cause=error,
            ) from error
        raise StoreVersionError(
            f"{shown} has the format {found}, and this version ({__version__}) reads "
            f"{(LAYOUT, SCHEMA_VERSION)}; it was written by {written_by}",
            fix="Read it with the version that wrote it, and copy it into another schema with "
            "this one.",
        )

    def with_terms(self, language: str | None, analysis: str) -> Manifest:
        """The same rows with the terms of another analysis."""
        return replace(self, language=language, analysis=analysis)


@dataclass(frozen=True, slots=True)
class Found:
    """What the table ``store`` says.

    Attributes:
        manifest: how the store was made.
        sessions: what names its sessions, None where none were open yet.
    """

    manifest: Manifest
    sessions: str | None


async def find(database: Database) -> Found | None:
    """The store; None where there is none in this schema."""

    async def read(connection: asyncpg.Connection) -> asyncpg.Record | None:
        if await connection.fetchval("SELECT to_regclass($1)", database.store) is None:
            return None
        return await connection.fetchrow(f"SELECT manifest, sessions FROM {database.store}")

    record = await database.call("open", read)
    if record is None:
        return None
    return Found(Manifest.read(record["manifest"], database.settings.shown), record["sessions"])


async def make(database: Database, manifest: Manifest) -> None:
    """Make the tables and their indexes, unless another process does so first.

    Raises:
        EngineError: pgvector is not there, or the user may not make a schema.
    """
    dimension = manifest.fingerprint.dimension
    if dimension > MOST_DIMENSIONS:
        raise EngineError(
            NAME,
            "open",
            f"pgvector keeps {MOST_DIMENSIONS:,} values a vector, and the embedder makes "
            f"{dimension:,}",
            fix="Choose another embedder.",
        )

    async def work(connection: asyncpg.Connection) -> None:
        # Of two processes that make it at once, the second one waits here and then finds all made.
        async with connection.transaction():
            lock = hash_of(f"make {database.settings.schema}")
            await connection.execute("SELECT pg_advisory_xact_lock($1)", lock)
            if await connection.fetchval(_HAS_VECTOR) is None:
                await _make_extension(connection)
            for statement in _tables(database, dimension):
                await connection.execute(statement)
            await connection.execute(
                f"INSERT INTO {database.store} (manifest) VALUES ($1) ON CONFLICT DO NOTHING",
                manifest.to_json(),
            )
        await set_codecs(connection)

    await database.call("open", work)


async def set_manifest(database: Database, manifest: Manifest) -> None:
    """Let the store say anew how it was made."""
    text = f"UPDATE {database.store} SET manifest = $1"
    await database.fetch("change the manifest", text, manifest.to_json())


async def name_sessions(database: Database, sessions: str, *, instead: bool) -> str:
    """Let the store name its sessions, unless it names some already; return what it names now.

    Args:
        database: has the store.
        sessions: what names them.
        instead: in place of those that it names.
    """
    named = "$1" if instead else "coalesce(sessions, $1)"
    text = f"UPDATE {database.store} SET sessions = {named} RETURNING sessions"
    return str(await database.fetchval("name its sessions", text, sessions))


async def problems(database: Database) -> list[tuple[str, str]]:
    """What the server lacks, and how to mend it."""
    (found,) = await database.fetch("diagnose", _SETTINGS, database.rows)
    told = []
    version = tuple(int(part) for part in found["pgvector"].split(".")[:2])
    if database.settings.hnsw_above is not None and version < _ITERATIVE:
        told.append(
            (
                f"pgvector {found['pgvector']} filters behind its HNSW index, so a search with a "
                "filter may find too few rows",
                f"Upgrade it to {'.'.join(map(str, _ITERATIVE))} or later, or leave hnsw_above "
                "out of the URL.",
            )
        )
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        if found[name] == "off":
            told.append(
                (
                    f"{name} is off: a crash of the server may lose what was acknowledged",
                    f"Set {name} = on in postgresql.conf.",
                )
            )
    if found["invalid"]:
        told.append(
            (
                f"the index {found['invalid']} was not finished",
                "DROP INDEX it, and run bruno-memory-vec maintain.",
            )
        )
    return told


# Scans of HNSW that go on until enough rows match came with this version of pgvector.
_ITERATIVE = (0, 8)
_SETTINGS = """
SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS
    synchronous_commit, current_setting('full_page_writes') AS full_page_writes,
    (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector,
    (SELECT min(indexrelid::regclass::text) FROM pg_index
     WHERE indrelid = $1::text::regclass AND NOT indisvalid) AS invalid
"""
_HAS_VECTOR = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"


async def _make_extension(connection: asyncpg.Connection) -> None:
    known = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
    if await connection.fetchval(known) is None:
        raise EngineError(
            NAME,
            "open",
            "the server has no pgvector",
            fix="Install it: https://github.com/pgvector/pgvector, or the package "
            "postgresql-NN-pgvector.",
        )
    try:
        # A savepoint, so that the message below can be made.
        async with connection.transaction():
            await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except asyncpg.InsufficientPrivilegeError as error:
        raise EngineError(
            NAME,
            "open",
            f"this user may not install pgvector in the database: {error}",
            fix="Let a superuser run: CREATE EXTENSION vector.",
            cause=error,
        ) from error


def _tables(database: Database, dimension: int) -> list[str]:
    rows, store = database.rows, database.store
    columns = [
        f"{quoted(field.name)} {sql_type(field.type)}{'' if field.nullable else ' NOT NULL'}"
        for field in row_schema(dimension)
        if field.name != "vector"
    ]
    return [
        f"CREATE SCHEMA IF NOT EXISTS {quoted(database.settings.schema)}",
        f"""CREATE TABLE IF NOT EXISTS {store} (
            one bool PRIMARY KEY DEFAULT TRUE CHECK (one),
            manifest text NOT NULL,
            sessions text,
            writer text
        )""",
        # `key` is the hash of what identifies a row, and owner, place and handle those of its
        # user, its conversation and its id: a btree takes no texts as long as ids may be. Rows are
        # kept whole up to 8 KB, because reading a vector from beside the row takes twice as long.
        f"""CREATE TABLE IF NOT EXISTS {rows} (
            key uuid PRIMARY KEY,
            {", ".join(columns)},
            vector vector({dimension}) NOT NULL,
            owner int8 NOT NULL,
            place int8,
            handle int8 NOT NULL,
            length int4 NOT NULL,
            terms int8[] NOT NULL,
            pairs int8[] NOT NULL
        ) WITH (toast_tuple_target = 8160)""",
        f"CREATE INDEX IF NOT EXISTS rows_seq ON {rows} (seq, key)",
        # The number and the average length of a user's rows are read from it alone.
        f"CREATE INDEX IF NOT EXISTS rows_owner ON {rows} (owner, seq) INCLUDE (length)",
        f"CREATE INDEX IF NOT EXISTS rows_place ON {rows} (place, turn)",
        f"CREATE INDEX IF NOT EXISTS rows_handle ON {rows} (handle)",
        f"CREATE INDEX IF NOT EXISTS rows_terms ON {rows} USING gin (terms)",
    ]
