"""The sealing of an encrypted store's backup: under the store's own keys, a key a user.

The keys lie in the backup as they lie in the store: wrapped by the master key, in a folder
``keys`` that each backup replaces. So a user whose key was destroyed in the store is erased from
every point with the next backup, or as soon as somebody destroys the key here, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.errors import InvalidInputError, StoreError
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.private import make_private_folder
from bruno_memory_vec.indexers.sealed.index import SealedIndex
from bruno_memory_vec.store.files import replace_file
from bruno_memory_vec.store.keys.keyring import KEYRING, KEYS, Keyring
from bruno_memory_vec.store.keys.master import as_master, master_of
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.upkeep.backup.points import Point
from bruno_memory_vec.upkeep.backup.repository import Repository, damaged, unusable
from bruno_memory_vec.upkeep.backup.sealing import PLAIN, Sealing

_NAMED = "keys "
_WHOLE, _USER = b"\0", b"\1"
_HASH = 16


class UnderKeys:
    """A ``Sealing`` under the keys of a store.

    Args:
        keys: the keys.
    """

    by_user = True

    def __init__(self, keys: Keyring) -> None:
        self._keys = keys
        self.name = f"{_NAMED}{keys.name}"

    def seal(self, data: bytes, user_id: str | None) -> bytes:
        """Bytes under the user's key; what is nobody's under one of the whole store."""
        sealed = self._keys.seal_file(user_id, data)
        if user_id is None:
            return _WHOLE + sealed
        return _USER + bytes.fromhex(self._keys.hashed("user_id", user_id)) + sealed

    def open(self, sealed: bytes) -> bytes | None:
        """What :meth:`seal` was given; None where the key was destroyed.

        Raises:
            EngineError: it has changed.
        """
        try:
            if sealed[:1] == _WHOLE:
                return self._keys.open_file(None, sealed[1:])
            user, rest = sealed[1 : 1 + _HASH].hex(), sealed[1 + _HASH :]
            return self._keys.open_sealed(user, rest)
        except ValueError as error:
            raise damaged(f"a sealed part cannot be opened: {error}", error) from error


def sealing_of(store: Store) -> Sealing:
    """What a backup of an open store passes: no sealing, or the keys of an encrypted one."""
    sealed = capability(store.rows, SealedIndex)
    return PLAIN if sealed is None else UnderKeys(_keyring(sealed))


def copy_keys(store: Path, place: Repository) -> None:
    """Put the keys of an encrypted store into its backup, in the place of those that are there.

    Raises:
        BackendUnavailable: they cannot be read or written.
    """
    folder = place.keys
    assert folder is not None
    try:
        make_private_folder(folder)
        for name in (KEYS, KEYRING):
            replace_file(folder / name, (store / name).read_bytes())
    except OSError as error:
        raise unusable(folder, "write", error) from error


def refuse_place(place: Repository) -> None:
    """Refuse a place that cannot hold keys which are replaced.

    Raises:
        InvalidInputError: it is one file, to which is only added.
    """
    if place.keys is None:
        raise InvalidInputError(
            "target",
            f"{place.path} is one file, and the backup of an encrypted store has keys that are "
            "replaced",
            fix="Name a folder.",
        )


def opening(place: Repository, point: Point | None, key: Any) -> Sealing:
    """What opens the pieces of a backup.

    Args:
        place: the backup.
        point: one of its points; None where it has none.
        key: the store's master key; None for that of the environment.

    Raises:
        StoreError: the backup is of an encrypted store, and there is no key.
        WrongKeyError: the key is another one.
        EncryptionError: the keys in the backup are missing or damaged.
    """
    if point is None or point.sealing == PLAIN.name:
        return PLAIN
    # The settings are asked for nothing but their key.
    master = master_of(MemoryConfig.build(url="memory://")) if key is None else as_master(key)
    if place.keys is None or not point.sealing.startswith(_NAMED):
        raise StoreError(
            f"the backup is sealed as {point.sealing!r}", fix="Give what sealed it: sealing=..."
        )
    if master is None:
        raise StoreError(
            f"the backup in {place.path} is of an encrypted store, and no key was given",
            fix="Give its key, or --key-file FILE.",
        )
    return UnderKeys(Keyring.open(place.keys, master, read_only=True))


def _keyring(sealed: SealedIndex) -> Keyring:
    keys = sealed.keys
    if not isinstance(keys, Keyring):
        raise StoreError("the store has keys of its own kind", fix="Give sealing=...")
    return keys
