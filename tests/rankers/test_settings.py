from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, fields, replace
from typing import Any

import pytest

from bruno_memory_vec.rankers import (
    STEPS,
    CandidateSettings,
    CrossEncoder,
    Fusion,
    Importance,
    Learned,
    Neighbours,
    Profile,
    QuerySettings,
    RankSettings,
    Recency,
    Update,
    Use,
)
from tests.rankers.pools import EVERYTHING

NAN, INF = float("nan"), float("inf")
# Every number of every step; a step that is new here is tried without a line more.
NUMBERS = [
    (step, field.name, field.type)
    for step in STEPS
    for field in fields(STEPS[step])
    if field.type in ("int", "float")
]


BAD_NUMBERS = [NAN, INF, -INF, -2, 1e12, 10**5000, True, "1", None, [1]]


def on(step: str) -> Any:
    """A step of every one, whatever its class."""
    return EVERYTHING.get(step)


def said_of(step: str, **changed: Any) -> str:
    """What is said of a step with a changed setting; "" where it is taken."""
    try:
        replace(on(step), **changed)
    except ValueError as error:
        return str(error)
    return ""


def test_a_bad_number_names_its_field() -> None:
    wrong = [
        (step, field, number, said)
        for step, field, _ in NUMBERS
        for number, bad in enumerate(BAD_NUMBERS)
        if not (said := said_of(step, **{field: bad})).startswith(f"{field} must be")
    ]
    assert not wrong
    assert len(NUMBERS) > 30, "they are not found any more: this shows nothing"


def test_counts_are_whole_and_other_numbers_need_not_be() -> None:
    wrong = []
    for step, field, kind in NUMBERS:
        broken = getattr(on(step), field) * 0.95
        said = said_of(step, **{field: broken})
        if kind == "int":
            right = said.startswith(f"{field} must be a whole number")
        else:
            how = on(step)
            right = not said and getattr(replace(how, **{field: broken}), field) == broken
        if not right:
            wrong.append((step, field, said))
    assert not wrong
    assert {kind for *_, kind in NUMBERS} == {"int", "float"}


