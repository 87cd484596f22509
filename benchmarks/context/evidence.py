"""The share of the gold evidence that is inside a context, question by question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.context.counting import Count
from benchmarks.context.ways import Filled, Way
from benchmarks.retrieval.asking import Asked
from benchmarks.retrieval.significance import interval

#: The budgets, in tokens.
BUDGETS = (500, 1_000, 2_000, 4_000)


@dataclass(slots=True)
class Shares:
    """What one way gave: an entry a question in each column, with a value a budget.

    Attributes:
        budgets: the budgets.
        groups: the conversation of each question, which is the unit of the bootstrap.
        inside: the share of the question's gold that is in the context, whole or as a passage.
        whole: the share that is in it whole.
        tokens: of the context.
    """

    budgets: tuple[int, ...]
    groups: list[str] = field(default_factory=list)
    inside: list[list[float]] = field(default_factory=list)
    whole: list[list[float]] = field(default_factory=list)
    tokens: list[list[int]] = field(default_factory=list)

    def add(self, asked: Asked, filled: Sequence[Filled]) -> None:
        """Add a question's contexts, one a budget."""
        gold = set(asked.question.gold)
        self.groups.append(asked.question.group)
        self.inside.append([len(gold & (one.whole | one.parts)) / len(gold) for one in filled])
        self.whole.append([len(gold & one.whole) / len(gold) for one in filled])
        self.tokens.append([one.tokens for one in filled])

    def to_dict(self) -> dict[str, Any]:
        """By budget: ``share`` as [mean, low, high] (95 %, bootstrap over conversations), the share
        that is ``whole``, the mean ``tokens``, and how many contexts were ``over`` the budget."""
        found: dict[str, Any] = {}
        inside, whole, tokens = map(np.asarray, (self.inside, self.whole, self.tokens))
        for place, budget in enumerate(self.budgets):
            low, high = interval(inside[:, place], self.groups)
            around = [None, None] if np.isnan(low) else [round(low, 4), round(high, 4)]
            found[str(budget)] = {
                "share": [round(float(inside[:, place].mean()), 4), *around],
                "whole": round(float(whole[:, place].mean()), 4),
                "tokens": round(float(tokens[:, place].mean()), 1),
                "over": int((tokens[:, place] > budget).sum()),
            }
        return found


async def shares(
    way: Way,
    questions: Sequence[Asked],
    budgets: Sequence[int],
    count: Count,
    advance: Callable[[int], None] = lambda done: None,
) -> Shares:
    """Fill a context of each budget for each question.

    Args:
        way: how.
        questions: each with gold.
        budgets: in tokens.
        count: how tokens are counted.
        advance: told how many questions are done.
    """
    found = Shares(tuple(budgets))
    for done, asked in enumerate(questions, start=1):
        found.add(asked, await way.fill(asked, budgets, count))
        advance(done)
    return found
