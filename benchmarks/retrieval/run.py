"""Store a data set in a system, ask its questions, and measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.asking import ask, asked
from benchmarks.retrieval.datasets.base import Dataset, Question
from benchmarks.retrieval.metrics import (
    DEPTH,
    figures,
    percentiles,
    ranks_of,
    session_ranks,
    update_figures,
)
from benchmarks.retrieval.results import Questions
from benchmarks.retrieval.significance import PERMUTATIONS, RESAMPLES, SEED, interval
from benchmarks.retrieval.systems import System, moments

Advance = Callable[[str, int, int], None]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Answers:
    questions: Questions
    second: list[list[int]]
    seconds: list[float]
    foreign: int


async def measure(
    data: Dataset,
    system: System,
    folder: Path,
    advance: Advance = lambda work, done, total: None,
) -> dict[str, Any]:
    """Run one system over one data set.

    Each question is asked once, after the one before it was answered, with `DEPTH` ids wanted. Its
    time is that of `System.ask`, which embeds the question. When it is asked, and of what, is said
    in `asking`.

    Args:
        data: texts and questions.
        system: not yet opened; closed at the end, also after an error.
        folder: an empty one, for the store.
        advance: told how far the work has come: what, done, total.

    Returns:
        The part of a report that a run gives: ``store``, ``latency``, ``counts``, ``figures``,
        ``questions``, ``seeds``.
    """
    try:
        await system.open(folder)
        advance("storing", 0, len(data.turns))
        began = time.perf_counter()
        await system.store(data.turns)
        storing = time.perf_counter() - began
        advance("storing", len(data.turns), len(data.turns))
        answers = await _ask(data, system, advance)
    finally:
        await system.close()
    counts = {**system.counts}
    if answers.foreign:
        counts["ids of no turn of the user"] = answers.foreign
    return {
        "store": {"seconds": round(storing, 3), "texts_per_s": round(len(data.turns) / storing)},
        "latency": {"asks": len(answers.seconds), **percentiles(answers.seconds)},
        "counts": counts,
        "seeds": {"bootstrap": SEED, "resamples": RESAMPLES, "permutations": PERMUTATIONS},
        "figures": _figures(data, answers),
        "questions": answers.questions.to_json(),
    }


async def _ask(data: Dataset, system: System, advance: Advance) -> _Answers:
    sessions: dict[str, dict[str, str | None]] = {}
    said: dict[str, dict[str, datetime]] = {}
    for turn, at in zip(data.turns, moments(data.turns), strict=True):
        sessions.setdefault(turn.user_id, {})[turn.id] = turn.conversation_id
        said.setdefault(turn.user_id, {})[turn.id] = at
    gold, by_session, older, second = [], [], [], []
    seconds: list[float] = []
    foreign = 0
    for number, one in enumerate(asked(data), start=1):
        question = one.question
        began = time.perf_counter()
        ranked = await ask(system, one, DEPTH, said[question.user_id])
        seconds.append(time.perf_counter() - began)
        own = sessions[question.user_id]
        foreign += sum(item not in own for item in ranked)
        gold.append(ranks_of(ranked, question.gold))
        by_session.append(session_ranks(ranked, own, question.gold_sessions))
        older.append(ranks_of(ranked, question.older))
        second.append(ranks_of(ranked, question.second_gold))
        advance("asking", number, len(data.questions))
    questions = Questions(
        ids=[question.id for question in data.questions],
        categories=[question.category for question in data.questions],
        groups=[question.group for question in data.questions],
        gold=gold,
        sessions=by_session,
        older=older,
    )
    return _Answers(questions, second, seconds, foreign)


def _figures(data: Dataset, answers: _Answers) -> dict[str, Any]:
    questions = answers.questions
    found = {
        **_parts(data, questions.gold),
        "second_gold": _summary(data.questions, answers.second, data.headline),
        "sessions": _parts(data, questions.sessions),
        "updates": _updates(data.questions, questions),
    }
    return {name: part for name, part in found.items() if part}


def _parts(data: Dataset, ranks: Sequence[Sequence[int]]) -> dict[str, Any]:
    present = {question.category for question in data.questions}
    parts: dict[str, Any] = {"headline": _summary(data.questions, ranks, data.headline)}
    for name, categories in (
        ("by_category", present & data.headline),
        ("apart", present - data.headline),
    ):
        each = {one: _summary(data.questions, ranks, {one}) for one in sorted(categories)}
        parts[name] = {category: part for category, part in each.items() if part}
    return {name: part for name, part in parts.items() if part}


def _summary(
    questions: Sequence[Question],
    ranks: Sequence[Sequence[int]],
    categories: frozenset[str] | set[str],
) -> dict[str, Any]:
    """Each figure as [mean, low, high] over the questions of these categories that have gold."""
    chosen = [
        place
        for place, question in enumerate(questions)
        if question.category in categories and ranks[place]
    ]
    if not chosen:
        return {}
    return _with_intervals(
        figures([ranks[place] for place in chosen]), [questions[place].group for place in chosen]
    )


def _updates(questions: Sequence[Question], found: Questions) -> dict[str, Any]:
    chosen = [place for place, older in enumerate(found.older) if older and found.gold[place]]
    if not chosen:
        return {}
    values = update_figures(
        [found.gold[place] for place in chosen], [found.older[place] for place in chosen]
    )
    return _with_intervals(values, [questions[place].group for place in chosen])


def _with_intervals(values: dict[str, Floats], groups: Sequence[str]) -> dict[str, Any]:
    summary: dict[str, Any] = {"questions": len(groups), "groups": len(set(groups))}
    for name, each in values.items():
        low, high = interval(each, groups)
        around = [None, None] if np.isnan(low) else [round(low, 4), round(high, 4)]
        summary[name] = [round(float(each.mean()), 4), *around]
    return summary
