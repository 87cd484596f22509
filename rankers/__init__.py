"""Ranking in pure numpy: from a pool of candidates to an order, with each step's signal."""

from __future__ import annotations

from . import steps
from .confidence import Evidence, read_evidence
from .cues import Cues, read_cues
from .fusion import Fusion, FusionMethod
from .pipeline import rank
from .pool import Pool, Ranking
from .question import Question, read_question
from .settings import CandidateSettings, Profile, QuerySettings, RankSettings
from .steps import *  # noqa: F403  a step is named once, in the list of all
from .time_expressions import Period, find_all_periods

__all__ = [
    "CandidateSettings",
    "Cues",
    "Evidence",
    "Fusion",
    "FusionMethod",
    "Period",
    "Pool",
    "Profile",
    "QuerySettings",
    "Question",
    "RankSettings",
    "Ranking",
    "find_all_periods",
    "rank",
    "read_cues",
    "read_evidence",
    "read_question",
]
__all__ += steps.__all__
