"""The sessions' file: what it keeps hot, whose a conversation is, and when it is stale."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest
from bruno_core.models.context import SessionContext, UserContext

from bruno_memory_vec.errors import BackendUnavailable, EngineError
from bruno_memory_vec.rows.models import message_row
from bruno_memory_vec.sessions import damage
from bruno_memory_vec.sessions import sqlite as module
from bruno_memory_vec.sessions.protocol import Conversation, ConversationNote, HotTurn
from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore, mark_all_stale, thread_of
from tests.durability.support import message

KEPT = 4
Store = SQLiteSessionStore


def turns(*numbers: int, talk: str = "c", user: str = "ana") -> list[HotTurn]:
    return [
        HotTurn(
            user,
            talk,
            number,
            message_row(message(f"text {number}"), user, talk) | {"seq": number},
        )
        for number in numbers
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.sqlite"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(path, KEPT)
    yield opened
    await opened.close()


async def hot(store: Store, talk: str = "c", user: str = "ana", limit: int = 20) -> list[int]:
    """Which turns are hot, oldest first."""
    record = await store.context(user, talk, limit)
    return [int(one.content.removeprefix("text ")) for one in record.messages]


async def known(store: Store, talk: str = "c") -> Conversation:
    found = await store.conversation(talk)
    assert found is not None
    return found


async def test_the_last_turns_are_kept(store: Store) -> None:
    for number in range(7):
        await store.apply(turns(number), number)
        assert await hot(store) == list(range(max(0, number - 3), number + 1))
    await store.apply(turns(*range(7, 20)), 19)
    assert await hot(store) == [16, 17, 18, 19]
    assert await hot(store, limit=2) == [18, 19]
    # An old one that is stored again does not come back, a hot one is replaced.
    await store.apply(turns(3, 18), 21)
    assert await hot(store) == [16, 17, 18, 19]
    assert await known(store) == Conversation("ana", 20, 0)
    assert (await store.health())["hot_messages"] == KEPT


async def test_several_conversations_of_one_commit(store: Store) -> None:
    await store.apply([*turns(0, 1), *turns(0, talk="d", user="ben"), *turns(2)], 3)
    assert await hot(store) == [0, 1, 2]
    assert await hot(store, "d", "ben") == [0]
    assert (await known(store)).next_turn == 3
    assert await known(store, "d") == Conversation("ben", 1, 0)
    assert await store.last_seq() == 3
    assert await store.conversation("none") is None


async def test_an_owner_stays(store: Store) -> None:
    await store.apply(turns(0), 0)
    await store.apply(turns(1, user="ben"), 1, {"c": "cy"})
    assert (await known(store)).user_id == "ana"
    await store.restore([("c", "ben", 3)], 2)
    assert await known(store) == Conversation("ana", 3, 1)


async def test_a_memory_and_a_session_of_its_own_give_an_owner(store: Store) -> None:
    await store.apply([], 0, {"d": "ben"})
    assert await known(store, "d") == Conversation("ben", 0, 0)
    session = SessionContext(user_id="cy")
    await store.begin_session(session)
    assert await known(store, session.conversation_id) == Conversation("cy", 0, 0)
    assert await store.session(session.session_id) == session
    assert await store.current_conversation("cy") == session.conversation_id
    names = ["d", session.conversation_id, *(f"none {n}" for n in range(1200))]
    assert await store.owners(names) == {"d": "ben", session.conversation_id: "cy"}


async def test_who_has_a_session_of_a_conversation(store: Store) -> None:
    assert await store.askers("c") == []
    for user in ("ben", "ben", "ana", "cy"):
        session = SessionContext(user_id=user, conversation_id="c")
        session.end_session()
        await store.save_session(session)
        assert await store.askers("c") == (["ben"] if user == "ben" else ["ana", "ben"])
    # Asking is not saying.
    assert await store.conversation("c") is None
    assert await store.owners(["c"]) == {}
    # Who asks when it is another user's does not count, and does not later.
    await store.apply(turns(0, talk="d"), 0)
    late, own = (SessionContext(user_id=user, conversation_id="d") for user in ("ben", "ana"))
    for session in (late, own, late):
        await store.save_session(session)
    assert await store.askers("d") == ["ana"]


async def test_hot_turns_are_those_of_their_user(store: Store) -> None:
    """Even where, by a fault, two users' messages are in one conversation."""
    await store.apply(turns(0, 2), 1)
    await store.apply(turns(0, 1, user="ben"), 2)
    assert await hot(store) == [0, 2]
    assert await hot(store, user="ben") == [0, 1]
    await store.mark_stale("c")
    await store.refill("c", turns(2), await known(store))
    assert await hot(store) == [2]
    assert await hot(store, user="ben") == [0, 1]


