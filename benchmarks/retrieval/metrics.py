"""Figures of one ranked list against its gold, and their means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

CUTOFFS = (1, 5, 10, 20)


def measure(ranked: Sequence[str], gold: Iterable[str]) -> dict[str, float]:
    """Figures of one question.

    * ``recall@k`` (strict): the share of the gold that is in the first k.
    * ``any@5``: whether any of the gold is in the first 5.
    * ``ndcg@10``: binary gain, discount ``1 / log2(rank + 1)``, over the ideal
      of ``min(|gold|, 10)`` at the top (Järvelin and Kekäläinen, 2002).
    * ``mrr``: one over the rank of the first that is gold, 0 where none is.

    Args:
        ranked: ids, best first, each once.
        gold: the ids that answer the question; at least one.
    """
    wanted = set(gold)
    relevant = [item in wanted for item in ranked]
    figures = {f"recall@{k}": sum(relevant[:k]) / len(wanted) for k in CUTOFFS}
    figures["any@5"] = float(any(relevant[:5]))
    gain = sum(1 / math.log2(rank + 2) for rank, hit in enumerate(relevant[:10]) if hit)
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(len(wanted), 10)))
    figures["ndcg@10"] = gain / ideal
    figures["mrr"] = next((1 / (rank + 1) for rank, hit in enumerate(relevant) if hit), 0.0)
    return figures


def mean(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over questions, rounded to four places."""
    if not figures:
        return {}
    return {name: round(sum(one[name] for one in figures) / len(figures), 4) for name in figures[0]}


def percentiles(seconds: Sequence[float]) -> dict[str, Any]:
    """p50 and p95 in milliseconds (nearest rank)."""
    ordered = sorted(seconds)
    return {
        f"p{p}_ms": round(ordered[max(0, math.ceil(len(ordered) * p / 100) - 1)] * 1000, 3)
        for p in (50, 95)
    }
