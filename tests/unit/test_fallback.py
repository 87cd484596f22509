"""``urls=[...]``: the first store that can be opened is used, and it is said which and why."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import open_memory, reembed, repair_store, snapshot_store
from bruno_memory_vec.errors import (
    BackendUnavailable,
    FingerprintError,
    InvalidInputError,
    StoreLockedError,
)
from tests.extending.conftest import Install, install

__all__ = ["install"]

SAID = Message(role="user", content="the red boat")
AWAY = '''
"""A server that is away, and an engine whose package is missing."""
from bruno_memory_vec.errors import BackendUnavailable, MissingDependencyError


class Mine:
    async def open(self, config, made_by, progress):
        if "package" in config.url:
            raise MissingDependencyError("mine-client", "mine")
        raise BackendUnavailable(
            "mine", "connect", f"{config.url} does not answer", fix="Start it."
        )
'''


@pytest.fixture
def unreachable(tmp_path: Path) -> str:
    """A folder that cannot be made, because what is above it is a file."""
    (tmp_path / "file").write_text("")
    return str(tmp_path / "file" / "store")


async def test_the_first_that_opens_is_used(
    tmp_path: Path, unreachable: str, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install(AWAY, {"bruno_memory_vec.deployments": "mine = plugin:Mine"})
    store = str(tmp_path / "store")
    urls = ["mine://ana:hunter2@host", "mine://package", unreachable, store, "memory://"]
    with caplog.at_level(logging.WARNING):
        async with open_memory(urls=urls, embedder="hash") as memory:
            await memory.store_message(SAID, "talk", user_id="ana")
            health = await memory.health()
            assert memory.config.url == store
            assert memory.config.urls == tuple(urls)
    assert health["url"] == store
    assert health["chosen"]["url"] == store
    refused = health["chosen"]["refused"]
    assert [one["url"] for one in refused] == ["mine://ana:***@host", "mine://package", unreachable]
    assert "does not answer" in refused[0]["why"]
    assert "'mine-client' is not installed" in refused[1]["why"]
    assert "folder failed to" in refused[2]["why"]
    (record,) = (record for record in caplog.records if "fell_back" in record.getMessage())
    assert store in record.getMessage()
    assert "hunter2" not in f"{record.getMessage()} {health}"
    async with open_memory(store, embedder="hash") as memory:
        assert await memory.retrieve_messages("talk") == [SAID]
        assert "chosen" not in await memory.health()


async def test_the_first_one_answers(tmp_path: Path, unreachable: str) -> None:
    async with open_memory(urls=[str(tmp_path / "a"), unreachable], embedder="hash") as memory:
        assert (await memory.health())["chosen"] == {"url": str(tmp_path / "a"), "refused": []}


async def test_none_answers(unreachable: str, install: Install) -> None:
    install(AWAY, {"bruno_memory_vec.deployments": "mine = plugin:Mine"})
    with pytest.raises(BackendUnavailable, match="none of the 2 urls") as refusal:
        await open_memory(urls=["mine://ana:hunter2@host", unreachable], embedder="hash")
    assert "mine://ana:***@host: mine failed to connect" in str(refusal.value)
    assert unreachable in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


async def test_a_store_in_use_is_not_passed_over(tmp_path: Path) -> None:
    store, other = str(tmp_path / "store"), tmp_path / "other"
    async with open_memory(store, embedder="hash"):
        with pytest.raises(StoreLockedError):
            await open_memory(urls=[store, str(other)], embedder="hash")
    assert not other.exists()


async def test_another_embedder_s_store_is_not_passed_over(tmp_path: Path) -> None:
    store, other = str(tmp_path / "store"), tmp_path / "other"
    async with open_memory(store, embedder="hash"):
        pass
    with pytest.raises(FingerprintError):
        await open_memory(urls=[store, str(other)], embedder="static")
    assert not other.exists()


async def test_a_misspelt_url_is_not_passed_over(tmp_path: Path, unreachable: str) -> None:
    """Also behind one that can be opened, before that is opened."""
    store = tmp_path / "store"
    with pytest.raises(InvalidInputError, match="'qdrnat' is not known"):
        await open_memory(urls=[str(store), "qdrnat://host"], embedder="hash")
    with pytest.raises(InvalidInputError, match="nothing in memory"):
        await open_memory(urls=["memory://x", str(store)], embedder="hash")
    assert not store.exists()


async def test_upkeep_of_a_closed_store_is_of_one(tmp_path: Path) -> None:
    urls = [str(tmp_path / "a"), str(tmp_path / "b")]
    for work in (
        repair_store(urls=urls, embedder="hash"),
        snapshot_store(urls=urls, folder=tmp_path / "copy"),
        reembed(None, "hash", urls=urls),
    ):
        with pytest.raises(InvalidInputError, match="names 2 stores") as refusal:
            await work
        assert refusal.value.field == "urls"
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240
