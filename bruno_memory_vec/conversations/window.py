"""Which of a conversation's last messages a context shows."""

from __future__ import annotations

from collections.abc import Sequence

from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.prompts.notes import is_notes
from bruno_memory_vec.prompts.token_bound import Counter

#: What a model's chat format adds to a message: who speaks, where it begins and ends.
TOKENS_A_MESSAGE = 4
_RESULTS = (MessageRole.TOOL, MessageRole.FUNCTION)


def last_messages(
    messages: Sequence[Message], most: int, tokens: int | None, count: Counter
) -> list[Message]:
    """The newest messages that fit, oldest first.

    ``ConversationContext`` keeps every system message when it trims, so many of them would push out
    the question. So at most half of the messages, and of the tokens, are system messages.

    The window never begins with the result of a tool whose call it does not show: models refuse
    that. Nor does it where the next message will push out the call.

    Args:
        messages: the last messages, oldest first.
        most: how many.
        tokens: how many tokens, four for each message included; None for any number. The newest
            message is kept even if it has more by itself, and the call of a newest result, too.
        count: counts the tokens of a text.
    """
    cut = len(messages) >= most
    # Stores of older versions may hold our own notes.
    messages = [one for one in messages if not is_notes(one.content)]
    systems = [message for message in messages if message.role is MessageRole.SYSTEM]
    dropped = {id(message) for message in systems[: -max(1, most // 2)]}
    kept = [message for message in messages if id(message) not in dropped][-most:]
    if tokens is not None:
        fitting = _fitting(kept, tokens, count)
        cut = cut or len(fitting) < len(kept)
        kept = fitting
    if not cut:
        return kept
    kept = without_cut_results(kept)
    return _without_next_to_go(kept) if len(kept) == most else kept


def without_cut_results(messages: list[Message]) -> list[Message]:
    """Messages, oldest first, without the results of tools before which their call was cut."""
    place = 0
    while place < len(messages) and messages[place].role in (*_RESULTS, MessageRole.SYSTEM):
        place += 1
    first = [message for message in messages[:place] if message.role is MessageRole.SYSTEM]
    return [*first, *messages[place:]]


def _fitting(messages: list[Message], tokens: int, count: Counter) -> list[Message]:
    """The newest messages, one after the other, that have so many tokens; at least the newest."""
    costs = [count(message.content) + TOKENS_A_MESSAGE for message in messages]
    shown: set[int] = set()
    room = tokens // 2
    for place in reversed(range(len(messages))):
        if messages[place].role is MessageRole.SYSTEM and costs[place] <= room:
            shown.add(place)
            room -= costs[place]
    room = tokens - sum(costs[place] for place in shown)
    needed = _begin_of_newest(messages)
    for place in reversed(range(len(messages))):
        if messages[place].role is MessageRole.SYSTEM:
            continue
        if costs[place] > room and place < needed:
            break
        shown.add(place)
        room -= costs[place]
    return [message for place, message in enumerate(messages) if place in shown]


def _begin_of_newest(messages: list[Message]) -> int:
    """The place of the newest message; where it is a tool's result, of the call before it."""
    place = len(messages) - 1
    while place > 0 and messages[place].role in _RESULTS:
        place -= 1
    return place


def _without_next_to_go(messages: list[Message]) -> list[Message]:
    """Without a call of tools that the next message will push out, and without its results.

    A call whose results are the newest messages stays: the model is about to read them.
    """
    said = [
        place for place, message in enumerate(messages) if message.role is not MessageRole.SYSTEM
    ]
    results = 1
    while results < len(said) and messages[said[results]].role in _RESULTS:
        results += 1
    if results == 1 or results >= len(said):
        return messages
    gone = set(said[:results])
    return [message for place, message in enumerate(messages) if place not in gone]
