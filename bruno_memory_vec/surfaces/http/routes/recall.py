"""Finding: recall, contexts for a prompt, the timeline."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import Query
from pydantic import Field, StrictBool, StrictInt

from bruno_memory_vec import ContextReport, Hits, list_profiles
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.surfaces.http.caller import Caller
from bruno_memory_vec.surfaces.http.operations import router as made_router
from bruno_memory_vec.surfaces.http.shapes import (
    After,
    Flag,
    Given,
    HitOut,
    Kind,
    Limit,
    MemoryTypeName,
    MessageOut,
    Moment,
    Number,
    Origin,
    RoleName,
    SessionOut,
    Share,
    Shown,
    When,
    Whole,
    hit_out,
    message_out,
    plain,
    session_out,
)

router = made_router("recall")

By = Literal["hybrid", "fulltext", "semantic", "exact", "temporal"]
Parts = Literal["hybrid", "sliding_window", "semantic", "importance"]
#: A key's value in a filter.
Value = str | StrictBool | StrictInt | Number

_QUESTION: Final = "A question or any text; it is never parsed."
_LONGEST: Final = 1_000_000


class RecallIn(Given):
    """What is asked, and what may answer."""

    query: str = Field(
        default="",
        max_length=_LONGEST,
        description=f"{_QUESTION} Blank only with `exact` or strategy `temporal`.",
        examples=["where did we stay in Lisbon?"],
    )
    k: Whole = Field(default=10, ge=1, le=1000, description="How many hits.")
    conversation_id: str | None = Field(
        default=None, min_length=1, max_length=1024, description="Only this conversation."
    )
    kinds: list[Kind] = Field(default_factory=list, description="Only these; empty for both.")
    roles: list[RoleName] = Field(default_factory=list, description="Only messages of these.")
    memory_types: list[MemoryTypeName] = Field(
        default_factory=list, description="Only memories of these."
    )
    tags: list[str] = Field(
        default_factory=list, max_length=1000, description="Only memories with any of these."
    )
    categories: list[str] = Field(
        default_factory=list, max_length=1000, description="Only memories of these."
    )
    metadata: dict[str, Value] = Field(
        default_factory=dict,
        max_length=64,
        description="Only rows with each of these keys and values.",
        examples=[{"project": "sea"}],
    )
    since: When | None = Field(default=None, description="Only rows from this time on.")
    until: When | None = Field(default=None, description="Only rows before this time.")
    as_of: When | None = Field(
        default=None, description="Answer as at this time; instead of `now`."
    )
    now: When | None = Field(
        default=None,
        description="The time that ages count from. Its offset says when a day begins.",
    )
    min_importance: Share = 0.0
    min_confidence: Share = 0.0
    min_similarity: Share = 0.0
    min_confidence_of_answer: Share = Field(
        default=0.0, description="No hits where an answer is less likely among them."
    )
    include_expired: Flag = False
    include_archived: Flag = False
    origins: list[Origin] = Field(default_factory=list, description="Only rows that come from.")
    profile: str | None = Field(
        default=None, max_length=100, description="How to rank: a profile's name."
    )
    strategy: By | None = Field(default=None, description="How to find, instead of a profile.")
    exact: str | None = Field(
        default=None, min_length=1, description="Only rows whose text holds this phrase."
    )
    match_case: Flag = Field(default=False, description="Compare `exact` letter for letter.")
    spaces: list[str] | None = Field(
        default=None,
        max_length=1000,
        description="Also rows of these shared spaces, which the token was granted.",
    )
    records: Flag = Field(default=False, description="Each hit with its message or memory.")


class Found(Shown):
    """What answers, best first."""

    hits: list[HitOut]
    confidence: float = Field(
        description="How likely an answer is among the first ten hits, 0..1; 0 for none."
    )


class ContextIn(Given):
    """What a prompt is to be made for."""

    query: str = Field(
        min_length=1,
        max_length=_LONGEST,
        description="The user's question, the last message of the context.",
        examples=["where did we stay in Lisbon?"],
    )
    conversation_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="Whose last turns are shown. None: no turns.",
    )
    budget: Whole = Field(default=2000, ge=1, le=2**31, description="The most tokens of all.")
    strategy: Parts = Field(default="hybrid", description="Which parts it has.")
    profile: str | None = Field(default=None, max_length=100, description="How to recall.")
    include_archived: Flag = False
    until: When | None = Field(default=None, description="Only of rows before this time.")
    now: When | None = Field(default=None, description="The time that ages count from.")


class ContextItemOut(Shown):
    """Something that went into a context."""

    source: str = Field(description="Which part it belongs to.")
    kind: str
    id: str | None = None
    cite: str | None = Field(default=None, description="The mark by which a model can cite it.")
    text: str
    tokens: int
    whole: bool = Field(description="Whether all of its text is shown.")
    conversation_id: str | None = None
    turn: int | None = None
    speaker: str
    at: Moment | None = None
    score: float | None = None


class LeftOutOut(Shown):
    """Something that did not go in."""

    source: str
    kind: str
    id: str | None = None
    reason: str
    text: str


class ContextReportOut(Shown):
    """What went into a context, and what did not."""

    strategy: str
    budget: int
    tokens: int
    confidence: float | None = None
    items: list[ContextItemOut]
    left_out: list[LeftOutOut]


class PromptMessage(Shown):
    """A message of a prompt."""

    role: RoleName
    content: str


class ContextOut(Shown):
    """A prompt for a question."""

    messages: list[PromptMessage] = Field(description="For a model, oldest first.")
    text: str = Field(description="The same as one text, for a model without roles.")
    report: ContextReportOut


class LastTurnsIn(Given):
    """Which conversation."""

    session_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="A conversation's id, or a session's. None: the user's current conversation.",
    )


class LastTurnsOut(Shown):
    """A conversation's last turns, with its session and its user."""

    conversation_id: str
    session: SessionOut
    user: dict[str, Any] = Field(description="Name, preferences and profile of the user.")
    messages: list[MessageOut] = Field(description="Oldest first.")
    metadata: dict[str, Any]


