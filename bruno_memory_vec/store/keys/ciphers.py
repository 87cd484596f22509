"""AES-256-GCM and scrypt, of the package ``cryptography``."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING

from bruno_memory_vec.errors import MissingDependencyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12
#: Of every key, in bytes.
KEY = 32


def cipher(key: bytes) -> AESGCM:
    """AES-256-GCM under a key of 32 bytes.

    Raises:
        MissingDependencyError: ``cryptography`` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingDependencyError("cryptography", "encryption", cause=error) from error
    return AESGCM(key)


def wrap(key: bytes, secret: bytes, about: bytes) -> bytes:
    """A secret under a key, bound to what it is about: the nonce, then the sealed secret."""
    nonce = os.urandom(NONCE)
    return nonce + cipher(key).encrypt(nonce, secret, about)


def unwrap(key: bytes, wrapped: bytes, about: bytes) -> bytes | None:
    """What :func:`wrap` has wrapped; None where the key is another one, or a byte has changed."""
    sealing = cipher(key)
    from cryptography.exceptions import InvalidTag

    if len(wrapped) <= NONCE:
        return None
    try:
        return sealing.decrypt(wrapped[:NONCE], wrapped[NONCE:], about)
    except InvalidTag:
        return None


def derived(root: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose. The root is random, so one HMAC is enough (RFC 5869)."""
    return hmac.new(root, f"bruno-memory-vec {purpose}\x01".encode(), hashlib.sha256).digest()


def stretched(passphrase: str, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    """The key of a passphrase, by scrypt. With n = 2**16 it takes some 0.2 s and 64 MiB.

    Raises:
        MissingDependencyError: ``cryptography`` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    except ImportError as error:
        raise MissingDependencyError("cryptography", "encryption", cause=error) from error
    return Scrypt(salt=salt, length=KEY, n=n, r=r, p=p).derive(passphrase.encode())
