"""Where a row stands: in the store's write order, and in its conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter

from bruno_memory_vec.indexers.aio import in_breaths
from bruno_memory_vec.indexers.schema import MESSAGE, Key
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.sessions.protocol import HotTurn


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stored row stands; a memory has no turn."""

    seq: int
    turn: int | None


def give_places(
    latest: Mapping[Key, Row],
    stored: Mapping[Key, Place],
    next_turns: dict[str, int],
    first_seq: int,
    hot_turns: int,
) -> list[HotTurn]:
    """Set ``seq`` and ``turn`` of each row; a message stored again keeps its turn.

    Returns the last ``hot_turns`` messages of each conversation.
    """
    placed: dict[str, list[Row]] = {}
    for offset, (key, row) in enumerate(in_breaths(latest.items())):
        row["seq"] = first_seq + offset
        if row["kind"] != MESSAGE:
            continue
        conversation = row["conversation_id"]
        before = stored.get(key)
        if before is not None:
            row["turn"] = before.turn
        else:
            row["turn"] = next_turns[conversation]
            next_turns[conversation] += 1
        placed.setdefault(conversation, []).append(row)
    return [
        HotTurn(row["user_id"], conversation, row["turn"], row)
        for conversation, rows in placed.items()
        # By turn, not as they came: earlier turns may be stored again after newer ones.
        for row in sorted(rows, key=itemgetter("turn"))[-hot_turns:]
    ]
