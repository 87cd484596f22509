"""Store a data set through the public API, ask its questions, and measure."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from benchmarks.retrieval.locomo import HEADLINE, LoCoMo
from benchmarks.retrieval.metrics import CUTOFFS, mean, measure, percentiles
from bruno_memory_vec import VectorMemory, open_memory

_DEPTH = max(CUTOFFS)


async def run_locomo(
    data: LoCoMo,
    store: str | Path,
    *,
    profile: str,
    embedder: str,
    advance: Callable[[str, int, int], None] = lambda work, done, total: None,
) -> dict[str, Any]:
    """Store the conversations, ask each question within its own, and measure.

    Args:
        data: the conversations and questions.
        store: a folder for the store (or ``memory://``).
        profile: the recall profile.
        embedder: the embedder.
        advance: told how far the work has come.
    """
    async with open_memory(str(store), embedder=embedder, profile=profile) as memory:
        started = time.perf_counter()
        for number, ((user, conversation), messages) in enumerate(data.sessions.items()):
            await memory.store_messages(messages, conversation, user_id=user)
            advance("storing", number + 1, len(data.sessions))
        storing = time.perf_counter() - started
        await memory.maintain()
        # Asked a day after everything was said, so that recency counts as it would then.
        last = max(message.timestamp for turns in data.sessions.values() for message in turns)
        now = last.replace(tzinfo=timezone.utc) + timedelta(days=1)
        results = await _ask(memory, data, now, advance)
        health = await memory.health()
    turns = sum(len(messages) for messages in data.sessions.values())
    return {
        "profile": profile,
        "embedder": health["embedder"],
        "turns": turns,
        "storing_s": round(storing, 3),
        "turns_per_s": round(turns / storing),
        **results,
    }


async def _ask(
    memory: VectorMemory, data: LoCoMo, now: datetime, advance: Callable[[str, int, int], None]
) -> dict[str, Any]:
    figures: list[tuple[int, dict[str, float]]] = []
    audited: list[dict[str, float]] = []
    seconds: list[float] = []
    for number, question in enumerate(data.questions):
        started = time.perf_counter()
        hits = await memory.recall(question.text, user_id=question.user_id, k=_DEPTH, now=now)
        seconds.append(time.perf_counter() - started)
        ranked = [hit.record.metadata["dia_id"] for hit in hits]  # type: ignore[index]  # LoCoMo holds messages only
        figures.append((question.category, measure(ranked, question.gold)))
        if question.category in HEADLINE and question.audited:
            audited.append(measure(ranked, question.audited))
        advance("asking", number + 1, len(data.questions))
    categories = sorted({category for category, _ in figures})
    by_category = {
        str(category): _summary([one for c, one in figures if c == category])
        for category in categories
    }
    return {
        "categories_1_4": _summary([one for c, one in figures if c in HEADLINE]),
        "categories_1_4_audited_gold": _summary(audited),
        "by_category": by_category,
        "latency": {"recalls": len(seconds), **percentiles(seconds)},
    }


def _summary(figures: list[dict[str, float]]) -> dict[str, Any]:
    return {"questions": len(figures), **mean(figures)}
