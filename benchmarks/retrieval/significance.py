"""How sure a figure is, and whether two runs differ: by groups of questions.

Questions about one conversation lean on the same texts, so they are not independent samples;
conversations are. Both functions take whole groups: a conversation with its questions, a user,
or, where each question has a haystack of its own, the question.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.errors import MissingDependencyError

#: Of every resampling; it is in the files.
SEED = 20_260
RESAMPLES = 2_000
PERMUTATIONS = 9_999
#: With fewer, `paired_p` cannot fall under 0.05.
MIN_GROUPS = 6
_LEVEL = 0.95
# Resamples held at once: bounds memory where there are many groups.
_BATCH = 250

Floats = NDArray[np.float64]


def interval(values: Floats, groups: Sequence[Any], *, seed: int = SEED) -> tuple[float, float]:
    """The 95 % interval of the mean over questions, by bootstrap over groups.

    Groups are drawn with replacement, each with all its questions (Field and Welsh, "Bootstrapping
    clustered data", 2007), `RESAMPLES` times; the interval is from the 2.5th to the 97.5th
    percentile of the means. With a handful of groups it is too narrow: read it as a rough guide.

    Args:
        values: shape (questions,), a figure of each question.
        groups: the group of each question.
        seed: of the random numbers.

    Returns:
        Low and high. NaN where there are fewer than two groups.

    Raises:
        MissingDependencyError: scipy is not installed.
    """
    sums, counts = _by_group(values, groups)
    if len(sums) < 2:
        return (float("nan"), float("nan"))
    found = _scipy().bootstrap(
        (sums, counts),
        lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=RESAMPLES,
        confidence_level=_LEVEL,
        batch=_BATCH,
        rng=np.random.default_rng(seed),
    )
    return (float(found.confidence_interval.low), float(found.confidence_interval.high))


def paired_p(first: Floats, second: Floats, groups: Sequence[Any], *, seed: int = SEED) -> float:
    """How likely a difference of the means this large is if the two runs are alike (two-sided).

    A paired permutation test: in each permutation some groups swap the two runs' figures, with
    all their questions together. Exact where there are at most `PERMUTATIONS` ways, else
    from that many drawn ones (Smucker, Allan and Carterette, "A comparison of statistical
    significance tests for information retrieval evaluation", 2007, which permutes by question).
    Under `MIN_GROUPS` groups it cannot fall under 0.05: with 5 the least is 0.0625.

    Args:
        first: shape (questions,), a figure of each question in one run.
        second: shape (questions,), the same of the same questions in the other run.
        groups: the group of each question; the questions themselves for the plain test.
        seed: of the random numbers.

    Returns:
        In 0..1; 1 where no question differs.

    Raises:
        MissingDependencyError: scipy is not installed.
    """
    ours, _ = _by_group(first, groups)
    theirs, _ = _by_group(second, groups)
    # A group without a difference is the same in every permutation.
    differ = ours != theirs
    ours, theirs = ours[differ], theirs[differ]
    if len(ours) < 2:
        return 1.0  # of one group, both permutations are as extreme
    found = _scipy().permutation_test(
        (ours, theirs),
        lambda a, b, axis: a.sum(axis=axis) - b.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=_BATCH,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def _by_group(values: Floats, groups: Sequence[Any]) -> tuple[Floats, Floats]:
    _, places = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)
    sums = np.bincount(places, weights=values)
    return np.asarray(sums, dtype=np.float64), np.bincount(places).astype(np.float64)


def _scipy() -> Any:
    try:
        return importlib.import_module("scipy.stats")
    except ImportError as error:
        raise MissingDependencyError("scipy", "bench", cause=error) from error
