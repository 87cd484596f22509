"""The summary of a conversation: the rows that hold it, or a short one of its own turns.

Summaries are memories of the category "summary" that compression writes. A conversation that has
none is shown by some of its own turns: those that are nearest to what it is about, by the vectors
that are stored, each different from the ones before (maximal marginal relevance, Carbonell and
Goldstein 1998), in their order. Nothing is embedded, and nothing is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

import numpy as np
from bruno_core.models.memory import MemoryEntry
from bruno_core.models.message import MessageRole
from numpy.typing import NDArray

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MEMORY, MESSAGE
from bruno_memory_vec.rows.models import read_all, to_memory

#: The category and the origin of the rows that are summaries.
CATEGORY: Final = "summary"

#: Which rows are summaries that the memory has made; what somebody has stored under that category
#: is not among them.
SUMMARIES: Final = RowFilter(kinds=(MEMORY,), categories=(CATEGORY,), origins=(CATEGORY,))

Method = Literal["llm", "extractive", "turns"]

_TURNS, _CHARACTERS = 3, 160
# Of more turns only so many, evenly chosen, are compared with one another.
_COMPARED = 400
_DIFFERENT = 0.3
_SAID = RowFilter(kinds=(MESSAGE,), roles=(MessageRole.USER.value, MessageRole.ASSISTANT.value))
_SENTENCE = re.compile(r"(?<=[.!?…。！？])\s+")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a conversation is about.

    Attributes:
        text: the summary; empty for a conversation without a message.
        method: "llm" or "extractive" where rows hold it, "turns" where it was made just now of its
            own turns.
        from_turn: the first turn that it covers; None where that is not known.
        to_turn: the last.
        sources: the ids of the rows that hold it, or of the messages that it was made of.
    """

    text: str
    method: Method
    from_turn: int | None
    to_turn: int | None
    sources: tuple[UUID, ...]


async def summary_of(rows: RowIndex, scope: Scope) -> Summary:
    """The summary of one conversation.

    The one of a whole session counts before those of blocks of turns, of several the one that
    covers most; blocks stand one behind the other.

    Args:
        rows: the rows.
        scope: whose, and which conversation.
    """
    kept = await read_all(await rows.read(scope, SUMMARIES, COLUMNS), to_memory)
    if not kept:
        return await _of_turns(rows, scope)
    whole = [one for one in kept if _field(one, "level") == "session"]
    if whole:
        shown = [max(whole, key=lambda one: (_turn(one, "to_turn", -1), one.created_at))]
    else:
        shown = sorted(kept, key=lambda one: (_turn(one, "from_turn", 0), one.created_at))
    by_model = any(_field(one, "method") == "llm" for one in shown)
    turns = [_field(one, name) for one in shown for name in ("from_turn", "to_turn")]
    known = [turn for turn in turns if isinstance(turn, int)]
    return Summary(
        text="\n".join(one.content for one in shown),
        method="llm" if by_model else "extractive",
        from_turn=min(known, default=None),
        to_turn=max(known, default=None),
        sources=tuple(one.id for one in shown),
    )


def _field(entry: MemoryEntry, name: str) -> Any:
    return entry.metadata.custom_fields.get(name)


def _turn(entry: MemoryEntry, name: str, missing: int) -> int:
    value = _field(entry, name)
    return value if isinstance(value, int) else missing


async def _of_turns(rows: RowIndex, scope: Scope) -> Summary:
    found = (await rows.read(scope, _SAID, ("turn", "id", "content", "vector"))).sort_by("turn")
    if not len(found):
        return Summary("", "turns", None, None, ())
    turns = found.column("turn").to_pylist()
    vectors = found.column("vector").combine_chunks().flatten().to_numpy()
    chosen = typical(vectors.reshape(len(found), -1), _TURNS)
    said = found.take(chosen)
    parts = [first_sentence(text) for text in said.column("content").to_pylist()]
    return Summary(
        text=" … ".join(dict.fromkeys(parts)),
        method="turns",
        from_turn=turns[0],
        to_turn=turns[-1],
        sources=tuple(UUID(one) for one in said.column("id").to_pylist()),
    )


def typical(vectors: NDArray[np.float32], k: int) -> list[int]:
    """The places of ``k`` rows that say most of what all say, ascending.

    Args:
        vectors: float32 (n, d).
        k: how many; fewer where there are fewer.
    """
    n = len(vectors)
    places = np.unique(np.linspace(0, n - 1, min(n, _COMPARED)).astype(int))
    lengths = np.linalg.norm(vectors[places], axis=1, keepdims=True)
    unit = np.divide(
        vectors[places], lengths, out=np.zeros_like(vectors[places]), where=lengths > 0
    )
    near = unit @ unit.mean(axis=0)
    chosen: list[int] = []
    alike = np.zeros(len(places))
    for _ in range(min(k, len(places))):
        score = (1 - _DIFFERENT) * near - _DIFFERENT * alike
        score[chosen] = -np.inf
        best = int(np.argmax(score))
        chosen.append(best)
        alike = np.maximum(alike, unit @ unit[best])
    return sorted(int(places[one]) for one in chosen)


def first_sentence(text: str) -> str:
    """The first sentence of a text, as one line of at most 160 characters."""
    line = _SENTENCE.split(" ".join(text.split()), maxsplit=1)[0]
    return line if len(line) <= _CHARACTERS else f"{line[: _CHARACTERS - 1].rstrip()}…"
