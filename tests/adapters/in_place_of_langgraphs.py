"""A plug-in of pytest for LangGraph's own tests: their stores are ours.

The tests come with the source distributions of langgraph-checkpoint and langgraph-checkpoint-sqlite
(``.ci/run``, step ``frameworks``). What of theirs cannot hold here is named below, with the reason;
everything else has to pass.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import langgraph.store.memory
import langgraph.store.sqlite
import langgraph.store.sqlite.aio
import pytest

from bruno_memory_vec.adapters.langgraph import BrunoStore

_OPEN: list[BrunoStore] = []

#: Tests that cannot pass, by their name, and why.
APART = {
    r"nonnull_migrations": "of the SQL of their tables",
    r"sql_injection_vulnerability|filter_keys_with_hyphens": (
        "SQLite's store takes a full stop in the key of a filter for a path, and refuses keys that "
        "are none; ours takes keys as they are, as InMemoryStore does"
    ),
    r"ttl_override_default": (
        "unless told, their store does not refresh at a look, other than TTLConfig says"
    ),
    r"no_running_loop": "their async store refuses plain calls, ours takes both",
    r"scores|embed_with_path|vector_store_initialization|vector_update_with_embedding": (
        "they look at cosine similarities, or at how theirs are made; a score of ours is of words, "
        "meaning and more"
    ),
}


def _index(given: Any) -> Any:
    if given is None:
        return None
    named = given.get("fields") or given.get("text_fields")
    return {**given, "fields": named}


class InMemory(BrunoStore):
    """In place of ``InMemoryStore``."""

    def __init__(self, *, index: Any = None) -> None:
        super().__init__("memory://", index=_index(index))
        _OPEN.append(self)


class InFolder(BrunoStore):
    """In place of ``SqliteStore`` and ``AsyncSqliteStore``."""

    def setup(self) -> None:
        """There is nothing to set up."""

    def start_ttl_sweeper(self) -> None:
        """What has expired is not returned, with or without it."""

    def stop_ttl_sweeper(self) -> None:
        """There is none."""

    @classmethod
    @contextmanager
    def from_conn_string(cls, name: str, *, index: Any = None, ttl: Any = None) -> Iterator[Any]:
        where = "memory://" if name == ":memory:" else Path(f"{name}.store")
        with cls(where, index=_index(index), ttl=ttl) as store:
            yield store


class AsyncInFolder(BrunoStore):
    """In place of ``AsyncSqliteStore``."""

    async def setup(self) -> None:
        """There is nothing to set up."""

    async def sweep_ttl(self) -> int:  # type: ignore[override]
        return await self.asweep_ttl()

    async def start_ttl_sweeper(self) -> None:
        """What has expired is not returned, with or without it."""

    async def stop_ttl_sweeper(self) -> None:
        """There is none."""

    @classmethod
    @asynccontextmanager
    async def from_conn_string(
        cls, name: str, *, index: Any = None, ttl: Any = None
    ) -> AsyncIterator[Any]:
        where = "memory://" if name == ":memory:" else Path(f"{name}.store")
        with cls(where, index=_index(index), ttl=ttl) as store:
            yield store


langgraph.store.memory.InMemoryStore = InMemory
langgraph.store.sqlite.SqliteStore = InFolder
langgraph.store.sqlite.AsyncSqliteStore = AsyncInFolder
langgraph.store.sqlite.aio.AsyncSqliteStore = AsyncInFolder


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    apart = [one for one in items if any(re.search(name, one.name) for name in APART)]
    config.hook.pytest_deselected(items=apart)
    items[:] = [one for one in items if one not in apart]
