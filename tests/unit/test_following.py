"""What is derived from the rows is brought to them, whatever it has lost or has too much."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pyarrow as pa
import pytest

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.reference import ReferenceIndex, ReferenceLexicalIndex
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.rows.models import message_row
from bruno_memory_vec.sessions.protocol import HotTurn
from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore
from bruno_memory_vec.testing.rows import memory, message, table
from bruno_memory_vec.writing.projections import Projections, lexical, sessions
from bruno_memory_vec.writing.projections.lexical import LexicalProjection
from bruno_memory_vec.writing.projections.sessions import SessionsProjection
from tests.durability.support import message as said

DIMENSION = 8


def rows(*made: dict[str, Any]) -> pa.Table:
    return table(list(made), DIMENSION)


class Engines:
    """Real ones, in memory."""

    def __init__(self, sessions: SQLiteSessionStore) -> None:
        self.rows = ReferenceIndex(DIMENSION)
        self.words = ReferenceLexicalIndex(analyser("english"))
        self.sessions = sessions
        self.following = SessionsProjection(sessions)
        self.projections = Projections([LexicalProjection(self.words), self.following])
        self.told: list[tuple[str, int, int]] = []

    async def follow(self) -> None:
        await self.projections.catch_up(self.rows, lambda *seen: self.told.append(seen))

    async def indexed(self, *made: dict[str, Any]) -> None:
        """Let the lexical index alone know of rows."""
        self.words.add(rows(*made).select(list(LEXICAL_COLUMNS)))
        await self.words.commit()

    async def seqs(self) -> list[int]:
        return sorted((await self.words.seqs()).tolist())

    async def turns(self, talk: str = "talk") -> dict[int, int]:
        scope = Scope.all_users().within(talk)
        found = await self.rows.read(scope, RowFilter(kinds=("message",)), ["seq", "turn"])
        return {row["seq"]: row["turn"] for row in found.to_pylist()}


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    sessions = await SQLiteSessionStore.open(":memory:", 4)
    yield Engines(sessions)
    await sessions.close()


@pytest.mark.parametrize("at_once", [1, 2, 3, 50_000])
async def test_rows_that_nobody_has_heard_of(
    engines: Engines, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical, "_ROWS_A_COMMIT", at_once)
    monkeypatch.setattr(sessions, "_ROWS_A_COMMIT", at_once)
    await engines.rows.upsert(rows(*(message(seq) for seq in range(5)), memory(5)), all_new=True)
    await engines.rows.upsert(
        rows(message(6, conversation_id="other", turn=0, user_id="ben")), all_new=True
    )
    await engines.follow()
    assert await engines.seqs() == [0, 1, 2, 3, 4, 5, 6]
    assert await engines.sessions.last_seq() == 6
    for talk, user, turn in (("talk", "ana", 5), ("other", "ben", 1)):
        known = await engines.sessions.conversation(talk)
        assert known is not None
        assert (known.user_id, known.next_turn, bool(known.stale)) == (user, turn, True)
    assert engines.told[-1] == ("indexing text", 7, 7)
    assert [done for _, done, _ in engines.told] == sorted({done for _, done, _ in engines.told})
    # All know of all: nothing is done, and nothing is said.
    told, before = len(engines.told), await engines.sessions.conversation("talk")
    await engines.follow()
    assert len(engines.told) == told
    assert await engines.sessions.conversation("talk") == before


async def test_rows_that_came_since(engines: Engines) -> None:
    await engines.rows.upsert(rows(*(message(seq) for seq in range(3))), all_new=True)
    await engines.follow()
    await engines.rows.upsert(
        rows(message(3), message(4, conversation_id="new", turn=0)), all_new=True
    )
    await engines.follow()
    assert await engines.seqs() == [0, 1, 2, 3, 4]
    assert engines.told[-1] == ("indexing text", 5, 5)
    known = await engines.sessions.conversation("talk")
    assert known is not None
    assert known.next_turn == 4


async def test_the_rows_are_read_once_where_nothing_is_wrong(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the words, and by the sessions. All rows of a large store are a long reading."""
    streams: list[int] = []
    inner = engines.rows.after

    def after(seq: int, *given: Any) -> Any:
        streams.append(seq)
        return inner(seq, *given)

    monkeypatch.setattr(engines.rows, "after", after)
    await engines.rows.upsert(rows(message(0), message(1)), all_new=True)
    await engines.follow()
    assert streams == [-1, -1]
    await engines.follow()
    assert streams[2:] == [1, 1]


async def test_changes_that_wait_in_the_word_index_are_made_first(engines: Engines) -> None:
    batch = rows(message(0), message(1))
    await engines.rows.upsert(batch, all_new=True)
    engines.words.add(batch.select(list(LEXICAL_COLUMNS)))
    await engines.follow()
    assert engines.words.pending == 0
    assert await engines.words.count() == 2
    assert engines.told == []


