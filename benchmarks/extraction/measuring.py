"""Precision and recall of the patterns on labelled turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.extraction.labelled import READ_WHOLE, Label, Said, key_of
from bruno_memory_vec.knowledge.extraction.attributes import same_value
from bruno_memory_vec.knowledge.extraction.candidate import Candidate
from bruno_memory_vec.knowledge.extraction.patterns import candidates


@dataclass(slots=True)
class Measured:
    """What was found in a set.

    Attributes:
        name: the set.
        turns: how many turns of users it has.
        found: how many facts were found in them.
        right: how many of these are right.
        labelled: how many have a label; of a set that was read whole, all.
        stated: how many facts its turns state; None where not all turns were read.
        hit: how many of these were found.
        by_attribute: of each attribute, how many are right and how many labelled.
        unlabelled: what has no label yet: user, turn, attribute and key.
    """

    name: str
    turns: int
    found: int = 0
    right: int = 0
    labelled: int = 0
    stated: int | None = None
    hit: int = 0
    by_attribute: dict[str, list[int]] = field(default_factory=dict)
    unlabelled: list[tuple[str, str, str, str]] = field(default_factory=list)

    @property
    def precision(self) -> float | None:
        """The share of right ones among those with a label."""
        return self.right / self.labelled if self.labelled else None

    @property
    def recall(self) -> float | None:
        """The share of found ones among those that are stated."""
        return self.hit / self.stated if self.stated else None


def measure(name: str, turns: Sequence[Said], labels: Sequence[Label]) -> Measured:
    """Find in each turn, and compare with the labels of the set."""
    mine = [label for label in labels if label.of == name]
    whole = name in READ_WHOLE
    measured = Measured(name, len(turns), stated=len(mine) if whole else None)
    judged = {
        (label.user, label.turn, label.attribute, label.key): label.right
        for label in mine
        if label.key is not None
    }
    hit: Counter[int] = Counter()
    for said in turns:
        for one in candidates(said.turn):
            measured.found += 1
            if whole:
                place = _stated(one, said, mine)
                right: bool | None = place is not None
                if place is not None:
                    hit[place] += 1
            else:
                key = (said.user, said.name, one.attribute, key_of(one))
                right = judged.get(key)
                if right is None:
                    measured.unlabelled.append(key)
                    continue
            measured.labelled += 1
            measured.right += bool(right)
            counts = measured.by_attribute.setdefault(_group(one.attribute), [0, 0])
            counts[0] += bool(right)
            counts[1] += 1
    measured.hit = len(hit)
    return measured


def _group(attribute: str) -> str:
    if attribute.startswith("favourite"):
        return "favourite …"
    return "…'s name" if attribute.endswith("'s name") else attribute


def _stated(one: Candidate, said: Said, labels: Sequence[Label]) -> int | None:
    """The place of the label that a fact is: of its turn and attribute, with a value in common."""
    for place, label in enumerate(labels):
        if (label.turn, label.attribute) != (said.name, one.attribute) or label.value is None:
            continue
        wanted, told = same_value(label.value).split(), one.same.split()
        if set(wanted) <= set(told) or set(told) <= set(wanted):
            return place
    return None
