"""Cases that random examples have found, kept."""

from __future__ import annotations

import numpy as np

from bruno_memory_vec.rankers import (
    Current,
    Diversity,
    Duplicates,
    Fusion,
    Question,
    RankSettings,
    rank,
)
from tests.rankers.pools import NAN, NOW, added, make_pool


def test_scores_that_hardly_differ() -> None:
    """A span that is nearly 0 made the division overflow."""
    pool = make_pool(2, turn=[0, 2**63 - 1])
    asked = Question("", asks_now=True)
    gain = added(Current(1.0, 1.0, 3), pool, np.array([1.1e-311, -0.5]), question=asked)
    assert np.isfinite(gain).all()
    assert (gain >= 0.0).all()


def test_diversity_beside_duplicates() -> None:
    """What folding changed behind the choice of k rows depended on k."""
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 2, 0, 0]]
    vectors[6] = -vectors[6]
    pool = make_pool(
        7,
        seq=[0, 1, 2, 3, 5, 4, 6],
        lexical=[NAN, NAN, NAN, NAN, 0.0, 0.0, 1.5],
        semantic=[NAN, NAN, NAN, -1.0, NAN, NAN, NAN],
        vector=vectors,
    )
    how = RankSettings(Fusion("rrf", 0.875, 1), (Diversity(1.0), Duplicates(0.0)))

    def best(k: int) -> list[int]:
        return rank(pool, how, k=k, now=NOW).order.tolist()

    for k in range(8):
        assert best(7)[:k] == best(k)


def test_of_copies_the_best_is_shown() -> None:
    pool = make_pool(5, lexical=[3.0, 5.0, 4.0, 1.0, 2.0], copy_of=np.array([7, 8, 7, 9, 8]))
    order = rank(pool, RankSettings(Fusion("convex", 0.0)), k=3, now=NOW).order
    assert order.tolist() == [1, 2, 3]
