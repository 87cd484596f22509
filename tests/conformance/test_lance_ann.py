"""The approximate vector index, really built, with its bounds lowered to what a test can fill."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bruno_core.models.message import Message
from lancedb.index import IvfFlat
from numpy.typing import NDArray

from bruno_memory_vec import open_memory
from bruno_memory_vec.indexers.lance import index as lance
from bruno_memory_vec.indexers.lance import upkeep as lance_upkeep
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.testing.engine_suite import ANY, EVERYONE, check_shape
from bruno_memory_vec.testing.rows import message, table
from tests.durability.support import message as said

DIMENSION = 16
ROWS, EXACT, SMALL = 2_000, 400, 150
ANA, BO = Scope.user("ana"), Scope.user("bo")


def vectors(number: int, seed: int) -> NDArray[np.float32]:
    """Unit vectors around some centres, as texts about some subjects have."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(40, DIMENSION))
    made = centres[draw.integers(0, 40, number)] + draw.normal(scale=0.3, size=(number, DIMENSION))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def rows(first: int, number: int, user: str = "ana", seed: int = 1, **changes: Any) -> pa.Table:
    made = [
        message(seq, user_id=user, conversation_id=f"{user}'s", **changes)
        for seq in range(first, first + number)
    ]
    return table(made, DIMENSION, vectors(number, seed))


@pytest.fixture(autouse=True)
def _bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance_upkeep, "ANN_ROWS", ROWS)
    monkeypatch.setattr(lance, "_EXACT_ROWS", EXACT)


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[LanceIndex]:
    """Two users' rows: many of Ana's, few of Bo's, behind an index of all of them."""
    opened = await LanceIndex.open(str(tmp_path / "rows"), DIMENSION)
    await opened.upsert(rows(0, ROWS - SMALL), all_new=True)
    await opened.maintain()
    assert await ann(opened) is None, "one row too few"
    await opened.upsert(rows(ROWS - SMALL, SMALL, "bo", seed=2), all_new=True)
    await opened.maintain()
    yield opened
    await opened.close()


async def ann(index: LanceIndex) -> dict[str, Any] | None:
    """What the engine says of its approximate index."""
    found = [one for one in (await index.health())["indexes"] if one["columns"] == ["vector"]]
    assert len(found) <= 1
    return found[0] if found else None


async def nearest(
    index: LanceIndex, question: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
) -> list[int]:
    """The true nearest rows, by comparing all."""
    found = await index.read(scope, where, ["seq", "vector"])
    held = np.stack(found.column("vector").to_numpy())
    order = np.argsort(-(held @ question), kind="stable")[:limit]
    return [int(seq) for seq in found.column("seq").to_numpy()[order]]


async def recall(
    index: LanceIndex, scope: Scope, where: RowFilter = ANY, limit: int = 10, questions: int = 20
) -> float:
    """The mean share of the true nearest rows that searches find."""
    shares = []
    for question in vectors(questions, 7):
        found = await index.search(question, scope, where, limit)
        check_shape(found)
        wanted = await nearest(index, question, scope, where, limit)
        shares.append(len(set(wanted) & set(found.seq.tolist())) / len(wanted))
    return float(np.mean(shares))


async def test_it_is_built_over_all_rows(index: LanceIndex) -> None:
    built = await ann(index)
    assert built is not None
    assert built["kind"] == "IvfRq"
    assert (built["rows"], built["rows_not_in_it"]) == (ROWS, 0)
    assert "index_seconds" in index._upkeep.last.details
    # Upkeep without new rows leaves it alone.
    done = await index.maintain()
    assert "index_seconds" not in done.details
    assert (await ann(index) or {})["rows"] == ROWS


async def test_it_finds_nearly_all_of_the_nearest(index: LanceIndex) -> None:
    assert await recall(index, EVERYONE) >= 0.9
    assert await recall(index, ANA) >= 0.9
    where = RowFilter(since=message(200)["created_at"])
    assert await recall(index, ANA, where) >= 0.9


async def test_scores_are_cosines(index: LanceIndex) -> None:
    question = vectors(1, 9)[0]
    found = await index.search(question, EVERYONE, ANY, 20)
    held = await index.read(EVERYONE, ANY, ["seq", "vector"], seqs=found.seq.tolist())
    cosine = dict(
        zip(
            held.column("seq").to_pylist(),
            np.stack(held.column("vector").to_numpy()) @ question,
            strict=True,
        )
    )
    np.testing.assert_allclose(found.score, [cosine[seq] for seq in found.seq.tolist()], atol=1e-5)


