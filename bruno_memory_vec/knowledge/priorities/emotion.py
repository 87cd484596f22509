"""The emotional significance of texts, by the VADER lexicon (extra ``emotion``).

VADER (Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social
Media Text", ICWSM 2014; MIT licence, lexicon included) knows English words and emoji. Texts in
other languages have a significance of 0 unless they use these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.errors import MissingDependencyError
from bruno_memory_vec.indexers.aio import yielding_gil

# Of a longer text only the beginning is read: VADER takes a time that grows faster than its length.
_READ_CHARACTERS = 2_000
_PACKAGE, EXTRA = "vaderSentiment", "emotion"


def is_installed() -> bool:
    """Whether the lexicon is installed."""
    return find_spec(_PACKAGE) is not None


def emotional_significance(texts: Sequence[str]) -> NDArray[np.float64]:
    """How strongly each text is felt, float64 (n,), 0..1: the absolute value of VADER's compound.

    Raises:
        MissingDependencyError: the lexicon is not installed.
    """
    scores = _polarity_scores()
    felt = (abs(scores(text[:_READ_CHARACTERS])["compound"]) for text in yielding_gil(texts))
    return np.fromiter(felt, np.float64, len(texts))


@cache
def _polarity_scores() -> Callable[[str], dict[str, float]]:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise MissingDependencyError(_PACKAGE, EXTRA, cause=error) from error
    analyser: Any = SentimentIntensityAnalyzer()
    found: Callable[[str], dict[str, float]] = analyser.polarity_scores
    return found
