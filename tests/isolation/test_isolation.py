"""No row of another user is ever returned, by any method, whatever ids are guessed."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryQuery, MemoryType
from bruno_core.models.message import Message, MessageRole
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec import ALL_USERS, open_memory
from bruno_memory_vec.errors import ForeignUserError, NotFoundError

USERS = ("ana", "bo", "cy'--")
#: In everything a user stores, and nowhere else.
SECRETS = {"ana": "anemone", "bo": "bougainvillea", "cy'--": "cyclamen"}
SUBJECT = "the blue bicycle in the cellar"
STEPS = 60


@pytest.fixture(params=["folder", "memory://"])
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    url = str(tmp_path / "store") if request.param == "folder" else request.param
    async with open_memory(url, embedder="hash", max_messages=6) as memory:
        yield memory


def message(user: str, number: int, content: str = SUBJECT) -> Message:
    return Message(
        id=UUID(int=number),
        role=MessageRole.USER if number % 2 else MessageRole.ASSISTANT,
        content=f"{content} {SECRETS[user]} {number}",
        metadata={"secret": SECRETS[user]},
    )


def entry(user: str, number: int, content: str = SUBJECT) -> MemoryEntry:
    return MemoryEntry(
        id=UUID(int=number),
        content=f"{content} {SECRETS[user]} {number}",
        memory_type=MemoryType.FACT,
        user_id=user,
        metadata=MemoryMetadata(tags=["bicycle"], custom_fields={"secret": SECRETS[user]}),
    )


class Household:
    """Everything that was stored, by whom; and all the ways to look."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory
        #: conversation -> owner, and (kind, number) by owner
        self.owners: dict[str, str] = {}
        self.sessions: dict[str, str] = {}
        self.conversations: dict[str, str] = {}
        #: user -> (number, conversation) of each message: one may be in several conversations
        self.messages: dict[str, set[tuple[int, str]]] = {user: set() for user in USERS}
        self.entries: dict[str, set[int]] = {user: set() for user in USERS}

    async def step(self, rng: random.Random) -> None:
        user, number = rng.choice(USERS), rng.randrange(8)
        view = self.memory.for_user(user)
        through: Any = rng.choice((self.memory, view))
        named = rng.choice(("kitchen", "garden", "loft", *self.sessions))
        # A session's id names its conversation.
        conversation = self.conversations.get(named, named)
        do = rng.randrange(8)
        if do <= 2:
            refused = self.owners.get(conversation, user) != user
            done = await ask(through.store_message(message(user, number), named, user_id=user))
            assert (done is ForeignUserError) == refused
            if not refused:
                self.owners[conversation] = user
                self.messages[user].add((number, conversation))
        elif do <= 4:
            await through.store_memory(entry(user, number))
            self.entries[user].add(number)
        elif do == 5:
            done = await ask(view.delete_memory(str(UUID(int=number))))
            assert (done is NotFoundError) == (number not in self.entries[user])
            self.entries[user].discard(number)
        elif do == 6 and len(self.sessions) < 6:
            session = await through.create_session(user, {"secret": SECRETS[user]})
            self.sessions[session.session_id] = user
            self.conversations[session.session_id] = session.conversation_id
            self.owners[session.conversation_id] = user
        elif rng.random() < 0.3:
            await view.clear_history(named)
            if self.owners.get(conversation) == user:
                held = self.messages[user]
                self.messages[user] = {(n, c) for n, c in held if c != conversation}

    async def check(self, user: str) -> None:
        """Ask everything as ``user``; what comes back is the user's, and all of it."""
        memory, view = self.memory, self.memory.for_user(user)
        every = {str(UUID(int=n)) for n, _ in self.messages[user]}
        noted = {str(UUID(int=n)) for n in self.entries[user]}
        others = " ".join(SECRETS[other] for other in USERS if other != user)
        for asked in (SUBJECT, others):
            for answer in (
                await memory.recall(asked, user_id=user, k=100),
                await view.recall(asked, k=100),
            ):
                self.own(user, answer)
                assert {hit.id for hit in answer if hit.kind == "message"} == every
                assert {hit.id for hit in answer if hit.kind == "memory"} == noted
            self.own(user, await view.search_messages(asked, limit=100))
            self.own(user, await memory.search_messages(asked, user, 100))
            self.own(user, await memory.retrieve_context(user, asked, 100))
            self.own(user, await memory.search_memories(user, asked, 100))
            query = MemoryQuery(user_id=user, query_text=asked, limit=100)
            self.own(user, await memory.retrieve_memories(query))
        found = await view.retrieve_memories(MemoryQuery(user_id=user, limit=100))
        assert {str(e.id) for e in found} == noted
        self.own(user, found)
        for conversation in ("kitchen", "garden", "loft", "nowhere"):
            own = self.owners.get(conversation) == user
            wanted = {n for n, c in self.messages[user] if own and c == conversation}
            seen = await view.retrieve_messages(conversation)
            assert {m.id.int for m in seen} == wanted
            self.own(user, await view.recall(SUBJECT, conversation_id=conversation, k=100))
            if self.owners.get(conversation, user) != user:
                for call in (
                    memory.recall(SUBJECT, user_id=user, conversation_id=conversation),
                    memory.retrieve_context(user, SUBJECT, 5, conversation),
                    memory.clear_conversation(user, conversation),
                    memory.get_context(user, conversation),
                    view.store_message(message(user, 99), conversation),
                    view.store_memory(
                        entry(user, 99).model_copy(update={"conversation_id": conversation})
                    ),
                ):
                    assert await ask(call, self.owners[conversation]) is ForeignUserError
                self.own(user, (await view.get_context(user, conversation)).messages)
        for session_id, owner in self.sessions.items():
            session = await view.get_session(session_id)
            assert (session is not None) == (owner == user)
            if owner != user:
                assert await ask(view.end_session(session_id), owner) is NotFoundError
                whole = await memory.get_session(session_id)
                assert whole.is_active
                # Nor does a refusal tell the conversation that a guessed session belongs to.
                with pytest.raises(ForeignUserError) as refusal:
                    await memory.get_context(user, session_id)
                assert whole.conversation_id not in str(refusal.value)
        counts = await view.get_statistics(user)
        assert counts["total_messages"] == len(self.messages[user])
        assert counts["conversations"] == len({c for _, c in self.messages[user]})
        assert counts["memories"] == len(noted)

    def own(self, user: str, found: Any) -> None:
        text = repr([getattr(item, "record", item).model_dump() for item in found])
        for other, secret in SECRETS.items():
            assert other == user or secret not in text
        assert all(SECRETS[user] in item.content for item in found)


