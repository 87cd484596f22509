"""Engines of another package: a wrapper, and one that can what the reference cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from bruno_core.models.message import Message

from bruno_memory_vec import open_memory
from bruno_memory_vec.indexers.cache import CachedIndex
from bruno_memory_vec.indexers.forwarding import ForwardingRowIndex, capability
from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex
from bruno_memory_vec.indexers.protocols import (
    Compacts,
    Flushes,
    HoldsRows,
    Maintenance,
    RowIndex,
    Versioned,
)
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.reference import ReferenceIndex
from bruno_memory_vec.indexers.schema import row_schema
from bruno_memory_vec.store import deployment
from bruno_memory_vec.testing import RowIndexConformance
from tests.extending.conftest import Install
from tests.versioned import VersionedReference

CAPABILITIES: tuple[type[Any], ...] = (Versioned, Flushes, Compacts, HoldsRows)


class Tidied(VersionedReference):
    """Wants upkeep after each change, and does it by counting."""

    name = "tidied"
    tidied = 0

    def due(self, *, at_rest: bool = False) -> bool:
        return self.changes > self.tidied

    async def maintain(self, *, keep_none: bool = False) -> Maintenance:
        self.tidied = self.changes
        return Maintenance(runs=1)


class Audited(ForwardingRowIndex):
    """Notes what was read."""

    def __init__(self, inner: RowIndex) -> None:
        super().__init__(inner)
        self.reads: list[tuple[str, ...]] = []

    async def read(
        self,
        scope: Scope,
        where: RowFilter,
        columns: Sequence[str],
        *,
        seqs: Sequence[int] | None = None,
        turns: Mapping[str, Sequence[int]] | None = None,
        order_by: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        self.reads.append(tuple(columns))
        return await super().read(
            scope, where, columns, seqs=seqs, turns=turns, order_by=order_by, limit=limit
        )


class TestTidied(RowIndexConformance):
    persistent = False

    async def make_index(self) -> RowIndex:
        return Tidied(self.dimension)


class TestAudited(RowIndexConformance):
    persistent = False

    async def make_index(self) -> RowIndex:
        return Audited(ReferenceIndex(self.dimension))


class TestTidiedBehindTheLayersOfLanceDB(RowIndexConformance):
    """The log and the cache ask an engine for no more than its members and its version."""

    persistent = False

    async def make_index(self) -> RowIndex:
        schema = row_schema(self.dimension)
        logged = WriteAheadLogIndex(Tidied(self.dimension), self.folder / "log", schema)
        await logged.replay()
        return CachedIndex(logged, 2**20)


def test_a_capability_is_found_through_wrappers(tmp_path: Path) -> None:
    engine = Tidied(8)
    logged = WriteAheadLogIndex(engine, tmp_path, row_schema(8))
    cached = CachedIndex(logged, 2**20)

    def found(rows: RowIndex) -> list[Any]:
        return [capability(rows, kind) for kind in CAPABILITIES]

    assert found(ReferenceIndex(8)) == [None, None, None, None]
    assert found(Audited(ReferenceIndex(8))) == [None, None, None, None]
    assert found(Audited(engine)) == [engine, None, engine, None]
    # The outermost that has it: upkeep of a log flushes first.
    assert found(cached) == [logged, logged, logged, cached]


DEPLOYMENT = """
from bruno_memory_vec.indexers.reference import ReferenceLexicalIndex
from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore
from bruno_memory_vec.store.deployment import Parts, analyser_for
from bruno_memory_vec.store.lease import LocalLease
from tests.extending.test_row_index import Audited, Tidied


class Mine:
    schemes = ("mine",)

    async def open(self, config, made_by, progress):
        sessions = await SQLiteSessionStore.open(":memory:", config.max_messages)
        lexical = ReferenceLexicalIndex(analyser_for(None))
        rows = Audited(Tidied(made_by.dimension))
        return Parts(rows, lexical, sessions, LocalLease(sessions))
"""


async def test_a_memory_over_an_engine_of_ones_own(install: Install) -> None:
    install(DEPLOYMENT, {deployment.GROUP: "mine = plugin:Mine"})
    async with open_memory("mine://", embedder="hash") as memory:
        message = Message(role="user", content="The hotel had a pool.")
        await memory.store_message(message, "talk", user_id="ana")
        (hit,) = await memory.recall("hotel", user_id="ana")
        assert hit.content == message.content
        assert (await memory.maintain()).ok
        rows: Any = (await memory._lazy.get()).rows
        assert rows.reads
        assert 0 < rows.inner.tidied == rows.inner.changes
