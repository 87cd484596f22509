from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from bruno_memory_vec.rankers import (
    CandidateSettings,
    ConversationPrior,
    Fusion,
    Importance,
    Neighbours,
    Profile,
    QuerySettings,
    RankSettings,
    Recency,
    Use,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("kind", "values", "field"),
    [
        (Fusion, {"method": "sum"}, "method"),
        (Fusion, {"method": "convex", "semantic_weight": 1.1}, "semantic_weight"),
        (Fusion, {"method": "convex", "semantic_weight": "half"}, "semantic_weight"),
        (Fusion, {"method": "convex", "semantic_weight": NAN}, "semantic_weight"),
        (Fusion, {"method": "rrf", "rrf_k": 0}, "rrf_k"),
        (Fusion, {"method": "rrf", "rrf_k": 60.0}, "rrf_k"),
        (Neighbours, {"weight": -1, "fade_words": 100, "distance": 2}, "weight"),
        (Neighbours, {"weight": 1, "fade_words": 0, "distance": 2}, "fade_words"),
        (Neighbours, {"weight": 1, "fade_words": 100, "distance": 0}, "distance"),
        (Neighbours, {"weight": 1, "fade_words": 100, "distance": True}, "distance"),
        (ConversationPrior, {"weight": NAN}, "weight"),
        (ConversationPrior, {"weight": 1, "best": 0}, "best"),
        (Recency, {"strength": 0.6, "half_life_days": 90}, "strength"),
        (Recency, {"strength": 0.1, "half_life_days": 0}, "half_life_days"),
        (Importance, {"strength": -0.1}, "strength"),
        (Use, {"strength": True, "saturation": 20}, "strength"),
        (Use, {"strength": 0.1, "saturation": 0}, "saturation"),
        (RankSettings, {"fusion": None}, "fusion"),
        (RankSettings, {"fusion": Fusion("convex"), "use": Importance(0.1)}, "use"),
        (QuerySettings, {"drop_stopwords": 1, "phrase_weight": 0}, "drop_stopwords"),
        (QuerySettings, {"drop_stopwords": True, "phrase_weight": -1}, "phrase_weight"),
    ],
)
def test_a_bad_value_names_its_field(kind: Any, values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        kind(**values)


@pytest.mark.parametrize("field", ["lexical", "semantic", "neighbours_of", "neighbour_distance"])
def test_candidates_are_counts(field: str) -> None:
    counts = {"lexical": 1, "semantic": 1, "neighbours_of": 1, "neighbour_distance": 1}
    with pytest.raises(ValueError, match=field):
        CandidateSettings(**{**counts, field: -1})


def test_some_side_must_propose() -> None:
    with pytest.raises(ValueError, match="lexical and semantic"):
        CandidateSettings(0, 0, 0, 0)


def test_a_profile_cannot_rank_by_a_side_that_is_not_asked() -> None:
    query = QuerySettings(True, 0.0)
    with pytest.raises(ValueError, match=r"candidates\.semantic"):
        Profile("x", "", CandidateSettings(9, 0, 0, 0), query, RankSettings(Fusion("semantic")))


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Fusion("rrf").method = "convex"  # type: ignore[misc]
