"""The numbers behind a ranking, as frozen values that were checked once.

Every class raises ``ValueError`` with the name of the field at fault.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

FusionMethod = Literal["convex", "rrf", "lexical", "semantic"]

#: A multiplier that could double or halve a score would no longer be a nudge.
MAX_STRENGTH = 0.5


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the two sides' scores become one.

    Attributes:
        method: "convex" or "rrf" for both sides; "lexical" or "semantic" for one alone.
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
        _number("semantic_weight", self.semantic_weight, 0, 1)
        _integer("rrf_k", self.rrf_k, 1)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """How much a turn gains from the turns around it.

    Attributes:
        weight: gain of an empty turn from a turn one away, as a share of that turn's score.
        fade_words: the gain falls by e with every so many words of the turn that gains.
        distance: how many turns away still count, each half as much as the one before.
    """

    weight: float
    fade_words: float
    distance: int

    def __post_init__(self) -> None:
        _number("weight", self.weight, 0, 10)
        _number("fade_words", self.fade_words, 1, 1e9)
        _integer("distance", self.distance, 1, 10)


@dataclass(frozen=True, slots=True)
class ConversationPrior:
    """How much a row gains from its conversation as a whole.

    Attributes:
        weight: gain, as a share of the mean of the conversation's best scores.
        best: how many of them are averaged.
    """

    weight: float
    best: int = 3

    def __post_init__(self) -> None:
        _number("weight", self.weight, 0, 10)
        _integer("best", self.best, 1, 100)


@dataclass(frozen=True, slots=True)
class Recency:
    """Newer rows before older ones, a little.

    Attributes:
        strength: the score changes by at most this share, 0..0.5.
        half_life_days: age at which a row is neither raised nor lowered.
    """

    strength: float
    half_life_days: float

    def __post_init__(self) -> None:
        _number("strength", self.strength, 0, MAX_STRENGTH)
        _number("half_life_days", self.half_life_days, 1e-3, 1e6)


@dataclass(frozen=True, slots=True)
class Importance:
    """Rows that were called important before others, a little.

    Attributes:
        strength: the score changes by at most this share, 0..0.5.
    """

    strength: float

    def __post_init__(self) -> None:
        _number("strength", self.strength, 0, MAX_STRENGTH)


@dataclass(frozen=True, slots=True)
class Use:
    """Rows that were recalled often before others, a little.

    Attributes:
        strength: the score grows by at most this share, 0..0.5.
        saturation: the access count from which it grows no more.
    """

    strength: float
    saturation: int

    def __post_init__(self) -> None:
        _number("strength", self.strength, 0, MAX_STRENGTH)
        _integer("saturation", self.saturation, 1)


@dataclass(frozen=True, slots=True)
class RankSettings:
    """The steps of a ranking, in the order in which they run. None switches a step off."""

    fusion: Fusion
    neighbours: Neighbours | None = None
    conversation: ConversationPrior | None = None
    recency: Recency | None = None
    importance: Importance | None = None
    use: Use | None = None

    def __post_init__(self) -> None:
        _part("fusion", self.fusion, Fusion)
        _part("neighbours", self.neighbours, Neighbours, optional=True)
        _part("conversation", self.conversation, ConversationPrior, optional=True)
        _part("recency", self.recency, Recency, optional=True)
        _part("importance", self.importance, Importance, optional=True)
        _part("use", self.use, Use, optional=True)


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
        _integer("lexical", self.lexical, 0, 10_000)
        _integer("semantic", self.semantic, 0, 10_000)
        _integer("neighbours_of", self.neighbours_of, 0, 1_000)
        _integer("neighbour_distance", self.neighbour_distance, 0, 10)
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
        if not isinstance(self.drop_stopwords, bool):
            raise ValueError(f"drop_stopwords must be true or false, not {self.drop_stopwords!r}")
        _number("phrase_weight", self.phrase_weight, 0, 10)


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
        _part("candidates", self.candidates, CandidateSettings)
        _part("query", self.query, QuerySettings)
        _part("rank", self.rank, RankSettings)
        method = self.rank.fusion.method
        if method in ("lexical", "semantic") and getattr(self.candidates, method) == 0:
            raise ValueError(
                f"candidates.{method} is 0, and fusion.method ranks by that side alone"
            )


def _number(field: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{field} must be a number, not {value!r}")
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{field} must be from {low:g} to {high:g}, not {value!r}")


def _integer(field: str, value: Any, low: int, high: int = 2**31) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{field} must be a whole number, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{field} must be from {low} to {high}, not {value!r}")


def _part(field: str, value: Any, kind: type, *, optional: bool = False) -> None:
    if not (isinstance(value, kind) or (optional and value is None)):
        raise ValueError(f"{field} must be a {kind.__name__}, not {value!r}")
