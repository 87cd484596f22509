"""Counts by ranges of numbers, such as conversations of 3 to 4 messages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bruno_memory_vec.analytics.periods import Ints

#: A name such as "1", "3-4" or "129+"; the least value and the greatest, None for no bound; how
#: many values there are.
Bin = tuple[str, int, int | None, int]


def binned(values: Ints, edges: Sequence[int]) -> list[Bin]:
    """Whole numbers (n,), none below the first edge, by the ranges that begin at the edges."""
    places = np.searchsorted(edges, values, side="right") - 1
    counts = np.bincount(places, minlength=len(edges)).tolist()
    ends = [*(edge - 1 for edge in edges[1:]), None]
    return [
        (_label(smallest, largest), smallest, largest, count)
        for smallest, largest, count in zip(edges, ends, counts, strict=True)
    ]


def _label(smallest: int, largest: int | None) -> str:
    if largest is None:
        return f"{smallest}+"
    return str(smallest) if largest == smallest else f"{smallest}-{largest}"
