"""Erasing a user, the proof of it, and the audit trail."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.surfaces.http.caller import Caller, Whole
from bruno_memory_vec.surfaces.http.operations import router as made_router
from bruno_memory_vec.surfaces.http.problems import Conflict
from bruno_memory_vec.surfaces.http.shapes import Flag, Given, Moment, Shown, When

router = made_router("privacy")


class ErasureIn(Given):
    """Who is erased."""

    user_id: str = Field(
        min_length=1,
        max_length=1024,
        description="Who; the same as the call's own user, said again to be sure.",
        examples=["ana"],
    )
    dry_run: Flag = Field(
        default=False, description="Only say what would be erased.", examples=[True]
    )


class ReceiptIn(Given):
    """A receipt to check."""

    receipt: dict[str, Any] = Field(description="As the erasure answered.")
    user_id: str | None = Field(default=None, min_length=1, max_length=1024)


class RemainsIn(Given):
    """What is looked for."""

    texts: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list, max_length=100, description="What is known of their texts."
    )
    stored: Flag = Field(default=True, description="Pieces of what is stored now, too.")


class AuditEntryOut(Shown):
    """One thing that was done."""

    trail: str
    number: int
    at: Moment
    action: str
    call: str
    caller: str | None = None
    purpose: str | None = None
    view: str | None = None
    users: list[str]
    conversations: list[str]
    counts: dict[str, int]
    outcome: str
    error: str | None = None
    about: dict[str, Any]
    hash: str


class HeadsIn(Given):
    """Ends of the trail that were kept elsewhere."""

    heads: dict[str, dict[str, Any]] | None = None


@router.post("/erasures")
async def forget_user(caller: Caller, body: ErasureIn) -> dict[str, Any]:
    """Erase everything of a user, in every file of the store, and look for what remains.

    The answer is a signed receipt, which names the user by a salted hash only. Keep it.
    """
    if body.user_id != caller.user_id:
        raise InvalidInputError(
            "user_id",
            "is not the user of the call",
            fix="Name the same user in the body and in ?user_id=; a token has its own.",
        )
    receipt = await caller.memory.forget_user(body.user_id, dry_run=body.dry_run)
    return receipt.to_dict()


@router.get("/erasures")
async def erasure_receipts(memory: Whole) -> list[dict[str, Any]]:
    """The receipts of all erasures, the oldest first. An administrator's."""
    return [one.to_dict() for one in await memory.erasure_receipts()]


@router.post("/erasures/verify")
async def verify_receipt(memory: Whole, body: ReceiptIn) -> dict[str, Any]:
    """Whether a receipt is as this store gave it out. An administrator's."""
    verdict = await memory.verify_receipt(body.receipt, body.user_id)
    return {"ok": verdict.ok, "text": str(verdict)}


@router.post("/remains")
async def remains(caller: Caller, body: RemainsIn) -> dict[str, Any]:
    """Look for what there is of a user, in every engine and every byte of the store's files."""
    report = await caller.memory.remains(caller.user, body.texts, stored=body.stored)
    return report.to_dict()


@router.get("/audit")
async def audit(
    caller: Caller,
    of: Annotated[
        str | None, Query(min_length=1, max_length=200, description="Only of this caller.")
    ] = None,
    action: Annotated[
        Literal["read", "write", "delete", "export", "erase", "administer"] | None, Query()
    ] = None,
    since: Annotated[When | None, Query()] = None,
    until: Annotated[When | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> list[AuditEntryOut]:
    """What the audit trail says, the newest first. A user sees what was about their rows."""
    try:
        found = await caller.memory.audit(
            caller.user_id, caller=of, action=action, since=since, until=until, limit=limit
        )
    except InvalidInputError as error:
        if error.field != "audit":
            raise
        raise Conflict("nothing is audited", "Start the server with audit.") from error
    return [AuditEntryOut.model_validate(one.to_dict()) for one in found]


@router.get("/audit/heads")
async def audit_heads(memory: Whole) -> dict[str, dict[str, Any]]:
    """The end of each trail. Keep it elsewhere, to verify with. An administrator's."""
    return await memory.audit_head()


@router.post("/audit/verify")
async def verify_audit(memory: Whole, body: HeadsIn) -> dict[str, Any]:
    """Whether the audit trail is as it was written. An administrator's."""
    return (await memory.verify_audit(body.heads)).to_dict()
