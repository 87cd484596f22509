"""The oracle passes the suites that it judges others by."""

from __future__ import annotations

from bruno_memory_vec.indexers.reference import (
    ReferenceIndex,
    ReferenceLexicalIndex,
    SearchingReferenceIndex,
)
from bruno_memory_vec.testing import (
    LexicalIndexConformance,
    RowIndexConformance,
    SearchesTextConformance,
)


class TestReference(RowIndexConformance):
    persistent = False

    async def make_index(self) -> ReferenceIndex:
        return ReferenceIndex(self.dimension)


class TestReferenceLexical(LexicalIndexConformance):
    persistent = False

    async def make_index(self) -> ReferenceLexicalIndex:
        return ReferenceLexicalIndex(self.analyser)


class TestSearchingReference(SearchesTextConformance):
    async def make_index(self) -> SearchingReferenceIndex:
        return SearchingReferenceIndex(self.dimension, self.analyser)
