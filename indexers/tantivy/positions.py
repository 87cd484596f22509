"""The ``seq`` and the segment of every row of an index, read in parts.

Tantivy holds the interpreter for as long as a call takes, and all rows of a large index in one
call take longer than any recall may wait: .24 s of a million.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tantivy

#: About so many rows are read by one call, which takes one or two milliseconds.
PART = 1024
# Where few numbers of the write order are taken, up to so many of them are asked for at once.
_MOST_NUMBERS = 2**40


def positions(
    searcher: tantivy.Searcher, schema: tantivy.Schema, newest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each row that is not removed. This blocks, and lets other threads run between the parts.

    Args:
        searcher: of the index.
        schema: its schema.
        newest: the largest ``seq`` in it, -1 for none.

    Returns:
        The ``seq`` of each, ascending, int64 (n,), and the number of its segment, int64 (n,).
    """
    import tantivy

    seqs, segments = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    first, numbers = 0, PART
    while first <= newest:
        within = tantivy.Query.range_query(
            schema, "seq", tantivy.FieldType.Integer, first, first + numbers - 1
        )
        found: Any = searcher.search(within, 2 * PART, count=False).hits
        time.sleep(0)  # lets another thread have the interpreter
        if len(found) == 2 * PART and numbers > 1:
            numbers //= 2
            continue
        addresses = [address for _, address in found]
        if addresses:
            part = np.array(searcher.fast_field_values("seq", addresses), np.int64)
            order = np.argsort(part, kind="stable")
            seqs.append(part[order])
            segments.append(np.array([one.segment_ord for one in addresses], np.int64)[order])
        first += numbers
        numbers = min(2 * numbers, _MOST_NUMBERS) if len(found) < PART // 2 else numbers
    return np.concatenate(seqs), np.concatenate(segments)
