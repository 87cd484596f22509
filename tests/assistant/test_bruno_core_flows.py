"""The flows that bruno-core's own integration tests name, over our memory, and its two managers.

Conversation flow, abilities, isolation of users, recovery from errors: each with ``BaseAssistant``
as it is, also over a ``HybridMemory``, and with ``MemoryAssistant``. ``ContextManager`` and
``SessionManager`` are bruno-core's, as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from bruno_core.base.ability import BaseAbility
from bruno_core.base.assistant import BaseAssistant
from bruno_core.context import ContextManager, SessionManager
from bruno_core.models.ability import AbilityMetadata, AbilityRequest, AbilityResponse
from bruno_core.models.message import Message, MessageRole
from bruno_core.models.response import ActionStatus
from bruno_core.utils.exceptions import BrunoError, ContextError, SessionError

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.assistant import HybridMemory, MemoryAssistant
from bruno_memory_vec.errors import ForeignUserError
from tests.assistant.scripted import Scripted

KINDS = {"base": BaseAssistant, "memory": MemoryAssistant}


def said(text: str, role: str = "user") -> Message:
    return Message(role=role, content=text)


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with VectorMemory("memory://", embedder="hash") as made:
        yield made


@pytest.fixture(params=[*KINDS, "hybrid"])
async def start(
    request: pytest.FixtureRequest, memory: VectorMemory
) -> AsyncIterator[Callable[..., Any]]:
    """Starts an assistant of each kind over the memory."""
    over: Any = memory
    if request.param == "hybrid":
        over = HybridMemory(VectorMemory("memory://", embedder="hash"), memory)

    async def begin(llm: Scripted) -> BaseAssistant:
        assistant = KINDS.get(request.param, BaseAssistant)(llm=llm, memory=over)
        await assistant.initialize()
        return assistant

    yield begin
    if over is not memory:
        await over.cache.close()


async def contents(memory: Any, user: str, conversation: str) -> list[str]:
    found = await memory.retrieve_context(user_id=user, query="", conversation_id=conversation)
    return [message.content for message in found]


class Echo(BaseAbility):
    """An ability that notes what it was asked, and fails where it is told to."""

    def __init__(self, name: str, *, fails: bool = False) -> None:
        self.named, self.fails = name, fails
        self.requests: list[AbilityRequest] = []
        super().__init__()

    def get_metadata(self) -> AbilityMetadata:
        return AbilityMetadata(name=self.named, description="Notes.", version="1.0.0")

    def can_handle(self, request: AbilityRequest) -> bool:
        return True

    def get_supported_actions(self) -> list[str]:
        return ["execute"]

    async def execute_action(self, request: AbilityRequest) -> AbilityResponse:
        return await self.execute(request)

    async def execute(self, request: AbilityRequest) -> AbilityResponse:
        self.requests.append(request)
        if self.fails:
            raise RuntimeError("it is broken")
        return AbilityResponse(
            request_id=request.id, ability_name=self.named, action="execute", success=True
        )


async def test_a_conversation(start: Callable[..., Any], memory: VectorMemory) -> None:
    llm = Scripted("Hello! How can I help?", "It is 42.", "Goodbye!")
    assistant = await start(llm)
    for text, answer in (
        ("Hi there", "Hello! How can I help?"),
        ("What is the meaning of life?", "It is 42."),
        ("Thank you, bye.", "Goodbye!"),
    ):
        response = await assistant.process_message(
            said(text), user_id="user-123", conversation_id="conv-123"
        )
        assert response.success
        assert response.text == answer
    assert await contents(memory, "user-123", "conv-123") == [
        "Hi there", "Hello! How can I help?", "What is the meaning of life?", "It is 42.",
        "Thank you, bye.", "Goodbye!",
    ]  # fmt: skip
    # Each time the model had what was said before.
    assert "It is 42." in llm.text
    await assistant.shutdown()
    with pytest.raises(BrunoError, match="initialize"):
        await assistant.process_message(said("Once more"), user_id="user-123")


async def test_abilities_one_of_which_fails(
    start: Callable[..., Any], memory: VectorMemory
) -> None:
    assistant = await start(Scripted("I'll do that."))
    tester, breaker, idle = Echo("tester"), Echo("breaker", fails=True), Echo("idler")
    for ability in (tester, breaker, idle):
        await assistant.register_ability(ability)
    assert await assistant.get_abilities() == ["tester", "breaker", "idler"]
    response = await assistant.process_message(
        said("Please run the tester and the breaker."), user_id="user-123", conversation_id="conv"
    )
    assert response.success
    assert [(one.action_type, one.status) for one in response.actions] == [
        ("tester", ActionStatus.SUCCESS),
        ("breaker", ActionStatus.FAILED),
    ]
    assert (len(tester.requests), len(breaker.requests), len(idle.requests)) == (1, 1, 0)
    assert tester.requests[0].user_id == "user-123"
    # An ability that fails costs nothing of the conversation.
    assert len(await memory.retrieve_messages("conv")) == 2


async def test_two_users_are_apart(start: Callable[..., Any], memory: VectorMemory) -> None:
    llm = Scripted()
    assistant = await start(llm)
    for number in (1, 2):
        await assistant.process_message(
            said(f"Hello from user {number}, my word is w{number}w."),
            user_id=f"user-{number}",
            conversation_id=f"conv-{number}",
        )
    one = await contents(memory, "user-1", "conv-1")
    two = await contents(memory, "user-2", "conv-2")
    assert len(one) == len(two) == 2
    assert set(one).isdisjoint(two)
    for number, other in ((1, 2), (2, 1)):
        await assistant.process_message(
            said("What is my word?"),
            user_id=f"user-{number}",
            conversation_id=f"later-{number}",
        )
        assert f"w{number}w" in llm.text
        assert f"w{other}w" not in llm.text
        with pytest.raises(ForeignUserError):
            await contents(memory, f"user-{number}", f"conv-{other}")


async def test_recovery_from_a_model_that_is_away(
    start: Callable[..., Any], memory: VectorMemory
) -> None:
    assistant = await start(Scripted(RuntimeError("temporarily away"), "Recovered."))
    with pytest.raises(BrunoError) as caught:
        await assistant.process_message(said("Test"), user_id="user-123", conversation_id="conv")
    assert "temporarily away" in str(caught.value.cause)
    response = await assistant.process_message(
        said("Test again"), user_id="user-123", conversation_id="conv"
    )
    assert response.success
    assert response.text == "Recovered."
    # Nothing that the user said is lost, and no answer was made up.
    assert await contents(memory, "user-123", "conv") == ["Test", "Test again", "Recovered."]


async def test_a_model_that_cannot_be_reached_is_told_at_the_start(
    start: Callable[..., Any],
) -> None:
    llm = Scripted()
    llm.connected = False
    with pytest.raises(BrunoError):
        await start(llm)


async def test_many_turns_at_once(start: Callable[..., Any], memory: VectorMemory) -> None:
    assistant = await start(Scripted())

    async def talk(number: int) -> None:
        for turn in range(2):
            await assistant.process_message(
                said(f"turn {turn}"), user_id=f"user-{number}", conversation_id=f"conv-{number}"
            )

    await asyncio.gather(*(talk(number) for number in range(5)))
    for number in range(5):
        found = await contents(memory, f"user-{number}", f"conv-{number}")
        assert found[::2] == ["turn 0", "turn 1"]
        assert all(text.startswith("Reply") for text in found[1::2])


# bruno-core's ContextManager


async def test_context_manager_stores_windows_and_recalls(memory: VectorMemory) -> None:
    await memory.store_message(said("The boiler cost 386 euros."), "old", user_id="ana")
    await memory.store_message(said("My boiler cost 999 euros."), "bens", user_id="ben")
    manager = ContextManager(memory=memory, max_messages=4, compression_threshold=5)
    rule = said("Be brief.", "system")
    await memory.get_context("ana", "now")
    await manager.add_message(rule, "now", user_id="ana")
    for number in range(6):
        await manager.add_message(said(f"turn {number}"), "now", user_id="ana")
    await manager.add_message(said("What did the boiler cost?"), "now", user_id="ana")
    context = await manager.get_context("now", user_id="ana")
    # Its window is short; the memory has everything, and recalls from all of it.
    assert [message.content for message in context.messages] == [
        "turn 3", "turn 4", "turn 5", "What did the boiler cost?",
    ]  # fmt: skip
    assert len(await memory.retrieve_messages("now")) == 8
    relevant = " ".join(one["content"] for one in context.metadata["relevant_memories"])
    assert "386" in relevant
    assert "999" not in relevant
    assert manager.get_total_messages("now") == 8
    await manager.clear_context("now")
    assert manager.get_buffer_size("now") == 0
    assert len(await memory.retrieve_messages("now")) == 8, "the memory forgets nothing by it"


async def test_context_manager_of_several_users_at_once(memory: VectorMemory) -> None:
    manager = ContextManager(memory=memory)
    users = [f"user-{number}" for number in range(5)]

    async def talk(user: str) -> None:
        await memory.get_context(user, f"talk {user}")
        for number in range(4):
            message = said(f"{user} says {number}")
            await manager.add_message(message, f"talk {user}", user_id=user)

    await asyncio.gather(*map(talk, users))
    for user in users:
        found = await contents(memory, user, f"talk {user}")
        assert found == [f"{user} says {number}" for number in range(4)]
        context = await manager.get_context(f"talk {user}", user_id=user)
        others = [
            one for one in context.metadata["relevant_memories"] if user not in one["content"]
        ]
        assert others == []


async def test_context_manager_without_saving_and_with_a_memory_that_fails(
    memory: VectorMemory,
) -> None:
    unsaved = ContextManager(memory=memory, auto_save=False)
    await unsaved.add_message(said("a secret"), "now", user_id="ana")
    assert await memory.retrieve_messages("now") == []
    manager = ContextManager(memory=memory.for_user("ana"))
    await memory.store_message(said("hers"), "bens", user_id="ben")
    with pytest.raises(ContextError) as caught:
        await manager.add_message(said("in"), "bens", user_id="ana")
    assert isinstance(caught.value.cause, ForeignUserError)
    await memory.close()
    with pytest.raises(ContextError):
        await manager.add_message(said("late"), "now", user_id="ana")
    with pytest.raises(ContextError):
        await manager.get_context("now", user_id="ana")


async def test_context_manager_over_two_memories(memory: VectorMemory) -> None:
    await memory.store_message(said("The boiler cost 386 euros."), "old", user_id="ana")
    async with HybridMemory(VectorMemory("memory://", embedder="hash"), memory) as hybrid:
        manager = ContextManager(memory=hybrid)
        await hybrid.get_context("ana", "now")
        await manager.add_message(said("What did the boiler cost?"), "now", user_id="ana")
        context = await manager.get_context("now", user_id="ana")
        assert "386" in str(context.metadata["relevant_memories"])
        assert len(await hybrid.retrieve_messages("now")) == 1


# bruno-core's SessionManager


async def test_session_manager_over_conversations_of_ours(memory: VectorMemory) -> None:
    sessions = SessionManager(session_timeout_seconds=3600)
    context = await memory.get_context("ana")
    session = await sessions.start_session("ana", context.conversation_id, {"device": "phone"})
    assistant = MemoryAssistant(Scripted(), memory)
    await assistant.initialize()
    await assistant.process_message(
        said("Hello."), user_id=session.user_id, conversation_id=session.conversation_id
    )
    assert await contents(memory, "ana", session.conversation_id) == ["Hello.", "Reply 1."]
    await sessions.update_session(session.session_id, active=False)
    assert sessions.list_active_sessions("ana") == []
    resumed = await sessions.resume_session(session.session_id)
    assert resumed.is_active
    await sessions.end_session(session.session_id)
    assert await sessions.get_session(session.session_id) is None
    # Its end is not the conversation's.
    assert len(await memory.retrieve_messages(session.conversation_id)) == 2
    assert (await memory.get_context("ana")).conversation_id == session.conversation_id


async def test_session_manager_lets_a_session_expire_and_the_conversation_goes_on(
    memory: VectorMemory,
) -> None:
    sessions = SessionManager(session_timeout_seconds=60)
    session = await sessions.start_session("ana", "talk")
    await memory.store_message(said("Before."), "talk", user_id="ana")
    session.last_activity -= timedelta(seconds=61)
    with pytest.raises(SessionError, match="expired"):
        await sessions.resume_session(session.session_id)
    assert await sessions.cleanup_expired_sessions() == 1
    assert await sessions.get_session(session.session_id) is None
    again = await sessions.start_session("ana", "talk")
    assert again.session_id != session.session_id
    await memory.store_message(said("After.", "assistant"), again.conversation_id, user_id="ana")
    found = await memory.get_context("ana", "talk")
    assert [message.content for message in found.messages] == ["Before.", "After."]
    assert found.messages[1].role is MessageRole.ASSISTANT


async def test_session_manager_and_sessions_of_the_memory_agree(memory: VectorMemory) -> None:
    """A session that the memory keeps can be handed to bruno-core's manager, by its ids."""
    sessions = SessionManager()
    kept = await memory.create_session("ana", {"device": "phone"})
    live = await sessions.start_session(kept.user_id, kept.conversation_id, kept.metadata)
    await memory.store_message(said("Hello."), live.conversation_id)
    assert await memory.conversation_owner(live.conversation_id) == "ana"
    await sessions.end_session(live.session_id)
    await memory.end_session(kept.session_id)
    ended = await memory.get_session(kept.session_id)
    assert ended is not None
    assert not ended.is_active
    assert ended.metadata["device"] == "phone"
