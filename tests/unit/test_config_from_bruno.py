"""``VectorMemory.from_config`` with every field of bruno-core's MemoryConfig."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.config import MemoryConfig as BrunoMemoryConfig
from bruno_core.models.message import Message

from bruno_memory_vec import MemoryConfig, VectorMemory, open_memory
from bruno_memory_vec.errors import InvalidInputError


def made(backend: str, connection: str, **values: Any) -> MemoryConfig:
    return MemoryConfig.from_bruno(
        BrunoMemoryConfig(backend=backend, connection_string=connection, **values)
    )


@pytest.mark.parametrize(
    ("backend", "connection", "url"),
    [
        ("lancedb", "./memory", "./memory"),
        ("lancedb", "memory://", "memory://"),
        ("folder", "file:///a/b", "file:///a/b"),
        ("lancedb", "C:\\memory", "C:\\memory"),
        ("memory", "memory://", "memory://"),
        ("memory", ":memory:", "memory://"),
        ("qdrant", "qdrants://host:6333/rows", "qdrants://host:6333/rows"),
        ("qdrant", "http://host:6333", "qdrant://host:6333"),
        ("qdrant", "https://host/prefix", "qdrants://host/prefix"),
        ("qdrant", "host:6333", "qdrant://host:6333"),
        ("qdrant", "localhost", "qdrant://localhost"),
        ("qdrant", ":memory:", "qdrant+local::memory:"),
        ("qdrant", "qdrant+local:./q", "qdrant+local:./q"),
        ("postgres", "postgresql://ana@host/db", "postgresql://ana@host/db"),
        ("postgresql", "postgres://host/db", "postgres://host/db"),
        ("mine", "mine://anything", "mine://anything"),
    ],
)
def test_a_backend_and_its_string_are_a_url(backend: str, connection: str, url: str) -> None:
    config = made(backend, connection)
    assert (config.url, config.sessions) == (url, None)


def test_redis_has_the_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = "redis://:hunter2@host:6379/0"
    config = made("redis", redis, additional_params={"url": "./memory"})
    assert (config.url, config.sessions) == ("./memory", redis)
    several = made("redis", redis, additional_params={"urls": ["a", "b"]})
    assert several.urls == ("a", "b")
    with pytest.raises(InvalidInputError, match=r"holds sessions, and no rows.*additional_params"):
        made("redis", redis)
    monkeypatch.setenv("BRUNO_MEMORY_URL", "./memory")
    assert made("redis", redis).url == "./memory"


@pytest.mark.parametrize(
    ("backend", "connection", "field", "says"),
    [
        ("sqlite", "bruno.db", "backend", "holds no vectors.*'lancedb'.*ingest FILE"),
        ("memory", "./memory", "connection_string", "does not fit the backend 'memory'.*memory://"),
        ("lancedb", "qdrant://host", "connection_string", "does not fit.*Give a folder"),
        ("qdrant", "./a folder", "connection_string", "does not fit.*qdrant://host"),
        ("qdrant", "redis://:hunter2@h", "connection_string", r"'redis://:\*\*\*@h' does not fit"),
        ("redis", "localhost", "connection_string", "redis://host"),
        ("postgres", "host=h dbname=d", "connection_string", "postgresql://host"),
        ("chroma", "./chroma", "connection_string", "chroma://host"),
    ],
)
def test_what_does_not_fit_is_refused(backend: str, connection: str, field: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as refusal:
        made(backend, connection)
    assert refusal.value.field == field
    assert "hunter2" not in str(refusal.value)


def test_the_other_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRUNO_MEMORY_RECALL_K", "4")
    config = made(
        "lancedb",
        "./memory",
        max_messages=7,
        embedding_model="hash",
        enable_embeddings=False,
        compression_threshold=5,
        stm_threshold=0.1,
        ltm_threshold=0.2,
        additional_params={"recall_tokens": 900, "default_user": "ana"},
    )
    assert (config.max_messages, config.embedder, config.profile) == (7, "hash", "lexical")
    assert (config.recall_tokens, config.default_user, config.recall_k) == (900, "ana", 4)
    assert made("lancedb", "x").profile == "balanced"
    named = made("lancedb", "x", enable_embeddings=False, additional_params={"profile": "fast"})
    assert named.profile == "fast"


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"additional_params": {"url": "y"}}, "additional_params", "names 'url', which another"),
        (
            {"embedding_model": "hash", "additional_params": {"embedder": "static"}},
            "additional_params",
            "names 'embedder'",
        ),
        ({"additional_params": {"recal_k": 3}}, "recal_k", "Did you mean recall_k?"),
        ({"max_messages": 1}, "max_messages", "has to be at least 2"),
    ],
)
def test_wrong_fields_are_named(values: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as refusal:
        made("lancedb", "x", **values)
    assert refusal.value.field == field


async def test_a_memory_of_it(tmp_path: Path) -> None:
    """As ``from_config`` and as ``config=``; without embeddings it recalls by words."""
    theirs = BrunoMemoryConfig(
        backend="lancedb",
        connection_string=str(tmp_path / "store"),
        max_messages=2,
        embedding_model="hash",
        enable_embeddings=False,
    )
    async with VectorMemory.from_config(theirs) as memory:
        for text in ("the red boat", "the green tree", "the blue house"):
            await memory.store_message(Message(role="user", content=text), "talk", user_id="ana")
        assert (await memory.health())["profile"] == "lexical"
        hits = await memory.recall("boat", user_id="ana")
        assert [hit.content for hit in hits] == ["the red boat"]
    async with open_memory(config=theirs) as memory:  # type: ignore[arg-type]
        context = await memory.get_context("ana", "talk")
        assert [m.content for m in context.messages] == ["the green tree", "the blue house"]


async def test_a_qdrant_of_it(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client", reason='needs pip install "bruno-memory-vec[qdrant]"')
    theirs = BrunoMemoryConfig(
        backend="qdrant",
        connection_string=f"qdrant+local:{tmp_path / 'store'}",
        embedding_model="hash",
    )
    async with VectorMemory.from_config(theirs) as memory:
        await memory.store_message(Message(role="user", content="boat"), "talk", user_id="ana")
        assert len(await memory.recall("boat", user_id="ana")) == 1
