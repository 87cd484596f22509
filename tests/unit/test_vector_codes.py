"""Codes of vectors leave out none of the nearest rows: a search finds the same, bit by bit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from bruno_memory_vec.indexers import vector_codes
from bruno_memory_vec.indexers.snapshot import HeldRows, Snapshot
from bruno_memory_vec.indexers.vector_codes import CODED_ROWS, SLAB_ROWS, VectorCodes
from bruno_memory_vec.testing.rows import message, table

DIMENSION = 32
ROWS = CODED_ROWS + SLAB_ROWS + 700
LIMIT = 50


def unit(draw: NDArray[np.float64]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(draw, axis=-1, keepdims=True)
    return (draw / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def drawn(kind: str, seed: int = 0) -> NDArray[np.float32]:
    """Vectors of ``ROWS`` rows."""
    rng = np.random.default_rng(seed)
    some = rng.normal(size=(ROWS, DIMENSION))
    if kind == "clusters":
        some = rng.normal(size=(500, DIMENSION))[rng.integers(500, size=ROWS)] + some * 1e-4
    elif kind == "equal":
        some = some[rng.integers(2_000, size=ROWS)]
    elif kind == "few values":
        some *= rng.random(some.shape) < 0.05
    elif kind == "any length":
        return (some * 10.0 ** rng.integers(-6, 7, size=(ROWS, 1))).astype(np.float32)
    return unit(some)


def snapshot_of(vectors: NDArray[np.float32]) -> Snapshot:
    """A snapshot with only what a comparison of vectors reads."""
    return Snapshot(vectors, {}, {}, {}, [], pa.table({}))


def coded(vectors: NDArray[np.float32]) -> Snapshot:
    """The same, with the codes of all whole slabs."""
    snapshot = snapshot_of(vectors)
    before = -1
    while len(snapshot.vector_codes) > before:
        before = len(snapshot.vector_codes)
        snapshot.nearest(vectors[0], None, LIMIT)
    assert before == len(vectors) // SLAB_ROWS * SLAB_ROWS
    return snapshot


def plainly(
    vectors: NDArray[np.float32], asked: NDArray[np.float32], at: NDArray[np.int64], limit: int
) -> tuple[list[int], list[float]]:
    """The nearest of some rows and their products, of which equal ones are the newest first."""
    score = np.einsum("ij,j->i", vectors, asked)[at]
    order = np.lexsort((-at, -score))[:limit]
    return at[order].tolist(), score[order].tolist()


@pytest.mark.parametrize("kind", ["any", "clusters", "equal", "few values", "any length"])
def test_a_search_finds_the_same(kind: str) -> None:
    vectors = drawn(kind)
    snapshot = coded(vectors)
    rng = np.random.default_rng(1)
    masks = [None, rng.random(ROWS) < 0.6, np.arange(ROWS) >= 300, rng.random(ROWS) < 0.01]
    questions = [*vectors[[3, ROWS - 1]], *unit(rng.normal(size=(3, DIMENSION)))]
    for asked in [*questions, -vectors[3], np.zeros(DIMENSION, np.float32)]:
        for mask in masks:
            at = np.arange(ROWS) if mask is None else np.flatnonzero(mask)
            for limit in (1, LIMIT, 700, ROWS):
                rows, score = snapshot.nearest(asked, mask, limit)
                assert (rows.tolist(), score.tolist()) == plainly(vectors, asked, at, limit)


@pytest.mark.parametrize("kind", ["any", "clusters", "few values", "any length"])
def test_the_bound_holds_and_is_close(kind: str) -> None:
    vectors = drawn(kind)
    codes = coded(vectors).vector_codes
    for asked in unit(np.random.default_rng(2).normal(size=(5, DIMENSION))):
        product, slack = vector_codes._products(codes._slabs, vectors, asked)
        exact = np.einsum("ij,j->i", vectors, asked)
        assert (np.abs(product.astype(np.float64) - exact) <= slack).all()
        assert (product[len(codes) :] == exact[len(codes) :]).all()
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        assert (slack <= 0.02 * lengths + 1e-12).all()


def test_few_vectors_are_read() -> None:
    vectors = drawn("any")
    codes = coded(vectors).vector_codes
    near = codes.perhaps_nearest(vectors, vectors[7], None, LIMIT)
    assert near is not None
    assert LIMIT <= len(near) < 10 * LIMIT


def test_each_search_codes_one_slab_and_an_older_snapshot_may_use_it() -> None:
    vectors = drawn("any")
    codes = VectorCodes()
    for done in range(1, 4):
        codes.perhaps_nearest(vectors, vectors[0], None, LIMIT)
        assert len(codes) == done * SLAB_ROWS
    coded_all = coded(vectors).vector_codes
    older = Snapshot(vectors[:CODED_ROWS], {}, {}, {}, [], pa.table({}), vector_codes=coded_all)
    rows, score = older.nearest(vectors[-1], None, LIMIT)
    at = np.arange(CODED_ROWS)
    assert (rows.tolist(), score.tolist()) == plainly(older.vectors, vectors[-1], at, LIMIT)


def test_few_rows_have_no_codes() -> None:
    vectors = drawn("any")[: CODED_ROWS - 1]
    snapshot = snapshot_of(vectors)
    snapshot.nearest(vectors[0], None, LIMIT)
    assert not len(snapshot.vector_codes)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_not_coded(value: float) -> None:
    vectors = drawn("any")
    vectors[SLAB_ROWS + 5, 3] = value
    snapshot = snapshot_of(vectors)
    for _ in range(3):
        snapshot.nearest(unit(np.ones(DIMENSION)), None, LIMIT)
    assert len(snapshot.vector_codes) == SLAB_ROWS


def test_added_rows_are_coded_and_their_room_is_counted() -> None:
    vectors = drawn("any")
    made = table([message(0)], DIMENSION, vectors[:1])
    repeated = pa.concat_tables([made] * ROWS).drop_columns(["seq", "vector"])
    flat = pa.array(vectors.reshape(-1))
    rows = repeated.append_column("seq", pa.array(np.arange(ROWS)))
    rows = rows.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, DIMENSION))
    first, more = rows.slice(0, CODED_ROWS), rows.slice(CODED_ROWS)
    held = HeldRows(first)
    for _ in range(4):
        held.snapshot().nearest(vectors[0], None, LIMIT)
    assert len(held.snapshot().vector_codes) == CODED_ROWS
    before = held.nbytes
    held.add(more)
    assert held.nbytes - before > more.get_total_buffer_size() + len(more) * DIMENSION
    snapshot = held.snapshot()
    rows_found, score = snapshot.nearest(vectors[-1], None, LIMIT)
    assert len(snapshot.vector_codes) == CODED_ROWS + SLAB_ROWS
    expected = plainly(vectors, vectors[-1], np.arange(ROWS), LIMIT)
    assert (rows_found.tolist(), score.tolist()) == expected
