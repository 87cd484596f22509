"""A row is found by its words as soon as it is stored: no recall commits the lexical index."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS
from bruno_memory_vec.indexers.tantivy import pending
from bruno_memory_vec.indexers.tantivy.index import TantivyIndex
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.testing.rows import message, table
from bruno_memory_vec.writing import writer
from bruno_memory_vec.writing.projections import lexical

ANA, BEN, EVERYONE = Scope.user("ana"), Scope.user("ben"), Scope.all_users()
ANY = RowFilter()


@pytest.fixture(params=["memory://", "folder"])
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorMemory]:
    url = request.param if request.param == "memory://" else str(tmp_path / "store")
    async with open_memory(url, embedder="hash") as opened:
        await say(opened, "ben", "an old apple")
        yield opened


async def say(memory: VectorMemory, user: str, *texts: str) -> list[Message]:
    messages = [Message(role="user", content=text) for text in texts]
    await memory.store_messages(messages, f"of {user}", user_id=user)
    return messages


async def index_of(memory: VectorMemory) -> TantivyIndex:
    index = (await memory._lazy.get()).lexical
    assert isinstance(index, TantivyIndex)
    return index


async def found(memory: VectorMemory, question: str, user: Any) -> list[str]:
    hits = await memory.recall(question, user_id=user, profile="lexical")
    return sorted(hit.content for hit in hits)


async def test_many_rows_are_committed_without_waiting_for_their_time(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LEXICAL_DELAY", 3600.0)
    monkeypatch.setattr(lexical, "_MANY_WAIT", 5)
    index = await index_of(memory)
    await index.commit()
    await say(memory, "ben", *(f"apple {number}" for number in range(4)))
    await asyncio.sleep(0.05)
    assert index.pending == 4
    await say(memory, "ben", "one more")
    for _ in range(2_000):
        if not index.pending:
            break
        await asyncio.sleep(0.01)
    assert index.pending == 0


async def test_no_recall_commits(memory: VectorMemory) -> None:
    index = await index_of(memory)
    # Whoever commits would wait for ever.
    async with index._committing:
        for number in range(3):
            gone = await say(memory, "ben", f"a rotten apple {number}", f"a green apple {number}")
            await memory.delete_messages([gone[0].id])
        await say(memory, "ana", "a pear", "an apple of hers")
        ours = [*(f"a green apple {number}" for number in range(3)), "an old apple"]
        assert await found(memory, "apple", "ben") == ours
        assert await found(memory, "apple", ALL_USERS) == [*ours[:3], "an apple of hers", ours[3]]
        assert index.pending > 0
    await index.commit()
    assert await found(memory, "apple", "ben") == ours


async def test_a_held_user_asks_the_index_nothing(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await found(memory, "apple", "ben")

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the lexical index was searched")

    for name in ("search", "document_frequencies", "asked_terms", "term_weights", "commit"):
        monkeypatch.setattr(TantivyIndex, name, refuse)
    await say(memory, "ben", "a red apple")
    assert await found(memory, "apple", "ben") == ["a red apple", "an old apple"]
    monkeypatch.undo()


async def test_many_rows_are_indexed_in_the_background(memory: VectorMemory) -> None:
    await say(memory, "ben", *(f"a fig {number}" for number in range(300)))
    held = (await memory._lazy.get()).retriever._held
    assert held is not None
    assert len(await found(memory, "fig", "ben")) > 0
    snapshot = await held.snapshot(BEN)
    assert snapshot is not None
    for _ in range(1_000):
        if not snapshot.words.missing(len(snapshot)):
            break
        await asyncio.sleep(0.01)
    assert len(snapshot.words.index or ()) == 301
    assert len(await found(memory, "fig", "ben")) > 0


async def test_an_index_that_cannot_be_committed_finds_all_the_same(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise BackendUnavailable("tantivy", "commit", "no space left", fix="Make room.")

    monkeypatch.setattr(TantivyIndex, "_commit", fail)
    await say(memory, "ben", "a red apple")
    assert await found(memory, "apple", "ben") == ["a red apple", "an old apple"]
    assert await found(memory, "apple", ALL_USERS) == ["a red apple", "an old apple"]
    monkeypatch.undo()


# The index by itself


def rows(*texts: str, first: int = 0, user: str = "ana") -> Any:
    made = [message(first + i, text, user_id=user) for i, text in enumerate(texts)]
    return table(made, 2).select(list(LEXICAL_COLUMNS))


@pytest.fixture
async def index() -> AsyncIterator[TantivyIndex]:
    opened = TantivyIndex(None, analyser("english"))
    opened.add(rows("a cat", "a dog and a cat", "a bird", "a cat asleep"))
    await opened.commit()
    yield opened
    await opened.close()


def seqs(index: TantivyIndex, scope: Scope = ANA, limit: int = 10, text: str = "cat") -> list[int]:
    return index.search(LexicalQuery(text), scope, ANY, limit).seq.tolist()


@pytest.mark.parametrize("many", [5_000, 1])
async def test_pending_rows_are_weighed_with_the_others(
    index: TantivyIndex, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "_MANY", many)
    index.add(rows("a cat and another cat", "a horse", first=10))
    index.add(rows("a cat of ben", first=20, user="ben"))
    index.remove([0, 11])
    query = LexicalQuery("cat dog", phrase_weight=0.5)
    counted = index.document_frequencies(["cat", "horse", "dog"], ANA)
    before = index.search(query, ANA, ANY, 10)
    terms = index.asked_terms(query, ANA)
    await index.commit()
    # A row that is to be removed is counted until it is.
    assert counted[0] == 5
    assert counted[1].tolist() == [4, 0, 1]
    assert terms.total == 5
    after = index.search(query, ANA, ANY, 10)
    assert before.seq.tolist() == after.seq.tolist() == [1, 10, 3]
    assert seqs(index, BEN) == [20]


async def test_what_is_removed_leaves_room_for_the_next(index: TantivyIndex) -> None:
    index.add(rows(*(f"cat {number}" for number in range(40)), first=100))
    await index.commit()
    index.remove(list(range(100, 138)))
    assert seqs(index, limit=2) == [139, 138]
    assert len(seqs(index, limit=20)) == 5


async def test_a_row_that_is_added_again_is_one_hit(index: TantivyIndex) -> None:
    index.remove([3])
    index.add(rows("a dog, no longer asleep", first=3))
    assert seqs(index) == [0, 1]
    assert seqs(index, text="longer") == [3]
    assert sorted(seqs(index, text="dog")) == [1, 3]
    await index.commit()
    assert sorted(seqs(index, text="dog")) == [1, 3]


async def test_rows_of_a_commit_under_way_are_found_once(
    index: TantivyIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    inner = TantivyIndex._commit

    def wait(self: TantivyIndex, *args: Any) -> None:
        began.set()
        assert go_on.wait(30)
        inner(self, *args)

    monkeypatch.setattr(TantivyIndex, "_commit", wait)
    index.add(rows("a cat on the roof", first=10))
    committing = asyncio.ensure_future(index.commit())
    assert await asyncio.to_thread(began.wait, 30)
    index.add(rows("a cat in the yard", first=11))
    assert sorted(seqs(index)) == [0, 1, 3, 10, 11]
    # It is in the index, and still pending, between the reload and the confirmation.
    inner(index, index._changes._parts[0], False)
    assert sorted(seqs(index)) == [0, 1, 3, 10, 11]
    index._changes._parts[0].clear()
    go_on.set()
    await committing
    assert sorted(seqs(index)) == [0, 1, 3, 10, 11]


async def test_filters_come_before_the_limit(index: TantivyIndex) -> None:
    made = [message(10 + i, "a cat", role="user" if i else "assistant") for i in range(3)]
    index.add(table(made, 2).select(list(LEXICAL_COLUMNS)))
    found = index.search(LexicalQuery("cat"), ANA, RowFilter(roles=("assistant",)), 1)
    assert found.seq.tolist() == [10]
    elsewhere = Scope("ana", "another talk")
    assert not len(index.search(LexicalQuery("cat"), elsewhere, ANY, 5))


async def test_what_was_read_before_a_commit_is_not_kept_for_its_rows(
    index: TantivyIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    read = index._query.lengths

    def wait(*args: Any) -> Any:
        told = read(*args)
        began.set()
        assert go_on.wait(30)
        return told

    with monkeypatch.context() as patched:
        patched.setattr(index._query, "lengths", wait)
        searching = asyncio.ensure_future(asyncio.to_thread(seqs, index))
        assert await asyncio.to_thread(began.wait, 30)
        index.add(rows(*["a cat"] * 100, first=100))
        await index.commit()
        go_on.set()
        assert sorted(await searching) == [0, 1, 3]
    found, average = index.search(LexicalQuery("cat"), ANA, ANY, 200), index.average_length(["cat"])
    index._reload()
    again = index.search(LexicalQuery("cat"), ANA, ANY, 200)
    assert average == index.average_length(["cat"])
    assert found.score.tolist() == again.score.tolist()


def test_a_commit_may_end_while_what_was_found_of_users_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pending, "_MANY", 0)
    monkeypatch.setattr(pending, "_MOST_USERS", 0)
    changes = pending.PendingChanges(analyser("english"))
    changes.add(rows("a cat", first=1))

    class CommittedMeanwhile(OrderedDict[str, Any]):
        def __len__(self) -> int:
            held = super().__len__()
            changes.committed()
            return held

    changes._users = CommittedMeanwhile()
    found = changes.rows("ana")
    assert found is not None
    assert found.total == 1
