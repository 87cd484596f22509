"""What each role may do, and that no view gives out more than it has."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError, NotPermittedError
from tests.durability.support import message


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as opened:
        for user in ("ana", "ben"):
            await opened.store_message(message(f"the boat of {user}"), user, user_id=user)
        yield opened


async def test_a_reader_reads_and_leaves_no_trace(memory: VectorMemory) -> None:
    reader = memory.for_user("ana", role="reader")
    assert [hit.content for hit in await reader.recall("boat")] == ["the boat of ana"]
    context = await reader.get_context("ana")
    assert await memory.get_session(context.session.session_id) is None
    with pytest.raises(NotPermittedError):
        await reader.store_message(message("x"), "ana")
    with pytest.raises(NotPermittedError):
        await reader.conversations.start()
    assert len(await memory.retrieve_messages("ana")) == 1


async def test_an_administrator_acts_for_anybody_it_names(memory: VectorMemory) -> None:
    admin = memory.for_user("ana", role="admin", caller="the office")
    assert {hit.user_id for hit in await admin.recall("boat")} == {"ana"}
    assert {hit.user_id for hit in await admin.recall("boat", user_id="ben")} == {"ben"}
    assert len(await admin.recall("boat", user_id=ALL_USERS)) == 2
    assert {one.user_id for one in await admin.list_users()} == {"ana", "ben"}
    await admin.close()  # it closes nothing
    assert await memory.list_users()


async def test_a_view_gives_out_no_more_than_it_has(memory: VectorMemory) -> None:
    reader = memory.for_user("ana", role="reader", spaces={"team": "read"})
    for wanted in ({"role": "member"}, {"role": "admin"}, {"spaces": {"team": "write"}}):
        with pytest.raises(NotPermittedError):
            reader.for_user("ana", **wanted)  # type: ignore[arg-type]
    with pytest.raises(NotPermittedError):
        reader.for_user("ana", spaces={"other": "read"})
    with pytest.raises(ForeignUserError):
        reader.for_user("ben")
    again = reader.for_user("ana")
    assert (again._caller.role, again._caller.spaces) == ("reader", (("space:team", "read"),))
    assert not reader.for_user("ana", spaces={})._caller.spaces


async def test_a_space_is_written_by_whom_it_was_given_to_write(memory: VectorMemory) -> None:
    spaces = {"team": "write"}
    ana = memory.for_user("ana", spaces=spaces)  # type: ignore[arg-type]
    await ana.store_message(message("ours"), "team talk", user_id="space:team")
    await ana.store_message(message("and this"), "team talk")  # by its conversation alone
    assert [one.content for one in await ana.retrieve_messages("team talk")] == ["and this", "ours"]
    assert {one.metadata["author"] for one in await ana.retrieve_messages("team talk")} == {"ana"}
    ben = memory.for_user("ben", spaces={"team": "read"})
    assert len(await ben.retrieve_messages("team talk")) == 2
    for refused in (
        ben.store_message(message("mine"), "team talk"),
        ben.store_message(message("mine"), "team talk", user_id="space:team"),
    ):
        with pytest.raises(ForeignUserError):
            await refused
    await ben.clear_history("team talk", keep_system_messages=False)
    assert len(await ben.retrieve_messages("team talk")) == 2
    reader = memory.for_user("ana", role="reader", spaces=spaces)  # type: ignore[arg-type]
    with pytest.raises(NotPermittedError):
        await reader.store_message(message("x"), "team talk", user_id="space:team")
    for other in (memory.for_user("ben"), memory.for_user("eve", spaces={"others": "write"})):
        assert await other.retrieve_messages("team talk") == []
        with pytest.raises(ForeignUserError):
            await other.store_message(message("x"), "team talk")
    await ana.clear_history("team talk", keep_system_messages=False)
    assert await ana.retrieve_messages("team talk") == []


def test_bad_grants_are_refused() -> None:
    memory = VectorMemory("memory://", embedder="hash")
    for wrong in (
        {"role": "king"},
        {"spaces": ["team"]},
        {"spaces": {"team": "own"}},
        {"spaces": {"": "read"}},
        {"caller": ""},
        {"purpose": 7},
    ):
        with pytest.raises(InvalidInputError):
            memory.for_user("ana", **wrong)  # type: ignore[arg-type]
