"""Finding."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from bruno_memory_vec.surfaces.http.caller import Caller

router = APIRouter(tags=["recall"])


@router.get("/recall")
async def recall(
    caller: Caller, q: Annotated[str, Query(description="The question.")], k: int = 10
) -> dict[str, Any]:
    """The rows that answer a question best."""
    hits = await caller.memory.recall(q, user_id=caller.user, k=k)
    return {"hits": [hit.to_dict() for hit in hits]}
