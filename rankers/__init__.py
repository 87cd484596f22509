"""Ranking in pure numpy: a pool of candidates in, an order with its reasons out."""

from __future__ import annotations

from .pipeline import rank
from .pool import Pool, Ranking
from .settings import (
    CandidateSettings,
    ConversationPrior,
    Fusion,
    FusionMethod,
    Importance,
    Neighbours,
    Profile,
    QuerySettings,
    RankSettings,
    Recency,
    Use,
)

__all__ = [
    "CandidateSettings",
    "ConversationPrior",
    "Fusion",
    "FusionMethod",
    "Importance",
    "Neighbours",
    "Pool",
    "Profile",
    "QuerySettings",
    "RankSettings",
    "Ranking",
    "Recency",
    "Use",
    "rank",
]