@pytest.mark.parametrize("at_once", [1, 2, 50_000])
async def test_words_that_were_lost_and_words_of_rows_that_are_gone(
    engines: Engines, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical, "_ROWS_A_COMMIT", at_once)
    monkeypatch.setattr(sessions, "_ROWS_A_COMMIT", at_once)
    every = [message(seq) for seq in range(6)]
    await engines.rows.upsert(rows(*every), all_new=True)
    await engines.indexed(*every, message(9))
    engines.words.remove([0, 2, 3])
    await engines.follow()
    assert await engines.seqs() == [0, 1, 2, 3, 4, 5]


async def test_as_many_words_as_rows_and_not_the_same(engines: Engines) -> None:
    """One row went and another came, and the index has heard of neither."""
    await engines.rows.upsert(rows(message(0), message(1)), all_new=True)
    await engines.indexed(message(0), message(7))
    await engines.follow()
    assert await engines.seqs() == [0, 1]


async def test_an_index_that_cannot_be_mended_is_told(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engines.rows.upsert(rows(message(0), message(1)), all_new=True)
    monkeypatch.setattr(engines.words, "add", lambda rows: None)
    with pytest.raises(EngineError, match=r"holds 0 of 2 rows after a repair.*lexical"):
        await engines.follow()


async def test_messages_without_a_turn_are_placed_behind_the_others(engines: Engines) -> None:
    """As they were written, whatever the store's order is; memories are not messages."""
    await engines.rows.upsert(rows(message(0), message(1, turn=4)), all_new=True)
    await engines.follow()
    await engines.rows.upsert(
        rows(
            message(2, turn=None),
            memory(3, conversation_id="talk"),
            message(4, turn=None),
            message(5, turn=None, conversation_id="new", user_id="ben"),
            message(6, turn=5),
        ),
        all_new=True,
    )
    await engines.follow()
    assert await engines.turns() == {0: 0, 1: 4, 2: 6, 4: 7, 6: 5}
    assert await engines.turns("new") == {5: 0}
    for talk, next_turn in (("talk", 8), ("new", 1)):
        known = await engines.sessions.conversation(talk)
        assert known is not None
        assert known.next_turn == next_turn
    found = engines.words.search(_query(), Scope.all_users(), RowFilter(), 100)
    held = dict(zip(found.seq.tolist(), found.turn.tolist(), strict=True))
    assert held == {0: 0, 1: 4, 2: 6, 3: -1, 4: 7, 5: 0, 6: 5}


def _query() -> Any:
    from bruno_memory_vec.indexers.query import LexicalQuery

    return LexicalQuery("hello")


async def test_a_turn_that_was_given_already_is_not_given_again(engines: Engines) -> None:
    """The sessions know of turns whose rows are gone."""
    await engines.rows.upsert(rows(message(0)), all_new=True)
    row = message_row(said("gone"), "ana", "talk") | {"seq": 7}
    await engines.sessions.apply([HotTurn("ana", "talk", 8, row)], 0)
    await engines.rows.upsert(rows(message(1, turn=None)), all_new=True)
    await engines.follow()
    assert await engines.turns() == {0: 0, 1: 9}


@pytest.mark.parametrize("at_once", [1, 50_000])
async def test_old_messages_without_a_turn_are_found_when_asked(
    engines: Engines, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical, "_ROWS_A_COMMIT", at_once)
    monkeypatch.setattr(sessions, "_ROWS_A_COMMIT", at_once)
    await engines.rows.upsert(rows(*(message(seq) for seq in range(4))), all_new=True)
    await engines.rows.upsert(rows(message(5, conversation_id="other", turn=3)), all_new=True)
    await engines.follow()
    assert await _mend(engines) == 0
    other = await engines.sessions.conversation("other")
    for seq in (0, 2):
        await engines.rows.update(pa.table({"seq": [seq], "turn": pa.array([None], pa.int64())}))
    await engines.follow()
    assert await engines.turns() == {0: None, 1: 1, 2: None, 3: 3}
    assert await _mend(engines) == 2
    assert await engines.turns() == {0: 4, 1: 1, 2: 5, 3: 3}
    known = await engines.sessions.conversation("talk")
    assert known is not None
    assert known.next_turn == 6
    # Who is not concerned is left alone.
    assert await engines.sessions.conversation("other") == other
    assert await engines.sessions.last_seq() == 5
    assert await _mend(engines) == 0


async def _mend(engines: Engines) -> int:
    given = await engines.following.mend_turns(engines.rows)
    await engines.projections.rewritten(engines.rows, given, by=engines.following)
    return len(given)
