"""Facts about users."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from pydantic import Field

from bruno_memory_vec.surfaces.http.caller import Caller
from bruno_memory_vec.surfaces.http.operations import router as made_router
from bruno_memory_vec.surfaces.http.shapes import (
    Flag,
    Given,
    Moment,
    Share,
    Shown,
    When,
)

router = made_router("facts")


class FactOut(Shown):
    """Something that is known of somebody, and the turns that say it. It is no proof of it."""

    id: str
    subject: str
    attribute: str
    value: str
    text: str
    category: str
    confidence: float
    times_seen: int
    sources: list[str]
    conversation_id: str | None = None
    method: str
    said_at: Moment
    said_last: Moment
    archived_at: Moment | None = Field(default=None, description="Since when it holds no more.")
    supersedes: str | None = None
    superseded_by: str | None = None
    ended_by: str | None = None


class FactIn(Given):
    """A fact to add."""

    attribute: str = Field(
        min_length=1, max_length=60, description="A plain name.", examples=["home"]
    )
    value: str = Field(min_length=1, max_length=1000, examples=["Lisbon"])
    subject: str = Field(default="user", min_length=1, max_length=60)
    confidence: Share = 1.0
    sources: list[UUID] = Field(
        default_factory=list, max_length=1000, description="Messages of the user that say it."
    )
    said_at: When | None = None


class ExtractIn(Given):
    """What facts are extracted from."""

    conversation_id: str | None = Field(default=None, min_length=1, max_length=1024)
    since: When | None = None
    method: Literal["patterns", "llm"] | None = None
    dry_run: Flag = False


@router.get("/facts")
async def list_facts(
    caller: Caller,
    attribute: Annotated[str | None, Query(min_length=1, max_length=60)] = None,
    subject: Annotated[str | None, Query(min_length=1, max_length=60)] = None,
    min_confidence: Annotated[float, Query(ge=0, le=1)] = 0.0,
) -> list[FactOut]:
    """The facts that hold, the one that was said last first."""
    found = await caller.memory.facts.list(
        caller.user, attribute=attribute, subject=subject, min_confidence=min_confidence
    )
    return [FactOut.model_validate(one) for one in found]


@router.get("/facts/history")
async def fact_history(
    caller: Caller,
    attribute: Annotated[str | None, Query(min_length=1, max_length=60)] = None,
    subject: Annotated[str | None, Query(min_length=1, max_length=60)] = None,
) -> list[FactOut]:
    """All facts, also those that hold no more, in the order in which they were said first."""
    found = await caller.memory.facts.history(caller.user, attribute=attribute, subject=subject)
    return [FactOut.model_validate(one) for one in found]


@router.post("/facts", status_code=201)
async def add_fact(caller: Caller, body: FactIn) -> FactOut:
    """Add a fact by hand. It strengthens or supersedes others."""
    return FactOut.model_validate(
        await caller.memory.facts.add(
            body.attribute,
            body.value,
            user_id=caller.user,
            subject=body.subject,
            confidence=body.confidence,
            sources=body.sources,
            said_at=body.said_at,
        )
    )


@router.post("/facts/extract")
async def extract_facts(caller: Caller, body: ExtractIn) -> dict[str, Any]:
    """Extract facts from stored turns now. The answer counts what was new."""
    report = await caller.memory.facts.extract(
        body.conversation_id,
        user_id=caller.user,
        since=body.since,
        method=body.method,
        dry_run=body.dry_run,
    )
    return report.to_dict()
