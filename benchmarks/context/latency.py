"""How long ``build_context`` takes: one conversation in a warm memory."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.retrieval.asking import Asked
from benchmarks.retrieval.datasets.base import Dataset
from benchmarks.retrieval.metrics import percentiles
from bruno_memory_vec import VectorMemory

#: How many times the same questions are asked; the first time warms up and is not counted.
RUNS = 5
_QUESTIONS = 50


def one_user(data: Dataset) -> Dataset:
    """The user with the most turns, alone, with some of their questions."""
    most, _ = Counter(turn.user_id for turn in data.turns).most_common(1)[0]
    questions = tuple(one for one in data.questions if one.user_id == most)[:_QUESTIONS]
    turns = tuple(turn for turn in data.turns if turn.user_id == most)
    return replace(data, turns=turns, questions=questions)


async def times(
    memory: VectorMemory, questions: Sequence[Asked], strategy: str, budget: int
) -> dict[str, Any]:
    """p50 and p95 of each run in milliseconds, and their medians over the runs.

    ``cpu_ms`` is the processor's time of a call, all threads together: where other programs keep
    the machine busy, it says more than the clock.

    Args:
        memory: the user's turns are stored in it.
        questions: of one user.
        strategy: the strategy's name.
        budget: in tokens.
    """
    runs: list[dict[str, float]] = []
    busy = 0.0
    for number in range(RUNS + 1):
        seconds = []
        if number == 1:
            busy = time.process_time()
        for asked in questions:
            began = time.perf_counter()
            await memory.build_context(
                asked.question.text,
                user_id=asked.question.user_id,
                budget=budget,
                strategy=strategy,
                now=asked.now,
                until=asked.until,
            )
            seconds.append(time.perf_counter() - began)
        runs.append(percentiles(seconds))
    busy = time.process_time() - busy
    counted = runs[1:]
    return {
        "budget": budget,
        "questions": len(questions),
        "runs": len(counted),
        **{name: statistics.median(run[name] for run in counted) for name in counted[0]},
        "cpu_ms": round(1000 * busy / (len(counted) * len(questions)), 3),
        "each_p50_ms": [run["p50_ms"] for run in counted],
    }
