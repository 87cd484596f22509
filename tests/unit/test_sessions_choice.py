"""Which session store a URL names, and that one in a folder has one process that writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bruno_memory_vec import MemoryConfig, open_memory
from bruno_memory_vec.errors import InvalidInputError, NotAStoreError, StoreLockedError
from bruno_memory_vec.sessions.choice import folder_of_sessions, session_store_of
from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore
from bruno_memory_vec.store.manifest import pinned
from bruno_memory_vec.store.sqlite_sessions import SQLiteSessions
from bruno_memory_vec.upkeep.diagnosis import diagnose_store
from tests.durability.support import message
from tests.extending.conftest import Install, install

__all__ = ["install"]

CONFIG = MemoryConfig.build()

PLUGIN = """
from bruno_memory_vec.sessions.choice import OpenSessions
from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore

class Mine:
    async def open(self, url, name, config):
        sessions = await SQLiteSessionStore.open(":memory:", config.max_messages)
        sessions.told = (url, name)
        return OpenSessions(sessions, None, None)
"""


@pytest.mark.parametrize("url", [":memory:", "sqlite://", "sqlite://:memory:", "SQLITE://"])
async def test_in_memory(url: str) -> None:
    assert isinstance(session_store_of(url), SQLiteSessions)
    assert folder_of_sessions(url) is None
    opened = await session_store_of(url).open(url, "a", CONFIG)
    assert isinstance(opened.sessions, SQLiteSessionStore)
    assert opened.versions is None
    await opened.close()


@pytest.mark.parametrize("form", ["{}", "sqlite://{}"])
async def test_a_folder_has_one_writer_and_a_file_for_each_store(tmp_path: Path, form: str) -> None:
    url = form.format(tmp_path / "some where")
    deployment = session_store_of(url)
    first = await deployment.open(url, "notes", CONFIG)
    await first.sessions.set_current_conversation("ana", "c")
    with pytest.raises(StoreLockedError, match="open for writing in this process"):
        await deployment.open(url, "notes", CONFIG)
    other = await deployment.open(url, "../notes", CONFIG)
    assert await other.sessions.current_conversation("ana") is None
    reader = await deployment.open(url, "notes", CONFIG.model_copy(update={"read_only": True}))
    assert (await reader.sessions.current_conversation("ana"), reader.lease) == ("c", None)
    for opened in (reader, other, first):
        await opened.close()
    assert sorted(os.listdir(tmp_path / "some where")) == ["..%2Fnotes", "notes"]
    again = await deployment.open(url, "notes", CONFIG)
    assert await again.sessions.current_conversation("ana") == "c"
    await again.close()


async def test_a_reader_makes_nothing(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"read_only": True})
    with pytest.raises(NotAStoreError):
        await SQLiteSessions().open(str(tmp_path), "notes", config)
    with pytest.raises(InvalidInputError, match="read_only"):
        await SQLiteSessions().open(":memory:", "notes", config)
    assert not os.listdir(tmp_path)


def test_a_path_stays_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named = pinned(MemoryConfig.build(url="memory://", sessions="some/sessions"))
    assert named.sessions == str(tmp_path / "some/sessions")


@pytest.mark.parametrize("url", ["sqlite://relative/path", "  ", "sqlite://localhost/x"])
def test_what_names_no_folder(url: str) -> None:
    with pytest.raises(InvalidInputError, match=r"sessions: .* names no folder"):
        folder_of_sessions(url)


def test_an_unknown_scheme_is_named_with_those_that_are_known() -> None:
    with pytest.raises(InvalidInputError, match=r"'memcached' is not known\..*sqlite://"):
        session_store_of("memcached://host")


async def test_another_package_adds_one(install: Install) -> None:
    install(PLUGIN, {"bruno_memory_vec.session_stores": "mine = plugin:Mine"})
    opened = await session_store_of("MINE://x").open("MINE://x", "notes", CONFIG)
    assert opened.sessions.told == ("MINE://x", "notes")  # type: ignore[attr-defined]
    await opened.close()


def test_one_that_cannot_be_loaded_is_named(install: Install) -> None:
    install("1 / 0", {"bruno_memory_vec.session_stores": "mine = plugin:Mine"})
    with pytest.raises(InvalidInputError, match=r"'plugin:Mine'.*ZeroDivisionError"):
        session_store_of("mine://x")


async def test_a_folder_whose_sessions_are_elsewhere(tmp_path: Path) -> None:
    """They have the folder's name for them, which a copy of the folder does not have."""
    store, sessions = str(tmp_path / "store"), str(tmp_path / "sessions")
    async with open_memory(store, embedder="hash", sessions=sessions) as memory:
        await memory.store_message(message("one"), "talk", user_id="ana")
        session = await memory.create_session("ana")
        await memory.snapshot(tmp_path / "copy")
    assert not (tmp_path / "store" / "sessions.sqlite").exists()
    name = (tmp_path / "store" / "sessions.name").read_text().strip()
    assert os.listdir(sessions) == [name]
    assert not (tmp_path / "copy" / "sessions.name").exists()
    async with open_memory(store, embedder="hash", sessions=sessions) as memory:
        assert await memory.get_session(session.session_id) is not None
        assert [one.content for one in await memory.retrieve_messages("talk")] == ["one"]
    async with open_memory(str(tmp_path / "copy"), embedder="hash", sessions=sessions) as copy:
        assert await copy.get_session(session.session_id) is None
        context = await copy.get_context("ana", "talk")
        assert [one.content for one in context.messages] == ["one"]
    assert len(os.listdir(sessions)) == 2
    checks = await diagnose_store(store, embedder="hash", sessions=sessions)
    assert [check for check in checks if check.state == "problem"] == []