@pytest.mark.parametrize(
    ("kind", "values", "field"),
    [
        (Fusion, {"method": "sum"}, "method"),
        (Fusion, {"method": ["convex"]}, "method"),
        (Fusion, {"method": None}, "method"),
        (Fusion, {"method": "convex", "semantic_weight": 1.1}, "semantic_weight"),
        (Fusion, {"method": "convex", "semantic_weight": "half"}, "semantic_weight"),
        (Fusion, {"method": "convex", "semantic_weight": NAN}, "semantic_weight"),
        (Fusion, {"method": "rrf", "rrf_k": 0}, "rrf_k"),
        (Fusion, {"method": "rrf", "rrf_k": 60.0}, "rrf_k"),
        (Neighbours, {"weight": 1, "fade_words": 0, "distance": 2}, "fade_words"),
        (Neighbours, {"weight": 1, "fade_words": 9, "distance": 0}, "distance"),
        (Neighbours, {"weight": 1, "fade_words": 9, "distance": 11}, "distance"),
        (Neighbours, {"weight": 1, "fade_words": 9, "distance": 2, "decay": 1.1}, "decay"),
        (Recency, {"strength": 0.6, "half_life_days": 90}, "strength"),
        (Recency, {"strength": 0.1, "half_life_days": 0}, "half_life_days"),
        (Importance, {"strength": -0.1}, "strength"),
        (Update, {"of": 3, "among": 30, "near": 1.1, "least": 1.0}, "near"),
        (CrossEncoder, {"model": ""}, "model"),
        (CrossEncoder, {"model": 3}, "model"),
        (CrossEncoder, {"model": "m", "best": 0}, "best"),
        (CrossEncoder, {"model": "m", "batch_size": 0}, "batch_size"),
        (Learned, {"factors": {}}, "factors"),
        (Learned, {"factors": [1.0]}, "factors"),
        (Learned, {"factors": None}, "factors"),
        (Learned, {"factors": {"lexical": "1"}}, r"factors\.lexical"),
        (Learned, {"factors": {"lexical": NAN}}, r"factors\.lexical"),
        (Learned, {"factors": {"lexical": True}}, r"factors\.lexical"),
        (Learned, {"factors": {"lexical": 1.0, "length": 1e9}}, r"factors\.length"),
        (RankSettings, {"fusion": None}, "fusion"),
        (RankSettings, {"fusion": Fusion("convex"), "steps": Importance(0.1)}, "steps"),
        (QuerySettings, {"drop_stopwords": 1, "phrase_weight": 0}, "drop_stopwords"),
        (QuerySettings, {"drop_stopwords": True, "phrase_weight": -1}, "phrase_weight"),
    ],
)
def test_a_bad_value_names_its_field(kind: Any, values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        kind(**values)


def test_a_number_of_400_digits() -> None:
    with pytest.raises(ValueError, match="weight must be"):
        Neighbours(10**400, 1, 1)


@pytest.mark.parametrize("other", [3, None, "length", Fusion("convex"), Importance])
def test_steps_are_steps(other: Any) -> None:
    with pytest.raises(ValueError, match=r"^steps must hold steps of STEPS, not "):
        RankSettings(Fusion("convex"), (other,))


def test_a_step_is_given_once() -> None:
    with pytest.raises(ValueError, match="'use' twice"):
        RankSettings(Fusion("convex"), (Use(0.1, 3), Importance(0.1), Use(0.2, 3)))


def test_steps_are_kept_in_the_order_in_which_they_run() -> None:
    given = [on(step) for step in STEPS if step != "learned"]
    how = RankSettings(Fusion("convex", 0.3), [*reversed(given)])  # type: ignore[arg-type]
    assert how.steps == tuple(given)
    assert how == EVERYTHING
    assert hash(how) == hash(EVERYTHING)


def test_a_step_is_asked_for_by_its_name_or_its_class() -> None:
    how = RankSettings(Fusion("convex"), (Use(0.1, 3), Importance(0.1)))
    assert how.get("use") == how.get(Use) == Use(0.1, 3)
    assert how.get("length") is None
    assert how.get(Neighbours) is None


def test_copies_with_other_steps() -> None:
    how = RankSettings(Fusion("convex"), (Use(0.1, 3), Importance(0.1)))
    more = how.with_steps(Recency(0.1, 9), Use(0.2, 3))
    assert more.steps == (Recency(0.1, 9), Importance(0.1), Use(0.2, 3))
    assert more.without("use", Recency, Neighbours).steps == (Importance(0.1),)
    assert how.steps == (Importance(0.1), Use(0.1, 3))


def test_a_name_that_no_step_has() -> None:
    how = RankSettings(Fusion("convex"))
    for ask in (how.get, how.without):
        with pytest.raises(ValueError, match=r"no step is called 'lenght': the steps are .*length"):
            ask("lenght")


def test_every_step_is_off_by_default() -> None:
    how = RankSettings(Fusion("convex"))
    assert all(how.get(step) is None for step in STEPS)
    assert not how.needs_vectors
    assert not how.needs_texts


def test_what_a_step_needs() -> None:
    needs = {}
    for step in STEPS:
        if step != "learned":
            how = RankSettings(Fusion("convex"), (on(step),))
            needs[step] = how.needs_vectors, how.needs_texts
    assert needs == {
        step: (
            step in ("feedback", "update", "duplicates", "diversity"),
            step in ("coverage", "cross_encoder"),
        )
        for step in STEPS
        if step != "learned"
    }


def test_every_step_has_a_value_to_be_switched_on_with() -> None:
    for step, kind in STEPS.items():
        assert [field for field in fields(kind) if field.default is MISSING], step


@pytest.mark.parametrize(
    "field", ["lexical", "semantic", "neighbours_of", "neighbour_distance", "in_period"]
)
def test_candidates_are_counts(field: str) -> None:
    counts: dict[str, Any] = {
        "lexical": 1,
        "semantic": 1,
        "neighbours_of": 1,
        "neighbour_distance": 1,
        "in_period": 1,
    }
    bads: list[Any] = [-1, 1.0, "1", True, None, 10**6]
    for bad in bads:
        with pytest.raises(ValueError, match=field):
            CandidateSettings(**{**counts, field: bad})


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
