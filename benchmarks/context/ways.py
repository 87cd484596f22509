"""The ways to fill a context that are measured.

Ours are the strategies of ``VectorMemory.build_context``: asked from a new conversation, where the
whole budget is for what is recalled, or within the talk that the user had last, whose last turns
are shown, too. The others pack turns as they are, best first, with no heading and no marks: each
turn costs its text and what a line for it would (``Count.turn``), and one that does not fit is
passed over for the next. That favours them.

* ``plain top-k``: the hits of our own recall.
* ``vectors top-k``: the turns nearest to the question in meaning, what most libraries do by
  default. Our profile ``semantic`` with one embedder or another.
* ``last turns``: a sliding window over everything the user said and was told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from benchmarks.context.counting import Count
from benchmarks.retrieval.asking import Asked
from benchmarks.retrieval.datasets.base import Dataset, Turn
from benchmarks.retrieval.systems import moments, row_id, stored_conversation, turn_id
from bruno_memory_vec import VectorMemory
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.prompts.quoting import quotable
from bruno_memory_vec.rankers import Profile

#: How many hits are packed: more than the largest budget has room for.
DEPTH = 200
#: Of so many hits, the share of the gold among them is kept: what better packing could still gain.
DEPTHS = (10, 20, 50, 100, DEPTH)


@dataclass(frozen=True, slots=True)
class Filled:
    """What one context shows of a user's turns.

    Attributes:
        whole: ids of the turns whose whole text is in it.
        parts: ids of those of which a passage is in it.
        tokens: of the whole context.
    """

    whole: frozenset[str]
    parts: frozenset[str]
    tokens: int


class Way(Protocol):
    """One way to fill a context.

    Attributes:
        name: for tables and files.
    """

    name: str

    async def fill(self, asked: Asked, budgets: Sequence[int], count: Count) -> list[Filled]:
        """A context of each budget for one question."""
        ...


class Built:
    """A strategy of ``build_context``.

    Evidence counts where the report names the turn's row, and the text that it says is shown
    stands in the context and is the turn's: all of it, or a part.

    Args:
        memory: the turns are stored in it.
        data: the turns.
        strategy: the strategy's name.
        profile: what recall ranks by.
        within: whether the question is asked within the conversation that its user had last; else
            in a new one.
        include_archived: whether archived turns are recalled, too.
    """

    def __init__(
        self,
        memory: VectorMemory,
        data: Dataset,
        strategy: str,
        profile: Profile,
        *,
        within: bool = False,
        include_archived: bool = False,
    ) -> None:
        self.name = f"build_context, {strategy}{', within the talk' if within else ''}"
        self._memory = memory
        self._strategy = strategy
        self._include_archived = include_archived
        self._profile = profile
        self._turns = {str(row_id(turn)): turn for turn in data.turns}
        self._said = said(data) if within else None

    async def fill(self, asked: Asked, budgets: Sequence[int], count: Count) -> list[Filled]:
        """A call of ``build_context`` a budget."""
        conversation = None
        if self._said is not None:
            last = next(before(self._said, asked), None)
            if last is not None and last.conversation_id is not None:
                conversation = stored_conversation(last.user_id, last.conversation_id)
        return [await self._filled(asked, conversation, budget, count) for budget in budgets]

    async def _filled(
        self, asked: Asked, conversation: str | None, budget: int, count: Count
    ) -> Filled:
        question = asked.question
        try:
            built = await self._memory.build_context(
                question.text,
                user_id=question.user_id,
                conversation_id=conversation,
                budget=budget,
                strategy=self._strategy,
                count_tokens=count.tokens,
                now=asked.now,
                until=asked.until,
                include_archived=self._include_archived,
                profile=self._profile,
            )
        except InvalidInputError as error:
            if error.field != "budget":
                raise
            # The question alone is longer. The other ways have no room beside it, either.
            return Filled(frozenset(), frozenset(), 0)
        shown = [(item.id, item.text) for item in built.report.items]
        whole, parts = shown_turns(shown, built.text, self._turns)
        more = [self.summed_up(row, text) for row, text in shown if row is not None]
        parts = parts.union(*more) - whole
        return Filled(whole, parts, built.report.tokens)

    def summed_up(self, row: str, text: str) -> frozenset[str]:
        """Ids of the turns of which a row, as it is shown, tells a part: none of a turn's own."""
        return frozenset()


