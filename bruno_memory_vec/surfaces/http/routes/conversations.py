"""Conversations as a whole: begun, listed, searched, titled, ended, archived, forked, shared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import Field

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.surfaces.http.caller import Caller
from bruno_memory_vec.surfaces.http.operations import ConversationId
from bruno_memory_vec.surfaces.http.operations import router as made_router
from bruno_memory_vec.surfaces.http.problems import Conflict
from bruno_memory_vec.surfaces.http.shapes import (
    After,
    Count,
    Flag,
    Given,
    HitOut,
    Limit,
    Moment,
    SessionOut,
    Shown,
    Whole,
    hit_out,
    session_out,
)

router = made_router("conversations")

Status = Literal["created", "active", "idle", "ended", "archived"]
Title = Annotated[str, Field(min_length=1, max_length=80)]
UserId = Annotated[str, Field(min_length=1, max_length=1024)]


class ConversationOut(Shown):
    """A conversation as a whole."""

    conversation_id: str
    user_id: str
    title: str = Field(description="Given, made by a model, or its first words.")
    title_by: str = Field(description='"given", "model" or "words".')
    status: Status
    messages: int
    first: Moment | None = Field(default=None, description="The time of the oldest message.")
    last: Moment | None = Field(default=None, description="The time of the newest message.")
    last_activity: Moment
    parent_id: str | None = Field(default=None, description="What it was forked from.")
    forked_at: int | None = Field(default=None, description="The last turn that it shares.")
    ended_at: Moment | None = None
    archived_at: Moment | None = None


class Conversations(Shown):
    """A page of conversations."""

    items: list[ConversationOut]
    next: str | None = Field(default=None, description="Give it as `after` for the next page.")


class FoundConversationOut(Shown):
    """A conversation that answers a question."""

    info: ConversationOut
    score: float
    title_matches: float
    hits: list[HitOut]


class NewConversation(Given):
    """A conversation to begin."""

    title: Title | None = None
    metadata: dict[str, Any] = Field(default_factory=dict, description="Of its session.")


class NewGroup(Given):
    """A conversation of several members to begin."""

    members: list[UserId] = Field(min_length=1, max_length=1000, description="The others.")
    title: Title | None = None


class TitleIn(Given):
    """A title; null for the conversation's first words."""

    title: Title | None


class MadeTitleIn(Given):
    """How a title is to be made."""

    replace: Flag = Field(default=False, description="Also in place of one that was given.")


class ArchiveIn(Given):
    """What is archived with a conversation."""

    memories: Flag = Field(default=False, description="Also its facts and other memories.")


class ForkIn(Given):
    """Where a conversation forks."""

    turn: Whole | None = Field(
        default=None, ge=0, le=2**53, description="The last turn that the branch has. None: all."
    )
    title: Title | None = None
    switch: Flag = Field(default=True, description="The branch becomes the current conversation.")


class BranchOut(Shown):
    """A conversation in the tree of those that were forked from one another."""

    conversation_id: str
    parent_id: str | None = None
    forked_at: int | None = None
    title: str
    archived: bool
    branches: list[BranchOut]


class SummaryOut(Shown):
    """What a conversation is about."""

    text: str
    method: str = Field(description='"llm" or "extractive" of stored ones, else "turns".')
    from_turn: int | None = None
    to_turn: int | None = None
    sources: list[str]


class SegmentOut(Shown):
    """Turns that belong together."""

    from_turn: int
    to_turn: int
    messages: int
    since: Moment
    until: Moment
    gap: bool = Field(description="A pause comes before it.")
    topic: bool = Field(description="Another topic begins with it.")


class TurnBreakOut(Shown):
    """A place where a conversation is not question, answer, question, answer."""

    kind: str
    turn: int
    message_id: str
    after: int | None = None


class MemberOut(Shown):
    """Somebody who is or was in a conversation of several members."""

    user_id: str
    owner: bool
    joined_at: Moment
    left_at: Moment | None = None
    left_turn: int | None = None


class GroupOut(Shown):
    """A conversation of several members."""

    conversation_id: str
    space: str = Field(description="The user id that owns its messages.")
    members: list[MemberOut]


class MemberIn(Given):
    """Somebody to let in."""

    user_id: UserId


class Current(Shown):
    """The user's current conversation."""

    conversation_id: str | None = Field(description="None where the next one is still to begin.")


# Lists


@router.get("/conversations")
async def list_conversations(
    caller: Caller,
    status: Annotated[list[Status] | None, Query(description="Only those of these.")] = None,
    limit: Limit = 100,
    after: After = None,
) -> Conversations:
    """A user's conversations, the one in which something happened last first."""
    page = await caller.memory.conversations.list(
        caller.user, status=status or None, limit=limit, after=after
    )
    return Conversations(
        items=[ConversationOut.model_validate(one) for one in page], next=page.next
    )


