"""One summary: by the model if there is one and it does well, else of chosen sentences."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from bruno_core.interfaces.llm import LLMInterface

from bruno_memory_vec.compression.asking import prompt_of
from bruno_memory_vec.compression.extractive import Worth, chosen_sentences
from bruno_memory_vec.compression.faithful import Source, fault_of
from bruno_memory_vec.compression.rarity import Rarity
from bruno_memory_vec.compression.report import How
from bruno_memory_vec.compression.said import Said, shown
from bruno_memory_vec.compression_policy import CompressionPolicy
from bruno_memory_vec.errors import LLMFailed
from bruno_memory_vec.llm import Answer, ask
from bruno_memory_vec.prompts.token_bound import Counter
from bruno_memory_vec.rows.summaries import Level

# A model that has failed so often in a row is not asked again in this run: each time-out would be
# waited for.
_FAILURES = 3
# Of few tokens a share says nothing; a summary has room for a sentence.
_LEAST = 40
# A model's summary of more than so many times its budget is refused.
_OVER = 2.0
# A model's summary of less than this share of what it was to have is refused.
_UNDER = 0.25
# So much of what sentences chosen for the same tokens keep of the source, a model's summary keeps
# at least: by itself, and together with the sentences that are added to it. A good one keeps more
# than they do, a terse one two thirds; a word or a generality, a quarter at most.
_LEAST_KEPT, _LEAST_KEPT_IN_ALL = 1 / 2, 2 / 3
# The share of the budget that is kept for sentences which a model's summary leaves out.
_FOR_QUOTES = 1 / 3


@dataclass(frozen=True, slots=True)
class Asked:
    """What a summary is made of.

    Attributes:
        level: of the summary.
        said: the sentences of its sources, in order.
        lines: its sources as lines of a prompt.
        days: when they were said; the last one is the day of the summary.
        tokens: of the sources.
    """

    level: Level
    said: Sequence[Said]
    lines: Sequence[str]
    days: Sequence[date]
    tokens: int


@dataclass(frozen=True, slots=True)
class Made:
    """A summary's text.

    Attributes:
        text: empty where there is none: the sources say nothing, or the policy wants the model's
            and it has failed.
        tokens: of the text.
        method: how it was made.
        why: why it is not the model's, where one was asked.
    """

    text: str
    tokens: int
    method: How
    why: str | None = None


class Summariser:
    """Makes the summaries of one run.

    Args:
        policy: how long they may be, and how they are made.
        llm: the model; None for none.
        count: counts the tokens of a text.
    """

    def __init__(self, policy: CompressionPolicy, llm: LLMInterface | None, count: Counter) -> None:
        self._policy = policy
        self._llm = None if policy.method == "extractive" else llm
        self._count = count
        self._failed = 0
        #: What the model's cost tracker has counted; None without one.
        self.cost: float | None = None

    @property
    def asks(self) -> bool:
        """Whether a model is asked."""
        return self._llm is not None

    def budget(self, tokens: int) -> int:
        """The most tokens of a summary of sources that have ``tokens``."""
        share = max(int(tokens * self._policy.ratio), min(_LEAST, tokens - 1))
        return min(share, self._policy.max_tokens)

    async def make(self, asked: Asked, rarity: Rarity) -> Made:
        """Make one summary. It never fails for a model's sake."""
        budget = self.budget(asked.tokens)
        why = None
        if self._llm is not None:
            text, why = await self._by_model(self._llm, asked, budget, rarity)
            if text is not None:
                return Made(text, self._count(text), "llm")
            if self._policy.method == "llm":
                return Made("", 0, "llm", why)

        text = await asyncio.to_thread(self._chosen, asked, budget, rarity)
        return Made(text, self._count(text), "extractive", why)

    async def _by_model(
        self, llm: LLMInterface, asked: Asked, budget: int, rarity: Rarity
    ) -> tuple[str | None, str | None]:
        """The model's summary, or why there is none."""
        if self._failed >= _FAILURES:
            return None, f"the model has failed {_FAILURES} times in a row"
        prompt = prompt_of(asked.level, asked.lines, self._own(asked, budget))
        try:
            answer = await ask(
                llm, prompt, timeout=self._policy.timeout, max_tokens=max(2 * budget, 2 * _LEAST)
            )
        except LLMFailed as failure:
            self._failed += 1
            self._spent(failure.cost)
            return None, failure.message
        self._failed = 0
        self._spent(answer.cost)
        return await asyncio.to_thread(self._checked, answer, asked, budget, rarity)

    def _checked(
        self, answer: Answer, asked: Asked, budget: int, rarity: Rarity
    ) -> tuple[str | None, str | None]:
        text = "\n".join(line.strip() for line in answer.text.splitlines() if line.strip())
        source = Source("\n".join(asked.lines), asked.days, asked.tokens)
        fault = fault_of(text, source, rarity.terms, self._count)
        if fault is None and self._count(text) > _OVER * budget:
            fault = "it is far longer than it was to be"
        if fault is not None:
            return None, fault
        whole = self._with_quotes(text, asked, budget, rarity)
        fault = self._left_out(text, whole, asked, budget, rarity)
        return (whole, None) if fault is None else (None, fault)

    def _left_out(
        self, text: str, whole: str, asked: Asked, budget: int, rarity: Rarity
    ) -> str | None:
        """Why a model's summary leaves out too much; None where it does not.

        Args:
            text: the summary.
            whole: the same with the sentences that are added to it.
            asked: what it is made of.
            budget: the most tokens of ``whole``.
            rarity: how rare terms are.
        """
        own = self._own(asked, budget)
        if self._count(text) < _UNDER * own:
            return "it is far shorter than it was to be"
        worth = Worth(asked.said, rarity)
        for given, room, least in (
            (text, own, _LEAST_KEPT),
            (whole, budget, _LEAST_KEPT_IN_ALL),
        ):
            kept = worth.kept(given)
            known = worth.kept(self._chosen(asked, room, rarity))
            if kept < least * known:
                return (
                    f"it leaves out too much: it keeps {kept:.2f} of what can be asked for, "
                    f"chosen sentences keep {known:.2f}"
                )
        return None

    def _own(self, asked: Asked, budget: int) -> int:
        """The tokens of a summary that are the model's, and not of sentences added to it."""
        quoted = self._policy.quotes and asked.level == "block"
        return int(budget * (1 - _FOR_QUOTES)) if quoted else budget

    def _chosen(self, asked: Asked, budget: int, rarity: Rarity) -> str:
        """The summary without a model."""
        day = asked.days[-1] if asked.days else None
        return shown(chosen_sentences(asked.said, budget, self._count, rarity, day=day), day)

    def _with_quotes(self, text: str, asked: Asked, budget: int, rarity: Rarity) -> str:
        """A model's summary, and behind it the most telling sentences that it leaves out."""
        room = budget - self._count(text)
        if not self._policy.quotes or room <= 0 or asked.level != "block":
            return text
        day, most = asked.days[-1], self._policy.quotes
        quoted = chosen_sentences(
            asked.said, room, self._count, rarity, said=text, most=most, day=day
        )
        whole = f"{text}\n{shown(quoted, day)}" if quoted else text
        return whole if self._count(whole) < asked.tokens else text

    def _spent(self, cost: float | None) -> None:
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost
