"""Single texts of an Arrow column, read without an Arrow object for each of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

import pyarrow as pa

# What reads a chunk: gives the bytes of a row of it, None for null.
_Read = Callable[[int], "memoryview | None"]


class TextColumn:
    """Single texts of a column, by their row. Any thread may use it.

    It reads Arrow's own memory, which takes a third of the time of asking Arrow for a scalar.

    Args:
        column: texts, of type ``string`` or ``large_string``.
        former: of the same column when it had only its first chunks. What is known of these is
            taken over, as after each stored message there is one more.
    """

    def __init__(self, column: pa.ChunkedArray, former: TextColumn | None = None) -> None:
        known = [] if former is None else former._chunks
        new = [column.chunk(number) for number in range(len(known), column.num_chunks)]
        begun: list[int] = [0] if former is None else former._starts
        self._chunks: list[pa.Array] = [*known, *new]
        self._starts: list[int] = [*begun[:-1], *accumulate(map(len, new), initial=begun[-1])]
        # By chunk, made when it is first read.
        self._reads: list[_Read | None] = [None] * len(self._chunks)
        if former is not None:
            self._reads[: len(known)] = former._reads
        self._alone = len(self._chunks) == 1

    def raw(self, rows: Sequence[int]) -> list[memoryview | None]:
        """The texts of some rows in UTF-8, not copied; None for null.

        Raises:
            IndexError: there is no such row.
        """
        found = []
        for row in rows:
            if not 0 <= row < self._starts[-1]:
                raise IndexError(f"row {row} of {self._starts[-1]}")
            at = 0 if self._alone else bisect_right(self._starts, row) - 1
            read = self._reads[at]
            if read is None:
                read = self._reads[at] = _reader(self._chunks[at])
            found.append(read(row - self._starts[at]))
        return found


def _reader(chunk: pa.Array) -> _Read:
    offset = chunk.offset
    valid, ends, data = (
        None if one is None else memoryview(one).cast("B") for one in chunk.buffers()
    )
    assert ends is not None
    places = ends.cast("q" if pa.types.is_large_string(chunk.type) else "i")
    held = memoryview(b"") if data is None else data
    if chunk.null_count == 0:
        valid = None

    def read(row: int) -> memoryview | None:
        row += offset
        if valid is not None and not valid[row >> 3] >> (row & 7) & 1:
            return None
        return held[places[row] : places[row + 1]]

    return read
