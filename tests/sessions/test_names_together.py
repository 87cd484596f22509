"""Calls that come together look up together what their ids name."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from bruno_core.models.context import SessionContext
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.errors import BackendUnavailable, ForeignUserError
from bruno_memory_vec.memory import open_memory
from bruno_memory_vec.sessions.owners import Owners
from bruno_memory_vec.sessions.protocol import Conversation, Named
from bruno_memory_vec.sessions.sqlite import Connection, SQLiteSessionStore

_CALLS, _TALKS = 200, 40


def _say(text: str) -> Message:
    return Message(role=MessageRole.USER, content=text)


async def test_many_new_conversations_are_few_visits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each visit is a switch to SQLite's thread; one a call would be most of the time."""
    visits: list[str] = []
    async with await open_memory(tmp_path / "m", embedder="hash") as memory:
        await memory.store_message(_say("first"), "known", user_id="ana")
        real = Connection._execute

        async def counting(self: Connection, *args: Any, **kwargs: Any) -> Any:
            visits.append("")
            return await real(self, *args, **kwargs)

        monkeypatch.setattr(Connection, "_execute", counting)
        await asyncio.gather(
            *(
                memory.store_message(_say(f"text {i}"), f"t{i % _TALKS}", user_id=f"u{i % _TALKS}")
                for i in range(_CALLS)
            )
        )
        assert len(visits) <= 12, "and not one or more a call"
        monkeypatch.undo()
        for talk in range(_TALKS):
            messages = (await memory.get_context(f"u{talk}", f"t{talk}")).messages
            assert [one.content for one in messages] == [
                f"text {i}" for i in range(talk, _CALLS, _TALKS)
            ]


async def test_who_is_first_owns_it_though_all_looked_at_once(tmp_path: Path) -> None:
    async with await open_memory(tmp_path / "m", embedder="hash") as memory:
        answers = await asyncio.gather(
            *(memory.store_message(_say(f"by {i}"), "talk", user_id=f"u{i}") for i in range(20)),
            return_exceptions=True,
        )
        assert [type(one) for one in answers[1:]] == [ForeignUserError] * 19
        assert answers[0] is None
        (message,) = (await memory.get_context("u0", "talk")).messages
        assert message.content == "by 0"


async def test_a_session_names_its_conversation(tmp_path: Path) -> None:
    async with await open_memory(tmp_path / "m", embedder="hash") as memory:
        sessions = [await memory.create_session(f"u{i}") for i in range(3)]
        await asyncio.gather(
            *(memory.store_message(_say("hello"), one.session_id) for one in sessions)
        )
        for one in sessions:
            (message,) = (await memory.get_context(one.user_id, one.conversation_id)).messages
            assert message.content == "hello"


class _Failing:
    """Sessions that cannot be read at first."""

    def __init__(self, sessions: SQLiteSessionStore) -> None:
        self._sessions = sessions
        self.fails = True
        self.reads: list[set[str]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._sessions, name)

    async def named(self, ids: Collection[str]) -> dict[str, Named]:
        self.reads.append(set(ids))
        if self.fails:
            raise BackendUnavailable("sqlite", "read", "no disk", fix="Mend it.")
        return await self._sessions.named(ids)


async def test_a_failed_read_is_told_to_all_and_tried_again(tmp_path: Path) -> None:
    sessions = await SQLiteSessionStore.open(tmp_path / "s.sqlite", 4)
    failing = _Failing(sessions)
    owners = Owners(failing, "default")  # type: ignore[arg-type]
    answers = await asyncio.gather(
        *(owners.owner(f"t{i}") for i in range(5)), return_exceptions=True
    )
    assert [type(one) for one in answers] == [BackendUnavailable] * 5
    failing.fails = False
    first = asyncio.create_task(owners.owner("t0"))
    others = [asyncio.create_task(owners.owner(f"t{i}")) for i in range(1, 5)]
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.gather(*others) == [None] * 4, "a cancelled caller stops nobody else"
    assert [len(ids) for ids in failing.reads] == [5, 5]
    await sessions.close()


def test_a_later_event_loop_looks_up_for_itself(tmp_path: Path) -> None:
    async def begin() -> tuple[SQLiteSessionStore, Owners]:
        sessions = await SQLiteSessionStore.open(tmp_path / "s.sqlite", 4)
        owners = Owners(sessions, "default")
        # Its lookup has not begun to read when the loop ends.
        asyncio.get_running_loop().create_task(owners.owner("t"))
        await asyncio.sleep(0)
        return sessions, owners

    async def go_on(sessions: SQLiteSessionStore, owners: Owners) -> str | None:
        found = await owners.owner("t")
        await sessions.close()
        return found

    assert asyncio.run(go_on(*asyncio.run(begin()))) is None


def test_an_answer_that_comes_after_its_event_loop_stops_nobody(tmp_path: Path) -> None:
    """The thread is still reading for the closed loop when the next one asks."""
    reading, may_end = Event(), Event()

    def read() -> None:
        reading.set()
        may_end.wait()

    async def begin() -> SQLiteSessionStore:
        sessions = await SQLiteSessionStore.open(tmp_path / "s.sqlite", 4)
        await sessions.restore([("t", "ana", 1)], 0)
        task = asyncio.create_task(sessions._connection._execute(read))
        await asyncio.to_thread(reading.wait)
        assert not task.done()
        return sessions

    async def go_on(sessions: SQLiteSessionStore) -> dict[str, Named]:
        asks = asyncio.create_task(sessions.named(["t"]))
        await asyncio.sleep(0)
        may_end.set()
        found = await asyncio.wait_for(asks, 30)
        await sessions.close()
        return found

    found = asyncio.run(go_on(asyncio.run(begin())))
    assert found == {"t": Named(Conversation("ana", 1, 1))}


async def test_what_ids_name(tmp_path: Path) -> None:
    """Conversations, sessions, those who asked, and nothing; more ids than one statement takes."""
    sessions = await SQLiteSessionStore.open(tmp_path / "s.sqlite", 4)
    talks = [(f"t{i}", f"u{i}", i) for i in range(700)]
    await sessions.restore(talks, 0)
    for user in ("cy", "ben", "ana"):
        await sessions.save_session(
            SessionContext(session_id=f"s-{user}", user_id=user, conversation_id="asked")
        )
    found = await sessions.named([*(name for name, _, _ in talks), "asked", "s-ben", "none"])
    assert found == {
        **{name: Named(Conversation(user, turn, 1)) for name, user, turn in talks},
        "asked": Named(askers=("ana", "ben")),
        "s-ben": Named(session=("asked", "ben")),
    }
    await sessions.close()
