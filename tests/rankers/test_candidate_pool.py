"""From what both sides propose to the pool: bruno_memory_vec/recall/{sources,pool}.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bruno_memory_vec.indexers.query import Candidates, RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, row_schema
from bruno_memory_vec.indexers.snapshot import HeldRows
from bruno_memory_vec.rankers import (
    CandidateSettings,
    Coverage,
    Duplicates,
    Pool,
    Profile,
    RankSettings,
    Step,
)
from bruno_memory_vec.rankers.pool import ASSISTANT, NO_ROLE, OTHER_ROLE, USER
from bruno_memory_vec.recall.copies import numbered, older_copies
from bruno_memory_vec.recall.pool import _located, make_pool
from bruno_memory_vec.recall.profiles import load_profile
from bruno_memory_vec.recall.request import RecallRequest
from bruno_memory_vec.recall.sources import Loaded, aligned, turns_around
from tests.rankers.pools import take

BARE = load_profile("rrf")


def profile(neighbours_of: int = 0, neighbour_distance: int = 0, *steps: Step) -> Profile:
    candidates = CandidateSettings(9, 9, neighbours_of, neighbour_distance)
    rank = RankSettings(BARE.rank.fusion, steps)
    return replace(BARE, candidates=candidates, rank=rank)


def proposed(*rows: tuple[int, str | None, int, float]) -> Candidates:
    """Rows as (seq, conversation, turn, score)."""
    return Candidates(
        seq=np.array([row[0] for row in rows], np.int64),
        score=np.array([row[3] for row in rows], np.float32),
        conversation_id=tuple(row[1] for row in rows),
        turn=np.array([row[2] for row in rows], np.int64),
    )


def table(rows: list[dict[str, Any]], columns: list[str]) -> pa.Table:
    """Rows as the vector index gives them; what is not given says nothing."""
    plain: dict[str, Any] = {"words": 1, "created_at": 0, "importance": 0.5, "access_count": 0}
    plain["checksum"] = 0
    plain |= {"user_id": "ana", "kind": "message", "question_share": 0.0}
    plain |= dict.fromkeys(("ends_with_question", "names_time", "tells_change"), False)
    whole = [{**plain, "id": str(row["seq"]), **row} for row in rows]
    schema = row_schema(2)
    data = {
        name: pa.array([row.get(name) for row in whole], schema.field(name).type)
        for name in columns
    }
    return pa.table(data)


def pool_of(
    rows: list[dict[str, Any]],
    lexical: Candidates,
    semantic: Candidates,
    uses: dict[int, int],
    question: str,
    how: Profile,
) -> Pool:
    """The pool of all these rows, as a recall makes it."""
    snapshot = HeldRows(table(rows, [*COLUMNS, "vector"]), mixed=True).snapshot()
    sides = [
        aligned(np.arange(len(snapshot)), *_located(Loaded(snapshot, None), side))
        for side in (lexical, semantic)
    ]
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    request = RecallRequest(question, Scope.all_users(), RowFilter(), 10, how, now)
    return make_pool(snapshot, np.arange(len(snapshot)), sides, uses, request)


def test_the_turns_around_the_best() -> None:
    lexical = proposed((1, "a", 0, 9.0), (2, "a", 5, 1.0), (3, None, -1, 8.0))
    semantic = proposed((4, "b", 3, 0.9), (1, "a", 0, 0.8))
    got = turns_around(lexical, semantic, profile(3, 1))
    # The best three are 1 by both sides, 4, and 3, which has no place. There is no turn -1.
    assert got == {"a": [0, 1], "b": [2, 3, 4]}


@pytest.mark.parametrize(("of", "distance"), [(0, 2), (2, 0)])
def test_no_turns_are_wanted(of: int, distance: int) -> None:
    lexical = proposed((1, "a", 0, 9.0))
    assert turns_around(lexical, Candidates.empty(), profile(of, distance)) == {}


def test_nothing_is_proposed() -> None:
    assert turns_around(Candidates.empty(), Candidates.empty(), profile(5, 2)) == {}


def test_a_pool_has_what_the_rows_and_the_engines_say() -> None:
    how = profile(0, 0, Duplicates(0.9), Coverage(1.0))
    rows = [
        {
            "seq": 7,
            "conversation_id": "a",
            "turn": 3,
            "role": "user",
            "words": 5,
            "speaker": "Ana",
            "question_share": 0.5,
            "ends_with_question": True,
            "names_time": True,
            "tells_change": True,
            "created_at": 1_000_000,
            "importance": 0.75,
            "access_count": 2,
            "content": "a cat",
            "vector": [1.0, 0.0],
        },
        {
            "seq": 5,
            "conversation_id": "b",
            "turn": 0,
            "role": "assistant",
            "content": "",
            "vector": [0.0, 1.0],
        },
        {
            "seq": 9,
            "conversation_id": "a",
            "turn": 4,
            "role": "tool",
            "content": "rain",
            "vector": [0.6, 0.8],
        },
        {"seq": 2, "content": "kitten", "vector": [0.0, 0.0]},
    ]
    got = pool_of(
        rows,
        proposed((5, "b", 0, 3.0), (7, "a", 3, 4.0), (99, "z", 0, 5.0)),
        proposed((9, "a", 4, 0.25)),
        {7: 3, 99: 4},
        "where is the cat?",
        how,
    )
    assert got.seq.tolist() == [2, 5, 7, 9]
    got = take(got, np.array([2, 1, 3, 0]))
    assert got.lexical[:2].tolist() == [4.0, 3.0]
    assert np.isnan(got.lexical[2:]).all()
    assert np.isnan(got.semantic).tolist() == [True, True, False, True]
    assert got.semantic[2] == 0.25
    assert got.conversation[0] == got.conversation[2] != got.conversation[1]
    assert got.conversation[3] == -1
    assert got.turn.tolist() == [3, 0, 4, -1]
    assert got.role.tolist() == [USER, ASSISTANT, OTHER_ROLE, NO_ROLE]
    assert got.speakers == ("Ana",)
    assert got.speaker.tolist() == [0, -1, -1, -1]
    assert got.words.tolist() == [5, 1, 1, 1]
    assert got.created_at.tolist() == [1_000_000, 0, 0, 0]
    assert got.importance.tolist() == [0.75, 0.5, 0.5, 0.5]
    # Uses that are not yet written count.
    assert got.access_count.tolist() == [5, 0, 0, 0]
    assert got.question_share.tolist() == [0.5, 0, 0, 0]
    for cue in (got.ends_with_question, got.names_time, got.tells_change):
        assert cue.dtype == np.bool_
        assert cue.tolist() == [True, False, False, False]
    assert got.vector is not None
    assert got.vector.tolist()[0] == [1.0, 0.0]
    assert got.matches is not None
    assert got.matches[:2].tolist() == [[1.0], [0.0]]


def test_what_no_step_needs_is_not_made() -> None:
    got = pool_of(
        [{"seq": 1, "vector": [0.0, 0.0]}],
        proposed(),
        Candidates.empty(),
        {},
        "cat",
        BARE,
    )
    assert got.vector is None
    assert got.matches is None
    assert got.term_weight is None
    assert got.speakers == ()


def test_no_rows() -> None:
    how = profile(0, 0, Duplicates(0.9), Coverage(1.0))
    got = pool_of(
        [],
        proposed((1, "a", 0, 1.0)),
        proposed(),
        {1: 1},
        "cat",
        how,
    )
    assert len(got) == 0
    assert got.vector is not None
    assert got.vector.shape == (0, 2)


def test_copies_have_one_number() -> None:
    rows: list[dict[str, Any]] = [
        {"seq": 0, "id": "x"},
        {"seq": 1, "id": "x", "user_id": "bo"},
        {"seq": 2, "id": "x", "kind": "memory"},
        {"seq": 3, "id": "x"},
        {"seq": 4, "id": "y"},
    ]
    number = numbered(table(rows, list(COLUMNS)))
    assert number is not None
    assert number[0] == number[3]
    assert len(set(number.tolist())) == 4
    seq = np.arange(5)
    assert older_copies(seq, number).tolist() == [0]
    # Equal ids alone are no copies.
    assert numbered(table(rows[1:], list(COLUMNS))) is None
