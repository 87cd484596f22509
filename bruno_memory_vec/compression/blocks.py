"""Which turns of a conversation are compressed, and where they are cut into blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from bruno_core.models.message import MessageRole
from numpy.typing import NDArray

from bruno_memory_vec.compression_policy import CompressionPolicy
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.rows.summaries import MOST_SOURCES

_RESULTS = (MessageRole.TOOL.value, MessageRole.FUNCTION.value)
_SYSTEM, _USER, _ASSISTANT = (
    MessageRole.SYSTEM.value,
    MessageRole.USER.value,
    MessageRole.ASSISTANT.value,
)
# A pause ends a block only where it has this share of the most turns; else it grows over it.
_LEAST_OF_A_BLOCK = 2
# And only where its summary has so many tokens: a telling sentence with its day and speaker takes
# some fifty, as they are counted, and where none fits, only small talk is left to choose.
_LEAST_OF_A_SUMMARY = 80


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One message of a conversation, as compression reads it.

    Attributes:
        seq: the position of its row.
        id: its id.
        turn: its place in the conversation.
        role: of ``MessageRole``.
        speaker: who speaks by name, where the message says so.
        content: its text.
        at: its time, in microseconds.
        importance: 0..1.
        pinned: whether it is pinned.
        archived_at: when it was archived, in microseconds; None where it is not.
        tokens: of its text; 0 where it was not read.
        vector: float32 (d,); None where it was not read.
    """

    seq: int
    id: str
    turn: int
    role: str
    speaker: str | None
    content: str
    at: int
    importance: float
    pinned: bool
    archived_at: int | None
    tokens: int = 0
    vector: NDArray[np.float32] | None = None

    @property
    def archived(self) -> bool:
        """Whether it is archived."""
        return self.archived_at is not None


def may_be_compressed(
    turns: Sequence[Turn], policy: CompressionPolicy, now: datetime
) -> list[list[Turn]]:
    """The turns that a policy lets go, each call of a tool together with its results.

    A call with more results than a summary can name as its sources stays.

    Args:
        turns: all messages of a conversation, in their order.
        policy: which; whether the conversation is meant at all is not asked here.
        now: the time that ages refer to.
    """
    said = [turn for turn in turns if turn.role != _SYSTEM]
    newest = (
        {turn.turn for turn in said[len(said) - policy.keep_newest :]}
        if (policy.keep_newest)
        else set[int]()
    )
    waiting = _not_answered(said)
    youngest = None if policy.older_than is None else micros(now) - policy.older_than // _MICRO

    def goes(turn: Turn) -> bool:
        return (
            not turn.pinned
            and not turn.archived
            and turn.turn not in newest
            and turn.turn not in waiting
            and (youngest is None or turn.at < youngest)
            and (policy.below_importance is None or turn.importance < policy.below_importance)
        )

    groups = _with_results(said)
    return [group for group in groups if len(group) <= MOST_SOURCES and all(map(goes, group))]


_MICRO = timedelta(microseconds=1)


def _not_answered(said: Sequence[Turn]) -> set[int]:
    """The turns behind the last answer, where anybody answers in this conversation."""
    answers = [place for place, turn in enumerate(said) if turn.role == _ASSISTANT]
    return {turn.turn for turn in said[answers[-1] + 1 :]} if answers else set()


def _with_results(said: Sequence[Turn]) -> list[list[Turn]]:
    """Each turn by itself; results of tools together with the turn before them, their call."""
    groups: list[list[Turn]] = []
    for turn in said:
        if turn.role in _RESULTS and groups:
            groups[-1].append(turn)
        else:
            groups.append([turn])
    return groups


def blocks(groups: Sequence[Sequence[Turn]], policy: CompressionPolicy) -> list[list[Turn]]:
    """Turns cut into blocks, each of one summary, in their order.

    A block ends at a pause of ``policy.gap`` where its summary has room for some sentences, and
    before it would get more than ``policy.block_turns`` turns or ``policy.block_tokens`` tokens,
    where possible not between a question and its answer, and never within a group. What is left of
    one turn joins the block before it, where that is near.

    Args:
        groups: what must not be cut, as of :func:`may_be_compressed`.
        policy: how large a block may be.
    """
    gap = policy.gap // _MICRO
    least = max(2, policy.block_turns // _LEAST_OF_A_BLOCK)
    found: list[list[list[Turn]]] = []
    block: list[list[Turn]] = []
    for group in map(list, groups):
        size = sum(map(len, block))
        tokens = sum(turn.tokens for one in block for turn in one)
        pause = block and group[0].at - block[-1][-1].at >= gap
        full = block and (
            size + len(group) > policy.block_turns
            or tokens + sum(turn.tokens for turn in group) > policy.block_tokens
        )
        if pause and size >= least and tokens * policy.ratio >= _LEAST_OF_A_SUMMARY:
            found.append(block)
            block = []
        elif full:
            kept, rest = _cut_before_a_question(block)
            if sum(map(len, rest)) + len(group) > MOST_SOURCES:
                kept, rest = block, []
            found.append(kept)
            block = rest
        block.append(group)
    if block:
        tail = sum(map(len, block))
        near = found and block[0][0].at - found[-1][-1][-1].at < gap
        whole = tail + (sum(map(len, found[-1])) if found else 0)
        if (
            found
            and near
            and tail < least
            and whole <= min(policy.block_turns + least, MOST_SOURCES)
        ):
            found[-1] += block
        else:
            found.append(block)
    return [[turn for group in one for turn in group] for one in found]


def _cut_before_a_question(
    block: list[list[Turn]],
) -> tuple[list[list[Turn]], list[list[Turn]]]:
    """A full block, and what of its end begins the next one: a question without its answer."""
    last = block[-1][0]
    if len(block) > 2 and last.role == _USER and block[-2][0].role == _ASSISTANT:
        return block[:-1], block[-1:]
    return block, []