async def test_stale_until_it_is_filled_as_it_is_now(store: Store) -> None:
    await store.apply(turns(0, 1, 2), 2)
    await store.mark_stale("c")
    seen = await known(store)
    assert seen.stale == 1
    # A turn that came since stays; what is older is as the rows have it.
    await store.apply(turns(3), 3)
    await store.refill("c", turns(0, 2), seen)
    assert await hot(store) == [0, 2, 3]
    assert (await known(store)).stale == 0
    # It became staler while the rows were read.
    await store.mark_stale("c")
    seen = await known(store)
    await store.mark_stale("c")
    await store.refill("c", turns(1), seen)
    assert await hot(store) == [0, 2, 3]
    assert (await known(store)).stale == 2
    await store.restore([("c", "ana", 4)], 9)
    assert (await known(store)).stale == 3
    assert await store.last_seq() == 9


async def test_the_newest_active_session_counts(store: Store) -> None:
    made = [SessionContext(user_id="ana", conversation_id="c") for _ in range(3)]
    for one in made:
        await store.save_session(one)
    await store.save_session(SessionContext(user_id="ben", conversation_id="c"))
    assert [await store.session(one.session_id) for one in made] == made
    for left in (2, 1, 0):
        record = await store.context("ana", "c", KEPT)
        assert record.session == made[left]
        # Saving an older one again does not make it the newest.
        made[0].metadata["seen"] = left
        if left:
            await store.save_session(made[0])
        made[left].end_session()
        await store.save_session(made[left])
    assert (await store.context("ana", "c", KEPT)).session is None
    assert await store.session("none") is None
    found = await store.session(made[0].session_id)
    assert found is not None
    assert (found.is_active, found.metadata) == (False, {"seen": 0})


async def test_no_statement_reads_all_sessions(store: Store) -> None:
    """What one session or one user costs does not grow with how many there are."""
    asked = {"user": "ana", "conversation": "c", "active": 1, "after": "s", "limit": 5}
    for statement, values in (
        (module.SAVE_SESSION, ("s", "ana", "c", 1, "{}")),
        (module.SESSIONS_OF_USER, asked),
        (module.CONTEXT, asked),
        (module.ASKERS, ("c",)),
        (module.OWNERS.replace(":names", "?,?"), ("c", "d")),
    ):
        plan = [row[3] for row in await store._read(f"EXPLAIN QUERY PLAN {statement}", values)]
        assert not [step for step in plan if "SCAN" in step and "SCAN (" not in step], plan


async def test_the_order_of_sessions(store: Store, path: Path) -> None:
    made = [SessionContext(user_id=user, conversation_id="c") for user in ("ana", "ben", "ana")]
    for one in made:
        await store.save_session(one)
    await store.save_session(made[0])
    assert await every_session(store) == made[::-1]
    await store.close()
    again = await Store.open(path, KEPT)
    made.append(SessionContext(user_id="ben"))
    await again.save_session(made[-1])
    assert await every_session(again) == made[::-1]
    assert await every_session(again, made[2].session_id) == made[1::-1]
    await again.close()


async def every_session(store: Store, after: str | None = None) -> list[SessionContext]:
    return await store.sessions(None, active=None, limit=None, after=after)


async def test_users(store: Store) -> None:
    assert await store.user("ana") is None
    assert await store.current_conversation("ana") is None
    await store.set_current_conversation("ana", "c")
    assert await store.user("ana") is None, "a place is no profile"
    profile = UserContext(user_id="ana", profile={"likes": ["tea"]})
    await store.save_user(profile)
    assert await store.user("ana") == profile
    assert await store.current_conversation("ana") == "c"
    await store.set_current_conversation("ana", "d")
    assert await store.current_conversation("ana") == "d"
    await store.leave("c", "ana")
    await store.leave("d", "ben")
    assert await store.current_conversation("ana") == "d"
    assert await store.user("ana") == profile
    record = await store.context("ana", "c", KEPT)
    assert (record.user, record.current) == (profile, "d")
    record = await store.context("ben", "c", KEPT)
    assert (record.user, record.current) == (None, None)
    await store.leave("d", "ana")
    assert await store.current_conversation("ana") is None
    assert await store.user("ana") == profile


