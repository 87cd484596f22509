"""Where the rows of a large table lie, in memory: by ``seq``, and by conversation and turn.

LanceDB looks a row up in a tree on the disk, of which it decodes a page for nearly every row: of a
million rows the candidates of one question take it longer to find than to read. Places are learnt
from four columns of all rows, and hold until rows move: at any change but an append, and at a
compaction. Whoever reads rows by them has to see that they are the ones that were meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: Of fewer rows nothing is kept: they are found fast enough.
LEAST_ROWS = 30_000
#: Of more rows nothing is kept. A row takes 28 bytes.
MOST_ROWS = 2_000_000
#: The columns that places are learnt from, besides LanceDB's row ids.
COLUMNS = ("seq", "conversation_id", "turn")

# After so many added rows all are to be learnt anew.
_MOST_ADDED = 20_000
_ODD = np.uint64(0x9E3779B97F4A7C15)


class Located(NamedTuple):
    """Where rows are that were asked for.

    Attributes:
        seqs: int64 (n,), their ``seq``, ascending.
        row_ids: LanceDB's row id of each, int64 (n,).
        added: the ``seq`` of those that were added since, whose places are not known.
    """

    seqs: NDArray[np.int64]
    row_ids: NDArray[np.int64]
    added: list[int]


class AddedRows:
    """Rows that were added since the places of the others were learnt."""

    def __init__(self) -> None:
        self._seqs: set[int] = set()
        self._at: dict[int, list[int]] = {}

    def add(self, rows: pa.Table) -> bool:
        """Take rows in, with :data:`COLUMNS`. False where they have become too many."""
        if len(self._seqs) + rows.num_rows > _MOST_ADDED:
            return False
        seqs = rows.column("seq").to_pylist()
        self._seqs.update(seqs)
        keys, valid = _keys(rows)
        for seq, key, has in zip(seqs, keys.tolist(), valid.tolist(), strict=True):
            if has:
                self._at.setdefault(key, []).append(seq)
        return True

    def of(self, seqs: Sequence[int], keys: NDArray[np.uint64]) -> set[int]:
        """The ``seq`` of those that have one of these, or one of these keys."""
        found = self._seqs.intersection(seqs)
        for key in keys.tolist() if self._at else ():
            found.update(self._at.get(key, ()))
        return found


class Places:
    """The places of rows.

    Args:
        rows: all rows, with :data:`COLUMNS` and LanceDB's ``_rowid``.
    """

    def __init__(self, rows: pa.Table) -> None:
        seqs = rows.column("seq").to_numpy()
        order = np.argsort(seqs, kind="stable")
        self._seqs: NDArray[np.int64] = seqs[order]
        self._row_ids: NDArray[np.int64] = rows.column("_rowid").to_numpy().astype(np.int64)[order]
        keys, valid = _keys(rows)
        keys, valid = keys[order], valid[order]
        at = np.flatnonzero(valid)
        by_key = at[np.argsort(keys[at], kind="stable")]
        self._keys: NDArray[np.uint64] = keys[by_key]
        self._of_key: NDArray[np.int32] = by_key.astype(np.int32)

    def of(
        self, seqs: Sequence[int], turns: Mapping[str, Sequence[int]], added: AddedRows
    ) -> Located:
        """Where rows are: by their ``seq``, and by conversation and turn.

        A few others may be among those by turns, as conversations are known by hashes.

        Args:
            seqs: of rows.
            turns: of rows, by conversation.
            added: rows that were added since these were read, or just before.
        """
        keys = _keys_of(turns)
        first = np.searchsorted(self._keys, keys, side="left")
        last = np.searchsorted(self._keys, keys, side="right")
        ranges = zip(first.tolist(), last.tolist(), strict=True)
        found = [self._of_key[begin:end] for begin, end in ranges if end > begin]
        named = np.asarray(seqs, np.int64)
        place = np.searchsorted(self._seqs, named)
        place[place == len(self._seqs)] = 0
        if len(self._seqs):
            found.append(place[self._seqs[place] == named].astype(np.int32))
        at = np.unique(np.concatenate(found)) if found else np.empty(0, np.int32)
        known = self._seqs[at]
        newer = added.of(seqs, keys).difference(known.tolist())
        return Located(known, self._row_ids[at], sorted(newer))


def _keys(rows: pa.Table) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """A hash of each row's conversation and turn, and which rows have both."""
    keys = [np.empty(0, np.uint64)]
    for batch in rows.select(COLUMNS).to_batches():
        named = batch.column("conversation_id").dictionary_encode()
        # Null has the index -1, which finds the last entry.
        hashes = np.array([*map(hash, named.dictionary.to_pylist()), 0], np.int64).view(np.uint64)
        turns = batch.column("turn").fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
        keys.append(hashes[named.indices.fill_null(-1).to_numpy()] + turns * _ODD)
    valid = [
        rows.column(name).is_valid().to_numpy(zero_copy_only=False)
        for name in ("conversation_id", "turn")
    ]
    return np.concatenate(keys), valid[0] & valid[1]


def _keys_of(turns: Mapping[str, Sequence[int]]) -> NDArray[np.uint64]:
    keys = [np.empty(0, np.uint64)]
    for name, some in turns.items():
        hashed = np.array([hash(name)], np.int64).view(np.uint64)
        keys.append(hashed + np.asarray(some, np.int64).view(np.uint64) * _ODD)
    return np.concatenate(keys)