@router.get("/conversation-search")
async def search_conversations(
    caller: Caller,
    q: Annotated[str, Query(min_length=1, max_length=20_000, description="A question.")],
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    hits_each: Annotated[int, Query(ge=1, le=100)] = 3,
    status: Annotated[list[Status] | None, Query()] = None,
    include_archived: bool = False,
) -> list[FoundConversationOut]:
    """The conversations that answer a question best: by what was said, summaries and titles."""
    found = await caller.memory.conversations.search(
        q,
        caller.user,
        limit=limit,
        hits_each=hits_each,
        status=status or None,
        include_archived=include_archived,
    )
    return [
        FoundConversationOut(
            info=ConversationOut.model_validate(one.info),
            score=one.score,
            title_matches=one.title_matches,
            hits=[hit_out(hit) for hit in one.hits],
        )
        for one in found
    ]


@router.get("/current-conversation")
async def current_conversation(caller: Caller) -> Current:
    """The conversation that goes on where a call names none."""
    return Current(conversation_id=await caller.memory.conversations.current(caller.user))


# The life of one


@router.post("/conversations", status_code=201)
async def start_conversation(caller: Caller, body: NewConversation) -> SessionOut:
    """Begin a conversation, with a session. It becomes the current one."""
    return session_out(
        await caller.memory.conversations.start(
            caller.user, title=body.title, metadata=body.metadata
        )
    )


@router.get("/conversations/{conversation_id:id}")
async def get_conversation(caller: Caller, conversation_id: ConversationId) -> ConversationOut:
    """A conversation as a whole."""
    return ConversationOut.model_validate(await caller.memory.conversations.get(conversation_id))


@router.patch("/conversations/{conversation_id:id}")
async def rename_conversation(
    caller: Caller, conversation_id: ConversationId, body: TitleIn
) -> ConversationOut:
    """Give a conversation a title."""
    await caller.memory.conversations.rename(conversation_id, body.title)
    return await get_conversation(caller, conversation_id)


@router.delete("/conversations/{conversation_id:id}", status_code=204)
async def delete_conversation(caller: Caller, conversation_id: ConversationId) -> None:
    """Delete a conversation: messages, summaries, title, sessions. Its branches stay."""
    await caller.memory.conversations.delete(conversation_id)


@router.post("/conversations/{conversation_id:id}/title")
async def make_title(
    caller: Caller, conversation_id: ConversationId, body: MadeTitleIn
) -> ConversationOut:
    """Have a title made by the server's model."""
    await caller.memory.conversations.get(conversation_id)
    try:
        await caller.memory.conversations.make_title(conversation_id, replace=body.replace)
    except InvalidInputError as error:
        if error.field != "llm":
            raise
        raise Conflict(
            "the server's memory has no model", "Give a title, by PATCH, or serve one with llm=."
        ) from error
    return await get_conversation(caller, conversation_id)


@router.post("/conversations/{conversation_id:id}/resume")
async def resume_conversation(caller: Caller, conversation_id: ConversationId) -> SessionOut:
    """Go on with a conversation: it becomes the current one."""
    await _refuse_archived(caller.memory, conversation_id)
    return session_out(await caller.memory.conversations.resume(conversation_id))


@router.post("/conversations/{conversation_id:id}/switch", status_code=204)
async def switch_conversation(caller: Caller, conversation_id: ConversationId) -> None:
    """Make a conversation the current one, without a session."""
    await _refuse_archived(caller.memory, conversation_id)
    await caller.memory.conversations.switch(conversation_id)


@router.post("/conversations/{conversation_id:id}/end", status_code=204)
async def end_conversation(caller: Caller, conversation_id: ConversationId) -> None:
    """End a conversation and its sessions. Its messages stay, and are recalled."""
    await caller.memory.conversations.end(conversation_id)


@router.post("/conversations/{conversation_id:id}/archive")
async def archive_conversation(
    caller: Caller, conversation_id: ConversationId, body: ArchiveIn
) -> Count:
    """Archive a conversation: it is kept, and left out of recalls."""
    return Count(
        count=await caller.memory.conversations.archive(conversation_id, memories=body.memories)
    )


@router.post("/conversations/{conversation_id:id}/restore")
async def restore_conversation(caller: Caller, conversation_id: ConversationId) -> Count:
    """Undo an archiving."""
    if (await caller.memory.conversations.get(conversation_id)).archived_at is None:
        raise Conflict("the conversation is not archived", "Restore one that is.")
    return Count(count=await caller.memory.conversations.restore(conversation_id))


# Branches


