"""Candidates are read by their places in memory as they are looked up, whatever changes between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.indexers.lance import index as lance
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.lance.places import AddedRows, Places
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.reference import ReferenceIndex
from bruno_memory_vec.indexers.schema import COLUMNS as WHOLE
from bruno_memory_vec.indexers.uses import count_uses
from bruno_memory_vec.testing.rows import START, memory, message, table

DIMENSION = 4
ANY = RowFilter()
_SCHEMA = pa.schema([("seq", pa.int64()), ("conversation_id", pa.string()), ("turn", pa.int64())])

rows_of = st.lists(
    st.tuples(st.sampled_from(["a", "b", "", None]), st.sampled_from([0, 1, 2, 7, None]))
)


def _placed(rows: Sequence[tuple[str | None, int | None]], first: int) -> pa.Table:
    made = [{"seq": first + at, "conversation_id": c, "turn": t} for at, (c, t) in enumerate(rows)]
    return pa.Table.from_pylist(made, _SCHEMA)


@given(
    rows_of,
    rows_of,
    st.sets(st.integers(0, 30)),
    st.dictionaries(st.sampled_from(["a", "b", "", "c"]), st.lists(st.integers(0, 8), unique=True)),
    st.randoms(use_true_random=False),
)
def test_places_are_those_of_the_rows(
    rows: list[tuple[str | None, int | None]],
    added: list[tuple[str | None, int | None]],
    seqs: set[int],
    turns: dict[str, list[int]],
    draw: random.Random,
) -> None:
    held = _placed(rows, 0).append_column(
        "_rowid", pa.array([s * 10 for s in range(len(rows))], pa.uint64())
    )
    order = list(range(len(rows)))
    draw.shuffle(order)
    more = AddedRows()
    assert more.add(_placed(added, len(rows)))
    found = Places(held.take(pa.array(order, pa.int64()))).of(sorted(seqs), turns, more)
    meant = [
        seq
        for seq, (conversation, turn) in enumerate([*rows, *added])
        if seq in seqs or (conversation is not None and turn in turns.get(conversation, ()))
    ]
    assert found.seqs.tolist() == [seq for seq in meant if seq < len(rows)]
    assert found.row_ids.tolist() == [seq * 10 for seq in found.seqs.tolist()]
    assert found.added == [seq for seq in meant if seq >= len(rows)]


def test_too_many_added_rows_are_not_kept() -> None:
    more = AddedRows()
    many = _placed([("a", 1)] * 15_000, 0)
    assert more.add(many)
    assert not more.add(many)


@pytest.fixture(autouse=True)
def _a_few_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance, "LEAST_ROWS", 1)
    monkeypatch.setattr(lance, "_ASKED_BEFORE_PLACES", 1)


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[LanceIndex]:
    opened = await LanceIndex.open(str(tmp_path / "rows"), DIMENSION)
    yield opened
    await opened.close()


def some(first: int, count: int, **changes: Any) -> pa.Table:
    """Messages of three users in their conversations, and a memory now and then."""
    made = []
    for seq in range(first, first + count):
        user = ("ana", "bo", "cy")[seq % 3]
        if seq % 7 == 6:
            made.append(memory(seq, user_id=user))
        else:
            made.append(
                message(seq, user_id=user, conversation_id=f"{user}'s", turn=seq // 3, **changes)
            )
    return table(made, DIMENSION)


SEQS = [0, 3, 6, 11, 26, 40, 41, 62, 999]
TURNS: Mapping[str, Sequence[int]] = {"ana's": [0, 1, 2, 14], "bo's": [3, 4, 20], "nobody's": [1]}
SCOPES = (EVERYONE, Scope.user("ana"), Scope.several(("ana", "bo")))
FILTERS = (ANY, RowFilter(kinds=("message",)), RowFilter(alive_at=START + timedelta(days=1)))


async def learnt(index: LanceIndex) -> None:
    await index.read(EVERYONE, ANY, ["seq"], seqs=SEQS, turns=TURNS)
    assert index._learning is not None
    await index._learning
    assert index._known_places is not None


async def agrees(index: LanceIndex, like: ReferenceIndex) -> None:
    """By their places rows are the same as of an index that compares each."""
    for scope in SCOPES:
        for where in FILTERS:
            for columns in (WHOLE, ("seq", "content")):
                found = await index.read(scope, where, columns, seqs=SEQS, turns=TURNS)
                wanted = await like.read(scope, where, columns, seqs=SEQS, turns=TURNS)
                assert found.sort_by("seq").to_pylist() == wanted.sort_by("seq").to_pylist()


async def test_rows_by_their_places_are_those_that_are_looked_up(index: LanceIndex) -> None:
    like = ReferenceIndex(DIMENSION)

    async def both(name: str, *arguments: Any, **named: Any) -> None:
        for one in (index, like):
            await getattr(one, name)(*arguments, **named)

    await both("upsert", some(0, 40), all_new=True)
    await learnt(index)
    await agrees(index, like)
    await both("upsert", some(40, 30), all_new=True)
    assert index._known_places is not None, "rows that are added move none"
    await agrees(index, like)
    expiring = some(70, 6, expires_at=START)
    await both("upsert", expiring, all_new=True)
    await agrees(index, like)
    changes = {
        "update": lambda: both("update", pa.table({"seq": [3, 26], "turn": [400, 2]})),
        "delete": lambda: both("delete", EVERYONE, ANY, seqs=[0, 11]),
        "replace": lambda: both("upsert", some(6, 1), all_new=False),
        "compaction": index.maintain,
    }
    for change in changes.values():
        await learnt(index)
        await change()
        assert index._known_places is None, "they may have moved"
        await agrees(index, like)
        await learnt(index)
        await agrees(index, like)
    await count_uses(index, {26: 2}, START)
    await count_uses(like, {26: 2}, START)
    await agrees(index, like)


async def test_places_that_do_not_hold_are_not_believed(index: LanceIndex) -> None:
    await index.upsert(some(0, 40), all_new=True)
    await learnt(index)
    wrong = index._known_places
    assert wrong is not None
    for moved in (np.roll(wrong._row_ids, 1), wrong._row_ids + (7 << 32)):
        wrong._row_ids = moved
        index._known_places = wrong
        found = await index.read(EVERYONE, ANY, ["seq"], seqs=SEQS, turns=TURNS)
        assert set(found.column("seq").to_pylist()) >= {0, 3, 6, 11, 26}
        assert index._known_places is None


async def test_what_changes_while_places_are_learnt_voids_them(
    index: LanceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    await index.upsert(some(0, 40), all_new=True)
    await index.read(EVERYONE, ANY, ["seq"], seqs=SEQS, turns=TURNS)
    task = index._learning
    assert task is not None
    await index.delete(EVERYONE, ANY, seqs=[3])
    await task
    assert index._known_places is None
    found = await index.read(EVERYONE, ANY, ["seq"], seqs=SEQS, turns=TURNS)
    assert 3 not in found.column("seq").to_pylist()


async def test_closing_does_not_wait_for_what_is_being_learnt(index: LanceIndex) -> None:
    await index.upsert(some(0, 40), all_new=True)
    await index.read(EVERYONE, ANY, ["seq"], seqs=SEQS, turns=TURNS)
    await asyncio.wait_for(index.close(), 5)
