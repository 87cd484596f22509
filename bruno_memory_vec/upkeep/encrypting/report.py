"""What an encryption or decryption of a store did."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bruno_memory_vec.wording import counted


@dataclass(frozen=True, slots=True)
class EncryptionReport:
    """What :func:`bruno_memory_vec.encrypt_store` or ``decrypt_store`` did.

    Attributes:
        folder: the store.
        encrypted: whether it is encrypted now.
        rows: how many rows were written anew.
        users: how many users have a key.
        seconds: how long it took.
    """

    folder: str
    encrypted: bool
    rows: int
    users: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}

    def __str__(self) -> str:
        """A line for people."""
        what = "encrypted" if self.encrypted else "decrypted"
        users = f", under the keys of {counted(self.users, 'user')}" if self.encrypted else ""
        return f"{what} {counted(self.rows, 'row')}{users}, in {self.seconds:.1f} s"
