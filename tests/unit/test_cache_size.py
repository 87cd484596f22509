"""The cache has room for the rows that it is documented to hold, with the default settings."""

from __future__ import annotations

import numpy as np
import pytest

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.indexers.cache import _FOR_ALL_USERS
from bruno_memory_vec.indexers.snapshot import HeldRows
from bruno_memory_vec.indexers.whole_store import MOST_ROWS
from bruno_memory_vec.testing.rows import message, table

DIMENSION = 256
SAMPLE = 1_000
# About as long as the texts of benchmarks.scale.
TEXT = "they said that the train to the coast leaves at nine and that the hotel beside the harbour "
BUDGET = MemoryConfig().recall_cache_mb * 2**20


@pytest.mark.parametrize(
    ("rows", "room"),
    [(100_000, BUDGET), (MOST_ROWS, int(BUDGET * _FOR_ALL_USERS))],
    ids=["a user of 100,000 rows", "all users of a small store"],
)
def test_the_rows_have_room(rows: int, room: int) -> None:
    made = [message(seq, content=f"{TEXT} {seq}" + " and so on" * 4) for seq in range(SAMPLE)]
    held = HeldRows(table(made, DIMENSION, np.zeros((SAMPLE, DIMENSION), np.float32)))
    held.snapshot()
    assert held.nbytes * rows // SAMPLE < room