class Timeline(Shown):
    """A page of rows by their time."""

    items: list[HitOut]
    next: str | None = Field(default=None, description="Give it as `after` for the next page.")


@router.post("/recall")
async def recall(caller: Caller, body: RecallIn) -> Found:
    """The messages and memories that answer a question best, best first."""
    given = body.model_dump(exclude={"query", "records", "kinds", "profile"})
    hits = await caller.memory.recall(
        body.query,
        user_id=caller.user,
        kinds=body.kinds or None,
        profile=known_profile(body.profile),
        **given,
    )
    return found(hits, records=body.records)


@router.get("/recall")
async def recall_by_address(
    caller: Caller,
    q: Annotated[
        str,
        Query(
            description=_QUESTION,
            min_length=1,
            max_length=20_000,
            examples=["where did we stay in Lisbon?"],
        ),
    ],
    k: Annotated[int, Query(ge=1, le=1000, description="How many hits.")] = 10,
    conversation_id: Annotated[str | None, Query(min_length=1, max_length=1024)] = None,
    kinds: Annotated[list[Kind] | None, Query()] = None,
    since: Annotated[When | None, Query()] = None,
    until: Annotated[When | None, Query()] = None,
    profile: Annotated[str | None, Query(max_length=100)] = None,
    strategy: Annotated[By | None, Query()] = None,
) -> Found:
    """The same as an address, with the filters that are used most."""
    hits = await caller.memory.recall(
        q,
        user_id=caller.user,
        k=k,
        conversation_id=conversation_id,
        kinds=kinds,
        since=since,
        until=until,
        profile=known_profile(profile),
        strategy=strategy,
    )
    return found(hits)


@router.post("/context")
async def build_context(caller: Caller, body: ContextIn) -> ContextOut:
    """A prompt for a question: what a model should know for it, within a budget of tokens.

    What is recalled is quoted: it is data, whatever it says.
    """
    built = await caller.memory.build_context(
        body.query,
        user_id=caller.user,
        conversation_id=body.conversation_id,
        budget=body.budget,
        strategy=body.strategy,
        profile=known_profile(body.profile),
        include_archived=body.include_archived,
        until=body.until,
        now=body.now,
    )
    return ContextOut(
        messages=[
            PromptMessage(role=one.role.value, content=one.content) for one in built.messages
        ],
        text=built.text,
        report=_report(built.report),
    )


@router.post("/context/last-turns")
async def last_turns(caller: Caller, body: LastTurnsIn) -> LastTurnsOut:
    """A conversation's last turns, as an assistant of bruno-core gets them.

    Without an id it is the current conversation, and one begins where there is none.
    """
    context = await caller.memory.get_context(caller.user, body.session_id)
    user = context.user
    return LastTurnsOut(
        conversation_id=context.conversation_id,
        session=session_out(context.session),
        user={
            "user_id": user.user_id,
            "name": user.name,
            "preferences": plain(user.preferences),
            "profile": plain(user.profile),
        },
        messages=[message_out(one, context.conversation_id) for one in context.messages],
        metadata=plain(context.metadata),
    )


@router.get("/timeline")
async def timeline(
    caller: Caller,
    since: Annotated[When | None, Query(description="Only rows from this time on.")] = None,
    until: Annotated[When | None, Query(description="Only rows before this time.")] = None,
    around: Annotated[When | None, Query(description="Nearest to this time first.")] = None,
    order: Annotated[Literal["newest", "oldest"] | None, Query(description="Which first.")] = None,
    conversation_id: Annotated[str | None, Query(min_length=1, max_length=1024)] = None,
    kinds: Annotated[list[Kind] | None, Query()] = None,
    roles: Annotated[list[RoleName] | None, Query()] = None,
    memory_types: Annotated[list[MemoryTypeName] | None, Query()] = None,
    tags: Annotated[list[str] | None, Query(max_length=1000)] = None,
    categories: Annotated[list[str] | None, Query(max_length=1000)] = None,
    origins: Annotated[list[Origin] | None, Query()] = None,
    include_expired: bool = False,
    include_archived: bool = False,
    limit: Limit = 100,
    after: After = None,
) -> Timeline:
    """A user's messages and memories by their time, without a question, page by page."""
    page = await caller.memory.timeline(
        caller.user,
        since=since,
        until=until,
        around=around,
        order=order,
        limit=limit,
        after=after,
        conversation_id=conversation_id,
        kinds=kinds,
        roles=roles,
        memory_types=memory_types,
        tags=tags,
        categories=categories,
        include_expired=include_expired,
        include_archived=include_archived,
        origins=origins,
    )
    return Timeline(items=[hit_out(hit) for hit in page], next=page.next)


@router.get("/profiles")
async def profiles(caller: Caller) -> list[str]:
    """The names of the ways to rank that a recall may name."""
    return sorted(list_profiles())


def known_profile(name: str | None) -> str | None:
    """A profile by its name. A path of a file on the server is none.

    Raises:
        InvalidInputError: there is none.
    """
    if name is not None and name not in list_profiles():
        raise InvalidInputError(
            "profile", "names none", fix="Give one that GET /v1/profiles lists."
        )
    return name


def found(hits: Hits, *, records: bool = False) -> Found:
    """Hits as an answer shows them."""
    return Found(hits=[hit_out(hit, records=records) for hit in hits], confidence=hits.confidence)


def _report(report: ContextReport) -> ContextReportOut:
    return ContextReportOut.model_validate(report.to_dict())
