"""Forgetting somebody while there is an audit trail."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from tests.durability.support import message


@pytest.mark.parametrize("ids", ["given", "hashed"])
async def test_it_is_noted_and_says_that_the_trail_stays(tmp_path: Path, ids: str) -> None:
    async with open_memory(
        str(tmp_path / "store"),
        embedder="hash",
        audit=True,
        audit_ids=ids,
        audit_key="a secret of the auditors",
    ) as memory:
        await memory.store_message(message("the boat of Benedikt"), "talk", user_id="benedikt")
        await memory.snapshot(tmp_path / "snapshot")
        receipt = await memory.forget_user("benedikt")
        noted = await memory.audit("benedikt", action="erase")
        assert noted
        assert {one.call for one in noted} == {"forget_user"}
        assert sum(one.counts.get("message", 0) for one in noted) == 1
        assert (await memory.verify_audit()).ok
        named = [one.what for one in receipt.not_erased if one.what == "the audit trail"]
        assert named == (["the audit trail"] if ids == "given" else [])
    assert not (tmp_path / "snapshot" / "audit").exists()
