"""What a copy still has to do: the rows of two stores compared by their keys.

It needs no memory of its own, so it is also how a killed copy goes on: what the target has of the
source's rows is not copied again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.aio import yielding_gil
from bruno_memory_vec.indexers.checked import readable, unchecked
from bruno_memory_vec.indexers.checksum import USED
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.indexers.schema import CHECKSUM, MESSAGE

_NAMED = ("kind", "user_id", "conversation_id", "id", "turn")
_COLUMNS = ("seq", *_NAMED, "updated_at", *USED, CHECKSUM)
# Of the checksum: that of the vector and the uses, which does not change with the seq.
_LOW = np.int64(0xFFFFFFFF)
#: Makes one number of two.
ODD = np.int64(0x9E3779B1)


@dataclass(slots=True)
class Outline:
    """The rows of one store, each by numbers: enough to tell which rows are the same.

    Attributes:
        seq: int64 (n,).
        key: uint64 (n,), a hash of the row's key.
        place: uint64 (n,), a hash of a message's conversation and turn; 0 for a memory.
        state: int64 (n,), a number that is another one where the uses or the vector are; of rows
            whose vectors are not to be compared, where the uses are.
        updated: int64 (n,), microseconds.
        users: by user and kind, how many rows.
        conversations: the owner of each conversation that has a row, and the largest turn, -1 for
            none.
    """

    seq: NDArray[np.int64]
    key: NDArray[np.uint64]
    place: NDArray[np.uint64]
    state: NDArray[np.int64]
    updated: NDArray[np.int64]
    users: Counter[tuple[str, str]] = field(default_factory=Counter)
    conversations: dict[str, tuple[str, int]] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> Outline:
        """Of a store without a row."""
        none, nothing = np.empty(0, np.int64), np.empty(0, np.uint64)
        return cls(none, nothing, nothing, none, none)

    def __len__(self) -> int:
        return len(self.seq)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the rows of a target stand to those of the source.

    Attributes:
        missing: int64 (n,), the ``seq`` in the source of rows that the target lacks.
        unlike: int64 (n,), of those that differ there.
        here: int64 (n,), the ``seq`` in the source of each row that both have, ascending.
        there: int64 (n,), the ``seq`` in the target of the same rows.
        others: int64 (n,), the ``seq`` in the target of rows that only it has.
        other_keys: uint64 (n,), the hashes of their keys.
        taken: int64 (n,), of those the messages whose turn a message of the source has.
    """

    missing: NDArray[np.int64]
    unlike: NDArray[np.int64]
    here: NDArray[np.int64]
    there: NDArray[np.int64]
    others: NDArray[np.int64]
    other_keys: NDArray[np.uint64]
    taken: NDArray[np.int64]

    @property
    def to_copy(self) -> NDArray[np.int64]:
        """The ``seq`` in the source of each row to copy, ascending: their order stays."""
        return np.union1d(self.missing, self.unlike)


async def outline(rows: RowIndex, scope: Scope, *, embedded: bool) -> Outline:
    """Read the outline of a scope's rows. Of rows with one key the newest counts.

    Args:
        rows: the rows.
        scope: whose.
        embedded: the copies' vectors are made anew, so vectors are not compared.

    Raises:
        EngineError: the rows cannot be read.
    """
    parts = [Outline.empty()]
    # Damaged rows, too, so that they are refused, not left out.
    async for batch in unchecked(rows).after(-1, _COLUMNS, scope):
        if batch.num_rows:
            table = readable(pa.Table.from_batches([batch]))
            parts.append(await asyncio.to_thread(_outline, table, embedded))
    return await asyncio.to_thread(_joined, parts)


def compare(source: Outline, target: Outline) -> Comparison:
    """Compare two stores, given by their outlines."""
    _, mine, theirs = np.intersect1d(
        source.key, target.key, assume_unique=True, return_indices=True
    )
    order = np.argsort(source.seq[mine])
    mine, theirs = mine[order], theirs[order]
    differs = np.zeros(len(mine), bool)
    for name in ("place", "state", "updated"):
        differs |= getattr(source, name)[mine] != getattr(target, name)[theirs]
    only_there = np.ones(len(target), bool)
    only_there[theirs] = False
    placed = only_there & (target.place != 0)
    return Comparison(
        missing=np.sort(np.delete(source.seq, mine)),
        unlike=source.seq[mine[differs]],
        here=source.seq[mine],
        there=target.seq[theirs],
        others=target.seq[only_there],
        other_keys=target.key[only_there],
        taken=target.seq[placed & np.isin(target.place, source.place)],
    )


def _outline(rows: pa.Table, embedded: bool) -> Outline:
    columns = [rows.column(name).to_pylist() for name in _NAMED]
    users: Counter[tuple[str, str]] = Counter(zip(columns[1], columns[0], strict=True))
    conversations: dict[str, tuple[str, int]] = {}
    keys, places = [], []
    for kind, user, conversation, id_, turn in yielding_gil(list(zip(*columns, strict=True))):
        is_message = kind == MESSAGE
        keys.append(_hash((kind, user, conversation if is_message else "", id_)))
        placed = is_message and turn is not None
        places.append(_hash((conversation, str(turn))) if placed else 0)
        if conversation is not None:
            owner, last = conversations.get(conversation, (user, -1))
            conversations[conversation] = (owner, max(last, turn if placed else -1))
    count, last = (rows.column(name).cast(pa.int64()).to_numpy() for name in USED)
    return Outline(
        rows.column("seq").to_numpy(),
        np.array(keys, np.uint64),
        np.array(places, np.uint64),
        last + count * ODD if embedded else rows.column(CHECKSUM).to_numpy() & _LOW,
        rows.column("updated_at").cast(pa.int64()).to_numpy(),
        users,
        conversations,
    )


def _joined(parts: list[Outline]) -> Outline:
    seq = np.concatenate([part.seq for part in parts])
    key = np.concatenate([part.key for part in parts])
    place = np.concatenate([part.place for part in parts])
    state = np.concatenate([part.state for part in parts])
    updated = np.concatenate([part.updated for part in parts])
    newest_first = np.argsort(-seq)
    _, first = np.unique(key[newest_first], return_index=True)
    kept = np.sort(newest_first[first])
    whole = Outline(seq[kept], key[kept], place[kept], state[kept], updated[kept])
    for part in parts:
        whole.users.update(part.users)
        for conversation, (owner, turn) in part.conversations.items():
            known, last = whole.conversations.get(conversation, (owner, -1))
            whole.conversations[conversation] = (known, max(last, turn))
    return whole


def _hash(texts: Iterable[str]) -> int:
    # Names have no NUL, so two lists of them are never one text.
    said = "\0".join(texts).encode()
    # 64 bits: two of a hundred million keys share one with a probability of 0.03 %, and then the
    # verification finds it.
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little") or 1
