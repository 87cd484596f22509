"""Copies between engines: a folder, Qdrant, memory, and back, with the same answers."""

from __future__ import annotations

from pathlib import Path

from bruno_memory_vec import copy_store, open_memory
from tests.copying.support import assert_same, made


async def test_to_qdrant_and_back(tmp_path: Path) -> None:
    source = await made(tmp_path / "a")
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
