"""The words of rows in memory follow the rows: added ones, removed ones, and none too many."""

from __future__ import annotations

import numpy as np

from bruno_memory_vec.indexers.snapshot import HeldRows, Snapshot
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.indexers.words.index import WordIndex
from bruno_memory_vec.testing.rows import message, table

ANALYSER = analyser("english")


def rows_of(first: int, *texts: str) -> HeldRows:
    return HeldRows(table([message(first + i, text) for i, text in enumerate(texts)], 2))


def words_of(snapshot: Snapshot) -> WordIndex:
    return snapshot.words.of(len(snapshot), snapshot.contents, ANALYSER)


def test_they_are_made_once_and_added_to() -> None:
    held = rows_of(0, "a red cat", "a dog")
    before = held.snapshot()
    assert before.words.missing(2) == 2
    first = words_of(before)
    assert words_of(held.snapshot()) is first

    held.add(table([message(2, "another cat")], 2))
    after = held.snapshot()
    assert after.words.missing(3) == 1
    assert words_of(after).having(["cat", "dog"]).tolist() == [2, 1]
    # Of the rows that an older snapshot has, nothing is made again.
    assert len(words_of(before)) == 3


def test_removed_rows_have_no_words() -> None:
    held = rows_of(0, "a red cat", "a dog", "a cat and a dog")
    words_of(held.snapshot())
    held.add(table([message(3, "a bird")], 2))
    left = held.without(np.array([0]))
    assert left.words.index is not None
    assert left.words.missing(3) == 1
    assert words_of(left.snapshot()).having(["cat", "dog", "red", "bird"]).tolist() == [1, 2, 0, 1]
    assert words_of(held.snapshot()).having(["cat"]).tolist() == [2]


def test_words_that_are_there_are_taken() -> None:
    index = WordIndex.of(["a cat"], ANALYSER)
    held = HeldRows(table([message(0, "a cat"), message(1, "a dog")], 2), words=index)
    assert words_of(held.snapshot()).having(["cat", "dog"]).tolist() == [1, 1]
