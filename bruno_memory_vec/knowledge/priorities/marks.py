"""What a user marks a row with: pinned, important, forgotten."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
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
    if archive:
        at = micros(datetime.now(timezone.utc))

        def change(row: Row) -> Mapping[str, Any] | None:
            return {"archived_at": at} if row["archived_at"] is None else None

        return await _mark(handle, ids, user_id, change)
    scope, where = _named(handle, ids, user_id)
    found = await (await handle.store()).rows.read(scope, where, ("id",))
    _require_all(where.ids, found)
    return await (await handle.writer()).delete(scope, where)


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
) -> int:
    """Change rows by their ids; returns how many."""
    scope, where = _named(handle, ids, user_id)
    writer = await handle.writer()
    # The rows are read once: whether all are there is seen when they are read to be changed.
    return len(
        await writer.rewrite(
            scope, where, change, check=lambda found: _require_all(where.ids, found)
        )
    )


def _named(handle: Handle, ids: Any, user_id: str | None) -> tuple[Scope, RowFilter]:
    """The scope and filter of the caller's rows with these ids."""
    named = checks.uuids("ids", ids)
    user = handle.caller.acting_for(user_id)
    scope = handle.caller.scope if user is None else Scope.user(user)
    return scope, RowFilter(ids=named)


def _require_all(named: Collection[str] | None, found: pa.Table) -> None:
    """Raise NotFoundError if an id is none of the rows that were found."""
    there = set(found.column("id").to_pylist())
    for one in named or ():
        if one not in there:
            raise NotFoundError(
                f"there is no message or memory {one}",
                fix="Use the id of a stored Message or MemoryEntry.",
            )
