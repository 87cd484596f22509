"""Reads the turns that may be compressed, and what of them a summary is compared by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.compression.blocks import Turn
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.prompts.token_bound import Counter
from bruno_memory_vec.rows.models import from_table
from bruno_memory_vec.rows.summaries import Summary

#: A conversation: its user and its id.
Place = tuple[str, str]

_SAID = RowFilter(kinds=(MESSAGE,))
_OUTLINE = (
    "seq",
    "id",
    "user_id",
    "conversation_id",
    "turn",
    "role",
    "importance",
    "created_at",
    "pinned_at",
    "archived_at",
)


async def outlines(rows: RowIndex, scope: Scope) -> dict[Place, list[Turn]]:
    """All messages of a scope by conversation, in their order, without texts and vectors."""
    found = await rows.read(scope, _SAID, _OUTLINE)
    by_place: dict[Place, list[Turn]] = defaultdict(list)
    for row in from_table(found):
        by_place[row["user_id"], row["conversation_id"]].append(_turn(row))
    return {place: sorted(turns, key=_in_order) for place, turns in by_place.items()}


async def whole_turns(
    rows: RowIndex, place: Place, seqs: Sequence[int], count: Counter
) -> dict[int, Turn]:
    """Turns with their texts and vectors, by ``seq``; those that are gone meanwhile are not."""
    scope = Scope.user(place[0]).within(place[1])
    columns = (*_OUTLINE, "speaker", "content", "vector")
    found = await rows.read(scope, _SAID, columns, seqs=seqs)
    vectors = _vectors(found)
    turns = (
        _turn(row, count, vector)
        for row, vector in zip(from_table(found.drop_columns(["vector"])), vectors, strict=True)
    )
    return {turn.seq: turn for turn in turns}


async def sources_of(rows: RowIndex, place: Place, ids: Iterable[str]) -> list[Turn]:
    """Messages of a conversation by their ids, with their texts, in their order."""
    scope = Scope.user(place[0]).within(place[1])
    where = RowFilter(kinds=(MESSAGE,), ids=tuple(sorted(ids)))
    found = await rows.read(scope, where, (*_OUTLINE, "speaker", "content"))
    return sorted(map(_turn, from_table(found)), key=_in_order)


def digest_of(sources: Iterable[tuple[str, str]]) -> str:
    """A hash of sources, each its id and its text, in their order."""
    hashed = blake2b(digest_size=16)
    for id_, text in sources:
        for part in (id_, text):
            data = part.encode("utf-8", "surrogatepass")
            hashed.update(len(data).to_bytes(8, "big") + data)
    return hashed.hexdigest()


def in_order(summaries: Iterable[Summary]) -> list[Summary]:
    """Summaries by their time, then by their turns."""
    return sorted(summaries, key=lambda one: (one.created_at, one.from_turn or 0, one.id))


def digest_of_summaries(summaries: Iterable[Summary]) -> str:
    """The digest of a summary that is made of these."""
    return digest_of((one.id, one.content) for one in in_order(summaries))


def _in_order(turn: Turn) -> int:
    return turn.turn


def _turn(
    row: Mapping[str, Any], count: Counter | None = None, vector: NDArray[np.float32] | None = None
) -> Turn:
    content = row.get("content", "")
    return Turn(
        seq=row["seq"],
        id=row["id"],
        turn=row["turn"],
        role=row["role"],
        speaker=row.get("speaker"),
        content=content,
        at=row["created_at"],
        importance=row["importance"],
        pinned=row["pinned_at"] is not None,
        archived_at=row["archived_at"],
        tokens=0 if count is None else count(content),
        vector=vector,
    )


def _vectors(table: pa.Table) -> NDArray[np.float32]:
    """float32 (n, d)."""
    column = table.column("vector").combine_chunks()
    flat = np.asarray(column.flatten(), np.float32)
    return flat.reshape(table.num_rows, -1) if table.num_rows else flat.reshape(0, 0)
