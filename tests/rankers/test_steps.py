"""The list of steps, and a step of another package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from bruno_core.models.message import Message
from numpy.typing import NDArray

from bruno_memory_vec import open_memory
from bruno_memory_vec.rankers import (
    STEPS,
    Ask,
    Fusion,
    Learned,
    Length,
    Pool,
    RankSettings,
    Recency,
    Step,
    rank,
    register_step,
)
from bruno_memory_vec.recall.profiles import load_profile
from tests.rankers.pools import NOW, make_pool


@dataclass(frozen=True, slots=True)
class Shouting:
    """``gain = weight * share of capitals``: what is written loudly counts more."""

    name: ClassVar[str] = "shouting"
    needs: ClassVar[frozenset[str]] = frozenset({"texts"})

    weight: float

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"weight must not be negative, not {self.weight}")

    def __call__(self, pool: Pool, score: NDArray[np.float64], ask: Ask) -> NDArray[np.float64]:
        gain = np.zeros(len(pool), np.float64)
        for row, text in enumerate(pool.texts or ()):
            gain[row] = sum(letter.isupper() for letter in text) / max(len(text), 1)
        return self.weight * gain


@pytest.fixture
def shouting() -> Iterator[None]:
    register_step(Shouting, before="recency")
    yield
    del STEPS["shouting"]


def test_a_step_is_in_the_file_of_its_name() -> None:
    package = "bruno_memory_vec.rankers.steps"
    assert {name: step.__module__ for name, step in STEPS.items()} == {
        name: f"{package}.{name}" for name in STEPS
    }
    assert {name: step.name for name, step in STEPS.items()} == {name: name for name in STEPS}
    folder = Path(__file__).parents[2] / "rankers" / "steps"
    files = {path.stem for path in folder.glob("*.py")}
    assert files - {"__init__", "step"} == set(STEPS), "a step that is not in the list"


@pytest.mark.usefixtures("shouting")
def test_a_step_of_another_package_in_a_ranking() -> None:
    pool = make_pool(2, lexical=[2.0, 1.0], texts=["a cat", "A CAT"])
    how = RankSettings(Fusion("lexical"), (Recency(0.1, 90), Shouting(5.0), Length(0.1, 10)))
    assert [step.name for step in how.steps] == ["length", "shouting", "recency"]
    assert how.needs_texts
    assert not how.needs_vectors
    assert how.get(Shouting) == how.get("shouting") == Shouting(5.0)
    found = rank(pool, how, k=2, now=NOW)
    assert list(found.signals) == ["lexical", "length", "shouting", "recency"]
    assert found.signals["shouting"].tolist() == [0.0, 4.0]
    assert found.order.tolist() == [1, 0]
    assert rank(pool, how.without(Shouting), k=2, now=NOW).order.tolist() == [0, 1]


@pytest.mark.usefixtures("shouting")
def test_in_a_profile_made_in_code_and_in_one_of_toml(tmp_path: Path) -> None:
    plain = load_profile("rrf")
    made = replace(plain, rank=plain.rank.with_steps(Shouting(2.0)))
    assert made.rank.get(Shouting) == Shouting(2.0)
    path = tmp_path / "loud.toml"
    path.write_text(
        """
        candidates = {lexical = 9, semantic = 9, neighbours_of = 0, neighbour_distance = 0}
        query = {drop_stopwords = true, phrase_weight = 0.0}
        fusion = {method = "convex"}
        shouting = {weight = 2.0}
        """
    )
    assert load_profile(path).rank.steps == (Shouting(2.0),)


@pytest.mark.usefixtures("shouting")
@pytest.mark.parametrize("cache", [0, 160], ids=["by the engine", "in memory"])
async def test_in_a_recall_with_the_texts_that_it_needs(tmp_path: Path, cache: int) -> None:
    plain = load_profile("lexical")
    loud = replace(plain, rank=plain.rank.with_steps(Shouting(2.0)))
    async with open_memory(tmp_path / "store", recall_cache_mb=cache) as memory:
        for number, text in enumerate(["the cat and a cat", "THE CAT AND A DOG"]):
            message = Message(role="user", content=text)
            await memory.store_message(message, f"talk-{number}", user_id="ana")
        quiet = await memory.recall("cat", user_id="ana", profile=plain)
        found = await memory.recall("cat", user_id="ana", profile=loud)
    assert quiet[0].content == "the cat and a cat"
    assert found[0].content == "THE CAT AND A DOG"
    assert found[0].signals["shouting"] > 1
    assert found[1].signals["shouting"] == 0


def test_it_is_taken_once_and_runs_where_it_was_said() -> None:
    steps = list(STEPS.items())
    try:
        for _ in range(2):
            assert register_step(Shouting, before="learned") is Shouting
        place = [name for name, _ in steps].index("learned")
        assert list(STEPS.items()) == [*steps[:place], ("shouting", Shouting), *steps[place:]]
        # Before "learned" it may have a factor.
        how = RankSettings(
            Fusion("lexical"), (Shouting(1.0), Learned({"lexical": 1.0, "shouting": 0.5}))
        )
        found = rank(make_pool(1, lexical=[1.0], texts=["A"]), how, k=1, now=NOW)
        assert found.signals["shouting"].tolist() == [0.5]
    finally:
        del STEPS["shouting"]
    assert list(STEPS.items()) == steps


def test_a_step_that_is_not_registered_says_how() -> None:
    with pytest.raises(ValueError, match=r"steps must hold steps of STEPS.*register_step"):
        RankSettings(Fusion("lexical"), (Shouting(1.0),))


def named(name: Any, needs: Any = frozenset()) -> Any:
    return dataclass(frozen=True)(type("Named", (), {"name": name, "needs": needs}))


@pytest.mark.parametrize(
    ("step", "before", "said"),
    [
        (Shouting, "lenght", "before must be one of neighbours, .*, not 'lenght'"),
        (Shouting(1.0), "use", "must be a frozen dataclass"),
        (type("Plain", (), {"name": "plain", "needs": frozenset()}), "use", "frozen dataclass"),
        (dataclass(type("Loose", (), {"name": "a", "needs": frozenset()})), "use", "frozen"),
        (named(3), "use", "name must be a plain word"),
        (named("two words"), "use", "name must be a plain word"),
        (named("toy", {"texts"}), "use", "needs must be a frozenset of"),
        (named("toy", frozenset({"text"})), "use", "needs must be a frozenset of .*texts"),
        (named("length"), "use", "name is 'length', which is taken"),
        (named("lexical"), "use", "name is 'lexical', which is taken"),
        (named("candidates"), "use", "name is 'candidates', which is taken"),
    ],
)
def test_what_is_no_step_is_refused(step: Any, before: str, said: str) -> None:
    steps = list(STEPS)
    with pytest.raises(ValueError, match=said):
        register_step(step, before=before)
    assert list(STEPS) == steps


def test_a_registered_class_is_a_step() -> None:
    toy: Step = Shouting(1.0)
    assert toy.name == "shouting"
