"""A summary without a model: the sentences that together keep most of what can be asked for.

A budgeted maximum coverage (Lin and Bilmes, "A Class of Submodular Functions for Document
Summarization", ACL 2011): what a sentence is worth is the weight of the terms, names, numbers and
dates in it that no chosen sentence has yet, so one that repeats others is worth little; the next
one is that of the most worth for its length. On top of it the maximal marginal relevance of
Carbonell and Goldstein (SIGIR 1998): the vectors of the turns, as they are stored, say how near a
sentence is to what its block is about, and how near to what has been chosen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.compression.evidence import evidence_of
from bruno_memory_vec.compression.rarity import Rarity
from bruno_memory_vec.compression.said import Said, shown
from bruno_memory_vec.prompts.token_bound import Counter

# What a kind of evidence weighs beside a term of the same rarity.
_NAME, _NUMBER, _DATE = 6.0, 5.0, 5.0
# Of what was asked rather than told, and of what an assistant says: it can be asked again.
_ASKED, _ANSWERED = 0.4, 0.9
# The share that nearness to the block's subject, and to what was chosen, changes the worth by.
_NEAR, _REPEATED = 0.3, 0.3
# The exponent of the length by which worth is divided: 1 fills the budget with short sentences.
_LENGTH = 0.7
_QUESTION = ("?", "？", "؟")
# Words of a date, a name and their signs, which a line begins with.
_LEAST_TOKENS = 4
_YEAR = re.compile(r"^date \d{4}-(?=\d\d-)")


def chosen_sentences(
    sentences: Sequence[Said],
    budget: int,
    count: Counter,
    rarity: Rarity,
    *,
    said: str = "",
    most: int | None = None,
    day: date | None = None,
) -> list[Said]:
    """The sentences of a summary, in their order; they have at most ``budget`` tokens as shown.

    Args:
        sentences: all sentences of the sources, in order.
        budget: the most tokens of the summary.
        count: counts the tokens of a text.
        rarity: how rare terms are.
        said: what was said already; what stands in it is worth nothing.
        most: at most so many sentences.
        day: the day of the summary, as :func:`shown` takes it.

    Returns:
        None of them, if even the shortest that says something has more tokens.
    """
    features = [_features(one.text, rarity) for one in sentences]
    costs = np.array([count(f" {one.text}") for one in sentences], np.float64)
    factor = _nearness(sentences) * np.array([_manner(one) for one in sentences])
    taken: list[int] = []
    covered = set(_features(said, rarity)) if said else set[str]()
    room = float(budget)
    vectors = _vectors(sentences)
    repeats = np.zeros(len(sentences))

    def gain(place: int) -> float:
        worth = sum(weight for name, weight in features[place].items() if name not in covered)
        fresh = 1.0 - _REPEATED * float(repeats[place])
        length = float(costs[place]) + _LEAST_TOKENS
        return float(factor[place]) * fresh * worth / math.pow(length, _LENGTH)

    # What a sentence is worth only falls while others are chosen, so one that is still worth more
    # than the next one was is the best, and the rest need not be weighed again.
    waiting = [(-gain(place), place) for place in range(len(sentences)) if costs[place] <= budget]
    heapify(waiting)
    while waiting and (most is None or len(taken) < most):
        _, place = heappop(waiting)
        worth = gain(place)
        if worth <= 0 or costs[place] > room:
            continue
        if waiting and worth < -waiting[0][0]:
            heappush(waiting, (-worth, place))
            continue
        whole = count(_text(sentences, [*taken, place], day))
        if whole > budget:
            continue
        taken.append(place)
        room = budget - whole
        covered.update(features[place])
        repeats = np.maximum(repeats, _likeness(sentences, vectors, place))
    return [sentences[place] for place in sorted(taken)]


class Worth:
    """What sources have that can be asked for, to tell how much of it a text keeps.

    Args:
        sentences: those of the sources.
        rarity: how rare terms are.
    """

    def __init__(self, sentences: Sequence[Said], rarity: Rarity) -> None:
        self._rarity = rarity
        self._weights: dict[str, float] = {}
        for one in sentences:
            self._weights.update(self._features(one.text))
        self._total = sum(self._weights.values())

    def kept(self, text: str) -> float:
        """The share of the weight of terms, names, numbers and dates that a text has, 0..1."""
        if self._total <= 0:
            return 1.0
        found = self._weights.keys() & self._features(text).keys()
        return sum(self._weights[name] for name in found) / self._total

    def _features(self, text: str) -> dict[str, float]:
        # A summary need not repeat the year of a date.
        found = _features(text, self._rarity).items()
        return {_YEAR.sub("date ", name): weight for name, weight in found}


def _text(said: Sequence[Said], places: Sequence[int], day: date | None) -> str:
    return shown([said[place] for place in sorted(places)], day)


def _features(text: str, rarity: Rarity) -> dict[str, float]:
    """What a text has that can be asked for, and the weight of each."""
    found = {term: rarity.weight(term) for term in rarity.terms(text)}
    evidence = evidence_of(text)
    kinds: list[tuple[str, frozenset[str], float]] = [
        ("name ", evidence.names, _NAME),
        ("number ", evidence.numbers, _NUMBER),
        ("date ", evidence.dates, _DATE),
    ]
    for kind, values, weight in kinds:
        found.update((f"{kind}{value}", weight) for value in values)
    return found


def _manner(one: Said) -> float:
    asked = _ASKED if one.text.rstrip("\"'”’)*_ ").endswith(_QUESTION) else 1.0
    answered = _ANSWERED if one.role == "assistant" else 1.0
    return asked * answered * (0.75 + 0.5 * one.importance)


def _vectors(said: Sequence[Said]) -> NDArray[np.float32] | None:
    held = [one.vector for one in said]
    if not held or any(vector is None for vector in held):
        return None
    return np.stack([vector for vector in held if vector is not None])


def _nearness(said: Sequence[Said]) -> NDArray[np.float64]:
    """``1 + _NEAR * cosine`` of each sentence's source to the mean of all, float64 (n,)."""
    vectors = _vectors(said)
    if vectors is None:
        return np.ones(len(said))
    mean = vectors.mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length == 0.0:
        return np.ones(len(said))
    near: NDArray[np.float64] = 1.0 + _NEAR * (vectors @ (mean / length)).astype(np.float64)
    return near


def _likeness(
    said: Sequence[Said], vectors: NDArray[np.float32] | None, chosen: int
) -> NDArray[np.float64]:
    """0..1, how near each sentence is to a chosen one, by the vectors of other sources."""
    if vectors is None:
        return np.zeros(len(said))
    near: NDArray[np.float64] = np.clip(vectors @ vectors[chosen], 0.0, 1.0).astype(np.float64)
    near[[place for place, one in enumerate(said) if one.source == said[chosen].source]] = 0.0
    return near
