"""Ranking in pure numpy: a pool of candidates in, an order with its reasons out."""

from __future__ import annotations

from .cues import Cues, read_cues
from .pipeline import CrossScore, rank
from .pool import Pool, Ranking
from .question import Question, read_question
from .settings import (
    STEPS,
    CandidateSettings,
    Fusion,
    FusionMethod,
    Profile,
    QuerySettings,
    RankSettings,
)
from .step_settings import (
    Answers,
    ConversationPrior,
    Coverage,
    CrossEncoder,
    Current,
    Diversity,
    Duplicates,
    Feedback,
    Importance,
    Learned,
    Length,
    Neighbours,
    Recency,
    Speaker,
    Statement,
    TimeMention,
    TimeNamed,
    Update,
    Use,
)

__all__ = [
    "STEPS",
    "Answers",
    "CandidateSettings",
    "ConversationPrior",
    "Coverage",
    "CrossEncoder",
    "CrossScore",
    "Cues",
    "Current",
    "Diversity",
    "Duplicates",
    "Feedback",
    "Fusion",
    "FusionMethod",
    "Importance",
    "Learned",
    "Length",
    "Neighbours",
    "Pool",
    "Profile",
    "QuerySettings",
    "Question",
    "RankSettings",
    "Ranking",
    "Recency",
    "Speaker",
    "Statement",
    "TimeMention",
    "TimeNamed",
    "Update",
    "Use",
    "rank",
    "read_cues",
    "read_question",
]
