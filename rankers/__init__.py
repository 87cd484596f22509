"""Ranking in pure numpy: a pool of candidates in, an order with its reasons out."""

from __future__ import annotations

from .cues import Cues, read_cues
from .fusion import Fusion, FusionMethod
from .pipeline import rank
from .pool import Pool, Ranking
from .question import Question, read_question
from .settings import CandidateSettings, Profile, QuerySettings, RankSettings
from .steps import (
    STEPS,
    Answers,
    Ask,
    ConversationPrior,
    Coverage,
    CrossEncoder,
    CrossScore,
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
    Step,
    TimeMention,
    TimeNamed,
    Update,
    Use,
    register_step,
)

__all__ = [
    "STEPS",
    "Answers",
    "Ask",
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
    "Step",
    "TimeMention",
    "TimeNamed",
    "Update",
    "Use",
    "rank",
    "read_cues",
    "read_question",
    "register_step",
]