async def test_large_scopes_use_it_and_small_ones_are_compared_row_by_row(
    index: LanceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One of its 4 partitions: it holds far fewer than the nearest that are asked for.
    monkeypatch.setattr(lance, "_PROBED", 0.04)
    for scope in (EVERYONE, ANA):
        assert await recall(index, scope, limit=200) < 0.9
    assert await recall(index, BO, limit=200) == 1.0
    # Small by a filter, by a conversation.
    few = RowFilter(until=message(EXACT - 1)["created_at"])
    assert await recall(index, ANA, few, limit=200) == 1.0
    assert await recall(index, EVERYONE.within("bo's"), limit=200) == 1.0
    # The bound itself: so many rows are compared, one more are not.
    many = RowFilter(until=message(EXACT)["created_at"])
    assert await index.count(ANA, many) == EXACT
    assert await recall(index, ANA, many, limit=200) == 1.0
    more = RowFilter(until=message(EXACT + 1)["created_at"])
    assert await recall(index, ANA, more, limit=200) < 0.9


async def test_a_user_finds_only_own_rows(index: LanceIndex) -> None:
    question = vectors(1, 11)[0]
    # Nobody's rows are nearer than this one, which is Bo's.
    await index.upsert(
        table([message(9_000, user_id="bo")], DIMENSION, question[None]), all_new=True
    )
    await index.maintain()
    found = await index.search(question, ANA, ANY, 30)
    assert len(found) == 30
    assert set(found.conversation_id) == {"ana's"}
    assert (await index.search(question, BO, ANY, 1)).seq.tolist() == [9_000]
    assert (await index.search(question, EVERYONE, ANY, 1)).seq.tolist() == [9_000]


async def test_rows_that_came_since_are_found_at_once(index: LanceIndex) -> None:
    for user, seq in (("ana", 5_000), ("bo", 5_001)):
        question = vectors(1, seq)[0]
        await index.upsert(
            table([message(seq, user_id=user)], DIMENSION, question[None]), all_new=True
        )
        for scope in (EVERYONE, Scope.user(user)):
            assert (await index.search(question, scope, ANY, 1)).seq.tolist() == [seq]
    built = await ann(index)
    assert built is not None
    assert built["rows_not_in_it"] == 2
    await index.maintain()
    built = await ann(index)
    assert built is not None
    assert (built["rows"], built["rows_not_in_it"]) == (ROWS + 2, 0)


async def test_rows_that_are_gone_are_not_found(index: LanceIndex) -> None:
    question = vectors(1, 13)[0]
    best = (await index.search(question, ANA, ANY, 5)).seq.tolist()
    await index.delete(EVERYONE, ANY, seqs=best[:2])
    again = (await index.search(question, ANA, ANY, 3)).seq.tolist()
    assert again == best[2:]
    # The same row with another vector, which it is found by from now on.
    changed = {**message(best[2], conversation_id="ana's"), "seq": 7_777}
    opposite = table([changed], DIMENSION, -question[None])
    await index.upsert(opposite, all_new=False)
    assert best[2] not in (await index.search(question, ANA, ANY, 5)).seq.tolist()
    assert (await index.search(-question, ANA, ANY, 1)).seq.tolist() == [7_777]


async def test_it_is_trained_again_when_the_rows_have_grown(index: LanceIndex) -> None:
    before = index._upkeep.partitions
    assert before > 0
    # An eighth of the power of two up to the root of the rows.
    assert (before, ROWS) == (4, 2_000)
    await index.upsert(rows(10_000, 1_900, seed=3), all_new=True)
    await index.maintain()
    assert index._upkeep.partitions == 4, "not yet"
    await index.upsert(rows(20_000, 200, seed=4), all_new=True)
    await index.maintain()
    assert index._upkeep.partitions == 8
    built = await ann(index)
    assert built is not None, "the old one is gone, and there is one"
    assert (built["rows"], built["rows_not_in_it"]) == (4_100, 0)
    assert await recall(index, ANA, questions=5) >= 0.9


async def test_it_is_found_again(index: LanceIndex, tmp_path: Path) -> None:
    await index.close()
    for read_only in (False, True):
        opened = await LanceIndex.open(str(tmp_path / "rows"), DIMENSION, read_only=read_only)
        assert opened._upkeep.partitions > 0
        assert await recall(opened, ANA, questions=5) >= 0.9
        await opened.close()


async def test_no_search_gives_fewer_rows_than_there_are(index: LanceIndex) -> None:
    question = vectors(1, 3)[0]
    for where in (
        RowFilter(until=message(30)["created_at"]),
        RowFilter(since=message(ROWS - SMALL - 25)["created_at"]),
        RowFilter(ids=tuple(message(seq)["id"] for seq in (3, 700, ROWS - 1))),
    ):
        for limit in (1, 20, 500):
            found = await index.search(question, EVERYONE, where, limit)
            there = await nearest(index, question, EVERYONE, where, limit)
            assert len(found) == len(there)
            if len(there) < limit:
                assert set(found.seq.tolist()) == set(there)
    assert len(await index.search(question, EVERYONE, ANY, ROWS + 10)) == ROWS


async def test_it_is_refused_by_a_setting(index: LanceIndex, tmp_path: Path) -> None:
    assert (await index.health())["search_of_all_users"] == "approximate"
    await index.close()
    opened = await LanceIndex.open(str(tmp_path / "rows"), DIMENSION, approximate=False)
    assert (await opened.health())["search_of_all_users"] == "exact"
    assert await recall(opened, EVERYONE, limit=200) == 1.0
    await opened.maintain()
    assert await ann(opened) is None, "it is dropped"
    await opened.delete(EVERYONE, ANY, seqs=[1])
    await opened.erase()
    assert await ann(opened) is None
    assert await recall(opened, EVERYONE, limit=200) == 1.0
    await opened.close()


async def test_one_of_an_earlier_version_serves_until_it_is_replaced(index: LanceIndex) -> None:
    table, upkeep = index._table, index._upkeep
    assert upkeep.ann is not None
    await table.drop_index(upkeep.ann)
    config = IvfFlat(distance_type="dot", num_partitions=32)
    await table.create_index("vector", config=config, name="vector_ivf_32")
    await upkeep.look_for_ann()
    assert (upkeep.ann, upkeep.partitions) == ("vector_ivf_32", 32)
    assert await recall(index, EVERYONE, questions=5) >= 0.9
    await index.maintain()
    built = await ann(index)
    assert built is not None
    assert (built["kind"], built["rows"]) == ("IvfRq", ROWS)
    assert await recall(index, EVERYONE, questions=5) >= 0.9


async def test_vectors_of_an_odd_length(tmp_path: Path) -> None:
    """They have no codes, so the index has them whole."""
    opened = await LanceIndex.open(str(tmp_path / "odd"), 10)
    draw = np.random.default_rng(5).normal(size=(ROWS, 10)).astype(np.float32)
    made = draw / np.linalg.norm(draw, axis=1, keepdims=True)
    await opened.upsert(table([message(seq) for seq in range(ROWS)], 10, made), all_new=True)
    await opened.maintain()
    assert (await ann(opened) or {})["kind"] == "IvfFlat"
    found = await opened.search(made[77], EVERYONE, ANY, 5)
    assert found.seq[0] == 77
    await opened.close()


async def test_the_cache_grows_with_it(index: LanceIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance, "_INDEX_CACHE_BYTES", 0)
    index._cache = 0
    before = index._table
    await index.maintain()
    assert index._table is before, "it is small"
    monkeypatch.setattr(lance, "_SMALL_INDEX_BYTES", 0)
    before, cache = index._table, index._upkeep.ann_bytes(DIMENSION)
    await index.maintain()
    assert index._cache == 2 * cache
    assert index._table is not before, "opened anew"
    again = index._table
    await index.maintain()
    assert index._table is again
    # It is the same table, to read and to write.
    await index.upsert(rows(7_000, 2, "bo"), all_new=True)
    assert await index.count(EVERYONE, ANY) == ROWS + 2
    assert len(await index.search(vectors(1, 1)[0], EVERYONE, ANY, 9)) == 9


async def test_below_the_bound_nothing_is_built(tmp_path: Path) -> None:
    opened = await LanceIndex.open(str(tmp_path / "rows"), DIMENSION)
    await opened.upsert(rows(0, EXACT + 1), all_new=True)
    await opened.maintain()
    assert await ann(opened) is None
    assert await recall(opened, EVERYONE, questions=5) == 1.0
    await opened.close()


async def test_a_memory_over_it(tmp_path: Path) -> None:
    """From the door to the index and back, for a user with many rows and one with few."""
    settings: dict[str, Any] = {"embedder": "hash", "recall_cache_mb": 0, "profile": "semantic"}
    async with open_memory(str(tmp_path / "memory"), **settings) as memory:
        subjects = [f"{word} and {other}" for word in WORDS for other in WORDS]
        texts = [f"{subject}, note {n}" for n in range(4) for subject in subjects]
        await memory.store_messages(_all(texts), "talk", user_id="ana")
        await memory.store_messages(_all(subjects[:40]), "bens", user_id="ben")
        report = await memory.maintain()
        assert report.ok
        kinds = {tuple(one["columns"]) for one in (await memory.health())["rows"]["indexes"]}
        assert ("vector",) in kinds
        for user, talk, text in (("ana", "talk", texts[77]), ("ben", "bens", subjects[7])):
            hits = await memory.recall(text, user_id=user, k=5)
            assert hits[0].content == text
            assert {hit.conversation_id for hit in hits} == {talk}


WORDS = """anchor basket candle donkey engine falcon garden hammer island jungle kettle lantern
    magnet needle orchard pepper quarry ribbon saddle tunnel umbrella velvet window""".split()


def _all(texts: list[str]) -> list[Message]:
    return [said(text) for text in texts]
