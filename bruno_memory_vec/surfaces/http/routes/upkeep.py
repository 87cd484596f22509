"""The store as a whole: health, upkeep, retention, compression."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from bruno_memory_vec import CompressionPolicy
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.surfaces.http.caller import Caller, Whole
from bruno_memory_vec.surfaces.http.operations import router as made_router
from bruno_memory_vec.surfaces.http.problems import Conflict
from bruno_memory_vec.surfaces.http.shapes import Flag, Given, Number, Shown, plain

router = made_router("upkeep")


class HealthOut(Shown):
    """The state of the store."""

    status: str = Field(description='"ok" or "degraded".')
    report: dict[str, Any] = Field(
        description="Each engine's state, and the problems; empty for a user, who sees no counts."
    )


class RetentionIn(Given):
    """How old rows may be."""

    days: dict[str, Annotated[Number, Field(gt=0)] | None] | None = Field(
        default=None,
        description="Days by kind, as of the setting `retention_days`; null for that setting.",
        examples=[{"message": 365}],
    )
    dry_run: Flag = Field(default=True, description="Only say what would be deleted.")


class CompressIn(Given):
    """What is compressed."""

    conversation_id: str | None = Field(default=None, min_length=1, max_length=1024)
    policy: CompressionPolicy | None = Field(
        default=None,
        description="What is compressed, when, and how much detail stays; null for the setting "
        "`compression`. Lengths of time are ISO 8601, such as P1D.",
    )
    dry_run: Flag = Field(default=True, description="Only say what would be compressed.")


class RestoreIn(Given):
    """Which compression is undone; with nothing given, all of the user."""

    summary_id: UUID | None = None
    conversation_id: str | None = Field(default=None, min_length=1, max_length=1024)


class RestoreOut(Shown):
    """What came back."""

    turns: int = Field(description="How many turns are recalled again.")
    summaries: int = Field(description="How many summaries are gone.")


@router.get("/health")
async def health(memory: Whole) -> HealthOut:
    """The state of each engine, and what is wrong."""
    report = dict(await memory.health())
    return HealthOut(status=str(report.pop("status")), report=plain(report))


@router.get("/latencies")
async def latencies(memory: Whole) -> dict[str, dict[str, Any]]:
    """How often each method was called, how long it took, and how it ended. An administrator's.

    The server has to be started with the setting `metrics`.
    """
    try:
        found = await memory.latencies()
    except InvalidInputError as error:
        raise Conflict("nothing is measured", "Start the server with metrics.") from error
    return {name: figures.to_dict() for name, figures in found.items()}


@router.post("/maintain")
async def maintain(memory: Whole) -> dict[str, Any]:
    """Do all upkeep now, and verify the store. An administrator's."""
    return dict(plain((await memory.maintain()).to_dict()))


@router.post("/retention")
async def apply_retention(memory: Whole, body: RetentionIn) -> dict[str, Any]:
    """Delete the rows of all users that are older than a policy lets them be. An administrator's.

    By default it only says which.
    """
    if body.days is None and memory.config.retention_days is None:
        raise InvalidInputError(
            "days", "is missing, and the server has no retention_days", fix="Give the days."
        )
    return (await memory.apply_retention(body.days, dry_run=body.dry_run)).to_dict()


@router.post("/compress")
async def compress(caller: Caller, body: CompressIn) -> dict[str, Any]:
    """Put summaries in place of older turns, which are archived and never lost.

    By default it only says which.
    """
    report = await caller.memory.compress(
        caller.user,
        conversation_id=body.conversation_id,
        policy=body.policy,
        dry_run=body.dry_run,
    )
    return dict(plain(report.to_dict()))


@router.post("/compress/restore")
async def restore(caller: Caller, body: RestoreIn) -> RestoreOut:
    """Undo a compression: the turns are recalled as before, and their summaries are deleted."""
    return RestoreOut.model_validate(
        await caller.memory.restore(
            body.summary_id, conversation_id=body.conversation_id, user_id=caller.user
        )
    )
