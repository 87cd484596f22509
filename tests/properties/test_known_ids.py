"""An id that was stored is never taken for new."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from bruno_memory_vec.writing.known_ids import KnownIds, hash_ids

uuids = st.lists(st.uuids().map(str), max_size=30)


def array(ids: list[str]) -> pa.Array:
    return pa.array(ids, pa.string())


@given(uuids, uuids, uuids)
def test_no_false_negative(early: list[str], late: list[str], others: list[str]) -> None:
    known = KnownIds()
    assert not known.any(array(early))
    known.add(array(early))
    known.add(pa.chunked_array([array(late), array(early[:1])]))
    for id_ in (*early, *late):
        assert known.any(array([*others, id_]))
    unseen = sorted(set(others) - {*early, *late})
    # 64 bits: of a few dozen, none collides but by a miracle.
    assert not known.any(array(unseen))


@given(uuids, st.integers(0, 10), st.integers(0, 10))
def test_slices_and_chunks_hash_alike(ids: list[str], start: int, length: int) -> None:
    whole = hash_ids(array(ids))
    assert whole.dtype == np.uint64
    np.testing.assert_array_equal(
        hash_ids(array(ids).slice(start, length)), whole[start : start + length]
    )
    chunked = pa.chunked_array([array(ids[:start]), array(ids[start:])])
    np.testing.assert_array_equal(hash_ids(chunked), whole)


@settings(max_examples=3)
@given(st.integers(0, 2**32))
def test_many(seed: int) -> None:
    """Beyond what is kept as Python ints, nothing is forgotten."""
    rng = np.random.default_rng(seed)
    digits = rng.integers(0, 16, (120_000, 36), np.uint8)
    letters = np.frombuffer(b"0123456789abcdef", np.uint8)[digits]
    ids = letters.view("S36").ravel().astype(str)
    assert len(np.unique(hash_ids(array(ids.tolist())))) == len(np.unique(ids))
    known = KnownIds()
    # Few and many at a time: they are kept in different ways.
    for start, stop in ((0, 60_000), (60_000, 90_000), (90_000, 119_990), (119_990, 120_000)):
        known.add(array(ids[start:stop].tolist()))
    for id_ in (*ids[rng.integers(0, len(ids), 200)], *ids[-10:]):
        assert known.any(array([str(id_)]))


def test_nothing_at_all() -> None:
    known = KnownIds()
    known.add(array([]))
    assert not known.any(array([]))
    assert len(hash_ids(pa.chunked_array([], pa.string()))) == 0
