"""What every piece of a backup passes on its way to its place, and on its way back.

The seam for encryption. A sealing that keeps a key for each user is ``by_user``: then what is of
one user is a part of its own, and destroying that user's key erases the user from every point.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Protocol


class Sealing(Protocol):
    """Turns bytes into what may lie in a backup, and back."""

    @property
    def name(self) -> str:
        """What a point notes of it; a point is opened by a sealing of the same name."""
        ...

    @property
    def by_user(self) -> bool:
        """Whether each user's bytes are sealed apart."""
        ...

    def seal(self, data: bytes, user_id: str | None) -> bytes:
        """Seal bytes.

        Args:
            data: what is to be kept.
            user_id: whose; None for what is nobody's, and for everybody's where not ``by_user``.
        """
        ...

    def open(self, sealed: bytes) -> bytes | None:
        """What :meth:`seal` was given; None where the key was destroyed.

        Raises:
            StoreError: the key is another one.
        """
        ...


class Plain:
    """No sealing: bytes stay as they are."""

    name = "plain"
    by_user = False

    def seal(self, data: bytes, user_id: str | None) -> bytes:
        """The same bytes."""
        return data

    def open(self, sealed: bytes) -> bytes | None:
        """The same bytes."""
        return sealed


#: No sealing.
PLAIN = Plain()


class Passing:
    """A sealing under a key that is kept nowhere: what is left of a killed process is noise."""

    name = "passing"
    by_user = False

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(AESGCM.generate_key(256))

    def seal(self, data: bytes, user_id: str | None) -> bytes:
        """The bytes under AES-256-GCM, behind their nonce."""
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, data, None)

    def open(self, sealed: bytes) -> bytes | None:
        """What was sealed."""
        return self._cipher.decrypt(sealed[:12], sealed[12:], None)


def for_passing_through() -> Sealing:
    """What seals bytes that are on the disk for a while: nothing where ``cryptography`` is absent,
    as then no store is encrypted, either."""
    return Passing() if importlib.util.find_spec("cryptography") else PLAIN
