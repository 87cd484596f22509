"""Messages: stored, read, deleted, followed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Annotated, Any, Final
from uuid import UUID

from bruno_core.models.message import Message
from fastapi import Body, Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from bruno_memory_vec import ConversationTurn
from bruno_memory_vec.errors import NotFoundError
from bruno_memory_vec.surfaces.http.caller import Caller, still_counts
from bruno_memory_vec.surfaces.http.operations import ConversationId
from bruno_memory_vec.surfaces.http.operations import router as made_router
from bruno_memory_vec.surfaces.http.shapes import (
    After,
    Given,
    Limit,
    MessageIn,
    MessageOut,
    Origin,
    Shown,
    Stored,
    message_out,
)

router = made_router("messages")

# A comment that is sent so often keeps proxies from closing a quiet stream.
_QUIET_S: Final = 15.0
# A follower that is heard by then has begun; its first answer says so.
_BEGINS_S: Final = 0.25

MessageId = Annotated[UUID, Path(description="The message's id.")]
ConversationQuery = Annotated[
    str | None,
    Query(description="Only in this conversation.", min_length=1, max_length=1024),
]


class Messages(Given):
    """Messages of one conversation, in their order."""

    messages: list[MessageIn] = Field(min_length=1, max_length=100_000)
    origin: Origin | None = Field(
        default=None, description="Who they come from. None: as their roles say."
    )


class TurnOut(Shown):
    """A message and its turn."""

    turn: int = Field(description="Its position in the conversation, from 0. Deleting leaves gaps.")
    user_id: str = Field(description="The conversation's owner.")
    author: str | None = Field(default=None, description="Of several members, who spoke.")
    message: MessageOut


class Turns(Shown):
    """A page of turns."""

    items: list[TurnOut]
    next: str | None = Field(default=None, description="Give it as `after` for the next page.")


@router.post("/conversations/{conversation_id:id}/messages", status_code=201)
async def store_messages(caller: Caller, conversation_id: ConversationId, body: Messages) -> Stored:
    """Store messages, as one commit: all or none. A conversation begins with its first message.

    Give ids to be able to repeat a call: what is stored again replaces itself and keeps its turn.
    """
    messages = [one.model(conversation_id) for one in body.messages]
    await caller.memory.store_messages(
        messages, conversation_id, user_id=caller.user_id, origin=body.origin
    )
    return Stored(ids=[one.id for one in messages])


@router.put("/conversations/{conversation_id:id}/messages/{message_id}")
async def store_message(
    caller: Caller,
    conversation_id: ConversationId,
    message_id: MessageId,
    body: Annotated[MessageIn, Body()],
) -> MessageOut:
    """Store one message under an id. With its `timestamp`, the same call again changes nothing."""
    message = body.model(conversation_id, message_id)
    await caller.memory.store_message(message, conversation_id, user_id=caller.user_id)
    return message_out(message, conversation_id)


@router.get("/conversations/{conversation_id:id}/messages")
async def list_messages(
    caller: Caller,
    conversation_id: ConversationId,
    limit: Limit = 100,
    after: After = None,
    newest_first: Annotated[bool, Query(description="Begin with the newest.")] = False,
) -> Turns:
    """A conversation's messages, oldest first, page by page."""
    page = await caller.memory.conversations.turns(
        conversation_id, limit=limit, after=after, newest_first=newest_first
    )
    return Turns(items=[turn_out(one, conversation_id) for one in page], next=page.next)


@router.delete("/conversations/{conversation_id:id}/messages", status_code=204)
async def clear_messages(
    caller: Caller,
    conversation_id: ConversationId,
    keep_system_messages: Annotated[bool, Query(description="System messages stay.")] = True,
) -> None:
    """Delete a conversation's messages, for good."""
    await caller.memory.conversations.get(conversation_id)
    await caller.memory.clear_history(conversation_id, keep_system_messages)


@router.get("/messages/{message_id}")
async def get_message(
    caller: Caller, message_id: MessageId, conversation_id: ConversationQuery = None
) -> MessageOut:
    """A message by its id."""
    found = await caller.memory.get_message(
        message_id,
        user_id=caller.user_id if conversation_id is None else None,
        conversation_id=conversation_id,
    )
    if found is None:
        raise _no_message(message_id)
    return message_out(found)


@router.delete("/messages/{message_id}", status_code=204)
async def delete_message(
    caller: Caller, message_id: MessageId, conversation_id: ConversationQuery = None
) -> None:
    """Delete a message, for good: everywhere, or in one conversation."""
    if not await caller.memory.delete_messages(message_id, conversation_id):
        raise _no_message(message_id)


@router.get(
    "/conversations/{conversation_id:id}/follow",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events named `message`, each with a message as JSON.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def follow(
    caller: Caller, conversation_id: ConversationId, request: Request
) -> StreamingResponse:
    """The messages that are stored in a conversation from now on, as server-sent events.

    It goes on until either side closes it, or the token counts no more. A comment every 15 s says
    that it is still there.
    """
    messages = caller.memory.follow(conversation_id)
    first = asyncio.ensure_future(messages.__anext__())
    # What is refused is refused before the answer begins.
    await asyncio.wait({first}, timeout=_BEGINS_S)
    if first.done() and first.exception() is not None:
        first.result()
    return StreamingResponse(
        _events(messages, first, request, conversation_id), media_type="text/event-stream"
    )


async def _events(
    messages: AsyncGenerator[Message, None],
    following: asyncio.Future[Message],
    request: Request,
    conversation_id: str,
) -> AsyncIterator[str]:
    closing: asyncio.Event = request.app.state.closing
    ends = asyncio.ensure_future(closing.wait())
    try:
        yield ": following\n\n"
        while not ends.done():
            waiting: set[asyncio.Future[Any]] = {following, ends}
            await asyncio.wait(waiting, timeout=_QUIET_S, return_when="FIRST_COMPLETED")
            if not still_counts(request):
                return
            if not following.done():
                yield ": nothing yet\n\n"
                continue
            try:
                message = following.result()
            except StopAsyncIteration:
                return
            shown = message_out(message, conversation_id).model_dump(mode="json")
            # JSON has no line break of its own, so a text cannot begin another event.
            data = json.dumps(shown, ensure_ascii=True)
            yield f"event: message\nid: {message.id}\ndata: {data}\n\n"
            following = asyncio.ensure_future(messages.__anext__())
    finally:
        ends.cancel()
        following.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await following
        await messages.aclose()


def turn_out(turn: ConversationTurn, conversation_id: str) -> TurnOut:
    """A turn as an answer shows it."""
    return TurnOut(
        turn=turn.turn,
        user_id=turn.user_id,
        author=turn.author,
        message=message_out(turn.message, conversation_id),
    )


def _no_message(message_id: UUID) -> NotFoundError:
    return NotFoundError(
        f"there is no message {str(message_id)!r}", fix="Use the id of a stored message."
    )