class TopK:
    """The hits of a recall, packed best first.

    Args:
        memory: the turns are stored in it.
        profile: what recall ranks by.
        name: for tables and files.

    Attributes:
        found: of each question so far, the share of its gold among the first `DEPTHS` hits.
    """

    def __init__(self, memory: VectorMemory, profile: Profile, name: str) -> None:
        self.name = name
        self.found: list[list[float]] = []
        self._memory = memory
        self._profile = profile

    async def fill(self, asked: Asked, budgets: Sequence[int], count: Count) -> list[Filled]:
        """One recall for all budgets."""
        question = asked.question
        hits = await self._memory.recall(
            question.text,
            user_id=question.user_id,
            k=DEPTH,
            now=asked.now,
            until=asked.until,
            profile=self._profile,
        )
        texts = [(turn_id(hit.record), hit.content) for hit in hits]
        gold = set(question.gold)
        ids = [name for name, _ in texts]
        self.found.append([len(gold.intersection(ids[:depth])) / len(gold) for depth in DEPTHS])
        return [packed(question.text, texts, budget, count) for budget in budgets]


class LastTurns:
    """The last turns that the user said or was told, newest first.

    Args:
        data: the turns.
    """

    def __init__(self, data: Dataset) -> None:
        self.name = "last turns"
        self._said = said(data)

    async def fill(self, asked: Asked, budgets: Sequence[int], count: Count) -> list[Filled]:
        """Whole turns, until one does not fit."""
        texts = [(turn.id, turn.content) for turn in before(self._said, asked)]
        return [packed(asked.question.text, texts, budget, count, gaps=False) for budget in budgets]


Said: TypeAlias = Mapping[str, Sequence[tuple[datetime, Turn]]]


def said(data: Dataset) -> Said:
    """The turns of each user with their times, newest first."""
    found: dict[str, list[tuple[datetime, Turn]]] = {}
    for turn, at in zip(data.turns, moments(data.turns), strict=True):
        found.setdefault(turn.user_id, []).append((at, turn))
    for turns in found.values():
        # What was said at one time is in the order of the data.
        turns.reverse()
        turns.sort(key=lambda one: one[0], reverse=True)
    return found


def before(said: Said, asked: Asked) -> Iterator[Turn]:
    """What the user of a question said and was told before it, newest first."""
    for at, turn in said[asked.question.user_id]:
        if asked.until is None or at < asked.until:
            yield turn


def packed(
    question: str,
    texts: Iterable[tuple[str, str]],
    budget: int,
    count: Count,
    *,
    gaps: bool = True,
) -> Filled:
    """The question, and as many of the texts as fit beside it.

    Args:
        question: it is always in the context.
        texts: id and text of each turn, best first.
        budget: the most tokens.
        count: how they are counted.
        gaps: whether one that does not fit is passed over; else packing ends there.
    """
    room = budget - count.tokens(question) - count.turn
    if room < 0:
        return Filled(frozenset(), frozenset(), 0)
    whole = []
    for name, text in texts:
        if room <= count.turn:
            break
        cost = count.tokens(text) + count.turn
        if cost <= room:
            room -= cost
            whole.append(name)
        elif not gaps:
            break
    return Filled(frozenset(whole), frozenset(), budget - room)


def shown_turns(
    shown: Iterable[tuple[str | None, str]], text: str, turns: Mapping[str, Turn]
) -> tuple[frozenset[str], frozenset[str]]:
    """Ids of the turns that a context shows whole, and in part.

    Args:
        shown: id of the row and text of each item, as the report has them.
        text: the context.
        turns: by the id of their row.
    """
    whole, parts = set(), set()
    context = _plain(text)
    for row, item in shown:
        turn = turns.get(row or "")
        if turn is None:
            continue
        stands, content = _plain(item), _plain(turn.content)
        if stands not in context:
            continue
        if content in stands:
            whole.add(turn.id)
        elif _core(stands) and _core(stands) in content:
            parts.add(turn.id)
    return frozenset(whole), frozenset(parts - whole)


def _plain(text: str) -> str:
    # As quotations have it, so that a quoted text and one that is a message of its own are equal.
    return quotable(text)


def _core(passage: str) -> str:
    """A passage without the marks of what was left out."""
    return passage.strip(" …")
