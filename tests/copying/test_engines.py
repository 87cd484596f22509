"""Copies between engines: a folder, Qdrant, memory, and back, with the same answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruno_memory_vec import copy_store, open_memory
from bruno_memory_vec.errors import StoreError
from tests.copying.support import assert_same
from tests.durability.support import message


async def test_to_qdrant_and_back(source: str, tmp_path: Path) -> None:
    qdrant = f"qdrant+local:{tmp_path / 'b'}"
    report = await copy_store(source, qdrant, dry_run=True)
    assert (report.copied, (tmp_path / "b").exists()) == (22, False)
    # Its sessions are in a folder of their own.
    there = {"sessions": str(tmp_path / "sessions")}
    report = await copy_store(source, qdrant, **there)
    assert report.ok, report
    assert (report.copied, report.verified) == (22, 22)
    report = await copy_store(source, qdrant, **there)
    assert (report.copied, report.present, report.verified, report.ok) == (0, 22, 22, True)
    report = await copy_store(qdrant, tmp_path / "c", source_sessions=there["sessions"])
    assert report.ok, report
    assert (report.copied, report.verified) == (22, 22)
    async with (
        open_memory(source, embedder="hash") as a,
        open_memory(qdrant, embedder="hash", **there) as b,
        open_memory(tmp_path / "c", embedder="hash") as c,
    ):
        hits = await b.recall("who likes the violin?", user_id="ana")
        assert hits[0].content == "ana likes the violin"
        await assert_same(a, c)


@pytest.mark.redis_server
async def test_to_sessions_in_redis_and_back(source: str, redis_url: str, tmp_path: Path) -> None:
    # Its lease is one that many processes share.
    target = f"qdrant+local:{tmp_path / 'b'}"
    there = {"sessions": redis_url}
    report = await copy_store(source, target, **there)
    assert report.ok, report
    assert (report.copied, report.verified, report.sessions, report.users) == (22, 22, 3, 3)
    report = await copy_store(source, target, **there)
    assert (report.copied, report.present, report.verified, report.ok) == (0, 22, 22, True)
    report = await copy_store(target, tmp_path / "c", source_sessions=redis_url)
    assert report.ok, report
    async with (
        open_memory(source, embedder="hash") as a,
        open_memory(target, embedder="hash", **there) as b,
        open_memory(tmp_path / "c", embedder="hash") as c,
    ):
        # Numbering goes on where the source's would.
        talk = (await b.list_sessions(user_id="ana"))[0].conversation_id
        await b.store_message(message("goes on"), talk)
        assert (await b.read_turns(talk))[-1].turn == 12
        await assert_same(a, c)


async def test_a_folder_without_its_sessions_asks_for_them(source: str, tmp_path: Path) -> None:
    (tmp_path / "a" / "sessions.sqlite").unlink()
    with pytest.raises(StoreError, match=r"its sessions are elsewhere.*source_sessions"):
        await copy_store(source, tmp_path / "c")


async def test_a_session_that_the_target_has_ended_is_the_same(tmp_path: Path) -> None:
    """As Redis does it with sessions that are idle."""
    async with (
        open_memory("memory://", embedder="hash") as a,
        open_memory("memory://", embedder="hash") as b,
    ):
        session = await a.create_session("ana")
        assert (await a.copy_to(b)).ok
        await b.end_session(session.session_id)
        assert (await a.copy_to(b)).ok
        kept = await b.get_session(session.session_id)
        assert kept is not None
        assert not kept.is_active
