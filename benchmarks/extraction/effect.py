"""What facts do to the recall of turns: the same questions before and after extraction.

A fact is a row of its own, in which the words of its turn stand once more. So it may take the place
of a turn among the first ten, or bring a turn's answer to the top. Measured is how much of the gold
is among the first ten rows, and how much where a fact counts for the turns that it cites.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bruno_core.models.memory import MemoryEntry

from benchmarks.retrieval.asking import asked
from benchmarks.retrieval.corpora import opened, sampled
from benchmarks.retrieval.datasets.base import Dataset
from benchmarks.retrieval.systems import Memory, turn_id
from bruno_memory_vec import VectorMemory, load_profile
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.recall.hits import Hits

#: How many rows are looked at.
DEPTH = 10


@dataclass(frozen=True, slots=True)
class Effect:
    """What facts do to recall on one data set.

    Attributes:
        name: the data set.
        questions: how many were asked.
        facts: how many were extracted.
        shown: how many of the first ten rows are facts, on average.
        before: recall@10 of the turns, without facts.
        after: with facts among the rows.
        cited: with facts among the rows, each counting for the turns that it cites.
        messages: with facts stored, asked of messages alone.
    """

    name: str
    questions: int
    facts: int
    shown: float
    before: float
    after: float
    cited: float
    messages: float


async def effect_of(
    data: Dataset, profile: str = "balanced", questions: int | None = None
) -> Effect:
    """Store a data set, ask, extract by the patterns, and ask again."""
    named = load_profile(profile)
    # What one question has recalled would move the next.
    plain = replace(named, rank=named.rank.without("use"))
    data = sampled(data, questions)
    async with opened([data], plain, resolve_embedder("static")) as (system,):
        memory = system.memory
        before, _ = await _recall(system, data)
        facts = 0
        for user_id in {turn.user_id for turn in data.turns}:
            facts += (await memory.facts.extract(user_id=user_id, method="patterns")).new
        after, shown = await _recall(system, data)
        cited, _ = await _recall(system, data, cited=True)
        messages, _ = await _recall(system, data, kinds="message")
    return Effect(data.name, len(data.questions), facts, shown, before, after, cited, messages)


async def _recall(
    system: Memory, data: Dataset, *, cited: bool = False, kinds: str | None = None
) -> tuple[float, float]:
    """Mean recall@10 of the gold turns, and how many facts were among the ten on average."""
    memory: VectorMemory = system.memory
    shares, facts, asks = [], 0, 0
    for one in asked(data):
        question = one.question
        hits: Hits = await memory.recall(
            question.text,
            user_id=question.user_id,
            k=DEPTH,
            now=one.now,
            until=one.until,
            kinds=kinds,  # type: ignore[arg-type]
        )
        asks += 1
        facts += sum(hit.origin == "extracted" for hit in hits)
        found = set(_turns([hit.record for hit in hits], cited=cited))
        ids = await _cited(memory, found, question.user_id) if cited else set()
        gold = set(question.gold)
        shares.append(len(gold & (found | ids)) / len(gold))
    return sum(shares) / len(shares), facts / asks


def _turns(records: Iterable[object], *, cited: bool) -> Iterable[str]:
    for record in records:
        if isinstance(record, MemoryEntry) and "attribute" in record.metadata.custom_fields:
            if cited:
                yield from map(str, record.metadata.related_memories)
        else:
            yield turn_id(record)  # type: ignore[arg-type]


async def _cited(memory: VectorMemory, ids: set[str], user_id: str) -> set[str]:
    """The turns' own ids of messages that facts cite."""
    found = set()
    for id_ in ids:
        if len(id_) == 36 and id_.count("-") == 4:
            message = await memory.get_message(id_, user_id=user_id)
            if message is not None:
                found.add(turn_id(message))
    return found
