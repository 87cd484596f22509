"""Rows in PostgreSQL pass the suites of engines, and score words as the reference does."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
import pytest_asyncio

from bruno_memory_vec.indexers.query import LexicalQuery, Scope
from bruno_memory_vec.indexers.reference import ReferenceLexicalIndex
from bruno_memory_vec.testing import RowIndexConformance, SearchesTextConformance
from bruno_memory_vec.testing.engine_suite import ANY, EngineSuite
from bruno_memory_vec.testing.rows import message
from tests.extending.postgresql.stores import empty, open_index

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from bruno_memory_vec_postgresql.index import PostgreSQLIndex


class OnServer(EngineSuite):
    schema: ClassVar[str] = "rows"

    @pytest_asyncio.fixture(autouse=True)
    async def _give_store(self, server_url: str) -> None:
        self.url = f"{server_url}?schema={self.schema}"
        await empty(self.url)

    async def make_index(self) -> PostgreSQLIndex:
        return await open_index(self.url, self.dimension)


class TestRows(OnServer, RowIndexConformance):
    pass


class TestText(OnServer, SearchesTextConformance):
    @pytest.mark.parametrize("phrase_weight", [0.0, 0.5])
    async def test_scores_are_bm25(self, empty: PostgreSQLIndex, phrase_weight: float) -> None:
        """Among the rows of one user, which are all that the reference has."""
        texts = [
            "We stayed at the Hotel Aurora in Lisbon",
            "Which hotel was it, and was the hotel good?",
            "A quiet hotel: quiet, quiet hotels!",
            "the quiet hotel of the quiet hotel",
            "rain",
        ]
        rows = [message(seq, text) for seq, text in enumerate(texts)]
        await self.said(empty, *texts)
        others = [message(seq, "hotel rain rain", user_id="bo") for seq in range(10, 20)]
        await empty.upsert(self.rows(*others), all_new=True)
        oracle = ReferenceLexicalIndex(self.analyser)
        oracle.add(self.rows(*rows))
        await oracle.commit()
        for text in ("hotel", "quiet hotel in Lisbon", "hotel hotel rain", "the quiet hotel"):
            query = LexicalQuery(text, phrase_weight=phrase_weight)
            wanted = oracle.search(query, Scope.user("ana"), ANY, 100)
            found = await empty.search_text(query, Scope.user("ana"), ANY, 100)
            assert found.seq.tolist() == wanted.seq.tolist(), text
            np.testing.assert_allclose(found.score, wanted.score, rtol=1e-5)

    async def test_grams_weigh_as_in_the_reference(self, empty: PostgreSQLIndex) -> None:
        texts = ["我在东京订了酒店", "我在京都", "酒店很安静", "我们在一起", "我在家"]
        await self.said(empty, *texts)
        oracle = ReferenceLexicalIndex(self.analyser)
        oracle.add(self.rows(*[message(seq, text) for seq, text in enumerate(texts)]))
        await oracle.commit()
        query = LexicalQuery("我在东京的酒店", phrase_weight=0.5)
        wanted = oracle.search(query, Scope.user("ana"), ANY, 100)
        found = await empty.search_text(query, Scope.user("ana"), ANY, 100)
        assert found.seq.tolist() == wanted.seq.tolist()
        np.testing.assert_allclose(found.score, wanted.score, rtol=1e-5, atol=1e-6)
