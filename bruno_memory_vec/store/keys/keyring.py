"""The keys of one encrypted store, in two small files beside it.

``keys.json`` holds the root, a random secret that the master key wraps. What is keyed for the whole
store follows from the root: the keyed hashes of names, the key of the sessions, and the key that
wraps those of users. So another master key rewrites this one file, while the store is open.

``keyring.jsonl`` has a line for each user's key, wrapped, under the keyed hash of the user's name.
The last line of a user counts. It grows at its end, before the first row of a user is stored, and
is written anew only where a key is destroyed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bruno_memory_vec.errors import BackendUnavailable, EncryptionError, WrongKeyError
from bruno_memory_vec.indexers.durable import sync_folder
from bruno_memory_vec.indexers.private import make_private_file
from bruno_memory_vec.store.files import replace_file
from bruno_memory_vec.store.keys.ciphers import KEY, NONCE, cipher, derived, unwrap, wrap
from bruno_memory_vec.store.keys.master import MasterKey, as_bytes, as_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: The file of the root, which the master key wraps.
KEYS = "keys.json"
#: The file of the users' keys.
KEYRING = "keyring.jsonl"
#: The folder with both in the backup of an encrypted store.
IN_A_BACKUP = "keys"
_FORMAT, _VERSION = "bruno-memory-vec keys", 1
_VERSION_BYTES = 4
_HASH = 16  # bytes of a keyed hash: two names of 2**32 collide with a chance of 2**-65
_RESTORE = "Restore it from a snapshot or a backup of the store."


@dataclass(frozen=True, slots=True)
class UserKey:
    """A user's key.

    Attributes:
        version: which of the user's keys it is, from 1.
        cipher: AES-256-GCM under it.
    """

    version: int
    cipher: AESGCM


class Keyring:
    """The opened keys of a store. Make them with :meth:`create`, or open them with :meth:`open`.

    One process adds keys and destroys them, the one that holds the store's lock. Others read.
    """

    def __init__(self, folder: Path, name: str, root: bytes, *, read_only: bool) -> None:
        self._folder = folder
        #: What tells these keys from another store's. It is in the clear.
        self.name = name
        self._root = root
        self._read_only = read_only
        self._naming = derived(root, "names")
        self._wrapping = derived(root, "users")
        #: The key of the sessions, 32 bytes.
        self.sessions_key = derived(root, "sessions")
        self._records = derived(root, "records")
        #: The key that signs receipts of erasures, 32 bytes.
        self.receipts_key = derived(root, "receipts")
        #: The key of the terms in a keyed index, 32 bytes.
        self.terms_key = derived(root, "terms")
        #: From it follows the rotation of the vectors in a keyed index, 32 bytes.
        self.rotation_key = derived(root, "rotation")
        self._wrapped: dict[tuple[str, int], bytes] = {}
        self._newest: dict[str, int] = {}
        self._destroyed: set[tuple[str, int]] = set()
        self._opened: dict[tuple[str, int], UserKey] = {}
        self._hashes: dict[tuple[str, str], str] = {}
        self._seen: tuple[int, int, int] | None = None
        self._changing = threading.Lock()

    @classmethod
    def create(cls, folder: Path, key: MasterKey) -> Keyring:
        """Make the keys of a new store.

        Raises:
            BackendUnavailable: the folder cannot be written.
            EncryptionError: the key service does not answer.
            MissingDependencyError: ``cryptography`` is not installed.
        """
        name, root = os.urandom(8).hex(), os.urandom(KEY)
        with _written(folder):
            # Empty, and there: a keyring that is missing later was lost.
            replace_file(folder / KEYRING, b"")
            _write_root(folder, name, root, key)
        return cls(folder, name, root, read_only=False)

    @classmethod
    def open(cls, folder: Path, key: MasterKey, *, read_only: bool = False) -> Keyring:
        """Open the keys of a store. Nothing else of it is read before.

        Raises:
            WrongKeyError: the key is another one.
            EncryptionError: the files of the keys are missing or damaged, or the key service does
                not answer.
            BackendUnavailable: they cannot be read.
            MissingDependencyError: ``cryptography`` is not installed.
        """
        name, root = _read_root(folder, key)
        ring = cls(folder, name, root, read_only=read_only)
        ring._read()
        return ring

    def to_write(self) -> Keyring:
        """The same, as it is now, to add keys. The caller holds the store's lock.

        Raises:
            BackendUnavailable: it cannot be read.
        """
        same = Keyring(self._folder, self.name, self._root, read_only=False)
        same._read()
        return same

    # Names

    def hashed(self, what: str, name: str) -> str:
        """A name as the disk has it: a keyed hash, the same each time, of 32 characters.

        Args:
            what: of which kind it is. Equal names of two kinds have different hashes.
            name: the name.
        """
        found = self._hashes.get((what, name))
        if found is None:
            said = f"{what}\x00{name}".encode("utf-8", "surrogatepass")
            found = hmac.new(self._naming, said, hashlib.sha256).hexdigest()[: 2 * _HASH]
            if len(self._hashes) > 100_000:
                self._hashes.clear()
            self._hashes[what, name] = found
        return found

    # Records

    def seal_text(self, text: str) -> str:
        """A text sealed under a key of the whole store, as ASCII."""
        return as_text(wrap(self._records, text.encode(), self.name.encode()))

    def open_text(self, sealed: str) -> str:
        """The text of :meth:`seal_text`.

        Raises:
            ValueError: it was sealed with another key, or has changed.
        """
        found = unwrap(self._records, as_bytes(sealed), self.name.encode())
        if found is None:
            raise ValueError("it was sealed with another key, or has changed")
        return found.decode()

    # Files

    def seal_file(self, user_id: str | None, data: bytes) -> bytes:
        """Bytes sealed under a user's key; under one of the whole store for None."""
        if user_id is None:
            return wrap(self._records, data, self.name.encode())
        key, nonce = self.sealing(user_id), os.urandom(NONCE)
        said = f"file {self.hashed('user_id', user_id)} {key.version}".encode()
        version = key.version.to_bytes(_VERSION_BYTES, "big")
        return version + nonce + key.cipher.encrypt(nonce, data, said)

    def open_file(self, user_id: str | None, sealed: bytes) -> bytes:
        """The bytes of :meth:`seal_file`.

        Raises:
            ValueError: they were sealed with another key, or have changed.
        """
        if user_id is None:
            found = unwrap(self._records, sealed, self.name.encode())
            if found is None:
                raise ValueError("it was sealed with another key, or has changed")
            return found
        found = self.open_sealed(self.hashed("user_id", user_id), sealed)
        if found is None:
            raise ValueError("its key is destroyed")
        return found

    def open_sealed(self, user: str, sealed: bytes) -> bytes | None:
        """As :meth:`open_file`, by the hash of the user's name; None where the key is destroyed.

        Raises:
            ValueError: they have changed.
        """
        from cryptography.exceptions import InvalidTag

        version, begin = int.from_bytes(sealed[:_VERSION_BYTES], "big"), _VERSION_BYTES + NONCE
        key = self.opening(user, version)
        if key is None:
            return None
        said = f"file {user} {version}".encode()
        try:
            return key.cipher.decrypt(sealed[_VERSION_BYTES:begin], sealed[begin:], said)
        except InvalidTag as error:
            raise ValueError("it has changed") from error

    # Users' keys

    def sealing(self, user_id: str) -> UserKey:
        """The key that a user's rows are sealed with; made, and on the disk, at the first call.

        Raises:
            BackendUnavailable: the keyring cannot be written.
        """
        held = self.held(user_id)
        if held is not None:
            return held
        user = self.hashed("user_id", user_id)
        with self._changing:
            version = self._newest.get(user, 0)
            if not version or (user, version) in self._destroyed:
                version += 1
                key = os.urandom(KEY)
                self._append(user, version, wrap(self._wrapping, key, self._about(user, version)))
                self._opened[user, version] = UserKey(version, cipher(key))
        found = self.opening(user, version)
        if found is None:
            raise EncryptionError("a user's key in the keyring is damaged", fix=_RESTORE)
        return found

    def held(self, user_id: str) -> UserKey | None:
        """As :meth:`sealing`; None where the user has no key, or it is destroyed."""
        user = self.hashed("user_id", user_id)
        version = self._newest.get(user, 0)
        if not version or (user, version) in self._destroyed:
            return None
        return self.opening(user, version)

    def opening(self, user: str, version: int) -> UserKey | None:
        """A user's key by the hash of the name; None where it is destroyed, damaged or unknown."""
        found = self._opened.get((user, version))
        if found is not None:
            return found
        if (user, version) not in self._wrapped and self._changed():
            self._read()  # the writing process has made it meanwhile
        wrapped = self._wrapped.get((user, version))
        if wrapped is None:
            return None
        key = unwrap(self._wrapping, wrapped, self._about(user, version))
        if key is None:
            return None
        found = self._opened[user, version] = UserKey(version, cipher(key))
        return found

    def destroy(self, user_id: str) -> bool:
        """Destroy a user's keys: what they have sealed can be opened by nobody any more.

        The keyring is written anew without them, and the bytes of the old one are overwritten
        before they go. A copy of the keyring (in a snapshot or a backup) still has them:
        :func:`destroy_in` destroys them there, and changes nothing else of it. If the user says
        something again, that is sealed with a new key.

        Args:
            user_id: the user.

        Returns:
            Whether there was a key.

        Raises:
            EncryptionError: the keyring is opened to read only.
            BackendUnavailable: it cannot be written.
        """
        if self._read_only:
            raise EncryptionError(
                "the keyring is opened to read only", fix="Open the store without read_only."
            )
        user = self.hashed("user_id", user_id)
        with self._changing:
            held = [one for one in self._wrapped if one[0] == user]
            if not held:
                return False
            for one in held:
                del self._wrapped[one]
                self._opened.pop(one, None)
                self._destroyed.add(one)
            with _written(self._folder):
                self._rewrite()
        return True

    @property
    def users(self) -> int:
        """How many users have a key."""
        return len({user for user, _ in self._wrapped})

    def rotate(self, key: MasterKey) -> None:
        """Wrap the root with another master key. Whoever has the store open goes on.

        Raises:
            BackendUnavailable: ``keys.json`` cannot be written.
            EncryptionError: the key service does not answer.
        """
        with _written(self._folder):
            _write_root(self._folder, self.name, self._root, key)

    # Internals

    def _about(self, user: str, version: int) -> bytes:
        return f"{self.name} {user} {version}".encode()

    def _changed(self) -> bool:
        try:
            status = (self._folder / KEYRING).stat()
        except OSError:
            return False
        return self._seen != (status.st_ino, status.st_mtime_ns, status.st_size)

    def _read(self) -> None:
        path = self._folder / KEYRING
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                data = file.read()
        except FileNotFoundError as error:
            # Going on would make new keys for users whose rows are sealed with lost ones.
            raise EncryptionError(
                f"{self._folder} is encrypted, and its {KEYRING} is missing",
                fix=_RESTORE,
                cause=error,
            ) from error
        except OSError as error:
            raise _unreadable(path, error) from error
        wrapped: dict[tuple[str, int], bytes] = {}
        destroyed: set[tuple[str, int]] = set()
        newest: dict[str, int] = {}
        *lines, cut = data.split(b"\n")
        if cut and not self._read_only:
            # What a killed process has half written was never used.
            os.truncate(path, len(data) - len(cut))
        for line in lines:
            try:
                said = json.loads(line)
                user, version = str(said["user"]), int(said["version"])
                if "key" in said:
                    wrapped[user, version] = as_bytes(said["key"])
                else:
                    destroyed.add((user, version))
                newest[user] = max(version, newest.get(user, 0))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # its rows cannot be opened, and verification says so
        self._wrapped, self._newest, self._destroyed = wrapped, newest, destroyed
        for one in [one for one in self._opened if one not in wrapped]:
            del self._opened[one]
        self._seen = (status.st_ino, status.st_mtime_ns, status.st_size)

    def _append(self, user: str, version: int, wrapped: bytes) -> None:
        path = self._folder / KEYRING
        with _written(self._folder):
            made = not path.exists()
            make_private_file(path)
            with path.open("ab") as file:
                file.write(_line(user, version, wrapped))
                file.flush()
                os.fsync(file.fileno())
            if made:
                sync_folder(self._folder)
        self._wrapped[user, version] = wrapped
        self._newest[user] = version

    def _rewrite(self) -> None:
        path = self._folder / KEYRING
        lines = [_line(user, version, key) for (user, version), key in self._wrapped.items()]
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        lines += [_gone(user, version, now) for user, version in sorted(self._destroyed)]
        with path.open("r+b") as old:
            replace_file(path, b"".join(lines))
            sync_folder(self._folder)
            # Where the file system writes in place, the old bytes are gone, too.
            old.write(b"\n" * os.fstat(old.fileno()).st_size)
            old.flush()
            os.fsync(old.fileno())