async def test_it_is_there_again(path: Path) -> None:
    for number in range(3):
        store = await Store.open(path, KEPT)
        assert store.max_messages == KEPT
        assert await store.last_seq() == number - 1
        await store.apply(turns(number), number)
        assert await hot(store) == list(range(number + 1))
        await store.close()
        await store.close()
        with pytest.raises(EngineError):
            await store.last_seq()


@pytest.mark.parametrize(("more", "stale"), [(6, True), (KEPT, False), (2, False)])
async def test_another_number_of_hot_turns(path: Path, more: int, stale: bool) -> None:
    """More than were kept: the rows have them. Conversations that are shorter have all."""
    first = await Store.open(path, KEPT)
    await first.apply([*turns(*range(8)), *turns(*range(KEPT), talk="short")], 11)
    await first.close()
    # A reader changes nothing in the file, and knows that it has too little.
    reader = await Store.open(path, more, read_only=True)
    seen = (await reader.context("ana", "c", more)).conversation
    assert seen is not None
    assert bool(seen.stale) == stale
    await reader.close()
    for again in (stale, stale):
        opened = await Store.open(path, more)
        assert bool((await known(opened)).stale) == again
        assert not (await known(opened, "short")).stale
        await opened.apply(turns(8), 12)
        if not stale:
            assert await hot(opened) == list(range(9 - more, 9))
        await opened.close()


async def test_a_reader_beside_a_writer(store: Store, path: Path) -> None:
    reader = await Store.open(path, KEPT, read_only=True)
    for number in range(3):
        await store.apply(turns(number), number)
        assert await hot(reader) == list(range(number + 1))
    with pytest.raises(BackendUnavailable):
        await reader.apply(turns(5), 5)
    assert await hot(reader) == [0, 1, 2]
    await reader.close()


async def test_two_in_memory_are_not_one() -> None:
    one, other = await Store.open(":memory:", KEPT), await Store.open(":memory:", KEPT)
    await one.apply(turns(0), 0)
    assert await hot(one) == [0]
    assert await other.conversation("c") is None
    await one.close()
    await other.close()


