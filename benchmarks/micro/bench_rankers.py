"""The rankers: each step alone, whole rankings, and what is read of questions and texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.micro import data
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.indexers.snapshot import HeldRows
from bruno_memory_vec.rankers import (
    STEPS,
    Ask,
    Coverage,
    Fusion,
    FusionMethod,
    Learned,
    rank,
    read_cues,
    read_question,
)
from bruno_memory_vec.rankers.fusion import fuse
from bruno_memory_vec.rankers.time_expressions import english
from bruno_memory_vec.recall import word_matches as words
from bruno_memory_vec.recall.pool import make_pool
from bruno_memory_vec.recall.profiles import list_profiles, load_profile
from bruno_memory_vec.recall.request import RecallRequest

K = 10
NOW = micros(data.NOW)
SHIPPED = [load_profile(name) for name in list_profiles()]
# It asks for a time, names one, asks whose things, and for how they stand now: no step is idle.
ASKED = read_question("When do I go to Lisbon now, and what did Ana book last May?", NOW)

# The cross-encoder's cost is its model's, not ours.
TIMED = [step for step in STEPS if step != "cross_encoder"]
# They change few rows or none, of which these pools have none: their cost is that of looking.
RARE = {"passages", "update", "repeats", "asked_before"}


@pytest.mark.parametrize("rows", data.POOLS)
@pytest.mark.parametrize("method", get_args(FusionMethod))
def test_fusion(benchmark: BenchmarkFixture, method: FusionMethod, rows: int) -> None:
    benchmark.group = f"fusion, {rows} rows"
    pool = data.pool(rows)
    signals = benchmark(fuse, pool.lexical, pool.semantic, Fusion(method))
    assert sum(signals.values()).max() > 0.3


@pytest.mark.parametrize("rows", data.POOLS)
@pytest.mark.parametrize("step", TIMED)
def test_step(benchmark: BenchmarkFixture, step: str, rows: int) -> None:
    """A step alone; the places of the turns, which the steps of a ranking share, are its own."""
    benchmark.group = f"step, {rows} rows"
    pool = data.pool(rows)
    fused = sum(fuse(pool.lexical, pool.semantic, Fusion("convex", 0.3)).values())
    how = data.every_step(SHIPPED)[step]
    signals = dict.fromkeys(how.factors, fused) if isinstance(how, Learned) else {}

    def run() -> NDArray[np.float64]:
        return how(pool, fused, Ask(ASKED, NOW, K, fused, signals))

    change = benchmark(run)
    assert np.isfinite(change).all()
    assert step in RARE or np.ptp(change) > 0, "an idle step"


@pytest.mark.parametrize("rows", data.POOLS)
@pytest.mark.parametrize("profile", SHIPPED, ids=lambda profile: profile.name)
def test_rank(benchmark: BenchmarkFixture, profile: Any, rows: int) -> None:
    benchmark.group = f"rank, {rows} rows"
    pool = data.pool(rows)
    ranking = benchmark(rank, pool, profile.rank, k=K, now=NOW, question=ASKED)
    assert len(ranking.order) == K


@pytest.mark.parametrize("with_words", [False, True])
def test_make_pool(
    benchmark: BenchmarkFixture, with_words: bool, texts: list[str], vectors: NDArray[np.float32]
) -> None:
    """From rows in memory, 300 of them; with the words of their texts where a step needs them."""
    benchmark.group = "a pool of 300 rows"
    profile = load_profile("balanced")
    if with_words:
        profile = replace(profile, rank=profile.rank.with_steps(Coverage(1.0)))
    snapshot = HeldRows(data.rows(texts[:300], vectors[:300]), mixed=True).snapshot()
    score = np.full(300, np.nan, np.float32)
    score[::3] = np.linspace(1, 0, 100, dtype=np.float32)
    now = data.NOW
    request = RecallRequest(data.QUESTION, Scope.all_users(), RowFilter(), K, profile, now)
    pool = benchmark(make_pool, snapshot, np.arange(300), (score, score), {}, request)
    assert len(pool) == 300


@pytest.mark.parametrize("state", ["read", "unread"])
@pytest.mark.parametrize("rows", data.POOLS)
def test_word_matches(benchmark: BenchmarkFixture, rows: int, state: str, texts: list[str]) -> None:
    """Of texts whose words are kept from an earlier question, and of texts never seen."""
    benchmark.group = f"word_matches, {rows} texts"

    def forget() -> None:
        words._kept.clear()

    if state == "read":
        matches, _ = benchmark(words.word_matches, data.QUESTION, texts[:rows])
    else:
        matches, _ = benchmark.pedantic(  # type: ignore[no-untyped-call]
            words.word_matches, (data.QUESTION, texts[:rows]), setup=forget, rounds=30
        )
    assert (len(matches), matches.max()) == (rows, 1.0)


@pytest.mark.parametrize(
    ("text", "periods"),
    [("Where did we stay in Lisbon?", 0), (data.QUESTION, 1)],
    ids=["no date", "a date"],
)
def test_read_question(benchmark: BenchmarkFixture, text: str, periods: int) -> None:
    """An expression that was read today already is remembered."""
    benchmark.group = "read_question"
    question = benchmark(read_question, text, NOW)
    assert len(question.periods) == periods


def test_read_question_with_a_new_date(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "read_question"
    read_question(data.QUESTION, NOW)  # loads the parser, once in a process
    question = benchmark.pedantic(  # type: ignore[no-untyped-call]
        read_question, (data.QUESTION, NOW), setup=english._resolve.cache_clear, rounds=100
    )
    assert len(question.periods) == 1


def test_read_cues_of_a_chat_turn(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "read_cues"
    cues = benchmark(read_cues, "Ana: we moved to Porto last May, and it rains. Did you know?")
    assert (cues.speaker, cues.names_time, cues.ends_with_question) == ("Ana", True, True)


def test_read_cues_of_a_long_answer(benchmark: BenchmarkFixture, texts: list[str]) -> None:
    """Some 600 words."""
    benchmark.group = "read_cues"
    answer = " ".join(texts)[:3_500] + "\nDoes that help?"
    cues = benchmark(read_cues, answer)
    assert 0 < cues.question_share < 1
