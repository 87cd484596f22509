"""Single rows: pinned, weighed, forgotten; and which matter least."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from bruno_core.models.message import Message
from fastapi import Query
from pydantic import Field

from bruno_memory_vec import PrunePolicy
from bruno_memory_vec.surfaces.http.caller import Caller
from bruno_memory_vec.surfaces.http.operations import router as made_router
from bruno_memory_vec.surfaces.http.shapes import (
    Count,
    Flag,
    Given,
    Ids,
    Kind,
    MemoryOut,
    MemoryTypeName,
    MessageOut,
    Moment,
    Number,
    Share,
    Shown,
    Whole,
    memory_out,
    message_out,
)

router = made_router("marks")


class ImportanceIn(Ids):
    """An importance for some rows."""

    importance: Share


class ForgetIn(Ids):
    """Which rows are forgotten, and how."""

    archive: Flag = Field(default=False, description="Keep them, and leave them out of recalls.")


class Pinned(Shown):
    """What is pinned."""

    messages: list[MessageOut]
    memories: list[MemoryOut]


class PriorityOut(Shown):
    """A row and how much it matters."""

    id: str
    kind: Kind
    user_id: str
    conversation_id: str | None = None
    turn: int | None = None
    content: str
    created_at: Moment
    pinned: bool
    score: float = Field(description="0..1.")
    parts: dict[str, float] = Field(description="What each part adds to the score.")


class PruneIn(Given):
    """Which rows of little priority are pruned, and how."""

    below: Share = Field(default=0.25, description="Those of less priority.")
    most: Whole | None = Field(default=None, ge=0, le=2**31, description="The most that stay.")
    keep: Whole = Field(default=100, ge=0, le=2**31, description="So many stay at least.")
    older_than_days: Number = Field(default=30.0, ge=0, le=36_500)
    kinds: list[Kind] = Field(default=["memory"], min_length=1)
    memory_types: list[MemoryTypeName] = Field(default_factory=list)
    action: Literal["archive", "delete"] = "archive"
    dry_run: Flag = Field(default=True, description="Only say what would be pruned.")


@router.post("/pins")
async def pin(caller: Caller, body: Ids) -> Count:
    """Pin messages or memories: they come first in a built context, and are never pruned."""
    await caller.memory.pin(body.ids, user_id=caller.user_id)
    return Count(count=len(set(body.ids)))


@router.delete("/pins")
async def unpin(
    caller: Caller,
    ids: Annotated[list[UUID], Query(min_length=1, max_length=1000, description="Which.")],
) -> Count:
    """Let messages or memories be pinned no more."""
    await caller.memory.unpin(ids, user_id=caller.user_id)
    return Count(count=len(set(ids)))


@router.get("/pins")
async def list_pinned(caller: Caller) -> Pinned:
    """A user's pinned messages and memories."""
    rows = await caller.memory.list_pinned(caller.user)
    return Pinned(
        messages=[message_out(row) for row in rows if isinstance(row, Message)],
        memories=[memory_out(row) for row in rows if not isinstance(row, Message)],
    )


@router.post("/importance")
async def set_importance(caller: Caller, body: ImportanceIn) -> Count:
    """Set the importance of messages or memories."""
    await caller.memory.set_importance(body.ids, body.importance, user_id=caller.user_id)
    return Count(count=len(set(body.ids)))


@router.post("/forget")
async def forget(caller: Caller, body: ForgetIn) -> Count:
    """Delete messages or memories for good, or archive them."""
    return Count(
        count=await caller.memory.forget(body.ids, user_id=caller.user_id, archive=body.archive)
    )


@router.get("/priorities")
async def priorities(
    caller: Caller,
    kinds: Annotated[list[Kind] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    lowest_first: bool = False,
) -> list[PriorityOut]:
    """A user's messages and memories by how much they matter, with what each part adds."""
    found = await caller.memory.priorities(
        caller.user, kinds=kinds, limit=limit, lowest_first=lowest_first
    )
    return [PriorityOut.model_validate(one) for one in found]


@router.post("/prune")
async def prune(caller: Caller, body: PruneIn) -> dict[str, Any]:
    """Archive or delete rows of little priority. By default it only says which.

    The answer has `examined`, and in `pruned` the ids with their scores and reasons.
    """
    policy = PrunePolicy(
        below=body.below,
        most=body.most,
        keep=body.keep,
        older_than=timedelta(days=body.older_than_days),
        kinds=body.kinds,
        memory_types=body.memory_types,
        action=body.action,
    )
    report = await caller.memory.prune(caller.user, policy=policy, dry_run=body.dry_run)
    return report.to_dict()
