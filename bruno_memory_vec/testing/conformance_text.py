"""What a RowIndex that searches text itself has to do, as tests that its own suite can inherit.

::

    from bruno_memory_vec.testing import SearchesTextConformance

    class TestMyText(SearchesTextConformance):
        async def make_index(self):
            return await MyIndex.open(self.folder, self.dimension, self.analyser)

They say what is found and in which order, and leave the scores to the engine: one may know the
true average length of a row, and another only an estimate.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import numpy as np
import pytest
import pytest_asyncio

from bruno_memory_vec.indexers.protocols import RowIndex, SearchesText
from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.indexers.text.analysis import Analyser, analyser
from bruno_memory_vec.testing.engine_suite import (
    ANA,
    ANY,
    CONDITION_IDS,
    CONDITIONS,
    EVERYONE,
    PLACE_CONDITIONS,
    ROWS,
    TEXT_CONDITIONS,
    EngineSuite,
    check_shape,
)
from bruno_memory_vec.testing.rows import START, message

BO = Scope.user("bo")


class TextRowIndex(RowIndex, SearchesText, Protocol):
    """A ``RowIndex`` that ``SearchesText``."""


class SearchesTextConformance(EngineSuite):
    """Tests of a ``RowIndex`` that ``SearchesText``. A subclass says how to open one."""

    @property
    def analyser(self) -> Analyser:
        """How text becomes terms in these tests."""
        return analyser("english")

    async def make_index(self) -> TextRowIndex:
        """Open the engine under test, which analyses as ``self.analyser`` does."""
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def empty(self) -> AsyncIterator[TextRowIndex]:
        """An engine without a row."""
        index = await self.make_index()
        yield index
        await index.close()

    @pytest_asyncio.fixture
    async def index(self, empty: TextRowIndex) -> TextRowIndex:
        """An engine with ``ROWS``."""
        await empty.upsert(self.rows(*ROWS), all_new=True)
        return empty

    async def said(self, index: TextRowIndex, *texts: str, user_id: str = "ana") -> None:
        """Store messages, numbered from 0."""
        rows = [message(seq, text, user_id=user_id) for seq, text in enumerate(texts)]
        await index.upsert(self.rows(*rows), all_new=True)

    async def test_it_tells_how_it_makes_terms(self, empty: TextRowIndex) -> None:
        assert isinstance(empty, SearchesText)
        assert empty.analyser.terms("Quiet hotels") == self.analyser.terms("Quiet hotels")

    async def test_empty_finds_nothing(self, empty: TextRowIndex) -> None:
        asked = LexicalQuery("hotel")
        assert len(await empty.search_text(asked, EVERYONE, ANY, 5)) == 0
        found = await empty.search_both(self.vector("x"), asked, ANA, ANY, nearest=3, text=3)
        assert list(map(len, found)) == [0, 0]

    @pytest.mark.parametrize(("_", "scope", "where", "wanted"), CONDITIONS, ids=CONDITION_IDS)
    async def test_conditions(
        self, index: TextRowIndex, _: str, scope: Scope, where: RowFilter, wanted: set[int]
    ) -> None:
        found = await index.search_text(LexicalQuery("hotel"), scope, where, 100)
        assert sorted(found.seq.tolist()) == sorted(wanted)
        check_shape(found)

    async def test_a_filter_on_any_other_column(self, index: TextRowIndex) -> None:
        for where, wanted in (*PLACE_CONDITIONS, *TEXT_CONDITIONS):
            found = await index.search_text(LexicalQuery("hotel"), EVERYONE, where, 100)
            assert set(found.seq.tolist()) == wanted, where

    async def test_a_hit_says_where_it_stands(self, index: TextRowIndex) -> None:
        found = await index.search_text(LexicalQuery("hotel"), EVERYONE, ANY, 100)
        assert dict(zip(found.seq.tolist(), found.conversation_id, strict=True)) == {
            row["seq"]: row["conversation_id"] for row in ROWS
        }
        assert dict(zip(found.seq.tolist(), found.turn.tolist(), strict=True)) == {
            row["seq"]: -1 if row["turn"] is None else row["turn"] for row in ROWS
        }

    async def test_conditions_change_no_score(self, index: TextRowIndex) -> None:
        asked = LexicalQuery("hotel pool")
        every = await index.search_text(asked, ANA, ANY, 100)
        scores = dict(zip(every.seq.tolist(), every.score.tolist(), strict=True))
        where = RowFilter(kinds=("message",), since=START, min_importance=0.1, alive_at=START)
        found = await index.search_text(asked, ANA.within("talk"), where, 100)
        assert len(found) == 2
        np.testing.assert_allclose(found.score, [scores[seq] for seq in found.seq.tolist()])

    async def test_other_users_rows_change_no_score(self, empty: TextRowIndex) -> None:
        await self.said(empty, "a quiet hotel", "a hotel by the sea", "a quiet room")
        asked = LexicalQuery("quiet hotel")
        before = await empty.search_text(asked, ANA, ANY, 10)
        others = [message(seq, "quiet quiet night", user_id="bo") for seq in range(10, 40)]
        await empty.upsert(self.rows(*others), all_new=True)
        after = await empty.search_text(asked, ANA, ANY, 10)
        assert after.seq.tolist() == before.seq.tolist()
        # The average length of a row may have changed.
        np.testing.assert_allclose(after.score, before.score, rtol=0.2)

    async def test_rows_outside_a_scope_take_no_place(self, empty: TextRowIndex) -> None:
        near = [message(seq, "exactly this", user_id="bo") for seq in range(60)]
        far = message(60, "this among many other words, exactly")
        await empty.upsert(self.rows(*near, far), all_new=True)
        found = await empty.search_text(LexicalQuery("exactly this"), ANA, ANY, 1)
        assert found.seq.tolist() == [60]

    async def test_rare_words_count_more(self, empty: TextRowIndex) -> None:
        common = ["the hotel had one room"] * 8
        await self.said(empty, "a hotel with one tower", *common, "that tower and one view")
        found = await empty.search_text(LexicalQuery("hotel tower"), ANA, ANY, 3)
        assert found.seq.tolist()[:2] == [0, 9]

    async def test_a_word_counts_more_in_a_short_row(self, empty: TextRowIndex) -> None:
        long = "the hotel was " + "very far from any place that one of us had heard of " * 4
        await self.said(empty, "a hotel", long, "rain")
        found = await empty.search_text(LexicalQuery("hotel"), ANA, ANY, 3)
        assert found.seq.tolist() == [0, 1]

    async def test_a_repeated_word_counts_more_but_not_twice(self, empty: TextRowIndex) -> None:
        await self.said(empty, "hotel hotel bar", "hotel room bar", "rain and snow")
        found = await empty.search_text(LexicalQuery("hotel"), ANA, ANY, 3)
        assert found.seq.tolist() == [0, 1]
        assert found.score[1] < found.score[0] < 2 * found.score[1]

    async def test_adjacent_words_count_more_where_they_are_adjacent(
        self, empty: TextRowIndex
    ) -> None:
        await self.said(empty, "blue whale song", "whale in blue song", "nothing", "no more")
        asked = LexicalQuery("blue whale", phrase_weight=0.5)
        found = await empty.search_text(asked, ANA, ANY, 4)
        assert found.seq.tolist() == [0, 1]
        assert found.score[0] > found.score[1]

    async def test_equal_rows_newest_first_also_at_the_limit(self, empty: TextRowIndex) -> None:
        await self.said(empty, *["the same words"] * 40)
        for limit in (1, 5, 39, 60):
            found = await empty.search_text(LexicalQuery("same words"), ANA, ANY, limit)
            assert found.seq.tolist() == list(range(39, -1, -1))[:limit]

    async def test_the_limit_keeps_the_best(self, index: TextRowIndex) -> None:
        every = await index.search_text(LexicalQuery("hotel quiet"), EVERYONE, ANY, 100)
        few = await index.search_text(LexicalQuery("hotel quiet"), EVERYONE, ANY, 2)
        assert few.score.tolist() == every.score.tolist()[:2]
        assert few.seq[0] == 3
        assert len(await index.search_text(LexicalQuery("hotel"), EVERYONE, ANY, 0)) == 0

    async def test_scripts_without_spaces(self, empty: TextRowIndex) -> None:
        await self.said(empty, "我在东京订了酒店", "我在京都", "酒店很安静", "我们在一起")
        found = await empty.search_text(LexicalQuery("东京的酒店"), ANA, ANY, 4)
        assert found.seq.tolist()[:2] == [0, 2]
        found = await empty.search_text(LexicalQuery("京"), ANA, ANY, 4)
        assert sorted(found.seq.tolist()) == [0, 1]

    @pytest.mark.parametrize("text", ["", "   ", "?!", "\x00", "\ud800", "👍", ':(^`"', "*:*"])
    async def test_a_text_without_a_word_finds_nothing(
        self, index: TextRowIndex, text: str
    ) -> None:
        assert len(await index.search_text(LexicalQuery(text), EVERYONE, ANY, 5)) == 0

    @pytest.mark.parametrize(
        "text", ['content:"hotel" AND NOT user_id:ana', "+hotel -hotel", "hotel* OR (", "ho tel's"]
    )
    async def test_syntax_means_nothing(self, index: TextRowIndex, text: str) -> None:
        found = await index.search_text(LexicalQuery(f"{text} hotel"), EVERYONE, ANY, 100)
        assert set(found.seq.tolist()) == set(range(9))

    async def test_question_words_are_dropped_unless_alone(self, empty: TextRowIndex) -> None:
        await self.said(empty, "what did the", "a pool in Lisbon")
        found = await empty.search_text(LexicalQuery("what did the Lisbon"), ANA, ANY, 5)
        assert found.seq.tolist() == [1]
        kept = LexicalQuery("what did the Lisbon", drop_stopwords=False)
        assert len(await empty.search_text(kept, ANA, ANY, 5)) == 2
        alone = await empty.search_text(LexicalQuery("what did the"), ANA, ANY, 5)
        assert alone.seq.tolist() == [0]

    async def test_a_very_long_question(self, index: TextRowIndex) -> None:
        text = " ".join(f"word{i}" for i in range(1_500)) + " quiet"
        found = await index.search_text(LexicalQuery(text, phrase_weight=0.3), ANA, ANY, 5)
        assert found.seq.tolist() == [3]

    async def test_words_follow_every_change(self, empty: TextRowIndex) -> None:
        await self.said(empty, "an old word", "another")
        changed = {**message(0, "a new one"), "seq": 7}
        await empty.upsert(self.rows(changed), all_new=False)

        async def seqs(word: str) -> list[int]:
            found: list[int] = (
                await empty.search_text(LexicalQuery(word), ANA, ANY, 5)
            ).seq.tolist()
            return found

        assert (await seqs("old"), await seqs("new")) == ([], [7])
        await empty.update(
            self.rows({**changed, "content": "it is yellow"}).select(["seq", "content"])
        )
        assert (await seqs("new"), await seqs("yellow")) == ([], [7])
        row = await empty.read(ANA, ANY, COLUMNS, seqs=[7])
        assert row.column("content").to_pylist() == ["it is yellow"]
        await empty.delete(ANA, ANY, seqs=[7])
        assert (await seqs("yellow"), await seqs("another")) == ([], [1])

    async def test_both_at_once_are_the_two(self, index: TextRowIndex) -> None:
        vector, asked = self.vector("a quiet hotel"), LexicalQuery("quiet hotel pool")
        where = RowFilter(kinds=("message", "memory"))
        for nearest, text in ((4, 3), (0, 3), (4, 0), (100, 100)):
            near, worded = await index.search_both(
                vector, asked, ANA, where, nearest=nearest, text=text
            )
            wanted = await index.search(vector, ANA, where, max(nearest, 1))
            assert near.seq.tolist() == wanted.seq.tolist()[:nearest]
            wanted = await index.search_text(asked, ANA, where, max(text, 1))
            assert worded.seq.tolist() == wanted.seq.tolist()[:text]

    async def test_both_at_once_without_a_word_or_a_meaning(self, index: TextRowIndex) -> None:
        nothing = np.zeros(self.dimension, np.float32)
        near, worded = await index.search_both(
            nothing, LexicalQuery("hotel"), ANA, ANY, nearest=2, text=2
        )
        assert (len(near), len(worded)) == (2, 2)
        near, worded = await index.search_both(
            self.vector("hotel"), LexicalQuery("?!"), ANA, ANY, nearest=2, text=2
        )
        assert (len(near), len(worded)) == (2, 0)
