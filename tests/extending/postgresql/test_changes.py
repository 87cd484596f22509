"""A change is all or nothing, rows are their user's alone, and upkeep changes no answer."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.query import EVERYONE, LexicalQuery, RowFilter, Scope
from bruno_memory_vec.testing.rows import message, table
from tests.extending.postgresql.stores import open_index

ANA, ANY = Scope.user("ana"), RowFilter()
_DIMENSION = 16


async def test_all_rows_of_a_change_or_none(url: str) -> None:
    index = await open_index(url, _DIMENSION)
    refusing = f"ALTER TABLE {index.database.rows} ADD CHECK (content <> 'refused')"
    await index.database.fetch("prepare", refusing)
    good = [message(seq, "kept") for seq in range(100)]
    with pytest.raises(EngineError, match="refused the statement"):
        await index.upsert(table([*good, message(100, "refused")], _DIMENSION), all_new=True)
    assert await index.count(EVERYONE, ANY) == 0
    await index.upsert(table(good, _DIMENSION), all_new=True)
    changes = table([message(5, "other"), message(6, "refused")], _DIMENSION)
    with pytest.raises(EngineError):
        await index.update(changes.select(["seq", "content"]))
    found = await index.read(EVERYONE, ANY, ["content"], seqs=[5])
    assert found.column("content").to_pylist() == ["kept"]
    await index.close()


async def test_writers_of_the_same_rows_at_once(url: str) -> None:
    """No deadlock, and the newest of each row prevails, in whatever order they arrive."""
    index = await open_index(url, _DIMENSION)
    rng = np.random.default_rng(5)

    async def write(round_: int) -> None:
        rows = [
            {**message(n, f"version {round_}"), "seq": 100 * round_ + n}
            for n in rng.permutation(20).tolist()
        ]
        await index.upsert(table(rows, _DIMENSION), all_new=False)

    await asyncio.gather(*map(write, range(8)))
    found = await index.read(EVERYONE, ANY, ["content", "seq"])
    assert set(found.column("content").to_pylist()) == {"version 7"}
    assert sorted(found.column("seq").to_pylist()) == list(range(700, 720))
    await index.close()


async def test_hashes_that_collide_show_nobody_elses_rows(url: str) -> None:
    """The hash of a user only finds rows; whose they are is decided by the user's id."""
    index = await open_index(url, _DIMENSION)
    mine, other = message(0, "the red boat"), message(1, "the red boat", user_id="bo")
    await index.upsert(table([mine, other], _DIMENSION), all_new=True)
    collide = """
UPDATE {rows} b SET owner = a.owner, terms = a.terms, pairs = a.pairs, place = a.place,
    handle = a.handle
FROM {rows} a WHERE a.seq = 0 AND b.seq = 1"""
    await index.database.fetch("prepare", collide.format(rows=index.database.rows))
    vector = HashEmbedder(_DIMENSION).embed(["the red boat"])[0]
    asked = LexicalQuery("red boat", phrase_weight=0.5)
    for found in (
        await index.search(vector, ANA, ANY, 9),
        await index.search_text(asked, ANA, ANY, 9),
        *(await index.search_both(vector, asked, ANA, ANY, nearest=9, text=9)),
    ):
        assert found.seq.tolist() == [0]
    assert await index.count(ANA, ANY) == 1
    await index.close()


async def test_what_identifies_a_row_is_not_updated(url: str) -> None:
    index = await open_index(url, _DIMENSION)
    with pytest.raises(EngineError, match="user_id is part of what identifies a row"):
        await index.update(table([message(0)], _DIMENSION).select(["seq", "user_id"]))
    await index.close()


async def test_an_hnsw_index_finds_the_same_and_leaves_a_users_search_exact(url: str) -> None:
    index = await open_index(f"{url}&hnsw_above=300", _DIMENSION)
    rows = [message(n, f"row {n}", user_id=f"user {n % 40}") for n in range(400)]
    vectors = np.random.default_rng(1).standard_normal((400, _DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    await index.upsert(table(rows, _DIMENSION, vectors), all_new=True)
    assert not (await index.maintain()).error
    made = "SELECT count(*) FROM pg_indexes WHERE schemaname = $1 AND indexname = 'rows_hnsw'"
    assert await index.database.fetchval("look", made, index.database.settings.schema) == 1
    question = vectors[7]
    scores = vectors @ question
    found = await index.search(question, Scope.user("user 3"), ANY, 10)
    own = [n for n in np.argsort(-scores).tolist() if n % 40 == 3]
    assert found.seq.tolist() == own
    found = await index.search(question, EVERYONE, ANY, 10)
    assert len(set(found.seq.tolist()) & set(np.argsort(-scores)[:10].tolist())) >= 9
    # A filter that few rows pass gives them all the same.
    few = await index.search(question, EVERYONE, RowFilter(ids=(rows[3]["id"],)), 10)
    assert few.seq.tolist() == [3]
    await index.close()
