"""How LanceDB is asked: conditions that every row fulfils, indexes that name rows, two lookups."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from bruno_memory_vec.indexers.lance import upkeep
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.testing.engine_suite import ANY, EVERYONE
from bruno_memory_vec.testing.rows import message, table

DIMENSION = 16
ANA, BO = Scope.user("ana"), Scope.user("bo")
NOW = message(0)["created_at"] + timedelta(days=400)
ALIVE = RowFilter(alive_at=NOW, unarchived_at=NOW)
QUESTION = np.eye(1, DIMENSION, dtype=np.float32)[0]


def rows(first: int, number: int, user: str = "ana", **changes: Any) -> pa.Table:
    made = [
        message(seq, user_id=user, conversation_id=f"{user}-{seq // 10}", turn=seq % 10, **changes)
        for seq in range(first, first + number)
    ]
    draw = np.random.default_rng(first + 1).normal(size=(number, DIMENSION))
    vectors = draw / np.linalg.norm(draw, axis=1, keepdims=True)
    return table(made, DIMENSION, vectors.astype(np.float32))


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[LanceIndex]:
    opened = await LanceIndex.open(str(tmp_path / "rows"), DIMENSION)
    await opened.upsert(rows(0, 60), all_new=True)
    await opened.upsert(rows(100, 40, "bo"), all_new=True)
    yield opened
    await opened.close()


def asked(index: LanceIndex, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The conditions that LanceDB is asked for from now on."""
    seen: list[str | None] = []
    usable = index._usable

    def note(condition: Any) -> Any:
        seen.append(condition)
        return usable(condition)

    monkeypatch.setattr(index, "_usable", note)
    return seen


