"""A set in memory of the ids that may be stored already.

Adding a row costs LanceDB a tenth of replacing one, so the writer has to know without a read that
an id is new. A false "maybe stored" only costs time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.protocols import HidesIds, RowIndex
from bruno_memory_vec.rows.known_hashes import KnownHashes

_ID_BYTES = 36  # a UUID as text
_WEIGHTS = np.random.default_rng(0x1D).integers(1, 2**63, _ID_BYTES, np.uint64) * np.uint64(
    2
) + np.uint64(1)
# The letters of so many are held as numbers at once.
_AT_ONCE = 4096


def hash_ids(ids: pa.StringArray | pa.ChunkedArray, width: int = _ID_BYTES) -> NDArray[np.uint64]:
    """A 64-bit hash of each UUID text: sum of byte x odd weight, modulo 2**64.

    Args:
        ids: texts of ``width`` bytes each.
        width: at most that of a UUID's text.
    """
    hashes = [np.empty(0, np.uint64)]
    weights = _WEIGHTS[:width]
    for chunk in ids.chunks if isinstance(ids, pa.ChunkedArray) else [ids]:
        fixed = chunk.cast(pa.binary()).cast(pa.binary(width))
        data = np.frombuffer(fixed.buffers()[1], np.uint8)
        start = fixed.offset * width
        letters = data[start : start + len(fixed) * width].reshape(-1, width)
        hashes.append((letters.astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64))
    return np.concatenate(hashes)


def hash_texts(ids: Sequence[str], width: int = _ID_BYTES) -> NDArray[np.uint64]:
    """As :func:`hash_ids`, for a list of texts, at a fraction of the cost of an Arrow array."""
    hashes = np.empty(len(ids), np.uint64)
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        letters = np.frombuffer("".join(part).encode(), np.uint8).reshape(-1, width)
        hashes[start : start + _AT_ONCE] = letters.astype(np.uint64) @ _WEIGHTS[:width]
    return hashes


class KnownIds(KnownHashes):
    """A set of hashes of ids.

    Args:
        hides: the index whose rows have keyed hashes in place of their ids, so that what is stored
            is known without opening a row; None where they have the ids.
        read: whether what is stored was read.
    """

    def __init__(self, hides: HidesIds | None = None, *, read: bool = True) -> None:
        super().__init__(read=read)
        self._hides = hides

    @classmethod
    def unread(cls, hides: HidesIds | None = None) -> KnownIds:
        """The set for a store whose ids were not read yet: until then, any id may be stored."""
        return cls(hides, read=False)

    def hashes(self, ids: Sequence[str]) -> NDArray[np.uint64]:
        """The hashes of ids by which they are known here. Any thread may call it."""
        if self._hides is None:
            return hash_texts(ids)
        return hash_texts(self._hides.hidden_ids(ids), self._hides.hidden_width)

    def add(self, ids: pa.StringArray | pa.ChunkedArray) -> None:
        """Add ids that are stored or are about to be."""
        self.add_hashed(self.hashes(ids.to_pylist()))

    async def learn(self, rows: RowIndex) -> None:
        """Read all ids that are stored.

        Ids may be added meanwhile, and other threads may call :meth:`any`.
        """
        hides = self._hides
        batches = rows.after(-1, ["id"]) if hides is None else hides.stored_ids()
        width = _ID_BYTES if hides is None else hides.hidden_width
        parts = [
            await asyncio.to_thread(hash_ids, batch.column("id"), width)
            async for batch in batches
            if batch.num_rows
        ]
        await asyncio.to_thread(self.complete, parts)

    def any(self, ids: pa.StringArray | pa.ChunkedArray) -> bool:
        """Whether any of these may be stored. False is certain."""
        return self.any_hashed(self.hashes(ids.to_pylist()))
