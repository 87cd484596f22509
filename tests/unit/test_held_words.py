"""Everyone's average length, as the words of users in memory tell it where no index does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.snapshot import HeldRows, Snapshot
from bruno_memory_vec.indexers.text.analysis import Analyser
from bruno_memory_vec.recall.held_words import HeldWords
from bruno_memory_vec.testing.rows import message, table

USERS = {"ana": 3, "bo": 5, "cy": 40}


def snapshot(user: str) -> Snapshot:
    rows = [
        message(seq, user_id=user, conversation_id=user, content="tea in the garden")
        for seq in range(USERS[user])
    ]
    return HeldRows(table(rows, 4, np.zeros((len(rows), 4), np.float32))).snapshot()


@pytest.fixture
def switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching_often")
def test_each_user_counts_once_however_many_recall_at_once() -> None:
    words = HeldWords(Analyser(), None, lambda _: None)
    held = {user: snapshot(user) for user in USERS}

    for user, rows in USERS.items():
        found = words.of(held[user], user).search(
            LexicalQuery("tea"), Scope.user(user), RowFilter(), 100
        )
        assert len(found) == rows

    def ask(user: str) -> None:
        for _ in range(3_000):
            words._average(held[user], user, ())

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, ["cy"] * 8))
    assert words.health() == {"users": 3, "rows": 48}