async def test_no_row_is_compared_by_a_column_without_values(
    index: LanceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(await index.search(QUESTION, EVERYONE, ALIVE, 10)) == 10
    conditions = asked(index, monkeypatch)
    assert len(await index.search(QUESTION, EVERYONE, ALIVE, 10)) == 10
    assert len(await index.search(QUESTION, ANA, ALIVE, 10)) == 10
    assert await index.count(EVERYONE, ALIVE) == 100
    assert conditions[:2] == [None, "(user_id = 'ana')"]
    assert not any("expires_at" in str(one) or "archived_at" in str(one) for one in conditions)


@pytest.mark.parametrize("column", ["expires_at", "archived_at"])
@pytest.mark.parametrize("learnt_before", [True, False])
async def test_a_row_that_gets_a_value_is_left_out(
    index: LanceIndex, column: str, learnt_before: bool
) -> None:
    if learnt_before:
        await index.search(QUESTION, EVERYONE, ALIVE, 5)
    gone = {column: NOW - timedelta(days=1)}
    await index.upsert(rows(200, 3, "bo", **gone), all_new=True)
    await index.update(
        pa.table({"seq": pa.array([5]), column: pa.array([NOW], index.schema.field(column).type)})
    )
    found = await index.search(QUESTION, EVERYONE, ALIVE, 200)
    assert len(found) == 99
    assert not set(found.seq.tolist()) & {5, 200, 201, 202}
    assert len(await index.search(QUESTION, EVERYONE, ANY, 200)) == 103


async def test_a_row_that_expires_later_is_left_out_then(index: LanceIndex) -> None:
    await index.search(QUESTION, EVERYONE, ALIVE, 5)
    await index.upsert(rows(200, 1, expires_at=NOW + timedelta(hours=1)), all_new=True)
    later = RowFilter(alive_at=NOW + timedelta(hours=2))
    assert 200 in (await index.search(QUESTION, EVERYONE, ALIVE, 200)).seq
    assert 200 not in (await index.search(QUESTION, EVERYONE, later, 200)).seq


async def test_values_of_before_the_opening_count(index: LanceIndex, tmp_path: Path) -> None:
    await index.upsert(rows(200, 2, archived_at=NOW), all_new=True)
    await index.close()
    opened = await LanceIndex.open(str(tmp_path / "rows"), DIMENSION)
    assert len(await opened.search(QUESTION, EVERYONE, ALIVE, 200)) == 100
    await opened.close()


async def test_a_reader_sees_what_another_process_lets_expire(
    index: LanceIndex, tmp_path: Path
) -> None:
    reader = await LanceIndex.open(str(tmp_path / "rows"), DIMENSION, read_only=True)
    assert len(await reader.search(QUESTION, EVERYONE, ALIVE, 200)) == 100
    await index.upsert(rows(200, 2, expires_at=NOW - timedelta(days=1)), all_new=True)
    assert len(await reader.search(QUESTION, EVERYONE, ALIVE, 200)) == 100
    assert len(await reader.search(QUESTION, EVERYONE, ANY, 200)) == 102
    await reader.close()


async def test_a_value_that_is_written_during_a_search(
    index: LanceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    await index.search(QUESTION, EVERYONE, ALIVE, 5)
    read, once = index._read, []

    async def and_write(operation: str, run: Any) -> Any:
        if not once:
            once.append(True)
            expired = rows(200, 1, expires_at=NOW - timedelta(days=1))
            await index.upsert(expired, all_new=True)
        return await read(operation, run)

    monkeypatch.setattr(index, "_read", and_write)
    found = await index.search(QUESTION, EVERYONE, ALIVE, 200)
    assert (len(found), 200 in found.seq) == (100, False)


# Rows by their places


async def both(index: LanceIndex, scope: Scope, where: RowFilter = ANY) -> list[int]:
    found = await index.read(
        scope,
        where,
        [*COLUMNS, "vector"],
        seqs=[3, 107, 12, 999],
        turns={"ana-1": [1, 2, 3], "bo-10": [6, 7], "none": [1]},
    )
    assert found.column_names == [*COLUMNS, "vector"]
    return sorted(found.column("seq").to_pylist())


async def test_rows_by_seq_and_by_turn_come_once(index: LanceIndex) -> None:
    assert await both(index, EVERYONE) == [3, 11, 12, 13, 106, 107]
    assert await both(index, ANA) == [3, 11, 12, 13]
    assert await both(index, BO) == [106, 107]
    assert await both(index, EVERYONE, RowFilter(ids=("none",))) == []
    few = RowFilter(since=message(100)["created_at"])
    assert await both(index, EVERYONE, few) == [106, 107]


async def test_they_are_the_rows_that_an_engine_in_memory_gives(index: LanceIndex) -> None:
    seqs, turns = [3, 107, 12], {"ana-1": [1, 2], "bo-10": [6, 7]}
    columns = [*COLUMNS, "vector"]
    one = await index.read(EVERYONE, ANY, columns, seqs=seqs, turns=turns)
    apart = pa.concat_tables(
        [
            await index.read(EVERYONE, ANY, columns, seqs=seqs),
            await index.read(EVERYONE, ANY, columns, seqs=[11, 106]),
        ]
    )
    assert one.sort_by("seq").combine_chunks() == apart.sort_by("seq").combine_chunks()


async def test_rows_that_a_compaction_moves_meanwhile(
    index: LanceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their places are then other rows', or nobody's."""
    await index.delete(EVERYONE, ANY, seqs=[0, 1, 2, 100, 101])
    places, moved = index._places, []

    async def and_compact(*asked: Any) -> dict[int, int]:
        found = await places(*asked)
        if len(moved) < 2:
            moved.append(True)
            if len(moved) == 2:
                await index.erase()
        return found

    monkeypatch.setattr(index, "_places", and_compact)
    assert await both(index, EVERYONE) == [3, 11, 12, 13, 106, 107]
    assert len(moved) == 2


async def test_deleted_meanwhile(index: LanceIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    places = index._places

    async def and_delete(*asked: Any) -> dict[int, int]:
        found = await places(*asked)
        await index.delete(EVERYONE, ANY, seqs=[12, 107])
        return found

    monkeypatch.setattr(index, "_places", and_delete)
    assert await both(index, EVERYONE) == [3, 11, 13, 106]


# Few named rows, once there are many commits


@pytest.mark.parametrize("commits", [0, 20])
async def test_few_rows_are_looked_for_first_once_there_are_many_commits(
    index: LanceIndex, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    columns = [*COLUMNS, "vector"]
    await index.maintain()
    for seq in range(200, 200 + commits):
        await index.upsert(rows(seq, 1), all_new=True)
    last = 200 + commits - 1 if commits else 59
    everything = await index.read(EVERYONE, ANY, columns)
    look, looked = index._places, []

    async def places(*given: Any) -> dict[int, int]:
        looked.append(given)
        return await look(*given)

    monkeypatch.setattr(index, "_places", places)
    ids = {seq: message(seq)["id"] for seq in (3, 105, last)}
    named = RowFilter(ids=(*ids.values(), "none"))
    for scope, there in ((EVERYONE, [3, 105, last]), (ANA, [3, last]), (BO, [105])):
        expected = everything.filter(pc.is_in(everything["seq"], pa.array(there))).sort_by("seq")
        for found in (
            await index.read(scope, named, columns),
            await index.read(scope, ANY, columns, seqs=list(ids)),
        ):
            assert found.column_names == columns
            assert found.sort_by("seq").combine_chunks() == expected.combine_chunks()
    assert (await index.read(EVERYONE, RowFilter(ids=("none",)), columns)).num_rows == 0
    assert len(looked) == (7 if commits else 0)
    # Few columns are read at once in any case.
    assert (await index.read(ANA, named, ["id"])).num_rows == 2
    assert len(looked) == (7 if commits else 0)


# The index of seq


async def unindexed(index: LanceIndex) -> int:
    found = [one for one in (await index.health())["indexes"] if one["columns"] == ["seq"]]
    return int(found[0]["rows_not_in_it"])


async def test_counting_uses_leaves_the_rows_in_the_index_of_seq(
    index: LanceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LanceDB takes the fragments of updated rows out of it."""
    await index.maintain()
    counted = (await index.read(EVERYONE, ANY, ["seq", "access_count"])).slice(0, 3)
    await index.update(counted)
    assert await unindexed(index) > 0, "few rows are compared"
    monkeypatch.setattr(upkeep, "_UNINDEXED_SEQS", 50)
    await index.update(counted)
    assert await unindexed(index) == 0
    # It is a new index, whose files are known.
    assert await index.check_indexes() == []
    assert len(await index.read(EVERYONE, ANY, ["id"], seqs=[1, 2, 103])) == 3


async def test_reads_and_counts_at_once(index: LanceIndex) -> None:
    counted = (await index.read(EVERYONE, ANY, ["seq", "access_count"])).slice(0, 3)
    found = await asyncio.gather(
        *(both(index, EVERYONE) for _ in range(4)), *(index.update(counted) for _ in range(3))
    )
    assert found[:4] == [[3, 11, 12, 13, 106, 107]] * 4
