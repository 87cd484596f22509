"""What a LexicalIndex has to do, as tests that any engine's own test suite can inherit.

::

    from bruno_memory_vec.testing import LexicalIndexConformance

    class TestMyIndex(LexicalIndexConformance):
        async def make_index(self):
            return MyIndex(self.folder, self.analyser)

``self.folder`` is an empty folder of the test. Where an engine deviates, override
the test and say why, or set one of the class attributes; nothing is skipped but the
tests of a capability that the engine does not have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import pytest_asyncio

from bruno_memory_vec.indexers.protocols import (
    CountsWords,
    LexicalIndex,
    SearchesPending,
    TellsTerms,
    WeighsTerms,
)
from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.reference import ReferenceLexicalIndex
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS
from bruno_memory_vec.indexers.text.analysis import Analyser, analyser
from bruno_memory_vec.testing.engine_suite import (
    ANA,
    ANY,
    CONDITION_IDS,
    CONDITIONS,
    EVERYONE,
    PLACE_CONDITIONS,
    ROWS,
    EngineSuite,
    check_shape,
)
from bruno_memory_vec.testing.rows import START, message

BO = Scope.user("bo")


class LexicalIndexConformance(EngineSuite):
    """Tests of a ``LexicalIndex``. A subclass says how to open one, with ``self.analyser``."""

    @property
    def analyser(self) -> Analyser:
        """How text becomes terms in these tests."""
        return analyser("english")

    async def make_index(self) -> LexicalIndex:
        """Open the engine under test in ``self.folder``; called again to open it again."""
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def empty(self) -> AsyncIterator[LexicalIndex]:
        """An engine without a row."""
        index = await self.make_index()
        yield index
        await index.close()

    @pytest_asyncio.fixture
    async def index(self, empty: LexicalIndex) -> LexicalIndex:
        """An engine with ``ROWS``."""
        empty.add(self.lexical_rows(*ROWS))
        await empty.commit()
        return empty

    def lexical_rows(self, *rows: dict[str, Any]) -> pa.Table:
        """Rows with the columns that a lexical index takes."""
        return self.rows(*rows).select(list(LEXICAL_COLUMNS))

    async def test_empty_answers_everything_with_nothing(self, empty: LexicalIndex) -> None:
        assert len(empty.search(LexicalQuery("hotel"), EVERYONE, ANY, 5)) == 0
        assert (await empty.count(), await empty.last_seq()) == (0, -1)
        assert (await empty.seqs()).tolist() == []
        await empty.commit()

    async def test_changes_wait_for_the_commit(self, empty: LexicalIndex) -> None:
        empty.add(self.lexical_rows(*ROWS[:2]))
        assert empty.pending > 0
        found = empty.search(LexicalQuery("hotel"), EVERYONE, ANY, 5)
        # Nothing waits for a commit where a search finds what is pending, too.
        assert (len(found) > 0) == isinstance(empty, SearchesPending)
        await empty.commit()
        assert empty.pending == 0
        assert len(empty.search(LexicalQuery("hotel"), EVERYONE, ANY, 5)) == 2

    async def test_changes_are_pending_until_they_can_be_searched(
        self, empty: LexicalIndex
    ) -> None:
        """A search that finds nothing pending relies on seeing everything."""
        empty.add(self.lexical_rows(*[message(seq, "hotel") for seq in range(2_000)]))
        committing = asyncio.create_task(empty.commit())
        while empty.pending:  # noqa: ASYNC110 - a protocol of few methods has no event for it
            await asyncio.sleep(0)
        found = empty.search(LexicalQuery("hotel"), EVERYONE, ANY, 5_000)
        await committing
        assert len(found) == 2_000

    @pytest.mark.parametrize(("_", "scope", "where", "wanted"), CONDITIONS, ids=CONDITION_IDS)
    async def test_conditions(
        self, index: LexicalIndex, _: str, scope: Scope, where: RowFilter, wanted: set[int]
    ) -> None:
        found = index.search(LexicalQuery("hotel"), scope, where, 100)
        assert sorted(found.seq.tolist()) == sorted(wanted)
        if len(found):
            check_shape(found)

    async def test_a_filter_on_any_other_column(self, index: LexicalIndex) -> None:
        """A field of a filter is named in one place, which is no engine."""
        for where, wanted in PLACE_CONDITIONS:
            found = index.search(LexicalQuery("hotel"), EVERYONE, where, 100)
            assert set(found.seq.tolist()) == wanted, where

    async def test_conditions_change_no_score(self, index: LexicalIndex) -> None:
        every = index.search(LexicalQuery("hotel pool"), ANA, ANY, 100)
        scores = dict(zip(every.seq.tolist(), every.score.tolist(), strict=True))
        where = RowFilter(kinds=("message",), since=START, min_importance=0.1, alive_at=START)
        found = index.search(LexicalQuery("hotel pool"), ANA.within("talk"), where, 100)
        np.testing.assert_allclose(found.score, [scores[seq] for seq in found.seq.tolist()])

    @pytest.mark.parametrize(
        "text",
        [
            "hotel",
            "Aurora hotel in Lisbon",
            "hotel hotel pool",
            "quiet, quiet hotels!",
            "bill paid",
        ],
    )
    @pytest.mark.parametrize("phrase_weight", [0.0, 0.5])
    async def test_scores_are_bm25(
        self, index: LexicalIndex, text: str, phrase_weight: float
    ) -> None:
        oracle = ReferenceLexicalIndex(self.analyser)
        oracle.add(self.lexical_rows(*ROWS))
        await oracle.commit()
        query = LexicalQuery(text, phrase_weight=phrase_weight)
        # Term weights come from the rows of the scope's user.
        for scope in (EVERYONE, ANA, BO, ANA.within("talk"), EVERYONE.within("bo's")):
            wanted = oracle.search(query, scope, ANY, 100)
            found = index.search(query, scope, ANY, 100)
            assert sorted(found.seq.tolist()) == sorted(wanted.seq.tolist())
            scores = dict(zip(wanted.seq.tolist(), wanted.score.tolist(), strict=True))
            np.testing.assert_allclose(
                found.score, [scores[seq] for seq in found.seq.tolist()], rtol=1e-4
            )

    async def test_scripts_without_spaces_are_asked_by_characters_and_bigrams(
        self, empty: LexicalIndex
    ) -> None:
        """Without phrases, and with a weight that common ones hardly have."""
        texts = ["我在东京订了酒店", "我在京都", "酒店很安静", "我们在一起", "我在家", "东边的京剧"]
        rows = [
            message(seq, text, user_id="bo" if seq == 5 else "ana")
            for seq, text in enumerate(texts)
        ]
        oracle = ReferenceLexicalIndex(self.analyser)
        for one in (oracle, empty):
            one.add(self.lexical_rows(*rows))
            await one.commit()
        for text in ("我在东京的酒店", "京", "我在", "東京 我在 hotel"):
            query = LexicalQuery(text, phrase_weight=0.5)
            for scope in (EVERYONE, ANA, BO):
                wanted = oracle.search(query, scope, ANY, 100)
                found = empty.search(query, scope, ANY, 100)
                assert sorted(found.seq.tolist()) == sorted(wanted.seq.tolist()), text
                scores = dict(zip(wanted.seq.tolist(), wanted.score.tolist(), strict=True))
                np.testing.assert_allclose(
                    found.score, [scores[seq] for seq in found.seq.tolist()], rtol=1e-4, atol=1e-6
                )
        plain = empty.search(LexicalQuery("我在东京的酒店"), ANA, ANY, 100)
        phrased = empty.search(LexicalQuery("我在东京的酒店", phrase_weight=0.5), ANA, ANY, 100)
        assert plain.score.tolist() == phrased.score.tolist()
        assert plain.seq.tolist()[:2] == [0, 2]  # "我在" is in most rows, "酒店" in two

    async def test_the_limit_keeps_the_best(self, index: LexicalIndex) -> None:
        every = index.search(LexicalQuery("hotel quiet"), EVERYONE, ANY, 100)
        few = index.search(LexicalQuery("hotel quiet"), EVERYONE, ANY, 2)
        assert few.score.tolist() == every.score.tolist()[:2]
        assert few.seq[0] == 3

    async def test_rows_outside_a_scope_take_no_place(self, empty: LexicalIndex) -> None:
        near = [message(seq, "exactly this", user_id="bo") for seq in range(60)]
        empty.add(self.lexical_rows(*near, message(60, "this among many other words, exactly")))
        await empty.commit()
        found = empty.search(LexicalQuery("exactly this"), ANA, ANY, 1)
        assert found.seq.tolist() == [60]

    async def test_removed_rows_are_gone(self, index: LexicalIndex) -> None:
        index.remove([0, 1, 99])
        await index.commit()
        found = index.search(LexicalQuery("hotel"), ANA, ANY, 100)
        assert sorted(found.seq.tolist()) == [2, 3, 4, 5]
        assert await index.count() == len(ROWS) - 2
        assert sorted((await index.seqs()).tolist()) == [2, 3, 4, 5, 6, 7, 8]

    async def test_changes_are_made_in_their_order(self, empty: LexicalIndex) -> None:
        empty.add(self.lexical_rows(message(0, "first")))
        empty.remove([0])
        empty.add(self.lexical_rows(message(1, "second")))
        await empty.commit()
        assert (await empty.seqs()).tolist() == [1]
        assert await empty.last_seq() == 1

    @pytest.mark.parametrize(
        "text",
        ["", "   ", "?!", "\x00", "\ud800", "👍", '"', ':(^`"', "[* TO *]", "(", "-", "*:*", "\\"],
    )
    async def test_a_text_without_a_word_finds_nothing(
        self, index: LexicalIndex, text: str
    ) -> None:
        found = index.search(LexicalQuery(text), EVERYONE, ANY, 5)
        assert len(found) == 0

    @pytest.mark.parametrize(
        "text",
        [
            'content:"hotel" AND NOT user_id:ana',
            "+hotel -hotel",
            "hotel* OR (",
            "ho\ud800tel hotel",
            "'; DROP TABLE rows; -- hotel",
        ],
    )
    async def test_syntax_means_nothing(self, index: LexicalIndex, text: str) -> None:
        found = index.search(LexicalQuery(text), EVERYONE, ANY, 100)
        assert set(found.seq.tolist()) == set(range(9))

    async def test_question_words_are_dropped_unless_alone(self, empty: LexicalIndex) -> None:
        rows = [message(0, "what did the"), message(1, "a pool in Lisbon")]
        empty.add(self.lexical_rows(*rows))
        await empty.commit()
        search = empty.search
        found = search(LexicalQuery("what did the Lisbon"), ANA, ANY, 5)
        assert found.seq.tolist() == [1]
        kept = LexicalQuery("what did the Lisbon", drop_stopwords=False)
        assert sorted((search(kept, ANA, ANY, 5)).seq.tolist()) == [0, 1]
        assert (search(LexicalQuery("what did the"), ANA, ANY, 5)).seq.tolist() == [0]

    async def test_words_are_counted_among_the_users_rows(self, empty: LexicalIndex) -> None:
        if not isinstance(empty, CountsWords):
            pytest.skip("it does not count words")
        rows = [message(0, "Hotels in Lisbon"), message(1, "a hotel, a hotel"), message(2, "rain")]
        empty.add(self.lexical_rows(*rows, message(3, "hotel Lisbon", user_id="ben")))
        await empty.commit()
        words = ["HOTEL", "in", "Lisbon", "hotel-lisbon", "snow", "?"]
        total, having = empty.document_frequencies(words, Scope("ana"))
        assert (total, having.tolist()) == (3, [2, 1, 1, 1, 0, -1])
        total, having = empty.document_frequencies(words, EVERYONE)
        assert (total, having.tolist()) == (4, [3, 1, 2, 2, 0, -1])
        # It counts anew after a change.
        empty.add(self.lexical_rows(message(4, "snow")))
        await empty.commit()
        total, having = empty.document_frequencies(["snow", "rain"], Scope("ana"))
        assert (total, having.tolist()) == (4, [1, 1])

    async def test_terms_are_weighed_as_in_a_search(self, empty: LexicalIndex) -> None:
        """Where an index tells it: BM25 by hand from these weights is that of the search."""
        if not isinstance(empty, WeighsTerms):
            return
        texts = ["hotel", "hotel pool", "quiet pool bar", "pool", "hotel hotel tower"]
        users = ["ana", "ana", "ana", "bo", "ana"]
        empty.add(
            self.lexical_rows(
                *(
                    message(seq, text, user_id=user)
                    for seq, (text, user) in enumerate(zip(texts, users, strict=True))
                )
            )
        )
        await empty.commit()
        assert empty.terms("Quiet hotels") == self.analyser.terms("Quiet hotels")
        query = LexicalQuery("the pool, the pool of which hotel, and a lake", phrase_weight=0.0)
        weights = empty.term_weights(query, ANA)
        assert sorted(weights) == sorted(["hotel", "pool"])
        average = sum(len(text.split()) for text in texts) / len(texts)
        found = empty.search(query, ANA, ANY, 9)
        for seq, score in zip(found.seq.tolist(), found.score.tolist(), strict=True):
            terms = empty.terms(texts[seq])
            norm = 1.2 * (0.25 + 0.75 * len(terms) / average)
            wanted = sum(
                weight * 2.2 * terms.count(term) / (terms.count(term) + norm)
                for term, weight in weights.items()
            )
            assert score == pytest.approx(wanted, rel=1e-4)

    async def test_a_questions_terms_are_counted_among_the_users_rows(
        self, empty: LexicalIndex
    ) -> None:
        if not isinstance(empty, TellsTerms):
            pytest.skip("it does not tell terms")
        rows = [message(0, "Hotels in Lisbon"), message(1, "a hotel, a hotel"), message(2, "rain")]
        empty.add(self.lexical_rows(*rows, message(3, "hotel Lisbon", user_id="ben")))
        await empty.commit()
        question = LexicalQuery("Which HOTEL, the hotels in Lisbon or in Porto?")
        own = empty.asked_terms(question, Scope("ana"))
        assert own.total == 3
        assert own.times == {"hotel": 2, "lisbon": 1, "porto": 1}
        assert own.having == {"hotel": 2, "lisbon": 1, "porto": 0}
        everyone = empty.asked_terms(question, EVERYONE)
        assert (everyone.total, everyone.having["lisbon"], everyone.having["porto"]) == (4, 2, 0)
        assert empty.asked_terms(LexicalQuery("?!"), Scope("ana")).times == {}
        # It counts anew after a change.
        empty.add(self.lexical_rows(message(4, "Porto")))
        await empty.commit()
        assert empty.asked_terms(question, Scope("ana")).having["porto"] == 1

    async def test_a_very_long_question(self, index: LexicalIndex) -> None:
        text = " ".join(f"word{i}" for i in range(1_500)) + " quiet"
        found = index.search(LexicalQuery(text, phrase_weight=0.3), ANA, ANY, 5)
        assert found.seq.tolist() == [3]

    async def test_health_names_the_engine_and_counts(self, index: LexicalIndex) -> None:
        health = await index.health()
        assert (health["engine"], health["rows"]) == (index.name, len(ROWS))

    async def test_closing_commits_what_waits(self, index: LexicalIndex) -> None:
        index.add(self.lexical_rows(message(60, "a late word")))
        await index.close()
        again = await self.make_index()
        try:
            assert await again.count() == (len(ROWS) + 1 if self.persistent else 0)
            found = again.search(LexicalQuery("late"), ANA, ANY, 5)
            assert found.seq.tolist() == ([60] if self.persistent else [])
        finally:
            await again.close()

    async def test_closing_twice_does_nothing(self, index: LexicalIndex) -> None:
        await index.close()
        await index.close()
