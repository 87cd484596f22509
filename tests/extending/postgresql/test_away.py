"""A PostgreSQL that is away, hangs, or cuts the connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.testing.rows import message, table
from tests.extending.postgresql.stores import open_index
from tests.servers.postgres_server import PostgresServer
from tests.servers.processes import free_port
from tests.servers.proxy import Proxy

_DIMENSION = 16


async def test_nothing_listens(plugin: Path, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BackendUnavailable) as raised:
        await open_memory(
            f"postgresql://ana:a-secret@{address}/x", embedder="hash", sessions=str(tmp_path)
        )
    assert address in str(raised.value)
    assert "a-secret" not in f"{raised.value!r} {raised.value}"


async def test_an_unknown_database_says_so(postgres_server: PostgresServer, plugin: Path) -> None:
    with pytest.raises(BackendUnavailable, match="the database in the URL"):
        await open_memory(f"{postgres_server.url}/not-there", embedder="hash")


async def test_it_goes_on_after_every_connection_was_cut(
    url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with Proxy(postgres_server.host, postgres_server.port) as proxy:
        through = url.replace(f":{postgres_server.port}", f":{proxy.port}")
        async with open_memory(through, embedder="hash", sessions=str(tmp_path)) as memory:
            for number in range(3):
                sent = Message(role="user", content=f"number {number}")
                await memory.store_message(sent, "talk", user_id="ana")
                proxy.cut()
            assert len(await memory.read_turns("talk")) == 3
            proxy.refuse()
            with pytest.raises(BackendUnavailable):
                await memory.store_message(Message(role="user", content="lost"), "talk")
            proxy.accept()
            await memory.store_message(Message(role="user", content="number 3"), "talk")
            contents = [turn.message.content for turn in await memory.read_turns("talk")]
            assert contents == [f"number {number}" for number in range(4)]


@pytest.mark.parametrize("after", [{"sent": 20}, {"received": 20}], ids=["asked", "answered"])
async def test_a_write_cut_amid_is_whole(
    url: str, postgres_server: PostgresServer, after: dict[str, Any]
) -> None:
    """It is sent again; whether the first one arrived makes no difference."""
    rows = table([message(seq, f"row {seq}") for seq in range(50)], _DIMENSION)
    with Proxy(postgres_server.host, postgres_server.port) as proxy:
        through = url.replace(f":{postgres_server.port}", f":{proxy.port}")
        index = await open_index(through, _DIMENSION)
        proxy.cut_after(**after)
        await index.upsert(rows, all_new=True)
        assert await index.count(EVERYONE, RowFilter()) == 50
        # Deleting is not sent again: the second answer would not say what the first one took.
        proxy.cut_after(**after)
        with pytest.raises(BackendUnavailable):
            await index.delete(EVERYONE, RowFilter())
        assert await index.count(EVERYONE, RowFilter()) in (0, 50)
        await index.close()


async def test_a_server_that_never_answers_times_out(
    url: str, postgres_server: PostgresServer
) -> None:
    with Proxy(postgres_server.host, postgres_server.port) as proxy:
        through = url.replace(f":{postgres_server.port}", f":{proxy.port}")
        index = await open_index(f"{through}&timeout=0.5&connect=0.5", _DIMENSION)
        proxy.hold()
        with pytest.raises(BackendUnavailable, match="timeout"):
            await index.count(EVERYONE, RowFilter())
        proxy.let_go()
        assert await index.count(EVERYONE, RowFilter()) == 0
        await index.close()
