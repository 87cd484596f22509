"""A store in PostgreSQL is made, opened and refused as it should be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bruno_core.models.message import Message

import bruno_memory_vec
from bruno_memory_vec import open_memory
from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import (
    FingerprintError,
    InvalidInputError,
    NotAStoreError,
    StoreError,
    StoreVersionError,
)
from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.store.deployment import deployment_of
from tests.extending.postgresql.stores import database_of, open_index
from tests.servers.postgres_server import PostgresServer

ROOT = Path(bruno_memory_vec.__file__).parent.parent


def said(text: str) -> Message:
    return Message(role="user", content=text)


def test_processes_that_make_it_at_once_make_one(plugin: Path, url: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(plugin), str(ROOT)))}
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.extending.postgresql.child_maker", url, str(10 * number)],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    answers = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], answers
    assert max(int(out) for out, _ in answers) == 30  # of the last one


async def test_a_process_that_looked_before_another_made_pgvector_has_vectors(
    plugin: Path, postgres_server: PostgresServer, store_name: str
) -> None:
    """Its connection is older than the type of vectors."""
    import asyncpg

    name = store_name.replace("-", "_")
    admin = await asyncpg.connect(f"{postgres_server.url}/postgres")
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    url = f"{postgres_server.url}/{name}?schema=one"
    early = database_of(url)
    assert await early.fetchval("open", "SELECT 1") == 1
    index = await open_index(url, 32)
    await index.close()
    vector = await early.fetchval("read", "SELECT '[1]'::vector")
    assert isinstance(vector, bytes)
    await early.close()


async def test_another_embedder_is_refused(url: str, tmp_path: Path) -> None:
    sessions = str(tmp_path / "sessions")
    async with open_memory(url, embedder=HashEmbedder(32), sessions=sessions) as memory:
        await memory.store_message(said("hello"), "talk", user_id="ana")
    with pytest.raises(FingerprintError, match="were made by"):
        await open_memory(url, embedder=HashEmbedder(64), sessions=sessions)
    made = await deployment_of(url).made(MemoryConfig(url=url))  # type: ignore[attr-defined]
    assert made.fingerprint == HashEmbedder(32).fingerprint
    assert made.language == "english"
    async with open_memory(url, embedder=HashEmbedder(32), sessions=sessions) as memory:
        assert len(await memory.retrieve_messages("talk")) == 1


async def test_a_reader_makes_nothing(url: str, tmp_path: Path) -> None:
    sessions = str(tmp_path / "sessions")
    with pytest.raises(NotAStoreError, match="there is no store"):
        await open_memory(url, embedder="hash", read_only=True, sessions=sessions)
    deployment = deployment_of(url)
    assert await deployment.made(MemoryConfig(url=url)) is None  # type: ignore[attr-defined]
    async with open_memory(url, embedder="hash", sessions=sessions) as memory:
        await memory.store_message(said("the red boat"), "talk", user_id="ana")
        options = {"embedder": "hash", "read_only": True, "sessions": sessions}
        async with open_memory(url, **options) as reader:
            assert [hit.content for hit in await reader.recall("boat", user_id="ana")] == [
                "the red boat"
            ]
            await memory.store_message(said("the blue boat"), "talk", user_id="ana")
            assert len(await reader.recall("boat", user_id="ana")) == 2


async def test_another_language_makes_the_terms_anew(url: str, tmp_path: Path) -> None:
    options = {"embedder": "hash", "sessions": str(tmp_path / "sessions")}
    text = "Die Katzen schlafen"
    async with open_memory(url, language="none", **options) as memory:
        await memory.store_message(said(text), "talk", user_id="ana")
    async with open_memory(url, language="german", **options):
        pass
    index = await open_index(url, 256)
    index.analyser = analyser("german")
    found = await index.search_text(LexicalQuery("Katze"), Scope.user("ana"), RowFilter(), 5)
    assert found.seq.tolist() == [0]
    await index.close()
    deployment = deployment_of(url)
    made = await deployment.made(MemoryConfig(url=url))  # type: ignore[attr-defined]
    assert made.language == "german"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("manifest = '{'", NotAStoreError),
        ("manifest = replace(manifest, 'bruno-memory-vec', 'other')", NotAStoreError),
        ("manifest = replace(manifest, '\"layout\": 1', '\"layout\": 2')", StoreVersionError),
    ],
)
async def test_a_damaged_manifest_is_named(
    url: str, tmp_path: Path, change: str, error: type[StoreError]
) -> None:
    await (await open_index(url, 16)).close()
    database = database_of(url)
    await database.fetch("damage", f"UPDATE {database.store} SET {change}")
    await database.close()
    with pytest.raises(error):
        await open_memory(url, embedder=HashEmbedder(16), sessions=str(tmp_path / "sessions"))


@pytest.mark.parametrize(
    "query",
    ["schema=a.b", "pool=0", "pool=x", "timeout=-1", "hnsw_above=-1", "pool=1&pool=2", "schema="],
)
async def test_a_setting_that_cannot_be_used_is_named(plugin: Path, query: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        await open_memory(f"postgresql://ana:geheim@localhost/x?{query}", embedder="hash")
    assert refusal.value.field == "url"
    assert query.split("=")[0] in str(refusal.value)
    assert "geheim" not in str(refusal.value)


async def test_a_missing_client_names_the_pip_line(
    plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    monkeypatch.delitem(sys.modules, "bruno_memory_vec_postgresql.database", raising=False)
    with pytest.raises(StoreError, match="pip install asyncpg"):
        await open_memory("postgresql://localhost/x", embedder="hash")


async def test_the_doctor_says_what_the_server_lacks(url: str, tmp_path: Path) -> None:
    deployment = deployment_of(url)
    with pytest.raises(NotAStoreError):
        await deployment.diagnose(MemoryConfig(url=url))  # type: ignore[attr-defined]
    await (await open_index(url, 16)).close()
    problems = await deployment.diagnose(MemoryConfig(url=url))  # type: ignore[attr-defined]
    # The server of these tests is made to be fast.
    assert {problem.found.split(" ")[0] for problem in problems} == {
        "fsync",
        "synchronous_commit",
        "full_page_writes",
    }


async def test_pgvector_may_be_in_a_schema_of_its_own(
    server_url: str, store_name: str, tmp_path: Path
) -> None:
    database = database_of(server_url)
    await database.fetch("prepare", f'CREATE DATABASE "{store_name}"')
    await database.close()
    there = f"{server_url.rpartition('/')[0]}/{store_name}"
    database = database_of(there)
    await database.fetch("prepare", "CREATE SCHEMA extensions")
    await database.fetch("prepare", "CREATE EXTENSION vector SCHEMA extensions")
    await database.close()
    sessions = str(tmp_path / "sessions")
    async with open_memory(there, embedder="hash", sessions=sessions) as memory:
        await memory.store_message(said("the red boat"), "talk", user_id="ana")
        assert len(await memory.recall("boat", user_id="ana")) == 1
