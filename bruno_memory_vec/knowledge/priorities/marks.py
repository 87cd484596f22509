"""What a user marks a row with: pinned, important, forgotten."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from bruno_core.models.memory import MemoryEntry
from bruno_core.models.message import Message

from bruno_memory_vec.errors import NotFoundError
from bruno_memory_vec.indexers.query import EVER, RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MESSAGE, micros
from bruno_memory_vec.recall.copies import once
from bruno_memory_vec.rows import checks, tagged_json
from bruno_memory_vec.rows.metadata_pairs import pairs_of
from bruno_memory_vec.rows.models import Row, read_all, record
from bruno_memory_vec.store.handle import Handle


async def pin(handle: Handle, ids: Any, user_id: str | None, *, pinned: bool) -> None:
    """Pin rows, or let them be pinned no more. What is so already is left as it is.

    Raises:
        NotFoundError: an id is no row of the caller's. None was changed.
    """
    at = micros(datetime.now(timezone.utc)) if pinned else None

    def change(row: Row) -> Mapping[str, Any] | None:
        return None if (row["pinned_at"] is not None) == pinned else {"pinned_at": at}

    await _mark(handle, ids, user_id, change)


async def set_importance(handle: Handle, ids: Any, importance: Any, user_id: str | None) -> None:
    """Set the importance of rows; of a message also ``metadata["importance"]``.

    Raises:
        NotFoundError: an id is no row of the caller's. None was changed.
    """
    value = checks.unit_interval("importance", importance)

    def change(row: Row) -> Mapping[str, Any]:
        if row["kind"] != MESSAGE:
            return {"importance": value}
        metadata = {**tagged_json.loads(row["metadata"]), "importance": value}
        return {
            "importance": value,
            "metadata": checks.json_dict("message.metadata", metadata),
            "metadata_pairs": pairs_of(metadata),
        }

    await _mark(handle, ids, user_id, change)


async def forget(handle: Handle, ids: Any, user_id: str | None, *, archive: bool) -> int:
    """Delete rows of either kind by their ids, or archive them; returns how many.

    Raises:
        NotFoundError: an id is no row of the caller's. None was changed.
    """
    scope, where = await _found(handle, ids, user_id)
    writer = await handle.writer()
    if not archive:
        return await writer.delete(scope, where)
    at = micros(datetime.now(timezone.utc))

    def change(row: Row) -> Mapping[str, Any] | None:
        return {"archived_at": at} if row["archived_at"] is None else None

    return len(await writer.rewrite(scope, where, change))


async def pinned_rows(handle: Handle, user_id: str | None) -> list[Message | MemoryEntry]:
    """A user's pinned rows that are not archived, each once, by the time of which they are."""
    scope = await handle.caller.search_scope(handle.owners, user_id)
    now = datetime.now(timezone.utc)
    where = RowFilter(pinned_since=EVER, alive_at=now, unarchived_at=now)
    found = await (await handle.store()).rows.read(scope, where, COLUMNS)
    return await read_all(once(found).sort_by("created_at"), record)


async def _mark(
    handle: Handle,
    ids: Any,
    user_id: str | None,
    change: Callable[[Row], Mapping[str, Any] | None],
) -> None:
    scope, where = await _found(handle, ids, user_id)
    await (await handle.writer()).rewrite(scope, where, change)


async def _found(handle: Handle, ids: Any, user_id: str | None) -> tuple[Scope, RowFilter]:
    """The scope and filter of rows with these ids; each has to be one of the caller's."""
    named = checks.uuids("ids", ids)
    user = handle.caller.acting_for(user_id)
    scope = handle.caller.scope if user is None else Scope.user(user)
    where = RowFilter(ids=named)
    there: set[str] = set()
    if named:
        found = await (await handle.store()).rows.read(scope, where, ("id",))
        there = set(found.column("id").to_pylist())
    for one in named:
        if one not in there:
            raise NotFoundError(
                f"there is no message or memory {one}",
                fix="Use the id of a stored Message or MemoryEntry.",
            )
    return scope, where