async def ask(call: Awaitable[Any], owner: str | None = None) -> type[BrunoError] | None:
    """The type of the refusal, if any; it does not name the owner, nor what the owner stored."""
    try:
        await call
    except BrunoError as error:
        if owner is not None:
            text = f"{error} {error!r} {error.details} {error.cause}"
            assert owner not in text.replace("does not belong", "").replace("bo's", "")
            assert SECRETS[owner] not in text
        return type(error)
    return None


@pytest.mark.parametrize("seed", range(4))
async def test_random_households(memory: Any, seed: int) -> None:
    rng, household = random.Random(seed), Household(memory)
    for step in range(STEPS):
        await household.step(rng)
        if step % 10 == 9:
            await household.check(rng.choice(USERS))
    for user in USERS:
        await household.check(user)


async def test_contexts_hold_no_one_elses(memory: Any) -> None:
    for user in USERS:
        await memory.store_message(message(user, 1), f"of {user}", user_id=user)
        await memory.save_user(UserContext(user_id=user, preferences={"secret": SECRETS[user]}))
    for user in USERS:
        context = await memory.get_context(user, "new of " + user)
        question = Message(role=MessageRole.USER, content=f"what of {SUBJECT}?")
        context.add_message(question)
        await memory.store_message(question, context.conversation_id)
        text = repr(context.model_dump())
        assert SECRETS[user] in text, "recalled"
        assert not [s for other, s in SECRETS.items() if other != user and s in text]
        assert (await memory.get_context(user)).conversation_id == context.conversation_id


async def test_deleting_on_anothers_ids_changes_nothing(memory: Any) -> None:
    await memory.store_messages([message("ana", n) for n in range(4)], "kitchen", user_id="ana")
    await memory.store_memories([entry("ana", n) for n in range(4)])
    session = await memory.create_session("ana")
    before = await memory.get_statistics("ana")
    view = memory.for_user("bo")
    for number in range(4):
        assert await ask(view.delete_memory(str(UUID(int=number))), "ana") is NotFoundError
    await view.clear_history("kitchen", keep_system_messages=False)
    await view.clear_conversation("bo", "kitchen")
    assert await ask(memory.clear_conversation("bo", "kitchen"), "ana") is ForeignUserError
    assert await ask(view.end_session(session.session_id), "ana") is NotFoundError
    assert await memory.get_statistics("ana") == before
    assert len(await memory.retrieve_messages("kitchen")) == 4
    assert (await memory.get_session(session.session_id)).is_active


async def test_replacing_by_a_guessed_id_does_not_reach_over(memory: Any) -> None:
    await memory.store_message(message("ana", 1), "kitchen", user_id="ana")
    await memory.store_memory(entry("ana", 1))
    await memory.store_message(message("bo", 1, "overwritten"), "garden", user_id="bo")
    await memory.store_memory(entry("bo", 1, "overwritten"))
    assert await memory.retrieve_messages("kitchen") == [message("ana", 1)] or SECRETS["ana"] in (
        (await memory.retrieve_messages("kitchen"))[0].content
    )
    assert len(await memory.retrieve_memories(MemoryQuery(user_id="ana"))) == 1
    (context,) = (await memory.get_context("ana", "kitchen")).messages
    assert SECRETS["ana"] in context.content


async def test_a_memory_cannot_take_anothers_conversation(memory: Any) -> None:
    await memory.store_message(message("ana", 1), "kitchen", user_id="ana")
    stolen = entry("bo", 1).model_copy(update={"conversation_id": "kitchen"})
    with pytest.raises(ForeignUserError):
        await memory.store_memory(stolen)
    assert (await memory.get_statistics("bo"))["memories"] == 0


async def test_everyone_is_spelled_out(memory: Any) -> None:
    for user in USERS:
        await memory.store_message(message(user, 1), f"of {user}", user_id=user)
    hits = await memory.recall(SUBJECT, user_id=ALL_USERS)
    assert {hit.conversation_id for hit in hits} == {f"of {user}" for user in USERS}
    with pytest.raises(ForeignUserError):
        await memory.for_user("ana").recall(SUBJECT, user_id=ALL_USERS)


async def test_a_view_of_a_view(memory: Any) -> None:
    view = memory.for_user("ana")
    with pytest.raises(ForeignUserError):
        view.for_user("bo")
    assert await ask(view.for_user("ana").get_statistics("bo")) is ForeignUserError
