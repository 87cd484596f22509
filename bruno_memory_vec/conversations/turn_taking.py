"""Whose turn it was: pages that keep tool calls with their results, and breaks in the order.

Turns are in the order of the calls that stored them. What this adds is what a page may not cut, and
where a conversation is not question, answer, question, answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from bruno_core.models.message import MessageRole, MessageType

from bruno_memory_vec.conversations.listing import ConversationTurn, Page, not_a_cursor, placed
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MESSAGE
from bruno_memory_vec.rows import tagged_json
from bruno_memory_vec.rows.models import Row, from_table, read_all

_SAID: Final = RowFilter(kinds=(MESSAGE,))
_RESULTS: Final = (MessageRole.TOOL.value, MessageRole.FUNCTION.value)
_COLUMNS: Final = ("id", "turn", "role", "message_type", "metadata")

Break = Literal[
    "two_questions", "answer_without_question", "call_without_result", "result_without_call"
]


@dataclass(frozen=True, slots=True)
class TurnBreak:
    """A place where a conversation is not question, answer, question, answer.

    Attributes:
        kind: "two_questions": a user's turn follows a user's, so the first one has no answer;
            "answer_without_question": the assistant begins, or speaks twice;
            "call_without_result": no result follows a call of tools;
            "result_without_call": a tool's result follows no call.
        turn: the turn at which it shows: the second question, the answer, the call, the result.
        message_id: the message there.
        after: the turn before it, None at the beginning.
    """

    kind: Break
    turn: int
    message_id: str
    after: int | None


def breaks_of(rows: Sequence[Mapping[str, Any]]) -> list[TurnBreak]:
    """The breaks in the order of speakers, by turn. System messages are nobody's turn.

    Args:
        rows: messages of one conversation with id, turn, role, message_type and metadata (JSON),
            by turn.
    """
    found: list[TurnBreak] = []
    before: Mapping[str, Any] | None = None
    for row in rows:
        if row["role"] == MessageRole.SYSTEM.value:
            continue
        found += _between(before, row)
        before = row
    if before is not None and is_call(before):
        found.append(_break("call_without_result", before, before))
    return found


def _between(before: Mapping[str, Any] | None, row: Mapping[str, Any]) -> list[TurnBreak]:
    said = None if before is None else before["role"]
    result = row["role"] in _RESULTS
    called = before is not None and is_call(before)
    found = []
    if called and not result:
        assert before is not None
        found.append(_break("call_without_result", before, before))
    if result:
        if not called and said not in _RESULTS:
            found.append(_break("result_without_call", row, before))
    elif row["role"] == MessageRole.USER.value:
        if said == MessageRole.USER.value:
            found.append(_break("two_questions", row, before))
    elif said is None or (said == MessageRole.ASSISTANT.value and not called):
        found.append(_break("answer_without_question", row, before))
    return found


def _break(kind: Break, row: Mapping[str, Any], before: Mapping[str, Any] | None) -> TurnBreak:
    after = None if before is None or before is row else before["turn"]
    return TurnBreak(kind, row["turn"], row["id"], after)


def is_call(row: Mapping[str, Any]) -> bool:
    """Whether a row is an assistant's call of tools: an action, or one with ``tool_calls``."""
    if row["role"] != MessageRole.ASSISTANT.value:
        return False
    if row["message_type"] == MessageType.ACTION.value:
        return True
    if '"tool_calls"' not in row["metadata"]:
        return False
    return bool(tagged_json.loads(row["metadata"]).get("tool_calls"))


async def turn_breaks(rows: RowIndex, scope: Scope) -> list[TurnBreak]:
    """The breaks of one conversation.

    Args:
        rows: the rows.
        scope: whose, and which conversation.
    """
    return breaks_of(await _speakers(rows, scope))


async def page_of_turns(
    rows: RowIndex,
    scope: Scope,
    conversation_id: str,
    *,
    limit: int | None,
    after: str | None,
    newest_first: bool,
) -> Page[ConversationTurn]:
    """Turns of one conversation, page by page. No page ends between a call and its results.

    A page may therefore be longer than ``limit``, by the results that belong to its last turn or,
    the newest first, by the call that they follow.

    Raises:
        InvalidInputError: ``after`` is no page's ``next``.
    """
    said = await _speakers(rows, scope)
    if newest_first:
        said.reverse()
    if after is not None:
        if not isinstance(after, str) or not after.isdecimal():
            raise not_a_cursor()
        at = int(after)
        said = [row for row in said if (row["turn"] < at if newest_first else row["turn"] > at)]
    end = len(said) if limit is None else min(limit, len(said))
    # The next turn that is in time behind the last one shown, or before it.
    while 0 < end < len(said) and said[end - newest_first]["role"] in _RESULTS:
        end += 1
    turns = [row["turn"] for row in said[:end]]
    found = await rows.read(scope, _SAID, COLUMNS, turns={conversation_id: turns})
    shown = sorted(await read_all(found, placed), key=lambda one: one.turn, reverse=newest_first)
    return Page(shown, str(turns[-1]) if end < len(said) and turns else None)


async def with_results(rows: RowIndex, scope: Scope, turn: int | None) -> list[int]:
    """The turns of a conversation up to one, with the results that belong to it.

    Args:
        rows: the rows.
        scope: whose, and which conversation.
        turn: the last one; None for all. If it is no turn of the conversation, the list is empty.
    """
    said = await _speakers(rows, scope)
    turns = [row["turn"] for row in said]
    if turn is None:
        return turns
    if turn not in turns:
        return []
    end = turns.index(turn) + 1
    while end < len(said) and said[end]["role"] in _RESULTS:
        end += 1
    return turns[:end]


async def _speakers(rows: RowIndex, scope: Scope) -> list[Row]:
    found = await rows.read(scope, _SAID, _COLUMNS)
    return sorted(from_table(found), key=lambda row: row["turn"])
