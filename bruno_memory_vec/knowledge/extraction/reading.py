"""Stored messages as extraction reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.knowledge.extraction.candidate import SourceTurn
from bruno_memory_vec.rows.models import from_table
from bruno_memory_vec.store.store import Store

#: So many turns are read, found in and stored at a time.
TURNS_AT_ONCE: Final = 200
_COLUMNS: Final = (
    "id",
    "user_id",
    "conversation_id",
    "turn",
    "role",
    "content",
    "created_at",
    "speaker",
)
_SAID: Final = RowFilter(kinds=(MESSAGE,))


async def turns_of(
    store: Store, user_id: str, conversation_id: str, first: int, end: int
) -> list[SourceTurn]:
    """A user's turns ``first`` to ``end - 1`` of a conversation, archived ones too, in order."""
    scope = Scope.user(user_id).within(conversation_id)
    wanted = {conversation_id: range(first, end)}
    return await _read(store, scope, _SAID, wanted)


async def turns_by_id(store: Store, user_id: str, ids: Sequence[str]) -> list[SourceTurn]:
    """A user's turns of these ids, the earliest first; each once, also one that is in branches."""
    if not ids:
        return []
    where = RowFilter(kinds=(MESSAGE,), ids=tuple(ids))
    found = {turn.id: turn for turn in await _read(store, Scope.user(user_id), where, None)}
    return sorted(found.values(), key=lambda turn: (turn.at, turn.turn))


async def conversations_of(store: Store, scope: Scope, where: RowFilter) -> dict[str, list[int]]:
    """The turns of each conversation that match, ascending."""
    table = await store.rows.read(scope, where, ["conversation_id", "turn"])
    found: dict[str, list[int]] = {}
    columns = (table.column("conversation_id").to_pylist(), table.column("turn").to_pylist())
    for conversation_id, turn in zip(*columns, strict=True):
        found.setdefault(conversation_id, []).append(turn)
    return {conversation_id: sorted(turns) for conversation_id, turns in sorted(found.items())}


async def parts(
    store: Store, user_id: str, places: dict[str, list[int]]
) -> AsyncIterator[list[SourceTurn]]:
    """The turns at these places, in parts of one conversation each."""
    for conversation_id, turns in places.items():
        for start in range(0, len(turns), TURNS_AT_ONCE):
            wanted = {conversation_id: turns[start : start + TURNS_AT_ONCE]}
            scope = Scope.user(user_id).within(conversation_id)
            yield await _read(store, scope, _SAID, wanted)


async def _read(
    store: Store, scope: Scope, where: RowFilter, turns: Mapping[str, Sequence[int]] | None
) -> list[SourceTurn]:
    table = await store.rows.read(scope, where, _COLUMNS, turns=turns)
    found = [
        SourceTurn(
            row["id"],
            row["conversation_id"],
            row["turn"],
            row["role"],
            row["content"],
            row["created_at"],
            row["speaker"],
        )
        for row in from_table(table)
    ]
    return sorted(found, key=lambda turn: turn.turn)