def destroy_in(folder: Path, key: MasterKey, user_id: str) -> bool:
    """Destroy a user's keys in a copy of a store (a snapshot, a backup) that nobody has open.

    Only its keyring changes. As :meth:`Keyring.destroy`.

    Raises:
        WrongKeyError, EncryptionError, BackendUnavailable: as of :meth:`Keyring.open`.
    """
    return Keyring.open(folder, key).destroy(user_id)


def has_keys(folder: Path) -> bool:
    """Whether a folder has the keys of an encrypted store."""
    return (folder / KEYS).exists()


def _line(user: str, version: int, wrapped: bytes) -> bytes:
    return json.dumps({"user": user, "version": version, "key": as_text(wrapped)}).encode() + b"\n"


def _gone(user: str, version: int, when: str) -> bytes:
    return json.dumps({"user": user, "version": version, "destroyed": when}).encode() + b"\n"


def _root_about(name: str) -> bytes:
    return f"{_FORMAT} {name}".encode()


def _check(root: bytes) -> str:
    return derived(root, "check").hex()[:32]


def _write_root(folder: Path, name: str, root: bytes, key: MasterKey) -> None:
    said = {
        "format": _FORMAT,
        "version": _VERSION,
        "name": name,
        "check": _check(root),
        "master": key.wrapped(root, _root_about(name)),
    }
    replace_file(folder / KEYS, f"{json.dumps(said, indent=2)}\n".encode())
    sync_folder(folder)


def _read_root(folder: Path, key: MasterKey) -> tuple[str, bytes]:
    path = folder / KEYS
    try:
        said: Any = json.loads(path.read_text(encoding="utf-8"))
        if said["format"] != _FORMAT or said["version"] != _VERSION:
            raise ValueError(f"its format is {said['format']!r} {said['version']!r}")
        name = str(said["name"])
        root = key.unwrapped(said["master"], _root_about(name))
    except FileNotFoundError as error:
        raise EncryptionError(
            f"{folder} is encrypted, and its {KEYS} is missing", fix=_RESTORE, cause=error
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EncryptionError(f"{path} is damaged: {error}", fix=_RESTORE, cause=error) from error
    if not hmac.compare_digest(str(said.get("check")), _check(root)):
        raise WrongKeyError(
            "this is not the store's key",
            fix="Give the key that the store was made with, or that it was rotated to.",
        )
    return name, root


def _unreadable(path: Path, error: OSError) -> BackendUnavailable:
    return BackendUnavailable(
        "folder", "read", str(error), fix=f"Check that {path} may be read.", cause=error
    )


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackendUnavailable(
            "folder",
            "write",
            str(error),
            fix=f"Check the free space and permissions of {folder}.",
            cause=error,
        ) from error
