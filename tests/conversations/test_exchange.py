"""bruno-core's contexts in and out, without what the memory put into them."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from bruno_core.models.context import ConversationContext, SessionContext, UserContext

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError
from tests.conversations.test_life import say
from tests.durability.support import message, rows_of


def context(user: str = "ana", talk: str = "talk", **fields: object) -> ConversationContext:
    return ConversationContext(
        conversation_id=talk,
        user=UserContext(user_id=user, name=user.title(), preferences={"language": "de"}),
        session=SessionContext(user_id=user, state={"topic": "ships"}),
        messages=[message("hello"), message("hi", "assistant"), message("how are you?")],
        **fields,
    )


async def test_a_whole_context_is_stored_once(memory: VectorMemory) -> None:
    manager = memory.conversations
    given = context()
    assert await manager.from_context(given) == 3
    before = await rows_of(memory)
    assert await manager.from_context(given) == 0
    assert await rows_of(memory) == before
    session = await memory.get_session(given.session.session_id)
    assert session is not None
    assert (session.conversation_id, session.state) == ("talk", {"topic": "ships"})
    assert (await memory.get_user("ana")).preferences == {"language": "de"}
    # One that was changed, and one that came, are stored in their places.
    given.messages[1] = given.messages[1].model_copy(update={"content": "good day"})
    given.messages.append(message("fine", "assistant"))
    assert await manager.from_context(given) == 2
    shown = await memory.read_turns("talk")
    assert [one.message.content for one in shown] == ["hello", "good day", "how are you?", "fine"]
    # What the context does not say of the user stays.
    bare = ConversationContext(
        conversation_id="talk", user=UserContext(user_id="ana"), session=given.session
    )
    bare.user.preferences["voice"] = "low"
    assert await manager.from_context(bare) == 0
    assert (await memory.get_user("ana")).preferences == {"language": "de", "voice": "low"}
    assert (await memory.get_user("ana")).name == "Ana"


async def test_what_the_memory_put_into_a_context_is_left_out(memory: VectorMemory) -> None:
    await say(memory, "before", "my violin is red", "how nice")
    given = await memory.get_context("ana", "talk")
    question = message("what colour is my violin?")
    given.add_message(question)
    await memory.store_message(question, "talk", user_id="ana")
    assert len(given.messages) == 2, "something was recalled into it"
    assert await memory.conversations.from_context(given) == 0
    assert [one.message.content for one in await memory.read_turns("talk")] == [question.content]


async def test_there_and_back(memory: VectorMemory) -> None:
    manager = memory.conversations
    session = await manager.start("ana", title="Ships")
    await say(memory, session.conversation_id, *(f"number {n}" for n in range(30)))
    await manager.start("ana")
    before = await rows_of(memory)
    current = await manager.current("ana")
    found = await manager.to_context(session.conversation_id)
    assert [one.content for one in found.messages] == [f"number {n}" for n in range(30)]
    assert found.session.session_id == session.session_id
    assert found.session.last_activity > session.last_activity
    assert found.metadata == {"title": "Ships", "status": "active"}
    assert found.user.user_id == "ana"
    few = await manager.to_context(session.conversation_id, max_messages=2)
    assert [one.content for one in few.messages] == ["number 28", "number 29"]
    assert await manager.from_context(found) == 0
    assert await rows_of(memory) == before
    assert await manager.current("ana") == current
    with pytest.raises(InvalidInputError, match="max_messages"):
        await manager.to_context(session.conversation_id, max_messages=1_001)
    await manager.end(session.conversation_id)
    ended = await manager.to_context(session.conversation_id)
    assert not ended.session.is_active
    assert len(await memory.list_sessions("ana")) == 2


async def test_others_are_refused_before_anything_is_written(memory: VectorMemory) -> None:
    manager = memory.conversations
    await say(memory, "bens", "hello", user="ben")
    mine = await manager.start("ben")
    before = await rows_of(memory)
    foreign = context(talk="bens")
    of_session = context(talk="new")
    of_session.session.session_id = mine.session_id
    with pytest.raises(ForeignUserError):
        await memory.for_user("ben").conversations.from_context(context())
    for one in (foreign, of_session):
        with pytest.raises(ForeignUserError):
            await manager.from_context(one)
    mixed = context(talk="new")
    mixed.session.user_id = "ben"
    unfit = context(talk="new")
    unfit.session.state["at"] = object()
    unfit_user = context(talk="new")
    unfit_user.user.profile["at"] = object()
    for wrong in (mixed, unfit, unfit_user, object()):
        with pytest.raises(InvalidInputError):
            await manager.from_context(wrong)  # type: ignore[arg-type]
    assert await rows_of(memory) == before
    assert await memory.get_user("ana") != context().user
    assert await memory.list_sessions("ana") == []
    assert (await memory.get_user("ana")).name is None


async def test_a_context_named_by_a_session(memory: VectorMemory) -> None:
    """Its id may be a session's, as that of a context that was asked for by it."""
    session = await memory.conversations.start("ana")
    given = context(talk=session.session_id)
    assert await memory.conversations.from_context(given) == 3
    assert len(await memory.read_turns(session.conversation_id)) == 3
    saved = await memory.get_session(given.session.session_id)
    assert saved is not None
    assert saved.conversation_id == session.conversation_id
    assert saved.last_activity.replace(tzinfo=timezone.utc) <= datetime.now(timezone.utc)
