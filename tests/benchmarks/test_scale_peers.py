"""The peers of the scale benchmark: each finds what it stored, for its own user only."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.apart import ApartError
from benchmarks.scale import limit, side_by_side
from benchmarks.scale.data import DIMENSION, make_corpus
from benchmarks.scale.peers import make, names
from benchmarks.scale.peers.base import Batch, Lacks, Peer, Row, Vectors
from benchmarks.scale.peers.figures import recall_at, size_on_disk
from benchmarks.scale.peers.process import Ask, PeerProcess
from benchmarks.scale.peers.table import as_markdown
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError

pytestmark = pytest.mark.slow

# What each peer imports, and the extra that brings it.
NEEDS: dict[str, tuple[Sequence[str], str]] = {
    "ours": ((), ""),
    "lancedb": ((), ""),
    "chroma": (("chromadb",), "peer-chroma"),
    "mem0": (("mem0",), "peer-mem0"),
    "bruno_memory": (("bruno_memory", "asyncpg", "chromadb", "redis"), "peer-bruno-memory"),
    "sqlite_vec": (("sqlite_vec", "apsw"), "peer-sqlite-vec"),
}
ROWS, SIZE = 200, 32
OF_ANA = ("ana", "ana-kept", "user")
# Would break a filter or a query that does not quote them. Without spaces: mem0 refuses those.
USERS = ("ana", "o'neil", 'user"x")AND(', "\u65e5\u672c")


def usable(name: str) -> str:
    modules, extra = NEEDS[name]
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f'needs {", ".join(missing)}: pip install "bruno-memory-vec[{extra}]"')
    return name


@pytest.fixture(params=names())
def name(request: pytest.FixtureRequest) -> str:
    return usable(request.param)


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Rows of four users in turn, in conversations of five, each with two words of its own."""
    vectors = np.random.default_rng(3).standard_normal((ROWS, SIZE)).astype(np.float32)
    return Batch(
        ids=list(range(ROWS)),
        texts=[f"zebra{row} quince{row}" for row in range(ROWS)],
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        users=[user_of(row) for row in range(ROWS)],
        conversations=[f"{user_of(row)}-{row // 20}" for row in range(ROWS)],
        roles=["assistant" if row // 4 % 2 else "user" for row in range(ROWS)],
    )


def user_of(row: int) -> str:
    return USERS[row % len(USERS)]


def ids_of(user: str) -> set[int]:
    return {row for row in range(ROWS) if user_of(row) == user}


@asynccontextmanager
async def opened(name: str, folder: Path) -> AsyncIterator[Peer]:
    peer = make(name, SIZE)
    try:
        peer.load(folder)
        await peer.open(folder)
        yield peer
    finally:
        await peer.close()


async def filled(peer: Peer, batch: Batch) -> None:
    await peer.add_bulk(batch)
    await peer.finish()


async def test_a_row_is_found_by_its_own_words(name: str, batch: Batch, tmp_path: Path) -> None:
    async with opened(name, tmp_path) as peer:
        await filled(peer, batch)
        for row in (0, 77, 138, 199):
            found = await peer.recall(batch.texts[row], batch.vectors[row], user_of(row), 10)
            assert found[0] == row
            assert len(set(found)) == len(found) <= 10


async def test_another_users_rows_are_never_found(name: str, batch: Batch, tmp_path: Path) -> None:
    async with opened(name, tmp_path) as peer:
        await filled(peer, batch)
        for user in USERS:
            for row in (0, 1, 2, 3):
                found = await peer.recall(batch.texts[row], batch.vectors[row], user, 100)
                assert set(found) <= ids_of(user)
                assert (row in found) == (user_of(row) == user)
        assert await peer.recall(batch.texts[0], batch.vectors[0], "nobody", 10) == []


async def test_a_single_write_is_found_at_once(name: str, batch: Batch, tmp_path: Path) -> None:
    vector = -batch.vectors.mean(axis=0)
    late = Row(ROWS, "xylophone", vector / np.linalg.norm(vector), "ana", "ana-late", "user")
    async with opened(name, tmp_path) as peer:
        await filled(peer, batch)
        await peer.add_one(late)
        assert (await peer.recall(late.text, late.vector, "ana", 5))[0] == ROWS
        assert ROWS not in await peer.recall(late.text, late.vector, "o'neil", 5)


async def test_a_reopened_store_holds_the_rows(name: str, batch: Batch, tmp_path: Path) -> None:
    async with opened(name, tmp_path) as peer:
        await filled(peer, batch)
    assert size_on_disk(tmp_path)["files"] > 0
    async with opened(name, tmp_path) as peer:
        found = await peer.recall(batch.texts[42], batch.vectors[42], user_of(42), 5)
        assert found[0] == 42


async def test_small_stores_are_searched_exactly(name: str, batch: Batch, tmp_path: Path) -> None:
    question: Vectors = batch.vectors[:6].sum(axis=0)
    question /= np.linalg.norm(question)
    own = np.array(sorted(ids_of("o'neil")))
    similarity = batch.vectors[own] @ question
    async with opened(name, tmp_path) as peer:
        await filled(peer, batch)
        found = await peer.nearest(question, "o'neil", 5)
        if name == "bruno_memory":
            assert found is None
        else:
            assert found == own[np.argsort(-similarity)[:5]].tolist()


async def test_questions_that_are_no_words_are_survived(
    name: str, batch: Batch, tmp_path: Path
) -> None:
    async with opened(name, tmp_path) as peer:
        await filled(peer, batch)
        for text in ("?", '"', "a AND (", "text : x*", "it's", "\u65e5\u672c\u8a9e"):
            found = await peer.recall(text, batch.vectors[0], "ana", 5)
            assert set(found) <= ids_of("ana"), text


@pytest.mark.parametrize(
    ("name", "module"), [(name, modules[0]) for name, (modules, extra) in NEEDS.items() if extra]
)
def test_a_missing_package_names_the_pip_line(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError) as raised:
        make(name, SIZE).load(tmp_path)
    assert f'pip install "bruno-memory-vec[{NEEDS[name][1]}]"' in str(raised.value)


def test_an_unknown_peer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match="lancedb"):
        make("elastic", SIZE)


