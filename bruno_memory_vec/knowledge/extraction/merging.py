"""What becomes of facts that were found: new ones, repetitions, and ones that others supersede.

Pure: from the stored facts of a user and what was found, to a plan of what to write. The same
candidates give the same ids, so a plan that was carried out in part and is made again ends as if it
had been carried out once.

A fact that is stored already is strengthened: its sources grow, and so does its confidence. One
that contradicts a stored fact supersedes it if it was said later; if it was said earlier, it is
kept as history. A name is superseded only by a statement that is at least as sure: "Hi, I'm Late"
takes nobody's name away. A contradiction is another value of an attribute that holds one value at a
time, the same value of the opposite attribute ("likes" and "dislikes"), a preference the other way
round, and one over something that was preferred ("tea", then "coffee over tea").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID, uuid5

from bruno_memory_vec.knowledge.extraction.attributes import attribute, same_value
from bruno_memory_vec.knowledge.extraction.candidate import Candidate

#: So many sources of a fact are kept: the first one and the newest. ``times_seen`` counts on.
MOST_SOURCES: Final = 100
#: A fact that is less certain supersedes none.
SUPERSEDES: Final = 0.5
# What each repetition takes off the doubt that is left.
_TAKEN_OFF = 0.5
_MOST_CERTAIN = 0.99
# As sure as "my name is ..."; a fact that is surer was said several times, or given by a caller.
_SUREST_STATEMENT = 0.95
_NAMES: Final = UUID("6b3e5c1e-8a0e-5a56-9a3c-1d2f3b4c5d6e")


@dataclass(frozen=True, slots=True)
class Held:
    """A stored fact, as far as merging needs it.

    Attributes:
        id: its id.
        subject: whom it is about.
        attribute: see :mod:`.attributes`.
        value: as it was told.
        sources: the ids of turns that say it.
        confidence: 0..1.
        times_seen: in how many turns it was said.
        said: when it was said last, in microseconds since 1970.
        current: False where it was archived.
        supersedes: the id of the fact that it stands in place of.
    """

    id: str
    subject: str
    attribute: str
    value: str
    sources: tuple[str, ...]
    confidence: float
    times_seen: int
    said: int
    current: bool = True
    supersedes: str | None = None

    @property
    def same(self) -> str:
        """The value as it is compared."""
        return same_value(self.value)


@dataclass(frozen=True, slots=True)
class NewFact:
    """A fact to store.

    Attributes:
        id: the same for the same fact of the same first source.
        candidate: what was found.
        supersedes: the id of a stored fact that it stands in place of.
        superseded_by: of what was said before the fact that holds now, that fact's id.
    """

    id: str
    candidate: Candidate
    supersedes: str | None = None
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True)
class Repeated:
    """A stored fact that was said again: its new sources, confidence, and when it was said last."""

    id: str
    sources: tuple[str, ...]
    confidence: float
    said: int


@dataclass(slots=True)
class Plan:
    """What to write.

    Attributes:
        new: facts to store.
        repeated: by id, stored facts to strengthen.
        superseded: by the id of a stored fact, the id of the one that stands in its place.
        ended: by the id of a stored fact, the turn that says that it does not hold any more.
    """

    new: dict[str, NewFact] = field(default_factory=dict)
    repeated: dict[str, Repeated] = field(default_factory=dict)
    superseded: dict[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> set[str]:
        """The ids of stored facts that change."""
        return {*self.repeated, *self.superseded, *self.ended}


def plan_of(user_id: str, held: Iterable[Held], found: Sequence[Candidate]) -> Plan:
    """What to write of ``found``, beside all stored facts of the user, archived ones among them."""
    known = {fact.id: fact for fact in held}
    plan = Plan()
    _finish(known, plan)
    for candidate in sorted(found, key=lambda one: one.at):
        _add(user_id, known, candidate, plan)
    # What is new has its values already.
    for id_ in plan.new:
        plan.repeated.pop(id_, None)
    return plan


def _finish(known: dict[str, Held], plan: Plan) -> None:
    """End what a killed process has left: both facts are there, and the old one still holds."""
    for fact in list(known.values()):
        old = known.get(fact.supersedes or "")
        if fact.current and old is not None and old.current:
            _supersede(known, old, fact.id, plan)


def _add(user_id: str, known: dict[str, Held], candidate: Candidate, plan: Plan) -> None:
    of_it = [fact for fact in known.values() if fact.subject == candidate.subject]
    same = [
        fact
        for fact in of_it
        if fact.attribute == candidate.attribute and fact.same == candidate.same
    ]
    if not candidate.holds:
        for fact in same:
            if fact.current and fact.said < candidate.at:
                known[fact.id] = replace(fact, current=False)
                plan.ended[fact.id] = candidate.sources[-1].id
        return
    cited = {source.id for source in candidate.sources}
    for fact in same:
        if cited <= set(fact.sources):
            return  # these turns were read before
    for fact in same:
        if fact.current:
            _repeat(known, fact, candidate, plan)
            return
    new = NewFact(_id_of(user_id, candidate), candidate)
    against = [fact for fact in of_it if fact.current and contradicts(fact, candidate)]
    later = [fact for fact in against if not _prevails(candidate, fact)]
    if later and same:
        # The past of a fact that was found first, or less sure, and it is known already.
        _repeat(known, max(same, key=lambda fact: fact.said), candidate, plan)
        return
    if later:
        # The past of a fact that was found first, or less sure than it.
        new = replace(new, superseded_by=max(later, key=lambda fact: fact.said).id)
    elif against and candidate.confidence >= SUPERSEDES:
        new = replace(new, supersedes=max(against, key=lambda fact: fact.said).id)
        for fact in against:
            _supersede(known, fact, new.id, plan)
    plan.new[new.id] = new
    known[new.id] = Held(
        new.id,
        candidate.subject,
        candidate.attribute,
        candidate.value,
        tuple(source.id for source in candidate.sources),
        candidate.confidence,
        len(cited),
        candidate.at,
        current=not later,
        supersedes=new.supersedes,
    )


def _prevails(candidate: Candidate, fact: Held) -> bool:
    """Whether what was found holds, and not the stored fact that it contradicts."""
    later = candidate.at >= fact.said
    if candidate.attribute != "name":
        return later
    # How sure the statement is, not how often it was made: people do change their names.
    sure = fact.confidence if fact.times_seen == 1 else min(fact.confidence, _SUREST_STATEMENT)
    return candidate.confidence >= sure if later else candidate.confidence > sure


def contradicts(fact: Held, candidate: Candidate) -> bool:
    """Whether a stored fact and one that was found cannot hold at the same time."""
    kind = attribute(candidate.attribute)
    if fact.attribute == candidate.attribute:
        if kind.single:
            return fact.same != candidate.same
        return kind.name == "prefers" and _other_way_round(fact.same, candidate.same)
    return kind.opposite == fact.attribute and fact.same == candidate.same


def _other_way_round(one: str, other: str) -> bool:
    """Whether one of two preferences puts last what the other one puts first."""
    first, last = _compared(one), _compared(other)
    if first[1] and last[1]:
        return first == last[::-1]
    return first[0] == last[1] or first[1] == last[0]


def _compared(value: str) -> tuple[str, str]:
    """What is preferred, and to what; "" where that is not said."""
    for between in (" to ", " over "):
        first, found, second = value.partition(between)
        if found:
            return first, second
    return value, ""


def _repeat(known: dict[str, Held], fact: Held, candidate: Candidate, plan: Plan) -> None:
    fresh = tuple(one.id for one in candidate.sources if one.id not in fact.sources)
    before = plan.repeated.get(fact.id)
    certain = strengthened(fact.confidence, candidate.confidence)
    said = max(fact.said, candidate.at)
    plan.repeated[fact.id] = Repeated(
        fact.id, (*(before.sources if before else ()), *fresh), certain, said
    )
    known[fact.id] = after = replace(
        fact,
        sources=(*fact.sources, *fresh),
        confidence=certain,
        times_seen=fact.times_seen + len(fresh),
        said=said,
    )
    made = plan.new.get(fact.id)
    if made is not None:
        # Found twice in one call: one fact with all its sources.
        sources = (*made.candidate.sources, *(s for s in candidate.sources if s.id in fresh))
        whole = replace(made.candidate, sources=sources, confidence=after.confidence)
        plan.new[fact.id] = replace(made, candidate=whole)


def strengthened(confidence: float, again: float) -> float:
    """The confidence of a fact that was found once more, with the confidence ``again``."""
    return min(_MOST_CERTAIN, confidence + (1.0 - confidence) * again * _TAKEN_OFF)


def bounded(sources: Sequence[str]) -> list[str]:
    """The sources to keep: the first one and the newest, :data:`MOST_SOURCES` of them."""
    if len(sources) <= MOST_SOURCES:
        return list(sources)
    return [sources[0], *sources[-(MOST_SOURCES - 1) :]]


def _supersede(known: dict[str, Held], fact: Held, by: str, plan: Plan) -> None:
    known[fact.id] = replace(fact, current=False)
    made = plan.new.get(fact.id)
    if made is not None:
        plan.new[fact.id] = replace(made, superseded_by=by)
    else:
        plan.superseded[fact.id] = by


def _id_of(user_id: str, candidate: Candidate) -> str:
    first = candidate.sources[0] if candidate.sources else None
    parts = (
        user_id,
        candidate.subject,
        candidate.attribute,
        candidate.same,
        first.id if first else str(candidate.at),
    )
    return str(uuid5(_NAMES, "\x1f".join(parts)))
