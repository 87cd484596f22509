"""Rows in memory that grow one by one, as those of a user who talks."""

from __future__ import annotations

from typing import Any

import numpy as np

from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.indexers.snapshot import HeldRows
from bruno_memory_vec.indexers.text_column import TextColumn
from bruno_memory_vec.testing.rows import message, table

# More than the tables that stay apart, so that they are joined on the way.
ROWS = 40


def rows() -> list[dict[str, Any]]:
    """Some of them answer another one, or expire; the first do not."""
    made = []
    for seq in range(ROWS):
        answers = f"{seq - 1:032x}" if seq > 20 and seq % 3 else None
        made.append(message(seq, f"é text {seq}", turn=seq, parent_id=answers))
    return made


def test_each_snapshot_reads_its_rows() -> None:
    given = table(rows(), 2)
    held = HeldRows(given.slice(0, 1))
    snapshots = []
    for number in range(1, ROWS):
        if number % 5:
            snapshots.append(held.snapshot())
            some = np.arange(max(len(held) - 10, 0), len(held))
            wanted = HeldRows(given.slice(0, number)).snapshot()
            assert snapshots[-1].rows(some, COLUMNS) == wanted.rows(some, COLUMNS)
        held.add(given.slice(number, 1))
    # The earlier ones are as they were.
    for one in snapshots:
        every = np.arange(len(one))
        texts = [row["content"] for row in one.rows(every, ("content",))]
        assert texts == [f"é text {number}" for number in range(len(one))]
        assert one.columns["turn"].tolist() == list(range(len(one)))


def test_a_reader_may_begin_meanwhile() -> None:
    given = table(rows(), 2)
    held = HeldRows(given.slice(0, 1))
    columns = held.snapshot().text_columns

    class Name(str):
        """Another thread reads a further column at the moment when this one is looked at."""

        def __hash__(self) -> int:
            columns.setdefault("another", None)
            return super().__hash__()

    columns[Name("content")] = TextColumn(given.column("content").slice(0, 1))
    columns.pop("another")
    held.add(given.slice(1, 1))
    assert held.snapshot().rows(np.arange(2), ("content",))[1]["content"] == "é text 1"
