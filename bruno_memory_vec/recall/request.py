"""The request of a recall: a checked question and its filter."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import numpy as np
from bruno_core.models.memory import MemoryType
from bruno_core.models.message import MessageRole
from numpy.typing import NDArray

from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE, ORIGINS
from bruno_memory_vec.observability.stages import Stages
from bruno_memory_vec.rankers import Passages, Profile
from bruno_memory_vec.recall.phrase import Phrase
from bruno_memory_vec.rows import checks

#: How much of a question, and of a text that the rankers read, is read, in characters. A user's
#: message may be megabytes of a document, and is a question too.
READ_CHARACTERS = 20_000
_REACH = 3

_LAST = datetime.max.replace(tzinfo=timezone.utc)


class Among(NamedTuple):
    """Some rows, by what engines know of them.

    Attributes:
        seqs: int64 (n,), ascending, the ``seq`` of each.
        ids: their ids, where they are few; rows of these ids need not be among them.
    """

    seqs: NDArray[np.int64]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecallRequest:
    """One question, checked.

    Attributes:
        query: the question; of a longer one only the first :data:`READ_CHARACTERS` are kept. It
            may be blank where there is a phrase.
        scope: whose rows.
        where: which rows.
        k: how many hits.
        profile: how to rank.
        now: the time that ages and expiry refer to (timezone-aware). The days that the question
            names ("yesterday") are days in its zone.
        then: whether the recall answers as at ``now``, an earlier time: what was recalled since
            does not count.
        min_similarity: only rows whose cosine similarity to the question is at least this.
        min_confidence_of_answer: no hits where it is less probable, 0..1, that they hold an answer.
        seen: ids of rows that are no answer, because who asks has them before their eyes.
        phrase: only rows whose text holds it.
        among: only these rows: those that hold the phrase, once they are known.
        stages: notes the parts of the recall; None where nobody observes.
    """

    query: str
    scope: Scope
    where: RowFilter
    k: int
    profile: Profile
    now: datetime
    then: bool = False
    min_similarity: float = 0.0
    min_confidence_of_answer: float = 0.0
    seen: frozenset[str] = frozenset()
    phrase: Phrase | None = None
    among: Among | None = field(default=None, compare=False)
    stages: Stages | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "query", self.query[:READ_CHARACTERS])

    @property
    def needs_vector(self) -> bool:
        """Whether the question has to be embedded."""
        return self.profile.candidates.semantic > 0 or self.min_similarity > 0

    @property
    def needs_words(self) -> bool:
        """Whether the lexical index is asked, for candidates or for how rare the words are."""
        return self.profile.candidates.lexical > 0 or self.profile.query.rarity > 0

    def trusting(self, share: float) -> RecallRequest:
        """The same, with the vectors' part in a score multiplied by ``share``, 0..1."""
        if share >= 1.0:
            return self
        rank = self.profile.rank
        if passages := rank.get(Passages):
            part = passages.semantic_weight * share
            rank = rank.with_steps(replace(passages, semantic_weight=part))
        fusion = replace(rank.fusion, semantic_weight=rank.fusion.semantic_weight * share)
        return replace(self, profile=replace(self.profile, rank=replace(rank, fusion=fusion)))

    @property
    def lexical_query(self) -> LexicalQuery:
        """The question for the lexical index."""
        query = self.profile.query
        return LexicalQuery(
            self.query, drop_stopwords=query.drop_stopwords, phrase_weight=query.phrase_weight
        )

    @property
    def lexical_limit(self) -> int:
        """How many candidates the lexical index proposes; 0 for none."""
        wanted = self.profile.candidates.lexical
        return max(wanted, self.k) if wanted else 0

    @property
    def lexical_reach(self) -> int:
        """How many the lexical index is asked for, to look into the long ones behind the limit.

        It divides by a row's length, so a long row stands far behind with a word of the question.
        """
        limit = self.lexical_limit
        # All users' rows are not in memory, so those behind the limit would have to be read.
        if self.scope.user_id is None or "passages" not in self.profile.rank.needs:
            return limit
        return _REACH * limit

    @property
    def semantic_limit(self) -> int:
        """How many candidates the vector search proposes; 0 for none."""
        wanted = self.profile.candidates.semantic
        return max(wanted, self.k) if wanted else 0


def row_filter(
    *,
    alive_at: datetime | None,
    kinds: Any = None,
    roles: Any = None,
    memory_types: Any = None,
    tags: Any = None,
    categories: Any = None,
    since: datetime | None = None,
    until: datetime | None = None,
    seen_at: datetime | None = None,
    min_importance: float = 0.0,
    min_confidence: float = 0.0,
    metadata: Any = None,
    unarchived_at: datetime | None = None,
    origins: Any = None,
) -> RowFilter:
    """The filter of these arguments; each list may also be a single value.

    ``seen_at`` (timezone-aware, UTC) leaves out what was created later.

    Raises:
        InvalidInputError: an argument is not usable; it names which.
    """
    before = None if until is None else checks.moment("until", until)
    if seen_at is not None and seen_at < _LAST:
        # What was created at that very time was there.
        before = min(before or _LAST, seen_at + timedelta(microseconds=1))
    return RowFilter(
        kinds=checks.names("kinds", kinds, (MESSAGE, MEMORY)),
        roles=checks.choices("roles", roles, MessageRole),
        memory_types=checks.choices("memory_types", memory_types, MemoryType),
        tags=checks.strings("tags", tags),
        categories=checks.strings("categories", categories),
        since=None if since is None else checks.moment("since", since),
        until=before,
        min_importance=checks.unit_interval("min_importance", min_importance),
        min_confidence=checks.unit_interval("min_confidence", min_confidence),
        alive_at=alive_at,
        unarchived_at=unarchived_at,
        origins=checks.names("origins", origins, ORIGINS),
        metadata=checks.metadata("metadata", metadata),
    )
