"""A backup that is nowhere: what an import of a small file passes through."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bruno_memory_vec.upkeep.backup.repository import checked, missing, name_of


class MemoryRepository:
    """A ``Repository`` in memory.

    Args:
        path: what errors call it.
    """

    sweeps = False

    def __init__(self, path: str) -> None:
        self._path = path
        self._pieces: dict[str, bytes] = {}
        self._head: bytes | None = None

    @property
    def path(self) -> str:
        return self._path

    @property
    def keys(self) -> Path | None:
        return None

    def head(self) -> bytes | None:
        return self._head

    def write_head(self, data: bytes) -> None:
        self._head = data

    def has(self, name: str) -> bool:
        return name in self._pieces

    def write(self, kind: str, data: bytes) -> str:
        name = name_of(kind, data)
        self._pieces[name] = data
        return name

    def read(self, name: str) -> bytes:
        if name not in self._pieces:
            raise missing(name, self.path)
        return checked(name, self._pieces[name], self.path)

    def names(self) -> list[str]:
        return list(self._pieces)

    def keep_only(self, names: Collection[str]) -> None:
        self._pieces = {name: self._pieces[name] for name in names if name in self._pieces}

    def damage(self) -> list[str]:
        return []

    def size(self) -> int:
        return sum(map(len, self._pieces.values()))

    def close(self) -> None:
        """Nothing is held."""
