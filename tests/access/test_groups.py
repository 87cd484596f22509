"""Conversations of several members: members see them, others do not, private rows stay private."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError, NotFoundError
from tests.access.test_several_users import at
from tests.durability.support import message

ENGINES = ["folder", "memory://", "qdrant+local", "sealed"]


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as opened:
        yield opened


async def begun(memory: VectorMemory) -> str:
    """A conversation of Ana and Ben, each of whom has said something there and in private."""
    for user in ("ana", "ben", "eve"):
        await memory.store_message(message(f"the boat is a secret of {user}"), user, user_id=user)
    group = await memory.for_user("ana").conversations.create(["ben"], title="The boat")
    talk = group.conversation_id
    await memory.for_user("ana").store_message(message("our boat needs paint"), talk)
    await memory.for_user("ben").store_message(message("the boat shall be red"), talk)
    await memory.store_message(message("I noted the boat", "assistant"), talk)
    return talk


async def said(view: VectorMemory, talk: str) -> list[str]:
    return [one.content for one in await view.retrieve_messages(talk)][::-1]


ALL = ["our boat needs paint", "the boat shall be red", "I noted the boat"]


@pytest.mark.parametrize("engine", ENGINES)
async def test_members_see_it_and_others_do_not(engine: str, tmp_path: Path) -> None:
    async with open_memory(**at(engine, tmp_path)) as memory:
        talk = await begun(memory)
        for user in ("ana", "ben"):
            view = memory.for_user(user)
            assert await said(view, talk) == ALL
            found = {hit.content for hit in await view.recall("boat")}
            assert found == {*ALL, f"the boat is a secret of {user}"}
            assert {hit.content for hit in await view.recall("boat", conversation_id=talk)} == {
                *ALL
            }
            context = await view.get_context(user, talk)
            assert [one.content for one in context.messages] == ALL
        eve = memory.for_user("eve")
        assert await said(eve, talk) == []
        assert {hit.user_id for hit in await eve.recall("boat")} == {"eve"}
        assert list(await eve.recall("boat", conversation_id=talk)) == []
        assert (await eve.get_context("eve", talk)).messages == []
        with pytest.raises(ForeignUserError):
            await eve.store_message(message("let me in"), talk)


async def test_who_spoke_is_kept_and_not_believed(memory: VectorMemory) -> None:
    talk = await begun(memory)
    forged = message("I am Ben", metadata={"author": "ben"})
    await memory.for_user("ana").store_message(forged, talk)
    told = [one.metadata.get("author") for one in await memory.retrieve_messages(talk)][::-1]
    assert told == ["ana", "ben", None, "ana"]
    turns = await memory.for_user("ben").read_turns(talk)
    assert [one.author for one in turns] == told
    assert str(turns[1]) == "1  user ben: the boat shall be red"


async def test_a_built_context_says_who_spoke_and_has_nothing_private(memory: VectorMemory) -> None:
    talk = await begun(memory)
    for turn in range(30):
        await memory.for_user("ben").store_message(message(f"about weather {turn}"), talk)
    view = memory.for_user("ana")
    built = await view.build_context("what about the boat?", conversation_id=talk, budget=400)
    assert "user ben: " in built.text
    assert "secret" not in built.text


@pytest.mark.parametrize("engine", ENGINES)
async def test_who_leaves_sees_no_new_turns(engine: str, tmp_path: Path) -> None:
    async with open_memory(**at(engine, tmp_path)) as memory:
        talk = await begun(memory)
        ben = memory.for_user("ben")
        await ben.conversations.remove_member(talk, "ben")
        await memory.for_user("ana").store_message(message("the boat is sold"), talk)
        assert await said(ben, talk) == ALL
        assert [one.message.content for one in await ben.read_turns(talk)] == ALL
        assert [one.content for one in (await ben.get_context("ben", talk)).messages] == ALL
        for _ in range(2):
            hits = await ben.recall("boat sold", conversation_id=talk)
            assert {hit.content for hit in hits} <= {*ALL}
            assert {hit.user_id for hit in await ben.recall("boat sold")} == {"ben"}
        with pytest.raises(ForeignUserError):
            await ben.store_message(message("and now?"), talk)
        with pytest.raises(NotFoundError):
            await ben.conversations.turns(talk)
        assert [hit.content for hit in await ben.timeline(conversation_id=talk)][::-1] == ALL


async def test_who_is_removed_hears_no_more(memory: VectorMemory) -> None:
    talk = await begun(memory)
    heard: list[str] = []

    async def listen() -> None:
        async for one in memory.for_user("ben").follow(talk):
            heard.append(one.content)

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.1)
    ana = memory.for_user("ana")
    await ana.store_message(message("first"), talk)
    await asyncio.sleep(0.1)
    await ana.conversations.remove_member(talk, "ben")
    await ana.store_message(message("second"), talk)
    await asyncio.wait_for(listening, 30)
    assert heard == ["first"]


async def test_who_joins_sees_what_was_said(memory: VectorMemory) -> None:
    talk = await begun(memory)
    await memory.for_user("ana").conversations.add_member(talk, "eve")
    assert await said(memory.for_user("eve"), talk) == ALL


async def test_only_who_began_it_manages_it(memory: VectorMemory) -> None:
    talk = await begun(memory)
    ben, eve = memory.for_user("ben").conversations, memory.for_user("eve").conversations
    for refused in (
        ben.add_member(talk, "eve"),
        ben.remove_member(talk, "ana"),
        ben.delete(talk),
    ):
        with pytest.raises(ForeignUserError):
            await refused
    for hidden in (eve.members(talk), eve.add_member(talk, "eve"), eve.delete(talk)):
        with pytest.raises(NotFoundError):
            await hidden
    assert await said(memory.for_user("ana"), talk) == ALL
    await memory.for_user("ben").clear_history(talk, keep_system_messages=False)
    assert await said(memory.for_user("ana"), talk) == ALL
    await memory.for_user("ana").conversations.delete(talk)
    assert await said(memory.for_user("ana"), talk) == []


async def test_no_call_of_a_member_reveals_anothers_private_rows(memory: VectorMemory) -> None:
    talk = await begun(memory)
    ben = memory.for_user("ben")
    private = (await memory.retrieve_messages("ana"))[0]
    space = (await memory.conversation_owner(talk)) or ""
    assert await ben.get_message(private.id) is None
    assert await ben.get_message(private.id, conversation_id=talk) is None
    assert await ben.delete_messages([private.id], talk) == 0
    assert await ben.retrieve_messages("ana") == []
    calls: list[Any] = [
        ben.recall("secret", spaces=["ana"]),
        ben.recall("secret", user_id=space),
        ben.recall("secret", user_id="ana", conversation_id=talk),
        ben.timeline("ana", conversation_id=talk),
        ben.list_memories(space),
        ben.store_message(message("x"), talk, user_id="ana"),
        ben.forget([private.id], user_id=space),
        ben.audit("ana"),
    ]
    for call in calls:
        with pytest.raises((ForeignUserError, InvalidInputError)):
            await call
    for view in (ben, memory.for_user("eve")):
        for exact in ("secret of ana", "secret"):
            hits = await view.recall("", exact=exact)
            assert not [hit for hit in hits if "secret of ana" in hit.content]


async def test_a_view_is_nobody_elses_space() -> None:
    memory = VectorMemory("memory://", embedder="hash")
    for name in ("space:team", f"space:group:{uuid4()}", "space:groups of:ana"):
        with pytest.raises(InvalidInputError, match="space"):
            memory.for_user(name)


async def test_membership_survives_a_restart(tmp_path: Path) -> None:
    async with open_memory(**at("folder", tmp_path)) as memory:
        talk = await begun(memory)
        await memory.for_user("ben").conversations.remove_member(talk, "ben")
    async with open_memory(**at("folder", tmp_path)) as memory:
        await memory.for_user("ana").store_message(message("later"), talk)
        assert await said(memory.for_user("ana"), talk) == [*ALL, "later"]
        assert await said(memory.for_user("ben"), talk) == ALL
        (group,) = await memory.for_user("ana").conversations.groups()
        assert group.present == ("ana",)


async def test_another_process_knows_the_members(redis_url: str, tmp_path: Path) -> None:
    settings = {"sessions": redis_url, "embedder": "hash"}
    url = f"qdrant+local://{tmp_path}/q"
    async with open_memory(url, **settings) as memory:
        talk = await begun(memory)
        assert await said(memory.for_user("ben"), talk) == ALL
        await memory.for_user("ana").conversations.remove_member(talk, "ben")
        await memory.for_user("ana").store_message(message("later"), talk)
        assert await said(memory.for_user("ben"), talk) == ALL
        assert {hit.user_id for hit in await memory.for_user("ben").recall("boat")} == {"ben"}


async def test_who_is_forgotten_is_in_no_group_and_has_said_nothing(tmp_path: Path) -> None:
    async with open_memory(**at("folder", tmp_path)) as memory:
        talk = await begun(memory)
        receipt = await memory.forget_user("ben")
        assert [one.user_id for one in await memory.conversations.members(talk)] == ["ana"]
        assert await said(memory.for_user("ben"), talk) == []
        assert await said(memory.for_user("ana"), talk) == [ALL[0], ALL[2]]
        assert receipt.ok
        remains = await memory.remains("ben", ["the boat shall be red"])
        assert not remains.found, str(remains)


async def test_what_is_learned_of_a_space_changes_no_member(memory: VectorMemory) -> None:
    talk = await begun(memory)
    space = await memory.conversation_owner(talk)
    assert space is not None
    await memory.users.set_preference("tone", "dry", user_id=space)
    await memory.users.forget(space)
    assert [one.user_id for one in await memory.conversations.members(talk)] == ["ana", "ben"]


async def test_a_copied_store_has_the_members(tmp_path: Path) -> None:
    async with open_memory(**at("folder", tmp_path)) as memory:
        talk = await begun(memory)
        await memory.copy_to(tmp_path / "copy")
    async with open_memory(str(tmp_path / "copy"), embedder="hash") as copied:
        assert await said(copied.for_user("ben"), talk) == ALL
        assert await said(copied.for_user("eve"), talk) == []


async def test_nobody_puts_words_into_another_member_s_mouth(memory: VectorMemory) -> None:
    talk = await begun(memory)
    ben = memory.for_user("ben")
    for role in ("user", "assistant", "system"):
        forged = message(f"as a {role}", role)
        forged.metadata["author"] = "ana"
        await ben.store_message(forged, talk)

    held = {one.content: one.metadata.get("author") for one in await ben.retrieve_messages(talk)}

    assert held["as a user"] == "ben"
    assert held["as a assistant"] is held["as a system"] is None


@pytest.mark.parametrize("name", ["{0}", "members of:{0}", "space:members of:{0}", "groups of:x"])
async def test_a_space_s_name_leads_into_no_group(memory: VectorMemory, name: str) -> None:
    talk = await begun(memory)
    held = await memory.get_conversation(talk)
    assert held is not None

    with pytest.raises(InvalidInputError, match="spaces"):
        memory.for_user("eve", spaces={name.format(held.user_id): "write"})
