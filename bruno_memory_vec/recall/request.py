"""What a recall is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.rankers import Profile


@dataclass(frozen=True, slots=True)
class RecallRequest:
    """One question, checked.

    Attributes:
        query: the question.
        scope: whose rows.
        where: which rows.
        k: how many hits.
        profile: how to rank.
        now: the time to reckon from (timezone-aware).
        min_similarity: only rows whose cosine similarity to the question is at least this.
    """

    query: str
    scope: Scope
    where: RowFilter
    k: int
    profile: Profile
    now: datetime
    min_similarity: float = 0.0

    @property
    def needs_vector(self) -> bool:
        """Whether the question's vector is looked at."""
        return self.profile.candidates.semantic > 0 or self.min_similarity > 0

    @property
    def lexical_query(self) -> LexicalQuery:
        """The question for the word index."""
        query = self.profile.query
        return LexicalQuery(
            self.query, drop_stopwords=query.drop_stopwords, phrase_weight=query.phrase_weight
        )

    @property
    def lexical_limit(self) -> int:
        """How many candidates the word index proposes; 0 for none."""
        wanted = self.profile.candidates.lexical
        return max(wanted, self.k) if wanted else 0

    @property
    def semantic_limit(self) -> int:
        """How many candidates the vectors propose; 0 for none."""
        wanted = self.profile.candidates.semantic
        return max(wanted, self.k) if wanted else 0
