"""Rows in Qdrant come back bit for bit, and the newer of two writers' rows stays."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import pytest_asyncio
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http import models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from bruno_memory_vec.indexers.checksum import changed, with_checksums
from bruno_memory_vec.indexers.qdrant import collection, index, server
from bruno_memory_vec.indexers.qdrant.index import QdrantIndex
from bruno_memory_vec.indexers.qdrant.points import WORDS, point_id
from bruno_memory_vec.indexers.qdrant.server import Server
from bruno_memory_vec.indexers.qdrant.words import K1, B, Words
from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.store.qdrant_url import settings_of
from bruno_memory_vec.testing.rows import START, memory, message, table
from tests.servers.fixtures import QdrantStore

ANY, EVERYONE, ANA = RowFilter(), Scope.all_users(), Scope.user("ana")
DIMENSION = 4


@pytest_asyncio.fixture(params=["local", pytest.param("server", marks=pytest.mark.qdrant_server)])
async def rows(request: pytest.FixtureRequest) -> AsyncIterator[QdrantIndex]:
    url = "qdrant+local::memory:"
    if request.param == "server":
        store: QdrantStore = request.getfixturevalue("qdrant_store")
        url = store.url
    settings = settings_of(url, os.environ.get("QDRANT_API_KEY"))
    opened = await Server.open(settings)
    made = await collection.make(opened, {"name": "x"}, {}, DIMENSION)
    yield QdrantIndex(opened, made.name, DIMENSION, analyser("english"), 20.0)
    await opened.close()


def stored(*given: dict[str, Any], vectors: Any = None) -> pa.Table:
    return table(given, DIMENSION, vectors)


async def whole(rows: QdrantIndex) -> pa.Table:
    return (await rows.read(EVERYONE, ANY, [*COLUMNS, "vector"])).sort_by("seq")


async def test_every_bit_comes_back(rows: QdrantIndex) -> None:
    values = np.array(
        [[1e-45, -0.0, 0.1, 1 / 3], [3.4e38, -1e-38, np.float32(2) ** -24, 0.9999999]], np.float32
    )
    given = stored(
        memory(2**53 + 1, "x", importance=0.1 + 0.2, confidence=5e-324),
        memory(2**53 + 3, "y", importance=1.0, confidence=float(np.nextafter(0.7, 1))),
        vectors=values,
    )
    await rows.upsert(given, all_new=True)
    found = await whole(rows)
    assert found.equals(given)
    assert not changed(found).any()
    got = found.column("vector").combine_chunks().flatten().to_numpy()
    assert got.tobytes() == values.tobytes()


async def test_a_server_that_reads_a_float_one_bit_off_does_no_harm(rows: QdrantIndex) -> None:
    """As servers do whose JSON parser is not exact in the last bit."""
    given = stored(memory(1, "x", importance=0.1 + 0.2))
    await rows.upsert(given, all_new=True)
    (record,) = [one async for page in rows._pages(None, ["importance"]) for one in page]
    off = {"importance": float(np.nextafter(0.1 + 0.2, 0))}
    await rows.server.call(
        "spoil", lambda client: client.set_payload(rows.collection, off, points=[record.id])
    )
    assert (await whole(rows)).equals(given)


async def test_a_row_without_a_vector_has_none(rows: QdrantIndex) -> None:
    given = stored(message(0, "with"), message(1, "without"))
    vectors = pa.array([given.column("vector")[0].as_py(), None], given.schema.field("vector").type)
    given = with_checksums(given.set_column(given.num_columns - 1, "vector", vectors))
    await rows.upsert(given, all_new=True)
    found = await whole(rows)
    assert found.column("vector").to_pylist() == vectors.to_pylist()


async def test_times_are_exact_to_the_microsecond(rows: QdrantIndex) -> None:
    step = timedelta(microseconds=1)
    await rows.upsert(
        stored(*(memory(seq, "x", created_at=START + seq * step) for seq in range(4))), all_new=True
    )
    found = await rows.read(
        EVERYONE, RowFilter(since=START + step, until=START + 3 * step), ["seq"]
    )
    assert sorted(found.column("seq").to_pylist()) == [1, 2]


@pytest.mark.parametrize("order", [(5, 7), (7, 5)])
async def test_of_two_writers_of_a_row_the_larger_seq_stays(
    rows: QdrantIndex, order: tuple[int, int]
) -> None:
    for seq in order:
        one = {**message(0, f"version {seq}"), "seq": seq}
        await rows.upsert(stored(one), all_new=False)
    found = await rows.read(EVERYONE, ANY, ["seq", "content"])
    assert found.to_pylist() == [{"seq": 7, "content": "version 7"}]
    assert len(await rows.search_text(LexicalQuery("version"), ANA, ANY, 5)) == 1


async def test_a_writer_between_the_numbers_of_one_call_stays(rows: QdrantIndex) -> None:
    """Another one was given 50 between this one's 5 and 100, so the row 5 is older than its own."""
    await rows.upsert(stored({**message(0, "newer"), "seq": 50}), all_new=False)
    late = {**message(0, "older"), "seq": 5}
    await rows.upsert(stored(late, message(100, "another")), all_new=False)
    found = (await rows.read(EVERYONE, ANY, ["seq", "content"])).to_pylist()
    assert sorted(row["content"] for row in found) == ["another", "newer"]


