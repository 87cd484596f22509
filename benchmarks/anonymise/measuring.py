"""Precision and recall of what was found against labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.anonymise.labelled import Labelled
from bruno_memory_vec.privacy.anonymise.span import Span


@dataclass(slots=True)
class Counts:
    """By kind: labels, labels of which nothing is left, places found, and right ones."""

    labels: Counter[str] = field(default_factory=Counter)
    covered: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, labelled: Labelled, spans: Iterable[Span]) -> None:
        """Count one text. A label is found if none of its letters and digits is left."""
        spans = list(spans)
        replaced = {at for span in spans for at in range(span.start, span.end)}
        for start, end, kind in labelled.spans:
            self.labels[kind] += 1
            left = [
                at for at in range(start, end) if labelled.text[at].isalnum() and at not in replaced
            ]
            words = labelled.text[start:end]
            if _without_particles(labelled.text, left, start, end):
                self.missed.append(f"{kind}: {words!r} in {labelled.text!r}")
            else:
                self.covered[kind] += 1
        personal = {at for start, end, _ in labelled.spans for at in range(start, end)}
        for span in spans:
            self.found[span.kind] += 1
            if personal & set(range(span.start, span.end)):
                self.right[span.kind] += 1
            else:
                self.wrong.append(
                    f"{span.kind}: {labelled.text[span.start : span.end]!r} in {labelled.text!r}"
                )

    def figures(self) -> dict[str, Any]:
        """Precision and recall, over all and by kind."""
        kinds = sorted({*self.labels, *self.found})
        return {
            "all": _figures(*(sum(one.values()) for one in self._counters())),
            "by_kind": {kind: _figures(*(one[kind] for one in self._counters())) for kind in kinds},
        }

    def _counters(self) -> tuple[Counter[str], ...]:
        return self.labels, self.covered, self.found, self.right


def _figures(labels: int, covered: int, found: int, right: int) -> dict[str, Any]:
    return {
        "labels": labels,
        "recall": round(covered / labels, 3) if labels else None,
        "found": found,
        "precision": round(right / found, 3) if found else None,
    }


def _without_particles(text: str, left: list[int], start: int, end: int) -> bool:
    """Whether anything is left of a label but the "van den" within a name."""
    inside = set(left)
    words = text[start:end].split(" ")
    at = start
    for word in words:
        place = range(at, at + len(word))
        if inside & set(place) and not (word.islower() and start < at and place[-1] + 1 < end):
            return True
        at += len(word) + 1
    return False
