"""A plain store is encrypted in its place, decrypted, and gets another key."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import (
    VectorMemory,
    decrypt_store,
    diagnose_store,
    encrypt_store,
    rotate_key,
)
from bruno_memory_vec.errors import EncryptionError, InvalidInputError, StoreError, WrongKeyError
from bruno_memory_vec.indexers.uses import USE_COLUMNS
from bruno_memory_vec.store import manifest
from tests.durability.support import rows_of
from tests.encryption.support import (
    CONVERSATIONS,
    KEY,
    OTHER_KEY,
    PREFERENCE,
    TITLE,
    USERS,
    WORDS,
    fill,
    found_in,
    opened,
    run_child,
)


async def shown(memory: VectorMemory) -> list[Any]:
    """What a memory has and finds, but for the uses, which finding counts."""
    rows = [
        {name: value for name, value in row.items() if name not in (*USE_COLUMNS, "checksum")}
        for row in sorted(await rows_of(memory), key=lambda row: row["seq"])
    ]
    for user, word in ((USERS[0], WORDS[2]), (USERS[1], WORDS[4])):
        hits = await memory.recall(word, user_id=user, k=3)
        assert any(word in hit.content for hit in hits)
    contexts = [
        [message.content for message in (await memory.get_context(user, name)).messages]
        for user, name in zip(USERS, CONVERSATIONS, strict=True)
    ]
    profile = (await memory.users.context(USERS[0])).preferences
    title = (await memory.conversations.get(CONVERSATIONS[0])).title
    return [rows, contexts, profile, title]


async def of(store: Path, **settings: Any) -> list[Any]:
    memory = await opened(store, **settings)
    try:
        return await shown(memory)
    finally:
        await memory.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain store, made once."""
    folder = tmp_path_factory.mktemp("plain") / "store"

    async def make() -> None:
        memory = await opened(folder)
        await fill(memory)
        await memory.close()

    asyncio.run(make())
    return folder


@pytest.fixture
def plain(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "store"))


async def test_there_and_back_nothing_is_another(plain: Path) -> None:
    before = await of(plain)

    report = await encrypt_store(plain, key=KEY)

    assert (report.encrypted, report.rows, report.users) == (True, 26, 2)
    assert found_in(plain) == []
    after = await of(plain, key=KEY)
    assert after == before
    assert (after[2]["animal"], after[3]) == (PREFERENCE, TITLE)
    checks = await diagnose_store(str(plain), embedder="hash", key=KEY)
    assert [one for one in checks if one.state == "problem"] == []

    report = await decrypt_store(plain, key=KEY)

    assert not report.encrypted
    assert await of(plain) == before
    assert not (plain / "keys.json").exists()
    checks = await diagnose_store(str(plain), embedder="hash")
    assert [one for one in checks if one.state == "problem"] == []


# Each of these ends the process where it says, as a kill would.
_DIES = """
import asyncio, os, sys
from bruno_memory_vec import {what}_store
from bruno_memory_vec.store import manifest, moves
from bruno_memory_vec.upkeep.encrypting import run

def die(*args, **kwargs):
    os._exit(9)

def after(work):
    def wrapped(*args, **kwargs):
        work(*args, **kwargs)
        os._exit(9)
    return wrapped

{where}
asyncio.run({what}_store(sys.argv[1], key=bytes(range(32))))
"""
_WHERE = {
    "after the rows": "run._Conversion._compare = die",
    "after the sessions": "run.reseal = run.Manifest.write = die",
    "after the switch": "run.Manifest.write = after(run.Manifest.write)",
    "after the rows went": "moves.tidy_form = die",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "where",
    [
        pytest.param(one, marks=() if one == "after the switch" else pytest.mark.slow)
        for one in _WHERE
    ],
)
async def test_killed_while_it_is_encrypted(plain: Path, where: str) -> None:
    before = await of(plain)
    script = _DIES.format(what="encrypt", where=_WHERE[where])

    assert await asyncio.to_thread(run_child, script, plain) == 9

    found = manifest.read(plain)
    assert found is not None
    assert found.encrypted == (where in ("after the switch", "after the rows went"))
    assert await of(plain, **({"key": KEY} if found.encrypted else {})) == before
    if found.encrypted:
        assert found_in(plain) == []
    else:
        await encrypt_store(plain, key=KEY)
        assert await of(plain, key=KEY) == before


@pytest.mark.slow
@pytest.mark.parametrize("where", ["after the switch"])
async def test_killed_while_it_is_decrypted(plain: Path, where: str) -> None:
    await encrypt_store(plain, key=KEY)
    before = await of(plain, key=KEY)
    script = _DIES.format(what="decrypt", where=_WHERE[where])

    assert await asyncio.to_thread(run_child, script, plain) == 9

    found = manifest.read(plain)
    assert found is not None
    assert found.encrypted != (where in ("after the switch", "after the rows went"))
    assert await of(plain, **({"key": KEY} if found.encrypted else {})) == before


async def test_what_is_so_already_or_without_a_key_is_refused(plain: Path) -> None:
    with pytest.raises(InvalidInputError, match="none is given"):
        await encrypt_store(plain)
    with pytest.raises(EncryptionError, match="not encrypted"):
        await decrypt_store(plain, key=KEY)
    await encrypt_store(plain, key=KEY)
    with pytest.raises(EncryptionError, match="already"):
        await encrypt_store(plain, key=KEY)
    with pytest.raises(WrongKeyError):
        await decrypt_store(plain, key=OTHER_KEY)


async def test_a_plain_store_is_not_opened_with_a_key(plain: Path) -> None:
    with pytest.raises(EncryptionError, match="not encrypted"):
        await of(plain, key=KEY)


async def test_a_store_with_damaged_rows_is_not_taken_over(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY)
    await fill(memory)
    await memory.close()
    from bruno_memory_vec.store.keys.keyring import destroy_in
    from bruno_memory_vec.store.keys.master import as_master

    destroy_in(tmp_path / "store", as_master(KEY), USERS[0])

    with pytest.raises(StoreError, match="13 of 26 rows"):
        await decrypt_store(tmp_path / "store", key=KEY)
    assert manifest.read(tmp_path / "store").encrypted  # type: ignore[union-attr]


async def test_another_key_while_the_store_is_open(tmp_path: Path) -> None:
    store = tmp_path / "store"
    memory = await opened(store, key=KEY)
    await fill(memory)

    await rotate_key(store, key=KEY, new_key=OTHER_KEY)

    before = await shown(memory)
    await memory.close()
    assert await of(store, key=OTHER_KEY) == before
    with pytest.raises(WrongKeyError):
        await of(store, key=KEY)


async def test_a_passphrase(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key="correct horse battery")
    await fill(memory, 2)
    await memory.close()

    (tmp_path / "key").write_text("correct horse battery\n")

    assert await of(tmp_path / "store", key_file=tmp_path / "key")
    with pytest.raises(WrongKeyError, match="passphrase"):
        await of(tmp_path / "store", key="correct horse batterx")


async def test_a_reader_beside_the_writer(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY)
    reader = await opened(tmp_path / "store", key=KEY, read_only=True)
    await fill(memory, 4)

    hits = await reader.recall(WORDS[1], user_id=USERS[0], k=3)

    assert any(WORDS[1] in hit.content for hit in hits)
    await reader.close()
    await memory.close()