async def test_the_same_request_twice_changes_nothing(rows: QdrantIndex) -> None:
    given = stored(message(0, "one"), message(1, "two"))
    await rows.upsert(given, all_new=True)
    await rows.upsert(given, all_new=True)
    assert (await whole(rows)).equals(given)


async def test_an_update_of_a_replaced_row_changes_nothing(rows: QdrantIndex) -> None:
    await rows.upsert(stored({**message(0, "newer"), "seq": 9}), all_new=True)
    before = await whole(rows)
    old = stored({**message(0, "older"), "seq": 3, "turn": 77, "access_count": 5})
    await rows.update(old.select(["seq", "turn", "access_count"]))
    await rows.update(old.select(["seq", "content", "vector"]))
    assert (await whole(rows)).equals(before)


async def test_an_update_sets_what_it_names_and_null(rows: QdrantIndex) -> None:
    await rows.upsert(stored(message(0, "said"), memory(1, "noted", tags=["a"])), all_new=True)
    changes = stored(memory(1, "noted", importance=1 / 3, expires_at=START)).select(
        ["seq", "importance", "confidence", "expires_at", "tags", "memory_type"]
    )
    null = pa.array([None], pa.string())
    await rows.update(changes.set_column(5, changes.schema.field(5), null))
    (row,) = (await rows.read(EVERYONE, RowFilter(kinds=("memory",)), COLUMNS)).to_pylist()
    assert (row["importance"], row["expires_at"], row["tags"]) == (1 / 3, START, [])
    assert (row["memory_type"], row["content"]) == (None, "noted")
    assert await rows.count(EVERYONE, RowFilter(alive_at=START)) == 1


async def test_equal_values_are_cut_by_the_newest(rows: QdrantIndex) -> None:
    same = [message(seq, "x", created_at=START) for seq in range(30)]
    later = message(30, "x", created_at=START + timedelta(days=1))
    await rows.upsert(stored(*same, later, memory(31, "x", created_at=START)), all_new=True)
    found = await rows.read(EVERYONE, ANY, ["seq"], order_by="created_at", limit=4)
    assert found.column("seq").to_pylist() == [30, 31, 29, 28]
    found = await rows.read(EVERYONE, ANY, ["seq"], order_by="turn", limit=40)
    assert found.column("seq").to_pylist() == [*range(30, -1, -1), 31]


async def test_rows_are_ordered_by_any_column(rows: QdrantIndex) -> None:
    given = [message(seq, "x" * seq, words=seq % 3, source="ab"[seq % 2]) for seq in range(6)]
    await rows.upsert(stored(*given), all_new=True)
    found = await rows.read(EVERYONE, ANY, ["seq"], order_by="words", limit=3)
    assert found.column("seq").to_pylist() == [5, 2, 4]
    found = await rows.read(EVERYONE, ANY, ["seq"], order_by="source")
    assert found.column("seq").to_pylist() == [5, 3, 1, 4, 2, 0]


