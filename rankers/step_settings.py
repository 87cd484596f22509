"""The numbers of the steps after the fusion, as frozen values that were checked once.

Every class raises ``ValueError`` with the name of the field at fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .checks import integer, number

#: A multiplier that could double or halve a score would no longer be a nudge.
MAX_STRENGTH = 0.5
#: Weights are shares of the fused score, whose best is 1.
MAX_WEIGHT = 10


@dataclass(frozen=True, slots=True)
class Neighbours:
    """How much a turn gains from the turns around it.

    Attributes:
        weight: gain of an empty turn from a turn one away, as a share of that turn's score.
        fade_words: the gain falls by e with every so many words of the turn that gains.
        distance: how many turns away still count.
        decay: each counts so much of the one before it, 0..1.
    """

    weight: float
    fade_words: float
    distance: int
    decay: float = 0.5

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("fade_words", self.fade_words, 1, 1e9)
        integer("distance", self.distance, 1, 10)
        number("decay", self.decay, 0, 1)


@dataclass(frozen=True, slots=True)
class Answers:
    """How much a turn gains where the turn before it asked something like the question.

    Attributes:
        weight: gain of an empty turn, as a share of the asking turn's score.
        fade_words: the gain falls by e with every so many words of the turn that gains.
    """

    weight: float
    fade_words: float

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("fade_words", self.fade_words, 1, 1e9)


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
        number("weight", self.weight, 0, MAX_WEIGHT)
        integer("best", self.best, 1, 100)


@dataclass(frozen=True, slots=True)
class Speaker:
    """How much a row gains whose speaker the question asks about.

    Attributes:
        weight: the gain.
    """

    weight: float

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)


@dataclass(frozen=True, slots=True)
class Length:
    """How much a text gains for saying something at all.

    Attributes:
        weight: gain of a very long text.
        half_words: words at which half of it is reached.
    """

    weight: float
    half_words: float

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("half_words", self.half_words, 1, 1e6)


@dataclass(frozen=True, slots=True)
class Statement:
    """How much a text gains that states and does not ask.

    Attributes:
        weight: gain of a text without a question.
    """

    weight: float

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)


@dataclass(frozen=True, slots=True)
class TimeMention:
    """How much a text gains that names a time, where the question asks when.

    Attributes:
        weight: the gain.
    """

    weight: float

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)


@dataclass(frozen=True, slots=True)
class TimeNamed:
    """How much a row gains that was written in a time that the question names.

    Attributes:
        weight: gain of a row from within it.
        after_days: the gain falls by e in so many days after it (and half its own length).
        before_days: the gain falls by e in so many days before it.
    """

    weight: float
    after_days: float = 7.0
    before_days: float = 2.0

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("after_days", self.after_days, 0.01, 1e5)
        number("before_days", self.before_days, 0.01, 1e5)


@dataclass(frozen=True, slots=True)
class Current:
    """How much newer rows gain where the user asks for how things stand now.

    Attributes:
        weight: gain of the newest and best row.
        change_weight: more for a row that tells of a change.
        among: the gain falls to 0 at the row of this rank.
    """

    weight: float
    change_weight: float
    among: int

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("change_weight", self.change_weight, 0, MAX_WEIGHT)
        integer("among", self.among, 2, 1000)


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
        number("strength", self.strength, 0, MAX_STRENGTH)
        number("half_life_days", self.half_life_days, 1e-3, 1e6)


@dataclass(frozen=True, slots=True)
class Importance:
    """Rows that were called important before others, a little.

    Attributes:
        strength: the score changes by at most this share, 0..0.5.
    """

    strength: float

    def __post_init__(self) -> None:
        number("strength", self.strength, 0, MAX_STRENGTH)


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
        number("strength", self.strength, 0, MAX_STRENGTH)
        integer("saturation", self.saturation, 1)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much a turn gains where it and the turns around it hold all words of the question.

    Attributes:
        weight: gain of a turn that holds them all itself.
        before: a word in the turn before counts so much, 0..1; one turn further, this squared.
        after: a word in the turn after counts so much, 0..1.
    """

    weight: float
    before: float = 0.8
    after: float = 0.6

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("before", self.before, 0, 1)
        number("after", self.after, 0, 1)


@dataclass(frozen=True, slots=True)
class Feedback:
    """How much a row gains for being like the best rows so far (pseudo-relevance feedback).

    Attributes:
        weight: gain of the row that is most like them.
        best: how many of the best rows are taken for relevant.
    """

    weight: float
    best: int = 5

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        integer("best", self.best, 1, 100)


@dataclass(frozen=True, slots=True)
class Update:
    """How much an older row loses to a newer one that speaks of the same.

    Attributes:
        strength: an older row loses at most this share of its score, 0..0.5.
        similarity: cosine from which two rows speak of the same, -1..1.
        near: a newer row counts whose score is at least this share of the older one's, 0..1.
    """

    strength: float
    similarity: float
    near: float

    def __post_init__(self) -> None:
        number("strength", self.strength, 0, MAX_STRENGTH)
        number("similarity", self.similarity, -1, 1)
        number("near", self.near, 0, 1)


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Of rows that say the same, one stays where it is, and the others go to the end.

    Attributes:
        similarity: cosine from which two rows say the same, 0..1.
    """

    similarity: float

    def __post_init__(self) -> None:
        number("similarity", self.similarity, 0, 1)


@dataclass(frozen=True, slots=True)
class Diversity:
    """Maximal marginal relevance: a row loses what the rows above it have said already.

    Attributes:
        weight: loss of a row that is the same as one above it, as a share of the best score.
    """

    weight: float

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, 1)


@dataclass(frozen=True, slots=True)
class Learned:
    """A linear model over the signals, trained beforehand.

    Attributes:
        factors: by signal, what its value is multiplied by.
        file: where they were read from; says nothing to the ranking.
    """

    factors: Mapping[str, float]
    file: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.factors, Mapping) or not self.factors:
            raise ValueError(f"factors must be numbers by signal, not {self.factors!r}")
        if not isinstance(self.file, str):
            raise ValueError(f"file must be text, not {self.file!r}")
        for signal, factor in self.factors.items():
            if not isinstance(signal, str):
                raise ValueError(f"factors must be by signal, not by {signal!r}")
            number(f"factors.{signal}", factor, -1e3, 1e3)


@dataclass(frozen=True, slots=True)
class CrossEncoder:
    """A model that reads the question and a text together, for the best rows only.

    Attributes:
        model: a sentence-transformers cross-encoder: its name, or its folder.
        weight: gain of the row that it puts first.
        best: how many of the best rows it reads.
        batch_size: how many it reads at once.
    """

    model: str
    weight: float = 1.0
    best: int = 50
    batch_size: int = 16

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise ValueError(f"model must be a name or a folder, not {self.model!r}")
        number("weight", self.weight, 0, 100)
        integer("best", self.best, 1, 1000)
        integer("batch_size", self.batch_size, 1, 4096)
