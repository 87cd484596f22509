"""Whether a store needs a key, and its keys."""

from __future__ import annotations

from pathlib import Path

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.errors import EncryptionError, InvalidInputError
from bruno_memory_vec.store.keys.keyring import Keyring
from bruno_memory_vec.store.keys.master import MasterKey, master_of

#: How a key is given.
GIVE_KEY = (
    "Give it by the argument key or key_file, on the command line by --key-file FILE, or name its "
    "file in BRUNO_MEMORY_KEY_FILE."
)


def keys_of(folder: Path, config: MemoryConfig, *, encrypted: bool) -> Keyring | None:
    """The keys of a store that is there, to be read; None of a plain one.

    Raises:
        EncryptionError: it is encrypted and no key is given, or plain and one is.
        WrongKeyError: the key is another one.
    """
    key = needed_key(folder, config, encrypted=encrypted)
    return None if key is None else Keyring.open(folder, key, read_only=True)


def needed_key(folder: Path, config: MemoryConfig, *, encrypted: bool) -> MasterKey | None:
    """The master key of the settings, where the store needs it.

    Raises:
        EncryptionError: it is encrypted and no key is given, or plain and one is.
        InvalidInputError: what is given is no key.
    """
    key = master_of(config)
    if encrypted and key is None:
        raise EncryptionError(
            f"the store in {folder} is encrypted, and no key is given", fix=GIVE_KEY
        )
    if key is not None and not encrypted:
        raise EncryptionError(
            f"the store in {folder} is not encrypted, and a key is given",
            fix="Leave the key out, or encrypt the store: bruno-memory-vec encrypt.",
        )
    return key


def refuse_key(config: MemoryConfig, what: str) -> None:
    """Refuse a key where nothing can be encrypted.

    Raises:
        InvalidInputError: one is given.
    """
    if master_of(config) is not None:
        raise InvalidInputError(
            "key",
            f"{what} cannot be encrypted",
            fix="Leave the key out, or keep the store in a folder.",
        )