async def test_many_rows_are_read_page_by_page(
    rows: QdrantIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_SHORT_PAGE", 7)
    monkeypatch.setattr(index, "_LONG_PAGE", 3)
    monkeypatch.setattr(index, "_VALUES_A_CONDITION", 4)
    monkeypatch.setattr(index, "_ROWS_A_REQUEST", 6)
    await rows.upsert(stored(*(message(seq, f"text {seq}") for seq in range(40))), all_new=True)
    assert (await rows.read(EVERYONE, ANY, ["seq"])).num_rows == 40
    assert (await rows.read(EVERYONE, ANY, ["seq", "content"], limit=11)).num_rows == 11
    seqs = [batch.column("seq").to_pylist() async for batch in rows.after(9, ["seq", "content"])]
    assert max(map(len, seqs)) == 3
    assert sorted(chain.from_iterable(seqs)) == list(range(10, 40))
    found = await rows.read(ANA, ANY, ["seq"], seqs=range(3, 14), turns={"talk": [5, 20]})
    assert sorted(found.column("seq").to_pylist()) == [*range(3, 14), 20]
    found = await rows.read(ANA, ANY, ["seq"], seqs=range(3, 14), order_by="seq", limit=2)
    assert found.column("seq").to_pylist() == [13, 12]
    gone = await rows.delete(ANA, ANY, seqs=range(30))
    assert sorted(gone.tolist()) == list(range(30))
    assert await rows.count(EVERYONE, ANY) == 10


def test_requests_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_BYTES_A_REQUEST", 1_000)
    given = stored(*(message(seq, "x" * 350) for seq in range(4)), message(4, "short"))
    parts = [part.column("seq").to_pylist() for part in index._requests(given, DIMENSION)]
    assert parts == [[0, 1], [2, 3, 4]]
    # A row that is larger has a request of its own.
    huge = stored(message(0, "x" * 2_000), message(1, "y"))
    parts = [part.num_rows for part in index._requests(huge, DIMENSION)]
    assert parts == [1, 1]


async def test_a_large_local_store_warns_nobody(
    rows: QdrantIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qdrant_client.local.local_collection import LocalCollection

    monkeypatch.setattr(LocalCollection, "LARGE_DATA_THRESHOLD", 2)
    await rows.upsert(stored(*(message(seq, "x") for seq in range(5))), all_new=True)
    assert await rows.count(EVERYONE, ANY) == 5


async def test_words_have_bm25s_saturation_and_length() -> None:
    words = Words(analyser("english"), average=4.0)
    found = words.of_row("hotel hotel bar")
    assert found is not None
    places, values = found
    assert places == sorted(set(places))
    norm = K1 * (1 - B + B * 3 / 4.0)
    # hotel twice, bar, and the pair of both.
    wanted = [2 * (K1 + 1) / (2 + norm), (K1 + 1) / (1 + norm), (K1 + 1) / (1 + norm)]
    assert sorted(values) == pytest.approx(sorted(wanted))
    assert words.of_row("?!") is None


async def test_terms_of_one_hash_count_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from bruno_memory_vec.indexers.qdrant import words as module

    monkeypatch.setattr(module, "_place", lambda term: 7)
    words = Words(analyser("english"), average=4.0)
    found = words.of_row("hotel bar")
    assert found is not None
    assert found[0] == [7]
    assert found[1][0] == pytest.approx(3 * 2.2 / (3 + K1 * (0.25 + 0.75 * 2 / 4)))
    asked = words.of_question(LexicalQuery("hotel bar", phrase_weight=0.5))
    assert asked == ([7], [2.5])


async def test_a_row_without_a_word_has_no_sparse_vector(rows: QdrantIndex) -> None:
    await rows.upsert(stored(message(0, "?!"), message(1, "word")), all_new=True)
    records = await rows.server.call(
        "read",
        lambda client: client.scroll(rows.collection, with_vectors=[WORDS], limit=9),
    )
    has = {record.payload["seq"]: WORDS in (record.vector or {}) for record in records[0]}
    assert has == {0: False, 1: True}


def test_a_points_id_follows_from_the_key() -> None:
    ids = {
        point_id(key)
        for key in (
            ("message", "ana", "talk", "1"),
            ("message", "ana", "other", "1"),
            ("message", "bo", "talk", "1"),
            ("memory", "ana", None, "1"),
            ("message", "ana", 'talk", "1', "1"),
        )
    }
    assert len(ids) == 5
    # It is in every store that was ever made.
    assert point_id(("message", "ana", "talk", "1")) == "6aa31ce9-4a8d-5398-93ab-de12018236f7"


@pytest.mark.parametrize(
    ("status", "again"), [(429, True), (500, True), (503, True), (400, False), (404, False)]
)
def test_what_may_pass_is_tried_again(status: int, again: bool) -> None:
    import httpx

    refused = UnexpectedResponse(status, "", b"no", httpx.Headers())
    assert (server._again(refused) is not None) is again


def test_connections_are_tried_again_and_answers_that_make_no_sense_are_not() -> None:
    import httpx

    for cause in (httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x")):
        assert server._again(ResponseHandlingException(cause)) == 0.0
    assert server._again(ResponseHandlingException(ValueError("x"))) is None
    assert server._again(ResourceExhaustedResponse("slow down", 3)) == 3.0
    assert server._again(KeyError("x")) is None


async def test_dates_far_away_are_found(rows: QdrantIndex) -> None:
    far = datetime(2200, 1, 1, tzinfo=timezone.utc)
    await rows.upsert(stored(memory(0, "x", expires_at=far), memory(1, "y")), all_new=True)
    assert await rows.count(EVERYONE, RowFilter(expired_before=far)) == 0
    later = far + timedelta(microseconds=1)
    assert await rows.count(EVERYONE, RowFilter(expired_before=later)) == 1


def test_scores_that_differ_by_rounding_are_equal() -> None:
    """A server's segments add the same terms up in different orders."""
    scores = {3: 2.0, 7: 2.0 - 2.5e-7, 5: 2.0 + 2.5e-7, 1: 1.9999, 9: 0.0, 8: 0.0}
    points = [
        models.ScoredPoint(id=seq, version=0, score=score, payload={"seq": seq})
        for seq, score in scores.items()
    ]
    found = index._best(points, 5)
    assert found.seq.tolist() == [7, 5, 3, 1, 9]
    assert (np.diff(found.score) <= 0).all()
    best_first = sorted(points, key=lambda one: -one.score)
    assert index._cuts_equals(best_first[:3], 2, 3)
    assert not index._cuts_equals(best_first[:4], 3, 4)
