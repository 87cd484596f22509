"""A vocabulary with a natural distribution, and topics that lean on parts of it."""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

#: How many different words there are.
TYPES = 50_000
#: How many topics there are, and how many words each leans on.
TOPICS = 400
TOPIC_WORDS = 120
# Ranks from which topics take their words: neither "the" nor what hardly occurs.
_TOPIC_RANKS = (300, 15_000)
#: Words of a lower rank say little about a topic.
CONTENT_RANK = _TOPIC_RANKS[0]
# Endings that make more words of the known ones, which English does too.
_ENDINGS = ("s", "ing", "ness", "er", "ed", "ly", "less", "able", "ish", "ful")
_STEM_LETTERS = (4, 8)
# Zipf-Mandelbrot with the usual shift (Mandelbrot, "An Informational Theory of the Statistical
# Structure of Language", 1953): the commonest word makes some 4 % of a text.
_SHIFT = 2.7
_TOPIC_SHIFT = 5.0
_TOPIC_SHARE = 0.3


@dataclass(frozen=True)
class Words:
    """The vocabulary and its topics.

    Attributes:
        types: every word, the commonest first.
        topics: int32 (TOPICS, TOPIC_WORDS), indices into ``types``; a topic's commonest first.
    """

    types: tuple[str, ...]
    topics: NDArray[np.int32]

    @cached_property
    def rank(self) -> dict[str, int]:
        """Each word's place in ``types``."""
        return {word: place for place, word in enumerate(self.types)}

    def draw(self, topic: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
        """One word for each entry of ``topic`` (int32 (n,)), as indices into ``types``."""
        n = len(topic)
        found = np.searchsorted(self._background, rng.random(n)).astype(np.int32)
        about = rng.random(n) < _TOPIC_SHARE
        place = np.searchsorted(self._within_topic, rng.random(int(about.sum())))
        found[about] = self.topics[topic[about], place]
        return found

    @cached_property
    def _background(self) -> NDArray[np.float64]:
        return _cumulative(len(self.types), _SHIFT)

    @cached_property
    def _within_topic(self) -> NDArray[np.float64]:
        return _cumulative(self.topics.shape[1], _TOPIC_SHIFT)


@lru_cache(maxsize=2)
def make_words(seed: int) -> Words:
    """The vocabulary, and topics drawn by ``seed``.

    The words are those of the shipped embedder's tokenizer, which is sorted by how common
    they are, followed by ones derived from them.
    """
    known = _known_words()
    short, long = _STEM_LETTERS
    stems = [word for word in known if short <= len(word) <= long]
    types = dict.fromkeys(known)
    for turn in range(len(_ENDINGS)):
        endings = (_ENDINGS[(turn + place) % len(_ENDINGS)] for place in range(len(stems)))
        types.update(
            dict.fromkeys(stem + ending for stem, ending in zip(stems, endings, strict=True))
        )
    rng = np.random.default_rng([seed, 1])
    first, last = _TOPIC_RANKS
    topics = np.stack(
        [rng.choice(last - first, TOPIC_WORDS, replace=False) + first for _ in range(TOPICS)]
    )
    return Words(tuple(types)[:TYPES], topics.astype(np.int32))


def _known_words() -> list[str]:
    weights = importlib.resources.files("bruno_memory_vec.embedders").joinpath("weights")
    text = weights.joinpath("tokenizer.json").read_text(encoding="utf-8")
    pieces: dict[str, int] = json.loads(text)["model"]["vocab"]
    by_rank = sorted(pieces, key=lambda piece: pieces[piece])
    return [
        word
        for word in by_rank
        if word.isascii() and word.isalpha() and (len(word) > 1 or word in "ai")
    ]


def _cumulative(n: int, shift: float) -> NDArray[np.float64]:
    weights = 1.0 / (np.arange(n) + shift)
    total: NDArray[np.float64] = np.cumsum(weights) / weights.sum()
    total[-1] = 1.0
    return total