async def test_long_messages_are_read_in_a_thread(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.apply(turns(0, 1, 2), 2)
    await store.save_user(UserContext(user_id="ana"))
    short = await store.context("ana", "c", KEPT)
    await store.mark_stale("c")
    monkeypatch.setattr(module, "_CHARACTERS_ON_THE_LOOP", 10)
    long = await store.context("ana", "c", KEPT)
    assert long.messages == short.messages
    assert long.user == short.user


async def test_the_messages_that_were_read_last_are_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory that is bounded: the oldest make room."""
    from bruno_memory_vec.sessions import cache as hot_cache

    monkeypatch.setattr(hot_cache, "_MOST_CHARACTERS", 2_000)
    for number in range(20):
        talk = f"c{number}"
        await store.apply(turns(number, talk=talk), number)
        assert await hot(store, talk) == [number]
    held = [message.content for message in store._hot._messages.values()]
    assert 2 <= len(held) < 20
    assert held == [f"text {number}" for number in range(20 - len(held), 20)]


async def test_health(store: Store) -> None:
    await store.apply([*turns(0, 1), *turns(0, talk="d")], 2)
    await store.save_session(SessionContext(user_id="ana", conversation_id="c"))
    health = await store.health()
    assert {name: health[name] for name in ("conversations", "sessions", "hot_messages")} == {
        "conversations": 2,
        "sessions": 1,
        "hot_messages": 3,
    }


@pytest.fixture
def damaged(path: Path) -> Path:
    path.write_bytes(b"no database, and long enough to be read as one" * 100)
    return path


async def test_what_is_no_database(damaged: Path) -> None:
    with pytest.raises(BackendUnavailable, match="move it away"):
        await Store.open(damaged, KEPT)


async def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    await store.apply(turns(0), 0)
    with pytest.raises(KeyError):
        await store.apply([*turns(1), HotTurn("ana", "d", 0, {})], 9)
    assert await store.last_seq() == 0
    assert await hot(store) == [0]
    assert await store.conversation("d") is None
    await store.apply(turns(1), 1)
    assert await hot(store) == [0, 1]


async def test_a_transaction_whose_caller_is_gone_leaves_nothing(store: Store) -> None:
    """It was queued behind another, and is done when nobody waits for it any more."""
    gate = threading.Event()
    before = asyncio.ensure_future(store._connection._execute(gate.wait))
    asked = asyncio.ensure_future(store.apply(turns(0), 0))
    for _ in range(10):
        await asyncio.sleep(0)
    asked.cancel()
    await asyncio.sleep(0)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await before
    assert await store.conversation("c") is None
    await store.apply(turns(0), 0)
    assert await hot(store) == [0]


async def test_a_forgotten_one_does_not_hold_the_program(store: Store) -> None:
    assert thread_of(store._connection).daemon


async def test_everything_is_marked_for_a_repair(path: Path) -> None:
    await mark_all_stale(path)
    assert list(path.parent.iterdir()) == [], "there was nothing to mark"
    store = await Store.open(path, KEPT)
    await store.apply([*turns(0), *turns(0, talk="d")], 1)
    await store.mark_stale("d")
    await store.close()
    await mark_all_stale(path)
    store = await Store.open(path, KEPT)
    assert ((await known(store)).stale, (await known(store, "d")).stale) == (1, 2)
    await store.close()


async def test_a_repair_of_a_file_that_was_never_finished(path: Path) -> None:
    path.touch()  # noqa: ASYNC240
    await mark_all_stale(path)
    store = await Store.open(path, KEPT)
    assert await store.last_seq() == -1
    await store.close()


async def test_a_repair_of_a_damaged_file(damaged: Path) -> None:
    with pytest.raises(BackendUnavailable, match="mark all conversations"):
        await mark_all_stale(damaged)


async def test_what_it_keeps_is_enumerated_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_A_PAGE", 2)
    names = ["ana", "ben", "cleo", "Ömer", "zoë"]
    for name in names[:3]:
        await store.save_user(UserContext(user_id=name))
    for name in names[2:]:
        await store.set_current_conversation(name, f"of {name}")
    assert sorted([user async for user in store.users()]) == sorted(names)
    await store.apply([turn for talk in "abc" for turn in turns(0, 1, talk=talk)], 1)
    await store.begin_session(SessionContext(user_id="zoë", conversation_id="d"))
    found = [one async for one in store.conversations()]
    assert sorted(found) == [("a", "ana", 2), ("b", "ana", 2), ("c", "ana", 2), ("d", "zoë", 0)]


async def test_a_file_of_an_older_version(path: Path) -> None:
    """It is completed where it is opened to write; until then a reader finds nothing new in it."""
    first = await Store.open(path, KEPT)
    await first.apply(turns(0), 0)
    await first.begin_session(SessionContext(user_id="ana", conversation_id="d"))
    await first.close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            """
            CREATE TABLE older (
                conversation_id TEXT PRIMARY KEY, user_id TEXT NOT NULL,
                next_turn INTEGER NOT NULL DEFAULT 0, stale INTEGER NOT NULL DEFAULT 0
            ) WITHOUT ROWID;
            INSERT INTO older SELECT conversation_id, user_id, next_turn, stale FROM conversations;
            DROP TABLE conversations;
            ALTER TABLE older RENAME TO conversations;
            DROP TABLE notes;
            """
        )
    path.with_name(f"{path.name}.checksum").unlink()
    note = ConversationNote("c", "ana", datetime.now(timezone.utc), "a title")
    reader = await Store.open(path, KEPT, read_only=True)
    assert (await hot(reader), await reader.notes("ana"), await reader.touched(["c"])) == (
        [0],
        [],
        {},
    )
    assert await reader.note("ana", "c") is None
    writer = await Store.open(path, KEPT)
    assert await hot(writer) == [0]
    assert await writer.touched(["c"]) == {}
    await writer.apply(turns(1), 1)
    await writer.save_note(note)
    for store in (writer, reader):
        assert await store.note("ana", "c") == note
        assert (await store.touched(["c"])).keys() == {"c"}
        assert await hot(store) == [0, 1]
    assert (await writer.sessions("ana", active=True, limit=None, after=None))[0].user_id == "ana"
    await reader.close()
    await writer.close()


async def test_notes_are_salvaged_with_sessions_and_users(path: Path) -> None:
    note = ConversationNote("c", "ana", datetime.now(timezone.utc), "a title", "given")
    first = await Store.open(path, KEPT)
    await first.save_note(note)
    await first.save_user(UserContext(user_id="ana", name="Ana"))
    await first.close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO notes VALUES ('ana', 'd', 'no JSON')")
        database.commit()
    aside = damage.put_aside(path)
    fresh = await Store.open(path, KEPT)
    await fresh.close()
    damage.put_back(path, damage.salvage(aside))
    again = await Store.open(path, KEPT)
    assert await again.notes("ana") == [note]
    assert (await again.user("ana")) is not None
    await again.close()