def test_a_peer_answers_from_its_own_process(batch: Batch, tmp_path: Path) -> None:
    asks = [Ask(batch.texts[row], batch.vectors[row], user_of(row)) for row in (5, 6)]
    with PeerProcess("ours", tmp_path / "store", SIZE) as peer:
        opening, before = peer.open()
        assert opening > 0
        assert peer.add_bulk(batch) > 0
        assert peer.finish() > 0
        assert len(peer.recall_each(asks, 3, budget_s=60)) == 2
        nearest = peer.nearest_each(asks, 3)
        assert nearest is not None
        assert [found[0] for found in nearest] == [5, 6]
        assert 0 < before < peer.resident_mib()
        peer.close()


def test_slow_calls_are_cut_by_their_time(batch: Batch, tmp_path: Path) -> None:
    asks = [Ask(batch.texts[0], batch.vectors[0], "ana")] * 30
    with PeerProcess("ours", tmp_path / "store", SIZE) as peer:
        peer.open()
        peer.add_bulk(batch)
        assert len(peer.recall_each(asks, 3, budget_s=0)) == 10


def test_a_failing_peer_says_what_failed(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("no folder")
    with PeerProcess("ours", tmp_path / "store", SIZE) as peer, pytest.raises(ApartError) as raised:
        peer.open()
    assert "FileExistsError" in str(raised.value)


@pytest.mark.slow
def test_a_run_measures_all_that_its_table_shows(tmp_path: Path) -> None:
    corpus = make_corpus(2_100, 3, tmp_path)
    given: dict[str, Any] = {"questions": 12, "single_writes": 3, "folder": tmp_path}
    report = side_by_side.run(corpus, ["ours", "lancedb"], limit_rows={"lancedb": 400}, **given)
    json.dumps(report)
    ours, peer = report["systems"]["ours"], report["systems"]["lancedb"]
    assert (ours["rows"], peer["rows"]) == (2_100, 400)
    assert ours["recall_one_user"]["calls"] == 12
    assert ours["single_write"]["calls"] == 3
    assert set(ours["vector_recall_at_10"].values()) == {1.0}
    assert set(peer["vector_recall_at_10"].values()) == {1.0}
    ratio = peer["recall_one_user"]["p50_ms"] / ours["recall_one_user"]["p50_ms"]
    assert report["ratios"]["lancedb"]["recall_one_user"] == pytest.approx(ratio, abs=0.006)
    user = corpus.asked_user
    bound = report["limit"][user]
    assert bound["rows"] == corpus.sizes[user] == 1_000
    parts = bound["numpy"]["p50_ms"] + bound["tantivy"]["p50_ms"]
    assert bound["p50_ms"] == pytest.approx(parts, abs=0.001)
    table = as_markdown(report)
    assert "400 of 2,100" in table
    assert "1,000" in table
    assert not list(tmp_path.glob("tmp*")), "the stores are removed"


@pytest.mark.slow
def test_a_failed_peer_stands_in_the_table_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unusable(PeerProcess):
        def __init__(self, name: str, folder: Path, dimension: int) -> None:
            if name == "lancedb":
                folder.write_text("no folder")
            super().__init__(name, folder, dimension)

    monkeypatch.setattr(side_by_side, "PeerProcess", Unusable)
    corpus = make_corpus(300, 2, tmp_path)
    report = side_by_side.run(corpus, ["lancedb", "ours"], questions=3, single_writes=0)
    assert "FileExistsError" in report["systems"]["lancedb"]["failed"]
    assert report["systems"]["ours"]["rows"] == 300
    assert "single_write" not in report["systems"]["ours"]
    assert set(report["ratios"]) == {"limit"}
    assert "Failed: FileExistsError" in as_markdown(report)


def test_a_users_vectors_are_read_in_their_order(tmp_path: Path) -> None:
    corpus = make_corpus(1_000, 4, tmp_path)
    everything = corpus.vectors(0, corpus.rows)
    for user in corpus.sizes:
        vectors = limit.vectors_of(corpus, user)
        assert vectors.shape == (corpus.sizes[user], DIMENSION)
        assert np.array_equal(vectors, everything[corpus.layout.rows_of(user)])


def test_the_limits_words_find_the_users_own_rows(tmp_path: Path) -> None:
    corpus = make_corpus(1_000, 4, tmp_path)
    (tmp_path / "words").mkdir()
    index = limit.Words(tmp_path / "words")
    index.add_corpus(corpus)
    for user in corpus.sizes:
        own = set(corpus.layout.rows_of(user).tolist())
        row = min(own)
        found = index.best(corpus.texts(row, row + 1)[0], user)
        assert found[0] == row
        assert set(found) <= own
        assert len(found) <= limit.POOL


def test_recall_counts_what_is_as_near_as_the_last() -> None:
    ids = np.array([10, 11, 12, 13])
    similarity = np.array([0.9, 0.5, 0.5, 0.1], np.float32)
    assert recall_at(2, [10, 12], ids, similarity) == 1.0
    assert recall_at(2, [10, 11], ids, similarity) == 1.0
    assert recall_at(2, [13, 10], ids, similarity) == 0.5
    assert recall_at(2, [13, 99, 10], ids, similarity) == 0.0
    # Fewer rows than asked for: all of them are the answer.
    assert recall_at(10, [13, 12, 11], ids, similarity) == 0.75


async def test_what_was_deleted_or_replaced_is_found_no_more(
    name: str, batch: Batch, tmp_path: Path
) -> None:
    kept = Batch(
        [ROWS, ROWS + 1, ROWS + 2],
        ["walrus", "narwhal", "beluga"],
        np.eye(3, SIZE, dtype=np.float32),
        ["ana"] * 3,
        ["ana-kept"] * 3,
        ["user"] * 3,
    )
    async with opened(name, tmp_path) as peer:
        await filled(peer, batch)
        await peer.add_memories(kept)
        gone, changed, stays = kept.rows()
        await peer.delete(gone)
        await peer.replace(Row(changed.id, "orca", -changed.vector, *OF_ANA))
        assert gone.id not in await peer.recall(gone.text, gone.vector, "ana", 100)
        assert (await peer.recall("orca", -changed.vector, "ana", 5))[0] == changed.id
        assert (await peer.recall(stays.text, stays.vector, "ana", 5))[0] == stays.id


async def test_all_users_rows_are_found_together(name: str, batch: Batch, tmp_path: Path) -> None:
    async with opened(name, tmp_path) as peer:
        await filled(peer, batch)
        if name in ("mem0", "bruno_memory"):
            with pytest.raises(Lacks):
                await peer.recall_all(batch.texts[0], batch.vectors[0], 5)
            return
        for row in (0, 1, 2, 3):
            assert (await peer.recall_all(batch.texts[row], batch.vectors[row], 5))[0] == row


async def test_the_last_turns_are_those_of_the_conversation(
    name: str, batch: Batch, tmp_path: Path
) -> None:
    async with opened(name, tmp_path) as peer:
        await filled(peer, batch)
        if name == "bruno_memory":
            with pytest.raises(Lacks):
                await peer.context("ana", batch.conversations[0], 3)
            return
        for count, there in ((3, 3), (20, 5)):
            assert await peer.context("ana", batch.conversations[0], count) == there
        assert await peer.context("ana", "never", 20) == 0
