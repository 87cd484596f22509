"""A Qdrant that is away, hangs, is cut off or slow."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import BackendUnavailable
from tests.durability.support import message
from tests.faults.load import Writers, right
from tests.servers.fixtures import QdrantStore
from tests.servers.processes import free_port
from tests.servers.proxy import Proxy

pytest.importorskip("qdrant_client")

# Seconds; only a hang reaches it.
_SOON = 60.0


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield int(listening.getsockname()[1])


@pytest.mark.parametrize("options", ["", "?grpc=true"], ids=["rest", "grpc"])
async def test_nothing_listens(options: str, tmp_path: Path) -> None:
    port, sessions = free_port(), str(tmp_path / "sessions")
    began = time.monotonic()
    with pytest.raises(BackendUnavailable) as raised:
        await open_memory(
            f"qdrant://127.0.0.1:{port}/memory{options}",
            sessions=sessions,
            embedder="hash",
            qdrant_api_key="a-secret-key",
        )
    assert time.monotonic() - began < _SOON
    assert f"127.0.0.1:{port}" in str(raised.value)
    assert raised.value.fix
    assert "a-secret-key" not in f"{raised.value!r} {raised.value}"
    # Nothing stays locked.
    async with open_memory("qdrant+local::memory:", sessions=sessions, embedder="hash") as memory:
        await memory.store_message(message("here"), "talk", user_id="ana")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("timeout=1", id="rest", marks=pytest.mark.slow),
        pytest.param("timeout=1&grpc=true", id="grpc"),
    ],
)
async def test_a_server_that_never_answers_times_out(
    options: str, silent_port: int, tmp_path: Path
) -> None:
    began = time.monotonic()
    with pytest.raises(BackendUnavailable, match=str(silent_port)):
        await open_memory(
            f"qdrant://127.0.0.1:{silent_port}/memory?{options}",
            sessions=str(tmp_path / "sessions"),
            embedder="hash",
        )
    assert time.monotonic() - began < _SOON


@pytest.mark.qdrant_server
@pytest.mark.redis_server
async def test_a_qdrant_that_is_cut_off_and_slow_loses_and_doubles_nothing(
    qdrant_store: QdrantStore, qdrant_proxy: Proxy, redis_url: str
) -> None:
    url = qdrant_store.url.replace(
        f"{qdrant_store.host}:{qdrant_store.port}", f"{qdrant_proxy.host}:{qdrant_proxy.port}"
    )
    # Making it takes longer than the time-out below.
    async with open_memory(qdrant_store.url, sessions=redis_url, embedder="hash"):
        pass
    async with open_memory(f"{url}?timeout=2", sessions=redis_url, embedder="hash") as memory:
        writers = Writers(memory)
        for number in range(10):
            await writers.more(2)
            qdrant_proxy.cut_after(**{("sent", "received")[number % 2]: 200 * number})
        qdrant_proxy.delay, qdrant_proxy.bandwidth = 0.01, 200_000
        await writers.more(6)
        qdrant_proxy.delay, qdrant_proxy.bandwidth = 0.0, None
        qdrant_proxy.refuse()
        await writers.refusals()
        qdrant_proxy.accept()
        await writers.more()
        qdrant_proxy.hold()
        await writers.refusals()
        qdrant_proxy.let_go()
        await writers.more()
        await writers.stop()
        await right(memory, writers)
