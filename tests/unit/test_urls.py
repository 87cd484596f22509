"""What a url names: a folder, by a path or ``file://``, or another deployment's store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import (
    MemoryConfig,
    VectorMemory,
    diagnose_store,
    open_memory,
    plugins,
    reembed,
    repair_store,
)
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.store import deployment
from bruno_memory_vec.store.manifest import folder_of, scheme_of

SAID = Message(role="user", content="kept")


def test_a_scheme_has_two_letters_and_any_case() -> None:
    assert scheme_of("FILE:///a") == "file"
    assert scheme_of("Mine+x://a") == "mine+x"
    for path in ("C://a", "C:\\a", "./a://b", "://a", "memory:", "a"):
        assert scheme_of(path) is None, path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("here", "here"),
        ("file://here", "here"),
        ("FILE:///a%20b", "/a b"),
        ("file://localhost/a", "/a"),
        ("file://localhosts/a", "localhosts/a"),
        ("C:x", "C:x"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="written as POSIX has them")
def test_a_folder_is_absolute(
    url: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_of(url) == tmp_path / path


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
@pytest.mark.parametrize("url", ["c:x", "memory:", "file:x", "x://", "./s3://x"])
async def test_what_looks_like_a_url_to_an_engine_is_a_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_memory(url, embedder="hash") as memory:
        await memory.store_message(SAID, "talk", user_id="ana")
    async with open_memory(url, embedder="hash") as memory:
        assert await memory.retrieve_messages("talk") == [SAID]


async def test_sqlite_s_name_of_memory_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match=r"url: .*Write memory:// .* or \./:memory:"):
        await open_memory(":memory:", embedder="hash")
    assert os.listdir() == []
    async with open_memory("./:memory:", embedder="hash") as memory:
        await memory.store_message(SAID, "talk", user_id="ana")
    assert os.listdir() == [":memory:"]


async def test_the_process_may_go_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    async with open_memory("store", embedder="hash") as memory:
        monkeypatch.chdir(tmp_path / "elsewhere")
        await memory.store_message(SAID, "talk", user_id="ana")
        assert (await memory.maintain()).ok
        await memory.store_message(Message(role="user", content="more"), "talk", user_id="ana")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        assert len(await memory.retrieve_messages("talk")) == 2


async def test_a_relative_folder_is_that_of_the_moment_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of the first use: the rows would be in another project's store."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("BRUNO_MEMORY_URL", "named")
    memories = {
        "a": VectorMemory("a", embedder="hash"),
        "b": VectorMemory("file://b", embedder="hash", embedding_cache="cache"),
        "c": VectorMemory(config=MemoryConfig(url="./c", embedder="hash")),
        "named": VectorMemory(embedder="hash"),
    }
    opening = open_memory("d", embedder="hash")
    monkeypatch.delenv("BRUNO_MEMORY_URL")
    memories["bruno-memory"] = VectorMemory(embedder="hash")
    monkeypatch.chdir(elsewhere)
    memories["d"] = await opening
    for name, memory in memories.items():
        await memory.store_message(SAID, "talk", user_id="ana")
        assert memory.config.url == str(here / name)
        await memory.reembed("hash")
        assert (await memory.maintain()).ok
        await memory.close()
        assert (here / name / "store.json").exists()
    assert list(elsewhere.iterdir()) == []


async def test_where_the_current_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(InvalidInputError, match="current directory is gone"):
        VectorMemory("store", embedder="hash")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "url",
    ["folder:///x", "mem://", "memory://x", "~nobody-of-this-name/x", "a\nb", "file:///%00", "  "],
)
async def test_others_are_refused_by_name(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError) as refusal:
        await open_memory(url, embedder="hash")
    assert refusal.value.field == "url"
    for call in (diagnose_store(url, embedder="hash"), repair_store(url), reembed(url, "hash")):
        with pytest.raises(InvalidInputError) as refusal:
            await call
        assert refusal.value.field == "url"
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240


@pytest.mark.parametrize("scheme", ["s3", "gs", "az", "S3"])
async def test_an_object_store_is_refused_with_the_reason(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LanceDB opens such a URL, and the files beside the rows would be in a folder ``s3:``."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match=r"write-ahead log.*qdrant://") as refusal:
        await open_memory(f"{scheme}://bucket/store", embedder="hash")
    assert refusal.value.field == "url"
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240


@pytest.mark.parametrize("call", [diagnose_store, repair_store])
async def test_a_config_is_one_and_alone(call: Any, tmp_path: Path) -> None:
    config = MemoryConfig(url=str(tmp_path))
    for arguments in ({"config": "x"}, {"config": config, "url": "y"}):
        with pytest.raises(InvalidInputError) as refusal:
            await call(**arguments)
        assert refusal.value.field == "config"


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    found: list[EntryPoint] = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: found)
    plugins.forget_loaded()
    yield found
    plugins.forget_loaded()


async def test_sources_that_nobody_installed(entries: list[EntryPoint], tmp_path: Path) -> None:
    for url in (str(tmp_path / "store"), "memory://"):
        async with open_memory(url, embedder="hash"):
            pass


async def test_a_deployment_that_cannot_be_loaded(entries: list[EntryPoint]) -> None:
    entries.append(EntryPoint("mine", "no_such_module:Mine", deployment.GROUP))
    with pytest.raises(InvalidInputError, match="no_such_module") as refusal:
        await open_memory("mine://x", embedder="hash")
    assert refusal.value.field == "url"
