"""Figures of ranked lists, from the ranks at which the gold was found.

A question is kept as the ranks of its gold: from 1, and 0 for what is not among the `DEPTH` ids
that were asked for. Every figure follows from these, so two runs can be compared, question by
question, from their files.

The formulas are ir-measures' (MacAvaney et al., "Streamlining Evaluation with ir-measures", 2022),
which hands them to trec_eval's own code. ranx was the other choice: it computes the same, is as
well kept, and adds significance tests, but brings numba, pandas and seaborn and compiles at
first use; ir-measures brings scipy, which the intervals need in any case.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.errors import MissingDependencyError

#: How many ids are asked for.
DEPTH = 20
#: Figures of one question's gold, as they are named in tables and files.
FIGURES = (
    "recall@1",
    "recall@5",
    "recall@10",
    "recall@20",
    "any@5",
    "all@10",
    "ndcg@10",
    "mrr",
)
#: Figures of one question whose gold replaced older turns.
UPDATE_FIGURES = ("updates@5", "updates@10", "updates@20")
_MEASURES = {
    "recall@1": "R@1",
    "recall@5": "R@5",
    "recall@10": "R@10",
    "recall@20": "R@20",
    "any@5": "Success@5",
    "ndcg@10": "nDCG@10",
    "mrr": "RR",
}

Floats = NDArray[np.float64]


def ranks_of(ranked: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """The rank of each wanted id, from 1; 0 where it is not in the list.

    Args:
        ranked: ids, best first.
        wanted: ids; their order is that of the result.
    """
    places: dict[str, int] = {}
    for rank, item in enumerate(ranked, start=1):
        places.setdefault(item, rank)
    return [places.get(item, 0) for item in wanted]


def session_ranks(
    ranked: Sequence[str], sessions: Mapping[str, str | None], wanted: Sequence[str]
) -> list[int]:
    """The rank of each wanted session, which is that of its best turn; 0 where it has none.

    Ranks count turns, not sessions: recall@10 by session is the share of the gold sessions with
    a turn among the first ten turns. That is stricter than counting the first ten sessions.

    Args:
        ranked: turn ids, best first.
        sessions: the session of each turn of the user.
        wanted: session ids.
    """
    return ranks_of([sessions.get(item) or "" for item in ranked], wanted)


def figures(ranks: Sequence[Sequence[int]]) -> dict[str, Floats]:
    """The figures of each question, by name.

    * ``recall@k`` (strict): the share of the gold that is in the first k.
    * ``any@5``: 1 where any of the gold is in the first 5.
    * ``all@10``: 1 where all of the gold is in the first 10.
    * ``ndcg@10``: binary gain, discount ``1 / log2(rank + 1)``, over the ideal of
      ``min(|gold|, 10)`` at the top (Järvelin and Kekäläinen, 2002).
    * ``mrr``: one over the rank of the first of the gold, 0 where none is in the list.

    Args:
        ranks: each question's ranks, as `ranks_of` gives them; at least one a question.

    Returns:
        For each of `FIGURES`, shape (len(ranks),), float64, each in 0..1.

    Raises:
        MissingDependencyError: ir-measures is not installed.
        ValueError: a question has no gold.
    """
    if not all(ranks):
        raise ValueError("a question without gold has no figures")
    library = _library()
    qrels = {
        str(question): {f"gold{place}": 1 for place in range(len(found))}
        for question, found in enumerate(ranks)
    }
    runs = {str(question): _run(found) for question, found in enumerate(ranks)}
    names = {library.parse_measure(measure): name for name, measure in _MEASURES.items()}
    result = {name: np.zeros(len(ranks)) for name in FIGURES}
    for metric in library.iter_calc(list(names), qrels, runs):
        result[names[metric.measure]][int(metric.query_id)] = metric.value
    # trec_eval has no measure for it.
    result["all@10"][:] = [all(0 < rank <= 10 for rank in found) for found in ranks]
    return result


def update_figures(
    ranks: Sequence[Sequence[int]], older: Sequence[Sequence[int]]
) -> dict[str, Floats]:
    """Whether the newer statement stands above the older, for each question.

    ``updates@k``: 1 where the best of the gold is in the first k and above every older turn.

    Args:
        ranks: each question's ranks of its gold.
        older: each question's ranks of the turns that no longer hold.

    Returns:
        For each of `UPDATE_FIGURES`, shape (len(ranks),), float64.
    """
    best = np.array([_best(found) for found in ranks])
    worst = np.array([_best(found) for found in older])
    return {
        name: ((best <= int(name.partition("@")[2])) & (best < worst)).astype(np.float64)
        for name in UPDATE_FIGURES
    }


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50 and p95 in milliseconds (nearest rank).

    Args:
        seconds: at least one duration.
    """
    ordered = sorted(seconds)
    return {
        f"p{p}_ms": round(ordered[max(0, math.ceil(len(ordered) * p / 100) - 1)] * 1000, 3)
        for p in (50, 95)
    }


def _best(ranks: Sequence[int]) -> float:
    return min((rank for rank in ranks if rank), default=math.inf)


def _run(ranks: Sequence[int]) -> dict[str, float]:
    # trec_eval sorts by score: what stood between the gold has to stand there again.
    found = {f"gold{place}": -float(rank) for place, rank in enumerate(ranks) if rank}
    taken = set(ranks)
    deepest = max(ranks)
    between = {f"other{rank}": -float(rank) for rank in range(1, deepest) if rank not in taken}
    return {**found, **between}


def _library() -> Any:
    try:
        return importlib.import_module("ir_measures")
    except ImportError as error:
        raise MissingDependencyError("ir-measures", "bench", cause=error) from error
