"""Finds facts in turns of one conversation, by the patterns or by a model."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bruno_core.interfaces.llm import LLMInterface

from bruno_memory_vec.errors import LLMFailed
from bruno_memory_vec.knowledge.extraction.answer import best, read_answer
from bruno_memory_vec.knowledge.extraction.candidate import Candidate, SourceTurn
from bruno_memory_vec.knowledge.extraction.prompt import ANSWER_TOKENS, excerpts
from bruno_memory_vec.llm import ask_all

# More turns than these are searched in a thread: a thousand take some tenths of a second.
_TURNS_ON_THE_LOOP: Final = 16
_CHARACTERS_ON_THE_LOOP: Final = 8_000
#: So many prompts are asked at the same time.
ASKED_AT_ONCE: Final = 4


@dataclass(slots=True)
class Found:
    """What was found in turns.

    Attributes:
        candidates: the facts.
        dropped: facts of a model that were refused, by the reason.
        failed: turns for which a model gave none, and why.
        costs: of each request its cost, or None, and its seconds.
    """

    candidates: list[Candidate] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[tuple[SourceTurn, ...], LLMFailed]] = field(default_factory=list)
    costs: list[tuple[float | None, float]] = field(default_factory=list)


async def by_patterns(turns: Sequence[SourceTurn]) -> Found:
    """What the patterns find."""
    # Not before they are needed: there are many to compile.
    from bruno_memory_vec.knowledge.extraction.patterns import candidates

    def find() -> list[Candidate]:
        return [one for turn in turns for one in candidates(turn)]

    few = len(turns) <= _TURNS_ON_THE_LOOP
    if few and sum(len(turn.text) for turn in turns) <= _CHARACTERS_ON_THE_LOOP:
        return Found(find())
    return Found(await asyncio.to_thread(find))


async def by_model(
    llm: LLMInterface,
    turns: Sequence[SourceTurn],
    timeout: float,
    before: Sequence[SourceTurn] = (),
) -> Found:
    """What a model finds, checked against the turns; failures are in the result.

    ``before`` are the last turns before these, to understand them by.
    """
    found = Found()
    asked = excerpts(turns, before)
    answers = await ask_all(
        llm,
        [excerpt.messages for excerpt in asked],
        timeout=timeout,
        max_tokens=ANSWER_TOKENS,
        at_once=ASKED_AT_ONCE,
    )
    for excerpt, answer in zip(asked, answers, strict=True):
        found.costs.append((answer.cost, answer.seconds))
        if isinstance(answer, LLMFailed):
            found.failed.append((excerpt.turns, answer))
            continue
        try:
            facts, dropped = read_answer(answer.text, excerpt.numbers)
        except LLMFailed as failure:
            found.failed.append((excerpt.turns, failure))
            continue
        found.candidates.extend(best(facts))
        found.dropped.update(dropped)
    return found