@router.post("/conversations/{conversation_id:id}/fork", status_code=201)
async def fork_conversation(
    caller: Caller, conversation_id: ConversationId, body: ForkIn
) -> ConversationOut:
    """Fork a conversation: a branch that has its turns up to one, and goes on by itself."""
    return ConversationOut.model_validate(
        await caller.memory.conversations.fork(
            conversation_id, body.turn, title=body.title, switch=body.switch
        )
    )


@router.get("/conversations/{conversation_id:id}/branches")
async def branches(caller: Caller, conversation_id: ConversationId) -> BranchOut:
    """The tree of branches that a conversation is in, from the first conversation on."""
    return BranchOut.model_validate(await caller.memory.conversations.branches(conversation_id))


# What it is about


@router.get("/conversations/{conversation_id:id}/summary")
async def summary(caller: Caller, conversation_id: ConversationId) -> SummaryOut:
    """What a conversation is about. No model is asked."""
    found = await caller.memory.conversations.summary(conversation_id)
    return SummaryOut(
        text=found.text,
        method=found.method,
        from_turn=found.from_turn,
        to_turn=found.to_turn,
        sources=[str(one) for one in found.sources],
    )


@router.get("/conversations/{conversation_id:id}/segments")
async def segments(
    caller: Caller,
    conversation_id: ConversationId,
    gap_minutes: Annotated[
        float | None, Query(gt=0, le=5_000_000, description="The least pause that is a seam.")
    ] = None,
    topic: Annotated[
        float | None, Query(ge=0, le=10, description="How clear another topic has to be.")
    ] = None,
) -> list[SegmentOut]:
    """The parts of a conversation, between long pauses and where another topic begins."""
    given: dict[str, Any] = {}
    if gap_minutes is not None:
        # A pause is counted in microseconds.
        given["gap"] = max(timedelta(minutes=gap_minutes), timedelta(microseconds=1))
    if topic is not None:
        given["topic"] = topic
    found = await caller.memory.conversations.boundaries(conversation_id, **given)
    return [SegmentOut.model_validate(one) for one in found]


@router.get("/conversations/{conversation_id:id}/turn-breaks")
async def turn_breaks(caller: Caller, conversation_id: ConversationId) -> list[TurnBreakOut]:
    """Where a conversation is not question, answer, question, answer."""
    found = await caller.memory.conversations.turn_breaks(conversation_id)
    return [TurnBreakOut.model_validate(one) for one in found]


# Conversations of several members


@router.get("/groups")
async def groups(caller: Caller) -> list[GroupOut]:
    """The conversations of several members that the user is in."""
    found = await caller.memory.conversations.groups(caller.user)
    return [GroupOut.model_validate(one) for one in found]


@router.post("/groups", status_code=201)
async def create_group(caller: Caller, body: NewGroup) -> GroupOut:
    """Begin a conversation of several members, each of whom may read and write it."""
    return GroupOut.model_validate(
        await caller.memory.conversations.create(
            body.members, user_id=caller.user, title=body.title
        )
    )


@router.get("/conversations/{conversation_id:id}/members")
async def members(caller: Caller, conversation_id: ConversationId) -> list[MemberOut]:
    """Who is and was in a conversation of several members."""
    async with _of_several(caller.memory, conversation_id):
        found = await caller.memory.conversations.members(conversation_id)
    return [MemberOut.model_validate(one) for one in found]


@router.post("/conversations/{conversation_id:id}/members", status_code=201)
async def add_member(caller: Caller, conversation_id: ConversationId, body: MemberIn) -> GroupOut:
    """Let somebody in. They see what was said before."""
    async with _of_several(caller.memory, conversation_id):
        group = await caller.memory.conversations.add_member(conversation_id, body.user_id)
    return GroupOut.model_validate(group)


@router.delete("/conversations/{conversation_id:id}/members/{member:id}")
async def remove_member(
    caller: Caller,
    conversation_id: ConversationId,
    member: Annotated[str, Path(min_length=1, max_length=1024, description="Who.")],
) -> GroupOut:
    """Take somebody out, or leave. They may still read the turns until now."""
    async with _of_several(caller.memory, conversation_id):
        group = await caller.memory.conversations.remove_member(conversation_id, member)
    return GroupOut.model_validate(group)


@asynccontextmanager
async def _of_several(memory: VectorMemory, conversation_id: str) -> AsyncIterator[None]:
    """Tell of a conversation of one user, in which an operation makes no sense."""
    await memory.conversations.get(conversation_id)
    try:
        yield
    except InvalidInputError as error:
        if error.field != "conversation_id":
            raise
        raise Conflict(
            "the conversation is one user's, and has no members", "Begin one with POST /v1/groups."
        ) from error


async def _refuse_archived(memory: VectorMemory, conversation_id: str) -> None:
    if (await memory.conversations.get(conversation_id)).status == "archived":
        raise Conflict("the conversation is archived", "Restore it first.")
