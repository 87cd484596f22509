"""A user is forgotten wherever rows and sessions are; what an engine cannot promise is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis.asyncio
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, decrypt_store, encrypt_store, open_memory
from bruno_memory_vec.errors import StoreError
from bruno_memory_vec.privacy.erasure import keeping
from tests.privacy.test_erasure import ANA, BEN, SETTINGS, Said, fill, state_of
from tests.servers.fixtures import SharedStore


async def forgets(memory: VectorMemory) -> Any:
    """Fill a memory, forget one of two users, and see that the other one is untouched."""
    await fill(memory, ANA, Said("a"), "talk of ana")
    await fill(memory, BEN, Said("b"), "talk of ben")
    untouched = await state_of(memory, BEN)
    receipt = await memory.forget_user(ANA)
    assert receipt.check["found"] == [], receipt
    assert receipt.counts["messages"] == 13
    assert await state_of(memory, BEN) == untouched
    assert not await memory.recall("what did we talk about", user_id=ANA)
    assert not await memory.list_sessions(ANA)
    assert not (await memory.get_user(ANA)).preferences
    assert await memory.verify_receipt(receipt, ANA)
    assert [one.id for one in await memory.erasure_receipts()] == [receipt.id]
    await memory.store_message(Message(role="user", content="back"), "talk of ana", user_id=ANA)
    context = await memory.get_context(ANA, "talk of ana")
    assert [one.content for one in context.messages] == ["back"]
    return receipt


async def test_in_memory() -> None:
    async with open_memory("memory://", **SETTINGS) as memory:
        receipt = await forgets(memory)
        assert receipt.ok, receipt


async def test_rows_in_qdrant_and_sessions_in_sqlite(tmp_path: Path) -> None:
    url, sessions = f"qdrant+local:{tmp_path / 'rows'}", tmp_path / "sessions"
    async with open_memory(url, sessions=str(sessions), **SETTINGS) as memory:
        receipt = await forgets(memory)
        assert [one.what.split(":")[0] for one in receipt.not_erased] == ["the files of Qdrant"]
        assert receipt.check["files"] > 0
    (key,) = sessions.rglob("receipts.key")
    assert key.parent.name == "erasure"


@pytest.mark.redis_server
async def test_sessions_in_redis(shared_store: SharedStore, redis_url: str) -> None:
    first = await open_memory(shared_store.url, sessions=shared_store.sessions, **SETTINGS)
    second = await open_memory(shared_store.url, sessions=shared_store.sessions, **SETTINGS)
    try:
        await fill(second, "somebody", Said("c"), "talk of somebody")
        await second.recall("what did we talk about", user_id=ANA)
        receipt = await forgets(first)
        assert "the files of Redis" in " ".join(one.what for one in receipt.not_erased)
        # What the other process held of the user is gone, too.
        hits = await second.recall("what did we talk about", user_id=ANA)
        assert [one.content for one in hits] == ["back"]
        assert await second.verify_receipt(receipt, ANA)
        assert (await second.remains("somebody")).found
    finally:
        await first.close()
        await second.close()


@pytest.mark.redis_server
async def test_no_key_of_redis_has_the_user(redis_url: str, tmp_path: Path) -> None:
    url, user = str(tmp_path / "rows"), f"user-{uuid4().hex}"
    async with open_memory(url, sessions=redis_url, **SETTINGS) as memory:
        await fill(memory, user, Said("a"), f"talk of {user}")
        receipt = await memory.forget_user(user)
        assert not receipt.check["found"], receipt
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        keys = [key.decode() async for key in client.scan_iter(match=f"*{user}*")]
    assert all(key.endswith(":version") for key in keys), keys


async def test_receipts_are_verified_after_the_store_is_encrypted_and_decrypted(
    tmp_path: Path,
) -> None:
    pytest.importorskip("sqlcipher3")
    folder, key = str(tmp_path / "store"), b"k" * 32
    async with open_memory(folder, **SETTINGS) as memory:
        await fill(memory, BEN, Said("b"), "talk of ben")
        plain = await memory.forget_user(ANA)
        await memory.snapshot(tmp_path / "plain snapshot")
        await memory.backup(tmp_path / "plain backup")
    await encrypt_store(folder, key=key)
    async with open_memory(folder, **SETTINGS, key=key) as memory:
        sealed = await memory.forget_user("somebody")
        assert sealed.ok, sealed
        assert (sealed.counts["snapshots"], sealed.counts["backups"]) == (1, 1)
        assert await memory.verify_receipt(plain, ANA)
        assert await memory.verify_receipt(sealed, "somebody")
    for name in ("receipts.jsonl", "receipts.key"):
        assert (Path(folder) / "erasure" / name).read_text().startswith('{"sealed":')
    await decrypt_store(folder, key=key)
    async with open_memory(folder, **SETTINGS) as memory:
        assert await memory.verify_receipt(plain, ANA)
        assert await memory.verify_receipt(sealed, "somebody")
        assert len(await memory.erasure_receipts()) == 2


async def test_it_waits_for_no_re_embedding(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path / "store"), **SETTINGS) as memory:
        await memory.store_message(Message(role="user", content="hello"), "a", user_id=ANA)
        store = await memory._lazy.get()

        async def stop() -> None: ...

        store.stop_move = stop
        with pytest.raises(StoreError, match="re-embedding is under way"):
            await memory.forget_user(ANA)
        assert len(await memory.retrieve_messages("a")) == 1
        assert await keeping.under_way(keeping.kept(store)) == []
        store.stop_move = None
