"""Sessions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import Field

from bruno_memory_vec.errors import NotFoundError
from bruno_memory_vec.surfaces.http.caller import Caller
from bruno_memory_vec.surfaces.http.operations import router as made_router
from bruno_memory_vec.surfaces.http.routes.conversations import Status
from bruno_memory_vec.surfaces.http.shapes import (
    After,
    Given,
    Limit,
    SessionOut,
    Shown,
    session_out,
)

router = made_router("sessions")

SessionId = Annotated[str, Path(description="The session's id.", min_length=1, max_length=1024)]


class NewSession(Given):
    """A session to begin."""

    metadata: dict[str, Any] = Field(default_factory=dict)


class Sessions(Shown):
    """A page of sessions."""

    items: list[SessionOut]
    next: str | None = Field(default=None, description="Give it as `after` for the next page.")


class SessionWithStatus(SessionOut):
    """A session and its status."""

    status: Status


@router.post("/sessions", status_code=201)
async def create_session(caller: Caller, body: NewSession) -> SessionOut:
    """Begin a session, with a new conversation that becomes the current one."""
    return session_out(await caller.memory.create_session(caller.user, body.metadata))


@router.get("/sessions")
async def list_sessions(
    caller: Caller,
    active: Annotated[bool | None, Query(description="Only those that go on, or ended.")] = None,
    limit: Limit = 100,
    after: After = None,
) -> Sessions:
    """A user's sessions, the newest first, page by page."""
    page = await caller.memory.list_sessions(caller.user, active=active, limit=limit, after=after)
    return Sessions(items=[session_out(one) for one in page], next=page.next)


@router.get("/sessions/{session_id:id}")
async def get_session(caller: Caller, session_id: SessionId) -> SessionWithStatus:
    """A session, and whether it goes on."""
    found = await caller.memory.get_session(session_id)
    if found is None:
        raise NotFoundError(
            "there is no such session", fix="Use the id of one that GET /v1/sessions lists."
        )
    status = await caller.memory.conversations.session_status(session_id)
    return SessionWithStatus(**session_out(found).model_dump(), status=status)


@router.post("/sessions/{session_id:id}/end", status_code=204)
async def end_session(caller: Caller, session_id: SessionId) -> None:
    """End a session."""
    await caller.memory.end_session(session_id)


@router.delete("/sessions/{session_id:id}", status_code=204)
async def delete_session(caller: Caller, session_id: SessionId) -> None:
    """Forget a session; its conversation and messages stay."""
    await caller.memory.conversations.delete_session(session_id)
