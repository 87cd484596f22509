"""The master key of a store: 32 bytes, a passphrase, or a key management service that wraps."""

from __future__ import annotations

import base64
import binascii
import logging
import os
import stat
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import SecretBytes, SecretStr

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.errors import EncryptionError, InvalidInputError, WrongKeyError
from bruno_memory_vec.store.keys.ciphers import KEY, stretched, unwrap, wrap

#: Wraps ("wrap") or unwraps ("unwrap") some bytes, as a key management service does.
Wraps = Callable[[Literal["wrap", "unwrap"], bytes], bytes]

# What scrypt takes; stored in the clear, so that later versions may raise it.
_SCRYPT = {"n": 2**16, "r": 8, "p": 1}
_MOST_N, _MOST_R, _MOST_P = 2**20, 16, 8
_SALT = 16
_LEAST_PASSPHRASE = 8
_LARGEST_FILE = 4096

_LOG = logging.getLogger(__name__)
_told: set[Path] = set()  # key files of which it was said that everybody may read them


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A master key, as it was given. Make one with :func:`master_of`; it is printed nowhere.

    Attributes:
        kind: "key" (32 bytes), "passphrase" or "service" (a callable).
    """

    kind: Literal["key", "passphrase", "service"]
    _key: bytes = field(default=b"", repr=False)
    _passphrase: str = field(default="", repr=False)
    _service: Wraps | None = field(default=None, repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled: give the other process its key_file")

    def wrapped(self, secret: bytes, about: bytes) -> dict[str, Any]:
        """A secret wrapped by this key, as JSON keeps it.

        Raises:
            EncryptionError: the key management service does not wrap it, or does not unwrap what
                it has wrapped.
            MissingDependencyError: ``cryptography`` is not installed.
        """
        if self._service is not None:
            found: dict[str, Any] = {"kind": self.kind}
            sealed = self._asked("wrap", secret)
            # Asked now, while nothing is lost by it: later the store could not be opened.
            if secret in sealed or self._asked("unwrap", sealed) != secret:
                raise EncryptionError(
                    "the key service does not unwrap what it wraps, or wraps nothing",
                    fix='Let key("unwrap", key("wrap", data)) return data, and key("wrap", data) '
                    "hide it.",
                )
        elif self.kind == "passphrase":
            salt = os.urandom(_SALT)
            found = {"kind": self.kind, "scrypt": {**_SCRYPT, "salt": as_text(salt)}}
            sealed = wrap(stretched(self._passphrase, salt, **_SCRYPT), secret, about)
        else:
            found, sealed = {"kind": self.kind}, wrap(self._key, secret, about)
        return {**found, "wrapped": as_text(sealed)}

    def unwrapped(self, said: Mapping[str, Any], about: bytes) -> bytes:
        """The secret of :meth:`wrapped`.

        Raises:
            WrongKeyError: this is not the key that wrapped it.
            EncryptionError: the key management service does not answer.
            ValueError, KeyError, TypeError: ``said`` is damaged.
        """
        kinds = {"key": "32 bytes", "passphrase": "a passphrase", "service": "a key service"}
        if said["kind"] != self.kind:
            raise WrongKeyError(
                f"the store's key is {kinds[said['kind']]}, and {kinds[self.kind]} was given",
                fix="Give the key that the store was made with.",
            )
        sealed = as_bytes(said["wrapped"])
        if self._service is not None:
            return self._asked("unwrap", sealed)
        key = self._key
        if self.kind == "passphrase":
            n, r, p = (int(said["scrypt"][name]) for name in ("n", "r", "p"))
            if n > _MOST_N or r > _MOST_R or p > _MOST_P:
                raise ValueError("its scrypt would take too much memory")
            key = stretched(self._passphrase, as_bytes(said["scrypt"]["salt"]), n=n, r=r, p=p)
        secret = unwrap(key, sealed, about)
        if secret is None:
            raise WrongKeyError(
                f"this is not the store's {'passphrase' if self.kind == 'passphrase' else 'key'}",
                fix="Give the key that the store was made with, or that it was rotated to.",
            )
        return secret

    def _asked(self, what: Literal["wrap", "unwrap"], data: bytes) -> bytes:
        assert self._service is not None
        try:
            answer = self._service(what, data)
        except Exception as error:  # whatever a client of a service raises
            raise EncryptionError(
                f"the key service does not {what}: {type(error).__name__}",
                fix="Check that it answers, and that this process may use its key.",
                cause=error,
            ) from error
        if not isinstance(answer, bytes) or not answer:
            raise EncryptionError(
                f"the key service gave a {type(answer).__name__} where it should {what}",
                fix="Let key(what, data) return bytes.",
            )
        return answer


def master_of(config: MemoryConfig) -> MasterKey | None:
    """The master key of the settings ``key`` and ``key_file``; None where there is none.

    Of both, ``key`` counts: the file may be named by the environment.

    Raises:
        InvalidInputError: it is no key, or the file holds none.
    """
    if config.key is not None:
        return as_master(config.key)
    return None if config.key_file is None else read_key_file(config.key_file)


def as_master(key: Any) -> MasterKey:
    """A key as it may be given: 32 bytes, a passphrase, or a callable.

    Raises:
        InvalidInputError: it is none of these.
    """
    if isinstance(key, MasterKey):
        return key
    if isinstance(key, (SecretBytes, SecretStr)):
        key = key.get_secret_value()
    if isinstance(key, (bytes, bytearray)):
        if len(key) != KEY:
            raise _no_key(f"has {len(key)} bytes, and not {KEY}")
        return MasterKey("key", _key=bytes(key))
    if isinstance(key, str):
        # One keyboard types "é" as one character, another as two.
        key = unicodedata.normalize("NFC", key)
        if len(key.strip()) < _LEAST_PASSPHRASE:
            raise _no_key(f"is a passphrase of fewer than {_LEAST_PASSPHRASE} characters")
        if not _is_text(key):
            raise _no_key("is a passphrase with half of a character (a surrogate)")
        return MasterKey("passphrase", _passphrase=key)
    if callable(key):
        return MasterKey("service", _service=key)
    raise _no_key(f"is a {type(key).__name__}")


def read_key_file(path: Path) -> MasterKey:
    """The key in a file: 32 bytes, these in hexadecimal or base64, or a passphrase in one line.

    What can be read as a line of text is one, also where it has 32 bytes; the mark that editors
    put before UTF-8 and the end of the line do not count.

    Raises:
        InvalidInputError: there is no such file, or it holds no key.
    """
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
            mode = os.fstat(file.fileno()).st_mode
    except (OSError, RuntimeError) as error:
        raise InvalidInputError(
            "key_file",
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}",
            fix="Name a file that holds the key.",
            cause=error,
        ) from error
    open_to_all = os.name == "posix" and mode & (stat.S_IROTH | stat.S_IWOTH)
    if open_to_all and path not in _told:
        _told.add(path)
        _LOG.warning("the key file %s may be read or changed by everybody: chmod 600", path)
    text = _line_of(data)
    if len(data) == KEY and not text:
        return MasterKey("key", _key=data)
    if len(data) > _LARGEST_FILE or len(text.strip()) < _LEAST_PASSPHRASE:
        raise InvalidInputError(
            "key_file",
            f"{path} holds no key",
            fix="Write 32 bytes into it (head -c 32 /dev/urandom), or a passphrase in one line.",
        )
    plain = text.strip()
    reading: tuple[Callable[[], bytes], ...] = (
        lambda: bytes.fromhex(plain.removeprefix("0x")),
        lambda: base64.b64decode(plain, validate=True),
        lambda: base64.b64decode(plain.translate(_URL_SAFE), validate=True),
    )
    for read in reading:
        try:
            key = read()
        except (ValueError, binascii.Error):
            continue
        if len(key) == KEY:
            return MasterKey("key", _key=key)
    return as_master(text)


_URL_SAFE = str.maketrans("-_", "+/")


def _line_of(data: bytes) -> str:
    """The text of a file of one line; "" where it is none."""
    try:
        text = data.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError:
        return ""
    controls = any(unicodedata.category(one) == "Cc" and one != "\t" for one in text)
    return "" if controls else text


def _is_text(said: str) -> bool:
    try:
        said.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_key(problem: str) -> InvalidInputError:
    return InvalidInputError(
        "key",
        problem,
        fix="Give 32 random bytes, a passphrase, or a function that wraps and unwraps.",
    )


def as_text(data: bytes) -> str:
    """Bytes as JSON keeps them."""
    return base64.b64encode(data).decode("ascii")


def as_bytes(text: str) -> bytes:
    """Bytes of :func:`as_text`.

    Raises:
        ValueError: it is no base64.
    """
    return base64.b64decode(text, validate=True)
