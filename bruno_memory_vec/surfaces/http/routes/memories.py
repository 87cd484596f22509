"""Memories: stored, read, listed, deleted."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query
from pydantic import Field

from bruno_memory_vec.errors import NotFoundError
from bruno_memory_vec.surfaces.http.caller import Caller
from bruno_memory_vec.surfaces.http.operations import router as made_router
from bruno_memory_vec.surfaces.http.shapes import (
    After,
    Given,
    Limit,
    MemoryIn,
    MemoryOut,
    MemoryTypeName,
    Origin,
    Shown,
    Stored,
    memory_out,
)

router = made_router("memories")

MemoryId = Annotated[UUID, Path(description="The memory's id.")]
Texts = Annotated[list[str] | None, Query(max_length=1000)]


class Memories(Given):
    """Memories to store."""

    memories: list[MemoryIn] = Field(min_length=1, max_length=100_000)
    origin: Origin | None = Field(
        default=None, description='Who they come from. None: "given", by whoever stores them.'
    )


class MemoryPage(Shown):
    """A page of memories."""

    items: list[MemoryOut]
    next: str | None = Field(default=None, description="Give it as `after` for the next page.")


@router.post("/memories", status_code=201)
async def store_memories(caller: Caller, body: Memories) -> Stored:
    """Store memories, as one commit: all or none. What is stored again replaces itself."""
    entries = [one.model(caller.user) for one in body.memories]
    await caller.memory.store_memories(entries, origin=body.origin)
    return Stored(ids=[one.id for one in entries])


@router.put("/memories/{memory_id}")
async def store_memory(caller: Caller, memory_id: MemoryId, body: MemoryIn) -> MemoryOut:
    """Store one memory under an id. With its `created_at`, the same call again changes nothing."""
    entry = body.model(caller.user, memory_id)
    await caller.memory.store_memory(entry)
    return memory_out(entry)


@router.get("/memories")
async def list_memories(
    caller: Caller,
    memory_types: Annotated[list[MemoryTypeName] | None, Query()] = None,
    tags: Texts = None,
    categories: Texts = None,
    include_expired: Annotated[bool, Query(description="Also what has expired.")] = False,
    include_archived: Annotated[bool, Query(description="Also what was archived.")] = False,
    limit: Limit = 100,
    after: After = None,
) -> MemoryPage:
    """A user's memories, the newest first, page by page."""
    page = await caller.memory.list_memories(
        caller.user,
        memory_types=memory_types,
        tags=tags,
        categories=categories,
        include_expired=include_expired,
        include_archived=include_archived,
        limit=limit,
        after=after,
    )
    return MemoryPage(items=[memory_out(one) for one in page], next=page.next)


@router.get("/memories/{memory_id}")
async def get_memory(caller: Caller, memory_id: MemoryId) -> MemoryOut:
    """A memory by its id."""
    found = await caller.memory.get_memory(memory_id, user_id=caller.user_id)
    if found is None:
        raise NotFoundError(
            f"there is no memory {str(memory_id)!r}", fix="Use the id of a stored memory."
        )
    return memory_out(found)


@router.delete("/memories/{memory_id}", status_code=204)
async def delete_memory(caller: Caller, memory_id: MemoryId) -> None:
    """Delete a memory, for good."""
    await caller.memory.delete_memory(str(memory_id))
