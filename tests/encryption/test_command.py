"""Encrypted stores on the command line: --key-file with every command, encrypt and its kin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bruno_memory_vec.store import manifest
from tests.cli.support import as_found
from tests.cli.support import run_here as run
from tests.encryption.support import KEY, OTHER_KEY, found_in


@pytest.fixture(autouse=True)
def _as_found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from as_found(monkeypatch)


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "key"
    path.write_bytes(KEY)
    return str(path)


@pytest.fixture
def store(tmp_path: Path) -> list[str]:
    """The options of a store of two messages, plain until a test encrypts it."""
    file = tmp_path / "talk.jsonl"
    rows = [
        {"role": "user", "content": "saffron-tinted hummingbirds", "user_id": "anabelen-quixada"},
        {"role": "assistant", "content": "They hover.", "user_id": "anabelen-quixada"},
    ]
    lines = [json.dumps({**row, "conversation_id": "trip-to-zanzibar"}) for row in rows]
    file.write_text("\n".join(lines))
    options = ["--store", str(tmp_path / "store"), "--embedder", "hash"]
    assert run("ingest", str(file), *options).code == 0
    return options


def test_from_plain_to_another_key_and_back(store: list[str], key: str, tmp_path: Path) -> None:
    done = run("encrypt", *store[:2], "--key-file", key)
    assert (done.code, done.err) == (0, "")
    assert "encrypted 2 rows" in done.out
    assert found_in(tmp_path / "store") == []

    hits = run("recall", "hummingbirds", "--json", "--key-file", key, *store).json["hits"]
    assert hits[0]["content"] == "saffron-tinted hummingbirds"
    for command in ("doctor", "maintain", "stats"):
        assert run(command, "--key-file", key, *store[: 4 if command == "doctor" else 2]).code == 0

    other = tmp_path / "other"
    other.write_text(OTHER_KEY.hex())
    new = ("--new-key-file", str(other))
    done = run("rotate-key", *store[:2], "--key-file", key, *new)
    assert (done.code, done.err) == (0, "")
    assert run("recall", "hummingbirds", "--key-file", key, *store).code == 1
    done = run("decrypt", *store[:2], "--key-file", str(other), "--json")
    assert done.json["rows"] == 2
    assert run("recall", "hummingbirds", *store).code == 0


def test_the_variable_names_the_key(
    store: list[str], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRUNO_MEMORY_KEY_FILE", key)
    assert run("encrypt", *store[:2]).code == 0
    assert run("recall", "hummingbirds", *store).code == 0


def test_without_a_key_or_with_another_one(store: list[str], key: str, tmp_path: Path) -> None:
    assert "key: none is given" in run("encrypt", *store[:2]).err
    run("encrypt", *store[:2], "--key-file", key)
    done = run("recall", "hummingbirds", *store)
    assert (done.code, done.out) == (1, "")
    assert "is encrypted, and no key is given" in done.err
    assert "BRUNO_MEMORY_KEY_FILE" in done.err
    wrong = tmp_path / "wrong"
    wrong.write_bytes(OTHER_KEY)
    done = run("doctor", *store, "--key-file", str(wrong))
    assert (done.code, done.err.splitlines()[0]) == (1, "error: this is not the store's key.")
    done = run("stats", *store[:2], "--key-file", str(tmp_path / "none"))
    assert "cannot be read" in done.err


def test_a_copy_out_of_an_encrypted_store_and_into_one(
    store: list[str], key: str, tmp_path: Path
) -> None:
    sealed, plain = str(tmp_path / "sealed"), str(tmp_path / "plain")
    assert run("copy", store[1], sealed, "--key-file", key).code == 0
    assert manifest.read(Path(sealed)).encrypted  # type: ignore[union-attr]
    assert found_in(Path(sealed)) == []
    assert run("copy", sealed, plain, "--source-key-file", key).code == 0
    assert not manifest.read(Path(plain)).encrypted  # type: ignore[union-attr]
    assert run("recall", "hummingbirds", "--store", plain, *store[2:]).code == 0
