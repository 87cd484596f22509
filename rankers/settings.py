"""The settings of a ranking, as frozen dataclasses that check their fields.

Every class raises ``ValueError`` with the name of the wrong field.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar, overload

from .checks import flag, integer, number, part, shown
from .fusion import Fusion
from .steps import STEPS, Learned, Step

OneStep = TypeVar("OneStep", bound=Step)


@dataclass(frozen=True, slots=True)
class RankSettings:
    """The fusion of a ranking, and the steps that it runs.

    Attributes:
        fusion: how the two sides become one.
        steps: the steps that are on, in any order. They are stored in the order of
            :data:`STEPS`, in which they run.
    """

    fusion: Fusion
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        part("fusion", self.fusion, Fusion)
        if not isinstance(self.steps, (tuple, list)):
            raise ValueError(f"steps must be a tuple of steps, not {shown(self.steps)}")
        for step in self.steps:
            if type(step) not in STEPS.values():
                raise ValueError(
                    f"steps must hold steps of STEPS, not {shown(step)}: "
                    "register_step makes one of your own known"
                )
        place = {name: number for number, name in enumerate(STEPS)}
        ordered = tuple(sorted(self.steps, key=lambda step: place[step.name]))
        for one, other in pairwise(ordered):
            if one.name == other.name:
                raise ValueError(f"steps must hold each step once, and has {one.name!r} twice")
        object.__setattr__(self, "steps", ordered)
        if learned := self.get(Learned):
            self._check_factors(learned)

    @overload
    def get(self, which: type[OneStep]) -> OneStep | None: ...
    @overload
    def get(self, which: str) -> Step | None: ...
    def get(self, which: str | type[Step]) -> Step | None:
        """A step by its name or its class; None where it is off."""
        name = _named(which)
        return next((step for step in self.steps if step.name == name), None)

    def with_steps(self, *steps: Step) -> RankSettings:
        """A copy in which these steps are on; each replaces the step of the same name."""
        names = {step.name for step in steps}
        kept = [step for step in self.steps if step.name not in names]
        return RankSettings(self.fusion, (*kept, *steps))

    def without(self, *which: str | type[Step]) -> RankSettings:
        """A copy in which these steps are off, each by its name or its class."""
        names = {_named(one) for one in which}
        kept = tuple(step for step in self.steps if step.name not in names)
        return RankSettings(self.fusion, kept)

    @property
    def needs(self) -> frozenset[str]:
        """Everything that the steps need, from :data:`.steps.step.NEEDS`."""
        return frozenset().union(*(step.needs for step in self.steps))

    @property
    def needs_vectors(self) -> bool:
        """Whether a step compares rows with each other."""
        return "vectors" in self.needs

    @property
    def needs_texts(self) -> bool:
        """Whether the texts themselves have to be read."""
        return not self.needs.isdisjoint(("texts", "matches", "cross_score"))

    def _check_factors(self, learned: Learned) -> None:
        """Refuse a factor for a signal that does not exist when the learned step runs."""
        names = [step.name for step in self.steps]
        given = set(names[: names.index(learned.name)])
        sides = {self.fusion.method} & {"lexical", "semantic"} or {"lexical", "semantic"}
        missing = sorted(set(learned.factors) - given - sides)
        if missing:
            raise ValueError(
                f"learned has a factor for {shown(missing[0])}, which no step before it gives: "
                "switch that step on, or train anew"
            )


def _named(which: str | type[Step]) -> str:
    name = which if isinstance(which, str) else which.name
    if name not in STEPS:
        raise ValueError(f"no step is called {shown(name)}: the steps are {', '.join(STEPS)}")
    return name


@dataclass(frozen=True, slots=True)
class CandidateSettings:
    """How many rows each side proposes, and which turns around them join the pool.

    Attributes:
        lexical: rows from the lexical index; with 0 it is not searched.
        semantic: rows from the vector index; with 0 it is not searched.
        neighbours_of: for how many of the best fused candidates the turns around them join.
        neighbour_distance: up to how many turns away, in both directions.
        in_period: rows that each side proposes, besides, from the time that the question names,
            where less than half of the rows are of that time.
    """

    lexical: int
    semantic: int
    neighbours_of: int
    neighbour_distance: int
    in_period: int = 0

    def __post_init__(self) -> None:
        integer("lexical", self.lexical, 0, 10_000)
        integer("semantic", self.semantic, 0, 10_000)
        integer("neighbours_of", self.neighbours_of, 0, 1_000)
        integer("neighbour_distance", self.neighbour_distance, 0, 10)
        integer("in_period", self.in_period, 0, 10_000)
        if self.lexical == 0 and self.semantic == 0:
            raise ValueError("lexical and semantic are both 0: nothing would be found")


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """How the question is asked.

    Attributes:
        drop_stopwords: the lexical index leaves out question words such as "what" and "did".
        phrase_weight: extra weight of adjacent question words that are adjacent in a row too.
        rarity: how much the rare words of the question count in its vector. A word is multiplied
            by ``ln((N + 1) / (df + 0.5)) ** rarity``, where df of the user's N rows have it; with
            0 all count alike. Only for embedders that weigh words, such as the static one.
    """

    drop_stopwords: bool
    phrase_weight: float
    rarity: float = 0.0

    def __post_init__(self) -> None:
        flag("drop_stopwords", self.drop_stopwords)
        number("phrase_weight", self.phrase_weight, 0, 10)
        number("rarity", self.rarity, 0, 2)


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
                raise ValueError(f"{field} must be text, not {shown(getattr(self, field))}")
        part("candidates", self.candidates, CandidateSettings)
        part("query", self.query, QuerySettings)
        part("rank", self.rank, RankSettings)
        method = self.rank.fusion.method
        if method in ("lexical", "semantic") and getattr(self.candidates, method) == 0:
            raise ValueError(
                f"candidates.{method} is 0, and fusion.method ranks by that side alone"
            )
