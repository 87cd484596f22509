"""The numbers behind a ranking, as frozen values that were checked once.

Every class raises ``ValueError`` with the name of the field at fault.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from .checks import flag, integer, number, part
from .step_settings import (
    Answers,
    ConversationPrior,
    Coverage,
    CrossEncoder,
    Current,
    Diversity,
    Duplicates,
    Feedback,
    Importance,
    Learned,
    Length,
    Neighbours,
    Recency,
    Speaker,
    Statement,
    TimeMention,
    TimeNamed,
    Update,
    Use,
)

FusionMethod = Literal["convex", "rrf", "dbsf", "zscore", "lexical", "semantic"]


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the two sides' scores become one.

    Attributes:
        method: "convex", "rrf", "dbsf" or "zscore" for both sides; "lexical" or "semantic" for
            one alone.
        semantic_weight: share of the vector side, 0..1; the lexical side has the rest.
            Not used by "lexical" and "semantic".
        rrf_k: the constant of reciprocal rank fusion; 60 is its authors' value.
    """

    method: FusionMethod
    semantic_weight: float = 0.5
    rrf_k: int = 60

    def __post_init__(self) -> None:
        if self.method not in get_args(FusionMethod):
            known = ", ".join(get_args(FusionMethod))
            raise ValueError(f"method must be one of {known}, not {self.method!r}")
        number("semantic_weight", self.semantic_weight, 0, 1)
        integer("rrf_k", self.rrf_k, 1)


@dataclass(frozen=True, slots=True)
class RankSettings:
    """The steps of a ranking, in the order in which they run. None switches a step off."""

    fusion: Fusion
    neighbours: Neighbours | None = None
    answers: Answers | None = None
    conversation: ConversationPrior | None = None
    coverage: Coverage | None = None
    speaker: Speaker | None = None
    length: Length | None = None
    statement: Statement | None = None
    time_mention: TimeMention | None = None
    time_named: TimeNamed | None = None
    learned: Learned | None = None
    feedback: Feedback | None = None
    current: Current | None = None
    recency: Recency | None = None
    importance: Importance | None = None
    use: Use | None = None
    update: Update | None = None
    cross_encoder: CrossEncoder | None = None
    duplicates: Duplicates | None = None
    diversity: Diversity | None = None

    def __post_init__(self) -> None:
        part("fusion", self.fusion, Fusion)
        for name, kind in STEPS.items():
            part(name, getattr(self, name), kind, optional=True)
        if self.learned is not None:
            steps = [*STEPS][: [*STEPS].index("learned")]
            given = {step for step in steps if getattr(self, step) is not None}
            sides = {self.fusion.method} & {"lexical", "semantic"} or {"lexical", "semantic"}
            missing = sorted(set(self.learned.factors) - given - sides)
            if missing:
                raise ValueError(
                    f"learned has a factor for {missing[0]!r}, which no step before it gives: "
                    "switch that step on, or train anew"
                )

    @property
    def needs_vectors(self) -> bool:
        """Whether a step compares rows with each other."""
        return any((self.feedback, self.update, self.duplicates, self.diversity))

    @property
    def needs_texts(self) -> bool:
        """Whether a step reads the texts themselves."""
        return any((self.coverage, self.cross_encoder))


#: Each step's settings by its name, in the order in which the steps run.
STEPS: dict[str, type] = {
    "neighbours": Neighbours,
    "answers": Answers,
    "conversation": ConversationPrior,
    "coverage": Coverage,
    "speaker": Speaker,
    "length": Length,
    "statement": Statement,
    "time_mention": TimeMention,
    "time_named": TimeNamed,
    "learned": Learned,
    "feedback": Feedback,
    "current": Current,
    "recency": Recency,
    "importance": Importance,
    "use": Use,
    "update": Update,
    "cross_encoder": CrossEncoder,
    "duplicates": Duplicates,
    "diversity": Diversity,
}
assert [field.name for field in fields(RankSettings)] == ["fusion", *STEPS]


@dataclass(frozen=True, slots=True)
class CandidateSettings:
    """How many rows each side proposes, and which turns around them join.

    Attributes:
        lexical: rows from the word index; 0 leaves it unasked.
        semantic: rows from the vector index; 0 leaves it unasked.
        neighbours_of: how many of the best fused candidates bring the turns around them.
        neighbour_distance: how many turns away, on both sides.
    """

    lexical: int
    semantic: int
    neighbours_of: int
    neighbour_distance: int

    def __post_init__(self) -> None:
        integer("lexical", self.lexical, 0, 10_000)
        integer("semantic", self.semantic, 0, 10_000)
        integer("neighbours_of", self.neighbours_of, 0, 1_000)
        integer("neighbour_distance", self.neighbour_distance, 0, 10)
        if self.lexical == 0 and self.semantic == 0:
            raise ValueError("lexical and semantic are both 0: nothing would be found")


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """How the question is put to the word index.

    Attributes:
        drop_stopwords: leave out question words such as "what" and "did".
        phrase_weight: extra weight of adjacent question words that are adjacent in a row too.
    """

    drop_stopwords: bool
    phrase_weight: float

    def __post_init__(self) -> None:
        flag("drop_stopwords", self.drop_stopwords)
        number("phrase_weight", self.phrase_weight, 0, 10)


@dataclass(frozen=True, slots=True)
class Profile:
    """A named way to recall.

    Attributes:
        name: what it is called.
        description: one line on when to use it.
        candidates: what is proposed.
        query: how the question is asked.
        rank: how the candidates are put in order.
    """

    name: str
    description: str
    candidates: CandidateSettings
    query: QuerySettings
    rank: RankSettings

    def __post_init__(self) -> None:
        for field in ("name", "description"):
            if not isinstance(getattr(self, field), str):
                raise ValueError(f"{field} must be text, not {getattr(self, field)!r}")
        part("candidates", self.candidates, CandidateSettings)
        part("query", self.query, QuerySettings)
        part("rank", self.rank, RankSettings)
        method = self.rank.fusion.method
        if method in ("lexical", "semantic") and getattr(self.candidates, method) == 0:
            raise ValueError(
                f"candidates.{method} is 0, and fusion.method ranks by that side alone"
            )
