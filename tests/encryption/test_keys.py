"""The keys of an encrypted store: the master key, the root, one key a user."""

from __future__ import annotations

import base64
import logging
import os
import pickle
from pathlib import Path
from typing import Any, Literal

import pytest

from bruno_memory_vec.errors import EncryptionError, InvalidInputError, WrongKeyError
from bruno_memory_vec.store.keys.keyring import KEYRING, KEYS, Keyring, destroy_in
from bruno_memory_vec.store.keys.master import as_master, read_key_file

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


def sealed(ring: Keyring, user: str, text: bytes = b"secret") -> tuple[int, bytes]:
    key = ring.sealing(user)
    return key.version, key.cipher.encrypt(b"0" * 12, text, None)


def opened(ring: Keyring, user: str, version: int, data: bytes) -> bytes | None:
    key = ring.opening(ring.hashed("user_id", user), version)
    return None if key is None else key.cipher.decrypt(b"0" * 12, data, None)


def service(what: Literal["wrap", "unwrap"], data: bytes) -> bytes:
    return bytes(one ^ 7 for one in data)


@pytest.mark.parametrize("key", [KEY, "a long passphrase", service], ids=["key", "words", "kms"])
def test_what_a_user_sealed_is_opened_again(tmp_path: Path, key: Any) -> None:
    version, data = sealed(Keyring.create(tmp_path, as_master(key)), "ana")

    assert opened(Keyring.open(tmp_path, as_master(key)), "ana", version, data) == b"secret"


@pytest.mark.parametrize(
    ("made", "given"),
    [(KEY, OTHER), ("a long passphrase", "another passphrase"), (KEY, "a long passphrase")],
)
def test_another_key_is_refused(tmp_path: Path, made: Any, given: Any) -> None:
    Keyring.create(tmp_path, as_master(made))

    with pytest.raises(WrongKeyError):
        Keyring.open(tmp_path, as_master(given))


def test_a_service_with_another_key_is_refused(tmp_path: Path) -> None:
    Keyring.create(tmp_path, as_master(service))

    with pytest.raises(WrongKeyError):
        Keyring.open(tmp_path, as_master(lambda _, data: bytes(one ^ 8 for one in data)))


def test_a_failing_service_is_told(tmp_path: Path) -> None:
    Keyring.create(tmp_path, as_master(service))

    def fails(what: str, data: bytes) -> bytes:
        raise TimeoutError(what)

    with pytest.raises(EncryptionError, match="does not unwrap"):
        Keyring.open(tmp_path, as_master(fails))


def test_no_name_and_no_key_is_in_the_files(tmp_path: Path) -> None:
    ring = Keyring.create(tmp_path, as_master(KEY))
    ring.sealing("ana-belen")

    said = (tmp_path / KEYS).read_bytes() + (tmp_path / KEYRING).read_bytes()

    assert b"ana-belen" not in said
    assert KEY not in said


def test_a_destroyed_key_opens_nothing_and_another_one_follows(tmp_path: Path) -> None:
    ring = Keyring.create(tmp_path, as_master(KEY))
    version, data = sealed(ring, "ana")
    other = sealed(ring, "ben")

    assert ring.destroy("ana")
    assert not ring.destroy("ana")

    for held in (ring, Keyring.open(tmp_path, as_master(KEY))):
        assert opened(held, "ana", version, data) is None
        assert opened(held, "ben", *other) == b"secret"
    assert ring.sealing("ana").version == version + 1


def test_a_key_is_destroyed_in_a_copy(tmp_path: Path) -> None:
    ring = Keyring.create(tmp_path, as_master(KEY))
    version, data = sealed(ring, "ana")

    assert destroy_in(tmp_path, as_master(KEY), "ana")

    assert opened(Keyring.open(tmp_path, as_master(KEY)), "ana", version, data) is None


def test_another_master_key_takes_over_while_the_store_is_open(tmp_path: Path) -> None:
    ring = Keyring.create(tmp_path, as_master(KEY))
    version, data = sealed(ring, "ana")

    Keyring.open(tmp_path, as_master(KEY)).rotate(as_master(OTHER))
    later = sealed(ring, "ben")

    now = Keyring.open(tmp_path, as_master(OTHER))
    assert opened(now, "ana", version, data) == b"secret"
    assert opened(now, "ben", *later) == b"secret"
    with pytest.raises(WrongKeyError):
        Keyring.open(tmp_path, as_master(KEY))


def test_a_reader_learns_of_new_users(tmp_path: Path) -> None:
    ring = Keyring.create(tmp_path, as_master(KEY))
    reader = Keyring.open(tmp_path, as_master(KEY), read_only=True)

    version, data = sealed(ring, "ana")

    assert opened(reader, "ana", version, data) == b"secret"


