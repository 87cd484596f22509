"""An encrypted store with ``keyed_index``: it finds the same, opens few rows, and tells no word."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bruno_memory_vec import (
    ALL_USERS,
    VectorMemory,
    decrypt_store,
    diagnose_store,
    encrypt_store,
    open_memory,
    reembed,
)
from bruno_memory_vec.errors import InvalidInputError, StoreError
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.sealed.index import SealedIndex
from bruno_memory_vec.indexers.sealed.rotation import Rotation
from bruno_memory_vec.store.keys.keyring import Keyring
from bruno_memory_vec.store.keys.master import as_master
from bruno_memory_vec.store.manifest import Manifest
from tests.durability.support import sessions_written, words_committed
from tests.encryption.support import (
    KEY,
    SECRETS,
    TAG,
    USERS,
    WORDS,
    fill,
    found_in,
    message,
    opened,
)

pytestmark = pytest.mark.slow

QUESTIONS = [f"{WORDS[0]} number 3", "number by hummingbirds", f"{WORDS[3]} {WORDS[1]}"]


async def _filled(folder: Path, **settings: Any) -> VectorMemory:
    """Two users with 120 messages each, with the same ids in every store."""
    memory = await opened(folder, recall_cache_mb=0, **settings)
    random.seed(5)
    for user in USERS:
        said = [message(number) for number in range(2, 122)]
        for one in said:
            one.content += " " + " ".join(random.choices("abc def ghi jkl mno pqr".split(), k=6))
        await memory.store_messages(said, f"talk of {user}", user_id=user)
    return memory


async def _answers(memory: VectorMemory) -> list[list[tuple[str, float]]]:
    await words_committed(memory)
    return [
        [(hit.content, round(hit.score, 3)) for hit in await memory.recall(one, user_id=user, k=8)]
        for one in QUESTIONS[:2]
        for user in (USERS[0], ALL_USERS)
    ]


async def test_it_finds_what_a_plain_store_finds(tmp_path: Path) -> None:
    plain = await _filled(tmp_path / "plain")
    keyed = await _filled(tmp_path / "keyed", key=KEY, keyed_index=True)

    assert await _answers(keyed) == await _answers(plain)
    await plain.close()
    await keyed.close()


async def test_a_search_over_all_users_opens_few_rows(tmp_path: Path) -> None:
    memory = await _filled(tmp_path / "store", key=KEY, keyed_index=True)
    await sessions_written(memory)
    sealed = capability((await memory._lazy.get()).rows, SealedIndex)
    assert sealed is not None
    vector = (await sealed.read(EVERYONE, RowFilter(), ["vector"])).column("vector")[7].as_py()
    before = sealed.opened_rows

    found = await sealed.search(np.array(vector, np.float32), EVERYONE, RowFilter(), 3)

    assert len(found) == 3
    assert 3 <= sealed.opened_rows - before <= 56  # twice as many, and 50
    await memory.close()


async def test_nothing_is_readable(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY, keyed_index=True)
    await fill(memory)
    await words_committed(memory)
    await sessions_written(memory)
    assert found_in(tmp_path) == []
    report = await memory.maintain()
    await memory.snapshot(tmp_path / "copy")
    await memory.close()

    assert report.ok, str(report)
    assert found_in(tmp_path) == []
    index = await LanceIndex.open(str(tmp_path / "store" / "rows"), 64, read_only=True)
    held = await index.read(EVERYONE, RowFilter(), ["vector"])
    await index.close()
    assert len({str(one) for one in held.column("vector").to_pylist()}) > 10  # codes are there
    again = await opened(tmp_path / "copy", key=KEY)
    assert json.loads((tmp_path / "copy" / "store.json").read_text())["keyed"] is True
    assert await again.recall(WORDS[1], user_id=USERS[0], k=3)
    await again.close()


async def test_no_term_of_the_index_is_a_word(tmp_path: Path) -> None:
    import tantivy

    memory = await opened(tmp_path / "store", key=KEY, keyed_index=True)
    await fill(memory)
    await words_committed(memory)
    await memory.close()

    searcher = tantivy.Index.open(str(tmp_path / "store" / "lexical")).searcher()
    for name in ("content", "user_id", "conversation_id", "id"):
        terms = [str(one[0]) for one in searcher.terms_with_prefix(name, "")]
        assert terms
        assert [one for one in terms if set(one) - set("0123456789abcdef")] == []
        assert [word for word in SECRETS if word.lower() in terms] == []


async def test_it_is_switched_on_and_off(tmp_path: Path) -> None:
    store = tmp_path / "store"
    memory = await _filled(store, key=KEY)
    await memory.forget_user(USERS[1])
    await memory.close()

    async def recalled(**settings: Any) -> list[str]:
        async with open_memory(store, embedder="hash", key=KEY, **settings) as again:
            await words_committed(again)
            hits = await again.recall(QUESTIONS[0], user_id=ALL_USERS, k=8)
        return [hit.content for hit in hits]

    wanted = await recalled()
    on = await recalled(keyed_index=True)
    assert (store / "lexical").is_dir()
    stays = await recalled()
    assert (store / "lexical").is_dir()
    checks = await diagnose_store(str(store), embedder="hash", key=KEY)
    off = await recalled(keyed_index=False)

    assert set(on) == set(stays) == set(off) == set(wanted)
    assert [one for one in checks if one.state == "problem"] == []
    assert any(one.name == "lexical" for one in checks)
    assert not (store / "lexical").exists()
    assert "keyed" not in json.loads((store / "store.json").read_text())
    assert len(list(store.glob("rows*"))) == 1


async def test_reembedded_decrypted_and_encrypted_again(tmp_path: Path) -> None:
    store = tmp_path / "store"
    memory = await opened(store, key=KEY, keyed_index=True)
    await fill(memory)
    await memory.close()

    await reembed(str(store), "static", key=KEY)
    async with open_memory(store, key=KEY) as again:
        assert await again.recall(WORDS[1], user_id=ALL_USERS, k=3)
    await decrypt_store(store, key=KEY)
    async with open_memory(store) as again:
        assert await again.recall(WORDS[1], user_id=ALL_USERS, k=3)
    await encrypt_store(store, key=KEY)
    assert found_in(tmp_path) == []
    async with open_memory(store, key=KEY, keyed_index=True) as again:
        assert await again.recall(WORDS[1], user_id=ALL_USERS, k=3)
    assert found_in(tmp_path) == []


async def test_who_is_forgotten_leaves_no_term_and_no_code(tmp_path: Path) -> None:
    import tantivy

    store = tmp_path / "store"
    memory = await opened(store, key=KEY, keyed_index=True)
    await fill(memory)
    await memory.snapshot(tmp_path / "copy")
    forgotten = Keyring.open(store, as_master(KEY)).hashed("user_id", USERS[0])

    receipt = await memory.forget_user(USERS[0])

    assert receipt.ok, str(receipt)
    assert (await memory.remains(USERS[0])).ok
    assert await memory.recall(WORDS[1], user_id=ALL_USERS, k=3)
    await memory.close()
    for folder in (store, tmp_path / "copy"):
        searcher = tantivy.Index.open(str(folder / "lexical")).searcher()
        users = [one[0] for one in searcher.terms_with_prefix("user_id", "")]
        assert len(users) == 1
        assert forgotten not in users


async def test_a_filter_on_what_is_sealed(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY, keyed_index=True, recall_cache_mb=0)
    await fill(memory, 40)
    await words_committed(memory)

    hits = await memory.recall(WORDS[0], user_id=ALL_USERS, tags=[TAG], k=5)

    assert [hit.content for hit in hits] == [f"likes {WORDS[0]}"] * 2
    await memory.close()


async def test_a_reader_beside_the_writer(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY, keyed_index=True)
    await fill(memory)
    await words_committed(memory)
    async with open_memory(tmp_path / "store", embedder="hash", key=KEY, read_only=True) as reader:
        hits = await reader.recall(WORDS[2], user_id=ALL_USERS, k=3)
    await memory.close()

    assert any(WORDS[2] in hit.content for hit in hits)


async def test_a_reader_is_told_of_the_switch(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY)
    await fill(memory)
    await memory.close()
    async with open_memory(
        tmp_path / "store", embedder="hash", key=KEY, read_only=True, recall_cache_mb=0
    ) as reader:
        assert await reader.recall(WORDS[2], user_id=ALL_USERS, k=3)
        await (await opened(tmp_path / "store", key=KEY, keyed_index=True)).close()

        with pytest.raises(StoreError, match="keyed index was switched"):
            await reader.recall(WORDS[1], user_id=ALL_USERS, k=3)


async def test_a_killed_switch_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    memory = await opened(store, key=KEY)
    await fill(memory)
    await memory.close()
    with monkeypatch.context() as patched:
        patched.setattr(Manifest, "write", _killed)
        with pytest.raises(RuntimeError, match="killed"):
            await opened(store, key=KEY, keyed_index=True)
    assert len(list(store.glob("rows*"))) == 2

    again = await opened(store, key=KEY)

    assert len(list(store.glob("rows*"))) == 1
    assert await again.recall(WORDS[1], user_id=ALL_USERS, k=3)
    await again.close()


def _killed(*_: object) -> None:
    raise RuntimeError("killed")


def test_it_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="keyed_index"):
        open_memory(tmp_path / "store", embedder="hash", keyed_index=True)


def test_a_rotation_keeps_products_and_its_codes_nearly() -> None:
    vectors = np.random.default_rng(1).standard_normal((500, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rotation = Rotation(KEY, 64)
    rotated, codes = rotation.rotated(vectors), rotation.codes(vectors)

    assert np.allclose(rotated @ rotated.T, vectors @ vectors.T, atol=1e-5)
    assert np.abs(codes @ rotated.T - vectors @ vectors.T).max() < 0.02
    assert np.abs(rotated - vectors).max() > 0.1
    assert not np.allclose(rotated, Rotation(KEY[::-1], 64).rotated(vectors), atol=0.1)


async def test_the_nearest_are_those_of_an_exact_search(tmp_path: Path) -> None:
    memory = await _filled(tmp_path / "store", key=KEY, keyed_index=True)
    sealed = capability((await memory._lazy.get()).rows, SealedIndex)
    assert sealed is not None
    table = await sealed.read(EVERYONE, RowFilter(), ["seq", "vector"])
    vectors = np.array(table.column("vector").to_pylist(), np.float32)
    seqs = table.column("seq").to_numpy()

    share = []
    for at in range(0, 240, 20):
        found = await sealed.search(vectors[at], EVERYONE, RowFilter(), 10)
        score = vectors @ vectors[at]
        least = np.sort(score)[-10]
        share.append(np.isin(found.seq, seqs[score >= least - 1e-6]).mean())

    assert np.mean(share) >= 0.95
    await memory.close()
