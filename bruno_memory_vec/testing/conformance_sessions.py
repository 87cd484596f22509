"""What a SessionStore has to do, as tests that any session store's own test suite can inherit.

::

    from bruno_memory_vec.testing import SessionStoreConformance

    class TestMySessions(SessionStoreConformance):
        async def open_sessions(self, max_messages):
            return await MySessions.open(self.folder, max_messages)

``self.folder`` is an empty folder of the test, and ``self.name`` a name that no other test has.
Where a store deviates, override the test and say why, or set one of the class attributes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
import pytest_asyncio
from bruno_core.models.context import SessionContext, UserContext
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.rows.models import message_row, to_message
from bruno_memory_vec.sessions.protocol import (
    ContextRecord,
    Conversation,
    ConversationNote,
    Enumerates,
    ForgetsUsers,
    HotTurn,
    SessionStore,
)

KEPT = 4
A_MOMENT = timedelta(milliseconds=2)
LONG_AGO = datetime(2020, 2, 3, 4, 5, 6, 789_000, tzinfo=timezone.utc)


def said(*numbers: int, talk: str = "c", user: str = "ana", text: str = "text") -> list[HotTurn]:
    """Messages with these turns, which are their ``seq`` as well."""
    found = []
    for number in numbers:
        message = Message(role=MessageRole.USER, content=f"{text} {number}")
        row = message_row(message, user, talk) | {"seq": number, "turn": number}
        found.append(HotTurn(user, talk, number, row))
    return found


class SessionStoreConformance:
    """Tests of a ``SessionStore``. A subclass says how to open one."""

    #: Whether what was stored is there after the store was closed and opened again.
    persistent: ClassVar[bool] = True
    #: Whether several can be open at the same time, and write.
    shared: ClassVar[bool] = False

    folder: Path
    name: str

    async def open_sessions(self, max_messages: int) -> SessionStore:
        """Open the store under test, of ``self.name``; called again to open it again."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.name = f"sessions-{uuid4().hex}"

    @pytest_asyncio.fixture
    async def store(self) -> AsyncIterator[SessionStore]:
        """A store with nothing in it."""
        opened = await self.open_sessions(KEPT)
        yield opened
        await opened.close()

    async def known(self, store: SessionStore, talk: str = "c") -> Conversation:
        """A conversation that has begun."""
        found = await store.conversation(talk)
        assert found is not None
        return found

    async def hot(
        self, store: SessionStore, talk: str = "c", user: str = "ana", limit: int = KEPT
    ) -> list[str]:
        """What is hot of a conversation, oldest first; it must be true."""
        record = await store.context(user, talk, limit)
        assert record.conversation is None or record.conversation.stale == 0
        return [message.content for message in record.messages]

    def texts(self, *numbers: int, text: str = "text") -> list[str]:
        """What :func:`said` gives these turns."""
        return [f"{text} {number}" for number in numbers]

    # Following the rows

    async def test_nothing_is_known_at_first(self, store: SessionStore) -> None:
        assert store.max_messages == KEPT
        assert await store.last_seq() == -1
        assert await store.conversation("c") is None
        assert await store.owners(["c", "d"]) == {}
        assert await store.askers("c") == []
        assert await store.context("ana", "c", KEPT) == ContextRecord(None, None, None, None, [])
        assert await store.session("s") is None
        assert await store.user("ana") is None
        assert await store.current_conversation("ana") is None
        assert await store.ledger.count() == 0
        assert await store.conversation("c") is None, "asking begins nothing"

    async def test_the_last_turns_are_hot(self, store: SessionStore) -> None:
        for number in range(7):
            await store.apply(said(number), number)
            expected = range(max(0, number - KEPT + 1), number + 1)
            assert await self.hot(store) == self.texts(*expected)
        assert await self.hot(store, limit=2) == self.texts(5, 6)
        await store.apply(said(*range(7, 20)), 19)
        assert await self.hot(store) == self.texts(16, 17, 18, 19)
        assert await self.known(store) == Conversation("ana", 20, 0)
        assert await store.last_seq() == 19

    async def test_a_message_that_is_stored_again(self, store: SessionStore) -> None:
        """In its place; one that is not hot any more does not come back."""
        await store.apply(said(*range(10)), 9)
        await store.apply(said(3, 8, text="again"), 11)
        record = await store.context("ana", "c", KEPT)
        assert record.conversation is not None
        assert record.conversation.next_turn == 10
        if not record.conversation.stale:
            assert [one.content for one in record.messages] == [
                *self.texts(6, 7),
                "again 8",
                "text 9",
            ]
        # However often: what is shown is the last turns, or is said to be outdated.
        for number in range(9):
            await store.apply(said(number, text="again"), 12 + number)
            record = await store.context("ana", "c", KEPT)
            assert record.conversation is not None
            shown = [one.content.split()[1] for one in record.messages]
            assert record.conversation.stale or shown == ["6", "7", "8", "9"]

    async def test_several_conversations_of_one_commit(self, store: SessionStore) -> None:
        await store.apply([*said(0, 1), *said(0, talk="d", user="ben"), *said(2)], 3)
        assert await self.hot(store) == self.texts(0, 1, 2)
        assert await self.hot(store, "d", "ben") == self.texts(0)
        assert await self.known(store, "d") == Conversation("ben", 1, 0)
        assert await store.owners(["c", "d", "e"]) == {"c": "ana", "d": "ben"}

    async def test_messages_come_back_equal(self, store: SessionStore) -> None:
        message = Message(
            role=MessageRole.ASSISTANT,
            content="a\u2028b \0 ' \" {} ü 😀 }",
            metadata={"at": datetime(2026, 1, 2, tzinfo=timezone.utc), "tuple": (1, "a"), "n": 2},
            parent_id=uuid4(),
        )
        row = message_row(message, "ana", "c") | {"seq": 0, "turn": 0}
        expected = to_message(row)
        await store.apply([HotTurn("ana", "c", 0, row)], 0)
        (found,) = (await store.context("ana", "c", KEPT)).messages
        assert found == expected
        # A caller's change is its own.
        found.metadata["n"] = 3
        (again,) = (await store.context("ana", "c", KEPT)).messages
        assert again.metadata["n"] == 2

    async def test_the_first_row_gives_the_owner(self, store: SessionStore) -> None:
        await store.apply(said(0), 0)
        await store.apply(said(1, user="ben"), 1, {"c": "cy"})
        assert (await self.known(store)).user_id == "ana"
        await store.restore([("c", "ben", 3)], 2)
        found = await self.known(store)
        assert (found.user_id, found.next_turn) == ("ana", 3)
        await store.give([("c", "ben", 2), ("d", "cy", 1)])
        found = await self.known(store)
        assert (found.user_id, found.next_turn) == ("ben", 3)
        assert (await self.known(store, "d")).user_id == "cy"
        assert await store.last_seq() == 2

    async def test_a_memory_gives_an_owner(self, store: SessionStore) -> None:
        await store.apply([], 0, {"d": "ben"})
        assert await self.known(store, "d") == Conversation("ben", 0, 0)

    async def test_many_owners_at_once(self, store: SessionStore) -> None:
        talks = [f"c{number}" for number in range(1200)]
        await store.apply([turn for talk in talks for turn in said(0, talk=talk)], 1200)
        assert await store.owners([*talks, "none"]) == dict.fromkeys(talks, "ana")

    async def test_rows_that_were_missed(self, store: SessionStore) -> None:
        await store.apply(said(0, 1), 1)
        await store.restore([("c", "ana", 5), ("d", "ben", 2)], 6, added=[5, 6])
        for talk, owner, least in (("c", "ana", 5), ("d", "ben", 2)):
            found = await self.known(store, talk)
            assert found.user_id == owner
            assert found.next_turn >= least
            assert found.stale != 0
        assert await store.last_seq() == 6
        assert (await store.ledger.read()).alive.tolist() == [5, 6]

    # Stale contexts

    async def test_a_stale_context_is_filled_as_it_is_now(self, store: SessionStore) -> None:
        await store.apply(said(0, 1, 2), 2)
        await store.mark_stale("c")
        seen = await self.known(store)
        assert seen.stale > 0
        # A turn that came since stays; what is older is as the rows have it.
        await store.apply(said(3), 3)
        await store.refill("c", said(0, 2), seen)
        assert await self.hot(store) == self.texts(0, 2, 3)
        # It became staler while the rows were read.
        await store.mark_stale("c")
        seen = await self.known(store)
        await store.mark_stale("c")
        await store.refill("c", said(1), seen)
        assert (await self.known(store)).stale > 0
        seen = await self.known(store)
        await store.refill("c", said(1, 2), seen)
        assert await self.hot(store) == self.texts(1, 2)

    async def test_a_stale_conversation_goes_on(self, store: SessionStore) -> None:
        await store.apply(said(*range(6)), 5)
        await store.mark_stale("c")
        await store.apply(said(6), 6)
        assert (await self.known(store)).stale > 0
        await store.refill("c", said(3, 4, 5, 6), await self.known(store))
        await store.apply(said(7), 7)
        assert await self.hot(store) == self.texts(4, 5, 6, 7)

    async def test_nothing_is_marked_that_has_not_begun(self, store: SessionStore) -> None:
        await store.mark_stale("none")
        assert await store.conversation("none") is None

    # Users

    async def test_users(self, store: SessionStore) -> None:
        await store.set_current_conversation("ana", "c")
        assert await store.user("ana") is None, "a place is no profile"
        profile = UserContext(user_id="ana", profile={"likes": ("tea",)}, name="Ana")
        await store.save_user(profile)
        assert await store.user("ana") == profile
        assert await store.current_conversation("ana") == "c"
        await store.set_current_conversation("ana", "d")
        await store.leave("c", "ana")
        await store.leave("d", "ben")
        assert await store.current_conversation("ana") == "d"
        record = await store.context("ana", "c", KEPT)
        assert (record.user, record.current) == (profile, "d")
        record = await store.context("ben", "c", KEPT)
        assert (record.user, record.current) == (None, None)
        await store.leave("d", "ana")
        assert await store.current_conversation("ana") is None
        assert await store.user("ana") == profile

    async def test_what_was_replaced_is_erased(self, store: SessionStore) -> None:
        await store.save_user(UserContext(user_id="ana", name="one"))
        await store.save_user(UserContext(user_id="ana", name="two"))
        await store.erase(deleted=False)
        assert not await store.has_replaced()
        user = await store.user("ana")
        assert user is not None
        assert user.name == "two"
        await store.apply(said(0, 1), 1)
        await store.mark_stale("c")
        await store.erase(deleted=True)
        seen = await self.known(store)
        await store.refill("c", said(1), seen)
        assert await self.hot(store) == self.texts(1)

    # Sessions

    async def test_who_has_asked_for_a_conversation(self, store: SessionStore) -> None:
        for user in ("ben", "ben", "ana", "cy"):
            session = SessionContext(user_id=user, conversation_id="c")
            session.end_session()
            await store.save_session(session)
            assert await store.askers("c") == (["ben"] if user == "ben" else ["ana", "ben"])
        # Asking is not saying.
        assert await store.conversation("c") is None
        assert await store.owners(["c"]) == {}
        # Who asks when it is another user's does not count, and does not later.
        await store.apply(said(0, talk="d"), 0)
        late, own = (SessionContext(user_id=user, conversation_id="d") for user in ("ben", "ana"))
        for session in (late, own, late):
            await store.save_session(session)
        assert await store.askers("d") == ["ana"]

    async def test_the_newest_active_session_counts(self, store: SessionStore) -> None:
        made = [SessionContext(user_id="ana", conversation_id="c") for _ in range(3)]
        for one in made:
            await store.save_session(one)
        await store.save_session(SessionContext(user_id="ben", conversation_id="c"))
        assert [await store.session(one.session_id) for one in made] == made
        for left in (2, 1, 0):
            assert (await store.context("ana", "c", KEPT)).session == made[left]
            # Saving an older one again does not make it the newest.
            made[0].metadata["seen"] = left
            if left:
                await store.save_session(made[0])
            made[left].end_session()
            await store.save_session(made[left])
        assert (await store.context("ana", "c", KEPT)).session is None
        found = await store.session(made[0].session_id)
        assert found is not None
        assert (found.is_active, found.metadata) == (False, {"seen": 0})

    async def test_a_session_with_a_conversation_of_its_own(self, store: SessionStore) -> None:
        session = SessionContext(user_id="cy", metadata={"a": 1})
        await store.begin_session(session)
        talk = session.conversation_id
        assert await self.known(store, talk) == Conversation("cy", 0, 0)
        assert await store.owners([talk]) == {talk: "cy"}
        assert await store.session(session.session_id) == session
        assert await store.current_conversation("cy") == talk

    async def test_lists_of_sessions(self, store: SessionStore) -> None:
        made = [SessionContext(user_id=user) for user in ("ana", "ben", "ana", "ana", "ben")]
        for one in made:
            await store.save_session(one)
        made[2].end_session()
        await store.save_session(made[2])

        async def listed(user: str | None, active: bool | None = None, **page: Any) -> list[int]:
            asked = {"limit": None, "after": None, **page}
            found = await store.sessions(user, active=active, **asked)
            ids = [one.session_id for one in made]
            return [ids.index(one.session_id) for one in found]

        assert await listed(None) == [4, 3, 2, 1, 0]
        assert await listed("ana") == [3, 2, 0]
        assert await listed("ana", True) == [3, 0]
        assert await listed(None, False) == [2]
        assert await listed(None, limit=2) == [4, 3]
        assert await listed(None, limit=2, after=made[3].session_id) == [2, 1]
        assert await listed("ana", after=made[2].session_id) == [0]
        assert await listed("ana", after="none") == []
        assert await listed("nobody") == []

    async def test_more_sessions_than_a_page(self, store: SessionStore) -> None:
        made = [SessionContext(user_id="ana", conversation_id="c") for _ in range(450)]
        for one in made[:40]:
            one.end_session()
        for start in range(0, len(made), 50):
            for one in made[start : start + 50]:
                await store.save_session(one)
        found = await store.sessions("ana", active=None, limit=None, after=None)
        assert [one.session_id for one in found] == [one.session_id for one in made[::-1]]
        ended = await store.sessions("ana", active=False, limit=3, after=None)
        assert [one.session_id for one in ended] == [one.session_id for one in made[39:36:-1]]

    async def test_a_session_is_forgotten(self, store: SessionStore) -> None:
        made = [SessionContext(user_id="ana", conversation_id="c") for _ in range(3)]
        for one in made:
            await store.save_session(one)
        await store.drop_session("none")
        await store.drop_session(made[2].session_id)
        await store.drop_session(made[2].session_id)
        assert await store.session(made[2].session_id) is None
        assert (await store.context("ana", "c", KEPT)).session == made[1]
        for user in ("ana", None):
            found = await store.sessions(user, active=None, limit=None, after=None)
            assert found == [made[1], made[0]]

    # Conversations as a whole

    async def test_notes(self, store: SessionStore) -> None:
        assert await store.note("ana", "c") is None
        assert await store.notes("ana") == []
        note = ConversationNote(
            "c", "ana", LONG_AGO, "a 'title' \0 ü 😀", "given", "root}", 7, LONG_AGO, LONG_AGO
        )
        bare = ConversationNote("c}:{d", "ana", LONG_AGO)
        other = ConversationNote("c", "ben", LONG_AGO, "of ben")
        for one in (note, bare, other):
            await store.save_note(one)
        assert await store.note("ana", "c") == note
        assert await store.note("ana", "c}:{d") == bare
        assert await store.note("ben", "c") == other
        assert await store.note("ben", "c}:{d") is None
        assert set(await store.notes("ana")) == {note, bare}
        assert await store.conversation("c") is None, "a note begins nothing"
        changed = replace(note, title=None, title_by=None, archived_at=None)
        await store.save_note(changed)
        assert await store.note("ana", "c") == changed
        await store.drop_note("ana", "c")
        await store.drop_note("ana", "c")
        await store.drop_note("ana", "none")
        assert await store.note("ana", "c") is None
        assert await store.notes("ana") == [bare]
        assert await store.notes("ben") == [other]

    async def test_a_title_that_was_replaced_or_dropped_is_erased(
        self, store: SessionStore
    ) -> None:
        note = ConversationNote("c", "ana", LONG_AGO, "one")
        await store.save_note(note)
        await store.erase(deleted=False)
        assert not await store.has_replaced()
        for change in (store.save_note(replace(note, title="two")), store.drop_note("ana", "c")):
            await change
            # A store without a file has nothing to erase.
            assert await store.has_replaced() or not self.persistent
            await store.erase(deleted=False)
            assert not await store.has_replaced()

    async def test_when_something_was_last_stored(self, store: SessionStore) -> None:
        assert await store.touched(["c"]) == {}
        before = datetime.now(timezone.utc) - A_MOMENT
        await store.apply([*said(0), *said(0, talk="d")], 1)
        first = await store.touched(["c", "d", "none"])
        assert first.keys() == {"c", "d"}
        for at in first.values():
            assert before <= at <= datetime.now(timezone.utc) + A_MOMENT
        record = await store.context("ana", "c", KEPT)
        assert record.touched == (await store.touched(["c"]))["c"]
        # A message that replaces itself, and a memory, are no sign of life.
        await store.touch({"c": LONG_AGO, "none": LONG_AGO})
        assert await store.conversation("none") is None
        await store.apply([replace(turn, again=True) for turn in said(0)], 2, {"c": "ana"})
        assert await store.touched(["c", "none"]) == {"c": LONG_AGO}
        assert (await store.context("ana", "c", KEPT)).touched == LONG_AGO
        await store.apply(said(1), 3)
        assert (await store.touched(["c"]))["c"] >= before
        assert (await store.touched(["c"]))["c"] > LONG_AGO

    async def test_names_of_any_kind(self, store: SessionStore) -> None:
        """None is another's, whatever it looks like."""
        names = ["c", "c}", "{c}", "c:state", "a:b", "*", "ü 😀", "x" * 500, "%7Bc%7D", "c}:hot"]
        for number, name in enumerate(names):
            await store.apply(said(0, talk=name, user=name), number)
            await store.set_current_conversation(name, name)
        for name in names:
            assert (await self.known(store, name)).user_id == name
            assert await store.current_conversation(name) == name
            assert await self.hot(store, name, name) == self.texts(0)

    async def test_what_it_keeps_is_enumerated(self, store: SessionStore) -> None:
        if not isinstance(store, Enumerates):
            return
        names = ["ana", "ben}", "Ömer", "zoë:x"]
        for name in names[:2]:
            await store.save_user(UserContext(user_id=name))
        for name in names[1:]:
            await store.set_current_conversation(name, f"of {name}")
        assert sorted([user async for user in store.users()]) == sorted(names)
        await store.apply([turn for talk in "ab" for turn in said(0, 1, talk=talk)], 1)
        await store.begin_session(SessionContext(user_id="zoë:x", conversation_id="d"))
        found = [one async for one in store.conversations()]
        assert sorted(found) == [("a", "ana", 2), ("b", "ana", 2), ("d", "zoë:x", 0)]

    async def test_a_user_is_forgotten(self, store: SessionStore) -> None:
        if not isinstance(store, ForgetsUsers):
            return
        for user, talk in (("ana", "a"), ("ben", "b"), ("ana", "shared")):
            await store.apply(said(0, 1, talk=talk, user=user), 1, added=[0, 1])
            session = SessionContext(user_id=user, conversation_id=talk)
            await store.save_session(session)
            await store.save_user(UserContext(user_id=user, name=user))
            await store.set_current_conversation(user, talk)
            await store.save_note(ConversationNote(talk, user, LONG_AGO, f"of {user}"))
        await store.ledger.settle(lost=[1])
        kept = await store.kept_of("ben")
        before = await store.kept_of("ana")
        assert (before["profiles"], before["sessions"], before["notes"]) == (1, 2, 2)
        assert before["conversations"] == 2
        assert await store.forget_user("ana", ["a", "shared"], {"shared": "ben"})
        assert await store.kept_of("ana") == {}
        assert await store.user("ana") is None
        assert await store.current_conversation("ana") is None
        assert await store.sessions("ana", active=None, limit=None, after=None) == []
        assert await store.notes("ana") == []
        assert await store.conversation("a") is None
        # What another user has rows in goes on as theirs, and no turn is given twice.
        shared = await self.known(store, "shared")
        assert (shared.user_id, shared.next_turn >= 2, shared.stale != 0) == ("ben", True, True)
        assert all(one.user_id != "ana" for one in (await store.ledger.read()).lost)
        assert await store.kept_of("ben") == {**kept, "conversations": 2}
        assert not any((await store.forget_user("nobody", [], {})).values())

    # The ledger

    async def test_the_ledger_has_what_was_acknowledged(self, store: SessionStore) -> None:
        await store.apply(said(0, 1, 2), 2, added=[0, 1, 2])
        await store.apply(said(1), 4, added=[4], removed=[1])
        far = [*range(1000, 1040), 131_071, 131_072, 5_000_000]
        await store.restore([], 5_000_000, added=far)
        known = await store.ledger.read()
        assert known.alive.tolist() == [0, 2, 4, *far]
        assert known.last_seq == 5_000_000
        assert await store.ledger.count() == len(far) + 3
        assert known.leaving.tolist() == known.given_up.tolist() == known.returned.tolist() == []
        # A second time, as after an answer that was lost, it is the same.
        await store.restore([], 5_000_000, added=far)
        assert await store.ledger.count() == len(far) + 3

    async def test_rows_on_their_way_out(self, store: SessionStore) -> None:
        await store.apply([], 9, added=range(10))
        await store.ledger.leave([3, 4, 5])
        assert (await store.ledger.read()).leaving.tolist() == [3, 4, 5]
        await store.ledger.settle(alive=[3], gone=[4])
        known = await store.ledger.read()
        assert known.leaving.tolist() == [5]
        assert known.alive.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
        assert await store.ledger.count() == 9

    async def test_lost_rows_leave_the_context(self, store: SessionStore) -> None:
        await store.apply(said(0, 1, 2), 2, added=[0, 1, 2, 3])
        await store.ledger.settle(lost=[1, 3])
        known = await store.ledger.read()
        assert [(one.seq, one.conversation_id, one.user_id, one.turn) for one in known.lost] == [
            (1, "c", "ana", 1),
            (3, None, None, None),
        ]
        assert known.alive.tolist() == [0, 2]
        record = await store.context("ana", "c", KEPT)
        assert record.conversation is not None
        assert record.conversation.stale > 0
        assert "text 1" not in [one.content for one in record.messages]
        await store.ledger.settle(given_up=[1], alive=[3], returned=[8])
        known = await store.ledger.read()
        assert known.given_up.tolist() == [1]
        assert known.lost == ()
        assert known.returned.tolist() == [8]
        assert known.alive.tolist() == [0, 2, 3, 8]

    async def test_many_rows(self, store: SessionStore) -> None:
        odd = [3, 5, *range(10, 30), 8191, 8192, *range(131_060, 131_090), 300_000]
        await store.apply([], 299_999, added=odd)
        await store.ledger.settle(gone=[*range(12, 27), 131_071], alive=[6])
        known = await store.ledger.read()
        expected = sorted({*odd, 6} - {*range(12, 27), 131_071})
        assert known.alive.tolist() == expected
        assert await store.ledger.count() == len(expected)
        await store.ledger.settle(gone=range(300_001))
        assert await store.ledger.count() == 0
        await store.apply([], 300_000, added=range(50_000))
        await store.ledger.settle(gone=range(0, 50_000, 2))
        assert await store.ledger.count() == 25_000
        assert (await store.ledger.read()).alive.tolist() == list(range(1, 50_000, 2))

    # Several callers, several times

    async def test_calls_at_the_same_time(self, store: SessionStore) -> None:
        async def talk(number: int) -> None:
            name = f"c{number}"
            for turn in range(6):
                await store.apply(said(turn, talk=name), turn, added=[number * 6 + turn])
                expected = range(max(0, turn - KEPT + 1), turn + 1)
                assert await self.hot(store, name) == self.texts(*expected)

        await asyncio.gather(*(talk(number) for number in range(20)))
        assert await store.ledger.count() == 120

    async def test_it_is_there_again(self) -> None:
        if not self.persistent:
            return
        session = SessionContext(user_id="ana")
        for number in range(3):
            store = await self.open_sessions(KEPT)
            assert await store.last_seq() == number - 1
            await store.apply(said(number), number, added=[number])
            assert await self.hot(store) == self.texts(*range(number + 1))
            assert await store.ledger.count() == number + 1
            await store.save_session(session)
            note = ConversationNote("c", "ana", LONG_AGO, f"title {number}")
            assert await store.note("ana", "c") == (
                replace(note, title=f"title {number - 1}") if number else None
            )
            await store.save_note(note)
            assert await store.sessions(None, active=None, limit=None, after=None) == [session]
            await store.close()
            await store.close()
            with pytest.raises(EngineError):
                await store.last_seq()

    @pytest.mark.parametrize("more", [6, KEPT, 2])
    async def test_another_number_of_hot_turns(self, more: int) -> None:
        """More than were kept: the rows have them. A conversation that is shorter is all there."""
        if not self.persistent:
            return
        first = await self.open_sessions(KEPT)
        await first.apply([*said(*range(8)), *said(*range(KEPT - 1), talk="short")], 11)
        await first.close()
        again = await self.open_sessions(more)
        record = await again.context("ana", "c", more)
        assert record.conversation is not None
        if not record.conversation.stale:
            assert [one.content for one in record.messages] == self.texts(*range(8 - more, 8))
        else:
            await again.refill("c", said(*range(8 - more, 8)), record.conversation)
        assert await self.hot(again, limit=more) == self.texts(*range(8 - more, 8))
        expected = self.texts(*range(KEPT - 1))
        assert await self.hot(again, "short", limit=more) == expected[-more:]
        await again.close()

    async def test_two_at_the_same_time(self) -> None:
        """What one has stored the other finds at once."""
        if not self.shared:
            return
        one, other = await self.open_sessions(KEPT), await self.open_sessions(KEPT)
        for number in range(8):
            writer, reader = (one, other) if number % 2 else (other, one)
            await writer.apply(said(number), number, added=[number])
            expected = range(max(0, number - KEPT + 1), number + 1)
            assert await self.hot(reader) == self.texts(*expected)
            assert await reader.last_seq() == number
            assert await reader.ledger.count() == number + 1
        await one.mark_stale("c")
        assert (await self.known(other)).stale > 0
        await one.save_user(UserContext(user_id="ana", name="Ana"))
        user = (await other.context("ana", "c", KEPT)).user
        assert user is not None
        assert user.name == "Ana"
        await one.close()
        await other.close()

    async def test_two_names_share_nothing(self) -> None:
        if not self.shared:
            return
        one = await self.open_sessions(KEPT)
        self.name += ":c"
        other = await self.open_sessions(KEPT)
        await one.apply(said(0), 0, added=[0])
        await one.begin_session(SessionContext(user_id="ana"))
        assert await other.last_seq() == -1
        assert await other.conversation("c") is None
        assert await other.sessions(None, active=None, limit=None, after=None) == []
        await one.close()
        await other.close()

    async def test_a_closed_store_refuses(self, store: SessionStore) -> None:
        await store.close()
        await store.close()
        for call in (store.last_seq(), store.context("ana", "c", 1), store.apply(said(0), 0)):
            with pytest.raises(EngineError):
                await call

    async def test_health(self, store: SessionStore) -> None:
        await store.apply(said(0, 1), 1)
        health = await store.health()
        assert isinstance(health["engine"], str)
