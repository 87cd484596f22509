"""Two runs over the same questions, figure by figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.metrics import figures, update_figures
from benchmarks.retrieval.results import Questions
from benchmarks.retrieval.significance import paired_p

#: The parts of a report that have one mean over all: gold by turn, by session, newer over older.
PARTS = ("turns", "sessions", "updates")


@dataclass(frozen=True, slots=True)
class Values:
    """The figures of one part, by question.

    Attributes:
        ids: of the questions.
        groups: of the questions.
        figures: by name, shape (len(ids),).
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    figures: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two runs.

    Attributes:
        figure: its name.
        first: its mean in the first run.
        second: its mean in the second.
        p_groups: `paired_p` with whole groups swapped: the one to go by.
        p_questions: the same with single questions swapped, which takes questions about one
            conversation for independent.
    """

    figure: str
    first: float
    second: float
    p_groups: float
    p_questions: float


def summary(report: Mapping[str, Any], part: str) -> dict[str, Any]:
    """The figures of a part with their intervals; empty where the run has none."""
    found = report["figures"]
    if part == "turns":
        found = found.get("headline")
    elif part == "sessions":
        found = found.get("sessions", {}).get("headline")
    else:
        found = found.get("updates")
    return dict(found or {})


def values(report: Mapping[str, Any], part: str) -> Values | None:
    """What `summary` is the mean of; None where the report has no questions for it.

    Raises:
        KeyError, TypeError, IndexError, ValueError: the report's questions are malformed.
    """
    if "questions" not in report or not summary(report, part):
        return None
    asked = Questions.from_json(report["questions"])
    ranks = asked.sessions if part == "sessions" else asked.gold
    if part == "updates":
        chosen = [place for place, older in enumerate(asked.older) if older and ranks[place]]
        found = update_figures(
            [ranks[place] for place in chosen], [asked.older[place] for place in chosen]
        )
    else:
        parts = report["figures"] if part == "turns" else report["figures"]["sessions"]
        headline = set(parts["by_category"])
        chosen = [
            place
            for place, category in enumerate(asked.categories)
            if category in headline and ranks[place]
        ]
        found = figures([ranks[place] for place in chosen])
    ids = tuple(asked.ids[place] for place in chosen)
    return Values(ids, tuple(asked.groups[place] for place in chosen), found)


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any], part: str, *, names: set[str] | None = None
) -> Iterator[Difference]:
    """Each figure of a part in both runs; nothing where their questions are not the same.

    Args:
        first: a report.
        second: another, of the same data.
        part: one of `PARTS`.
        names: only these figures.
    """
    one, other = values(first, part), values(second, part)
    if one is None or other is None or one.ids != other.ids:
        return
    for name, ours in one.figures.items():
        if names is None or name in names:
            theirs = other.figures[name]
            yield Difference(
                name,
                float(ours.mean()),
                float(theirs.mean()),
                paired_p(ours, theirs, one.groups),
                paired_p(ours, theirs, one.ids),
            )
