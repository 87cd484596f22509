"""What of the evidence is still inside a context when the turns are compressed.

Every turn of some users is compressed without a model (`CompressionPolicy` with ``keep_newest=0``)
and archived. Then a turn of gold counts as inside where a summary that stands for it is in the
context and has a sentence of it, word by word: less than the whole turn. Before and after, the
questions are asked from today, so the days that they name are others than in the other tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from benchmarks.context.counting import Count
from benchmarks.context.evidence import BUDGETS, shares
from benchmarks.context.ways import Built
from benchmarks.retrieval.asking import Asked, asked
from benchmarks.retrieval.corpora import opened
from benchmarks.retrieval.datasets.base import Dataset
from bruno_memory_vec import CompressionPolicy, VectorMemory
from bruno_memory_vec.compression.sentences import sentences
from bruno_memory_vec.embedders import Embedder
from bruno_memory_vec.prompts.quoting import quotable
from bruno_memory_vec.rankers import Profile
from bruno_memory_vec.rows.summaries import SUMMARY

#: How long a summary may be, as a share of its turns' tokens.
RATIOS = (0.5, 0.4, 0.3)
# A shorter sentence ("Yes!", "Thanks a lot!") stands in many turns.
_LEAST_WORDS = 4
_SPEAKER = re.compile(r"^[\w .'-]{1,40}: ")


def first_users(data: Dataset, users: int) -> Dataset:
    """The first users of a data set, with their questions."""
    kept = set(list(dict.fromkeys(turn.user_id for turn in data.turns))[:users])
    return replace(
        data,
        turns=tuple(turn for turn in data.turns if turn.user_id in kept),
        questions=tuple(one for one in data.questions if one.user_id in kept),
    )


async def before_and_after(
    data: Dataset, embedder: Embedder, profile: Profile, count: Count
) -> dict[str, Any]:
    """The shares of ``build_context`` before a compression, and after one of each ratio.

    Args:
        data: texts and questions; a store for each ratio.
        embedder: the embedder.
        profile: what recall ranks by.
        count: how the budget's tokens are counted.
    """
    # Turns are archived by the clock, which is later than the data.
    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    questions = [replace(one, now=tomorrow) for one in asked(data)]
    found: dict[str, Any] = {"data": data.name, "turns": len(data.turns), "after": []}
    for ratio in RATIOS:
        async with opened([data], profile, embedder) as (system,):
            if "before" not in found:
                found["before"] = await _shares(
                    Built(system.memory, data, "hybrid", profile), questions, count
                )
            done = await _compress(system.memory, data, ratio)
            summaries = await _sources(system.memory, data)
            after = await _shares(
                FromSummaries(system.memory, data, profile, summaries), questions, count
            )
            both = FromSummaries(system.memory, data, profile, summaries, archived=True)
            archived = await _shares(both, questions, count)
        found["after"].append(
            {"ratio_wanted": ratio, **done, "budgets": after, "with_archived": archived}
        )
    return {**found, "questions": len(questions)}


class FromSummaries(Built):
    """``build_context`` after a compression.

    Args:
        memory: the turns are stored, and compressed, in it.
        data: the turns.
        profile: what recall ranks by.
        summaries: by the id of a summary, ids of the rows that it stands for.
        archived: whether archived turns are recalled, too.
    """

    def __init__(
        self,
        memory: VectorMemory,
        data: Dataset,
        profile: Profile,
        summaries: Mapping[str, frozenset[str]],
        *,
        archived: bool = False,
    ) -> None:
        super().__init__(memory, data, "hybrid", profile, include_archived=archived)
        self._summaries = summaries
        self._sentences = {
            row: [
                said
                for one in sentences(_SPEAKER.sub("", turn.content))
                if len((said := quotable(one)).split()) >= _LEAST_WORDS
            ]
            for row, turn in self._turns.items()
        }

    def summed_up(self, row: str, text: str) -> frozenset[str]:
        """Ids of the turns that a summary stands for, and of which it has a sentence."""
        shown = quotable(text)
        return frozenset(
            self._turns[source].id
            for source in self._summaries.get(row, ())
            if any(one in shown for one in self._sentences[source])
        )


async def _shares(way: Built, questions: Sequence[Asked], count: Count) -> dict[str, Any]:
    return (await shares(way, questions, BUDGETS, count)).to_dict()


async def _compress(memory: VectorMemory, data: Dataset, ratio: float) -> dict[str, Any]:
    policy = CompressionPolicy(keep_newest=0, min_turns=2, ratio=ratio, method="extractive")
    turns = before = after = 0
    kept: dict[str, list[int]] = {}
    for user in sorted({turn.user_id for turn in data.turns}):
        report = await memory.compress(user, policy=policy)
        turns += report.turns
        before, after = before + report.tokens_before, after + report.tokens_after
        for name in ("names", "numbers", "dates", "terms"):
            share = getattr(report.kept, name)
            kept.setdefault(name, [0, 0])[0] += share.kept
            kept[name][1] += share.total
    return {
        "turns": turns,
        "ratio": round(after / before, 4),
        "kept": {name: round(part / whole, 4) for name, (part, whole) in kept.items() if whole},
    }


async def _sources(memory: VectorMemory, data: Dataset) -> dict[str, frozenset[str]]:
    """The rows of turns that each summary stands for, also through other summaries."""
    made: dict[str, set[str]] = {}
    for user in sorted({turn.user_id for turn in data.turns}):
        for one in await memory.list_memories(user, categories=SUMMARY, limit=None):
            made[str(one.id)] = {str(source) for source in one.metadata.related_memories}

    def rows(summary: str) -> frozenset[str]:
        found: set[str] = set()
        for source in made[summary]:
            found |= rows(source) if source in made else {source}
        return frozenset(found)

    return {summary: rows(summary) for summary in made}
