"""What a Qdrant server lacks is told, and does not stop what it can do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from qdrant_client.http import models

from bruno_memory_vec.errors import BackendUnavailable, EngineError
from bruno_memory_vec.indexers.qdrant import collection
from bruno_memory_vec.indexers.qdrant import server as servers
from bruno_memory_vec.indexers.qdrant.index import QdrantIndex
from bruno_memory_vec.indexers.qdrant.server import AlreadyExists, NotFoundInQdrant, Server
from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.store.qdrant_url import settings_of
from bruno_memory_vec.testing.rows import message, table

SETTINGS = settings_of("qdrant+local::memory:", None)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    opened = await Server.open(SETTINGS)
    yield opened
    await opened.close()


async def test_an_older_server_weighs_words_by_the_rows_of_all_users(server: Server) -> None:
    made = await collection.make(server, {}, {}, 4)
    rows = QdrantIndex(server, made.name, 4, analyser("english"), 20.0)
    own = [message(0, "quiet hotel"), message(1, "hotel"), message(2, "quiet")]
    others = [message(seq, "quiet", user_id="bo") for seq in range(3, 20)]
    await rows.upsert(table([*own, *others], 4), all_new=True)

    async def best() -> list[int]:
        found = await rows.search_text(
            LexicalQuery("quiet hotel"), Scope.user("ana"), RowFilter(), 3
        )
        order: list[int] = found.seq.tolist()
        return order

    assert await collection.problems(server, made.name) == []
    assert await best() == [0, 2, 1]  # as rare among Ana's rows, and newer
    server.version, server.version_text = (1, 18), "1.18.2"
    assert await best() == [0, 1, 2]  # rarer among all rows
    ((problem, fix),) = await collection.problems(server, made.name)
    assert "1.18.2 weighs words by the rows of all users" in problem
    assert "1.19" in fix
    assert not (await rows.health())["per_user_weights"]


async def test_a_server_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "OLDEST", (99, 0))
    with pytest.raises(BackendUnavailable, match=r"99\.0 is the oldest"):
        await Server.open(SETTINGS)


def test_a_strict_mode_that_would_refuse_requests_is_told() -> None:
    strict = models.StrictModeConfigOutput(
        enabled=True, max_query_limit=100, upsert_max_batchsize=1_000, condition_max_size=10
    )
    found = [problem for problem, _ in collection._strictness(strict)]
    assert len(found) == 2
    assert "max_query_limit = 100" in found[0]
    assert "condition_max_size = 10" in found[1]
    strict = models.StrictModeConfigOutput(enabled=True, unindexed_filtering_retrieve=False)
    ((problem, fix),) = collection._strictness(strict)
    assert "columns without an index" in problem
    assert "enough for this library" in fix


async def test_failures_are_told_apart(server: Server) -> None:
    with pytest.raises(NotFoundInQdrant, match="not found") as missing:
        await server.call("count rows", lambda client: client.count("nowhere"))
    assert missing.value.operation == "count rows"
    assert "qdrant+local::memory:" in str(missing.value)
    size = models.VectorParams(size=2, distance=models.Distance.DOT)

    async def make() -> None:
        await server.call(
            "make", lambda client: client.create_collection("one", vectors_config=size)
        )

    await make()
    with pytest.raises(AlreadyExists, match="already exists"):
        await make()


async def test_a_closed_one_says_so() -> None:
    closed = await Server.open(SETTINGS)
    await closed.close()
    await closed.close()
    with pytest.raises(EngineError, match="it is closed"):
        await closed.call("count rows", lambda client: client.count("x"))
