"""A set in memory of the hashes of what may be stored: what is not in it is surely new.

A false "maybe stored" only costs a read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_RECENT = 50_000


class KnownHashes:
    """Hashes of 64 bits. Most take 8 bytes, the newest a little more.

    Args:
        read: whether what is stored was read; until :meth:`complete`, anything may be stored.
    """

    def __init__(self, *, read: bool = True) -> None:
        self._complete = read
        # Sorted parts of bounded length: merging into one array would take longer and longer.
        self._parts: list[NDArray[np.uint64]] = []
        self._recent: set[int] = set()

    def complete(self, hashes: Sequence[NDArray[np.uint64]]) -> None:
        """Add the hashes of all that was stored when reading it began.

        Other threads may add some and call :meth:`any_hashed` meanwhile.
        """
        if any(map(len, hashes)):
            self._parts.append(np.sort(np.concatenate(hashes)))
        self._complete = True

    def add_hashed(self, hashes: NDArray[np.uint64]) -> None:
        """Add what is stored or is about to be."""
        if len(hashes) > _RECENT:
            self._parts.append(np.sort(hashes))
            return
        self._recent.update(hashes.tolist())
        if len(self._recent) > _RECENT:
            self._parts.append(np.sort(np.fromiter(self._recent, np.uint64)))
            self._recent.clear()

    def any_hashed(self, hashes: NDArray[np.uint64]) -> bool:
        """Whether any of these may be stored. False is certain."""
        if not self._complete:
            return len(hashes) > 0
        if not self._recent.isdisjoint(hashes.tolist()):
            return True
        for part in self._parts:
            positions = np.searchsorted(part, hashes).clip(max=len(part) - 1)
            if (part[positions] == hashes).any():
                return True
        return False


def hash_names(names: Sequence[str]) -> NDArray[np.uint64]:
    """The hashes of names of any length, by Python's own, which are others in each process."""
    return np.fromiter(map(hash, names), np.int64, len(names)).view(np.uint64)