def test_half_a_line_of_a_killed_process_does_no_harm(tmp_path: Path) -> None:
    ring = Keyring.create(tmp_path, as_master(KEY))
    first = sealed(ring, "ana")
    with (tmp_path / KEYRING).open("ab") as file:
        file.write(b'{"user": "0123')

    again = Keyring.open(tmp_path, as_master(KEY))
    second = sealed(again, "ben")

    last = Keyring.open(tmp_path, as_master(KEY))
    assert opened(last, "ana", *first) == opened(last, "ben", *second) == b"secret"


def test_missing_and_damaged_keys_are_told(tmp_path: Path) -> None:
    Keyring.create(tmp_path, as_master(KEY))
    (tmp_path / KEYS).write_text("{")
    with pytest.raises(EncryptionError, match="damaged"):
        Keyring.open(tmp_path, as_master(KEY))
    (tmp_path / KEYS).unlink()
    with pytest.raises(EncryptionError, match="missing"):
        Keyring.open(tmp_path, as_master(KEY))


@pytest.mark.parametrize(
    "said", [KEY, KEY.hex().encode(), b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"]
)
def test_a_key_file_holds_a_key_in_three_forms(tmp_path: Path, said: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(said)
    Keyring.create(tmp_path, as_master(KEY))

    Keyring.open(tmp_path, read_key_file(path))


def test_a_key_file_without_a_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(os.urandom(5000))
    with pytest.raises(InvalidInputError, match="holds no key"):
        read_key_file(path)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_key_file(tmp_path / "none")


@pytest.mark.parametrize("key", [b"short", "short", 5])
def test_what_is_no_key_is_refused(key: Any) -> None:
    with pytest.raises(InvalidInputError):
        as_master(key)


def test_a_key_is_not_printed() -> None:
    said = repr(as_master(KEY)) + repr(as_master("a long passphrase"))

    assert "passphrase'" not in said.replace("kind='passphrase'", "")
    assert repr(KEY)[2:-1] not in said


def test_who_only_reads_leaves_half_a_line_to_who_writes_it(tmp_path: Path) -> None:
    Keyring.create(tmp_path, as_master(KEY)).sealing("ana")
    with (tmp_path / KEYRING).open("ab") as file:
        file.write(b'{"user": "0123')
    before = (tmp_path / KEYRING).read_bytes()

    reader = Keyring.open(tmp_path, as_master(KEY), read_only=True)

    assert (tmp_path / KEYRING).read_bytes() == before
    assert reader.to_write().sealing("ben").version == 1
    assert b"0123" not in (tmp_path / KEYRING).read_bytes()


def test_a_service_that_does_not_unwrap_what_it_wraps_makes_no_store(tmp_path: Path) -> None:
    for loses in (lambda what, data: bytes(40), lambda what, data: data):
        with pytest.raises(EncryptionError, match="does not unwrap what it wraps"):
            Keyring.create(tmp_path, as_master(loses))
    assert not (tmp_path / KEYS).exists()


def test_a_passphrase_is_the_same_from_every_keyboard(tmp_path: Path) -> None:
    Keyring.create(tmp_path, as_master("caf\u00e9 au lait"))

    Keyring.open(tmp_path, as_master("cafe\u0301 au lait"))


@pytest.mark.parametrize("blank", [" " * 20, "\ud800 of a character"])
def test_what_is_no_passphrase_is_refused(blank: str) -> None:
    with pytest.raises(InvalidInputError, match="passphrase"):
        as_master(blank)


@pytest.mark.parametrize(
    "written",
    [
        b"\xef\xbb\xbf" + KEY.hex().encode() + b"\r\n",
        b"0x" + KEY.hex().encode(),
        base64.urlsafe_b64encode(KEY),
    ],
    ids=["marked", "0x", "url-safe"],
)
def test_a_key_in_a_file_is_read_as_editors_and_tools_write_it(
    tmp_path: Path, written: bytes
) -> None:
    (tmp_path / "key").write_bytes(written)

    assert read_key_file(tmp_path / "key") == as_master(KEY)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"], ids=["none", "lf", "crlf"])
def test_a_passphrase_that_fills_a_key_is_a_passphrase(tmp_path: Path, end: bytes) -> None:
    said = "x" * (32 - len(end))
    (tmp_path / "key").write_bytes(said.encode() + end)

    assert read_key_file(tmp_path / "key") == as_master(said)


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX")
def test_a_key_file_that_everybody_may_read_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    path.write_bytes(KEY)
    path.chmod(0o644)

    with caplog.at_level(logging.WARNING):
        read_key_file(path)

    assert "chmod 600" in caplog.text
    assert KEY.hex() not in caplog.text


def test_a_key_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(as_master(KEY))
