"""The statements of longer transactions, each done in one visit to SQLite's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from bruno_memory_vec.indexers.aio import in_breaths
from bruno_memory_vec.rows.models import message_to_json
from bruno_memory_vec.sessions.protocol import Conversation, HotTurn

CONTEXT = """
SELECT 0 AS part, user_id, next_turn, stale FROM conversations WHERE conversation_id = :conversation
UNION ALL
SELECT 1, payload, current_conversation, 0 FROM users WHERE user_id = :user
UNION ALL
SELECT 2, payload, 0, 0 FROM (
    SELECT payload FROM sessions
    WHERE conversation_id = :conversation AND is_active = 1 AND user_id = :user
    ORDER BY started DESC LIMIT 1
)
UNION ALL
SELECT 3, payload, turn, 0 FROM (
    SELECT payload, turn FROM hot_messages
    WHERE conversation_id = :conversation ORDER BY turn DESC LIMIT :limit
)
"""

SESSIONS = """
SELECT started, payload FROM sessions
WHERE (:user IS NULL OR user_id = :user) AND (:active IS NULL OR is_active = :active)
  AND (:before IS NULL OR started < :before)
ORDER BY started DESC LIMIT :limit
"""


def follow(
    database: sqlite3.Connection,
    turns: Mapping[str, Sequence[HotTurn]],
    max_messages: int,
    last_seq: int,
) -> None:
    """Follow a commit whose messages are these, by their conversation."""
    newest = {
        conversation: sorted(group, key=lambda turn: turn.turn)[-max_messages:]
        for conversation, group in turns.items()
    }
    database.executemany(
        "INSERT INTO conversations (conversation_id, user_id, next_turn) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET next_turn = max(next_turn, excluded.next_turn)",
        [
            (conversation, group[-1].user_id, group[-1].turn + 1)
            for conversation, group in newest.items()
        ],
    )
    _put_hot(database, [turn for group in newest.values() for turn in group])
    database.executemany(
        "DELETE FROM hot_messages WHERE conversation_id = ?1 AND turn < ("
        "SELECT turn FROM hot_messages WHERE conversation_id = ?1 "
        "ORDER BY turn DESC LIMIT 1 OFFSET ?2)",
        [(conversation, max_messages - 1) for conversation in newest],
    )
    _set_last_seq(database, last_seq)


def follow_afar(
    database: sqlite3.Connection, conversations: Sequence[tuple[str, str, int]], last_seq: int
) -> None:
    """Follow rows of (conversation, owner, next turn), whose messages are not at hand."""
    database.executemany(
        "INSERT INTO conversations (conversation_id, user_id, next_turn, stale) "
        "VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET "
        "next_turn = max(next_turn, excluded.next_turn), stale = stale + 1",
        conversations,
    )
    _set_last_seq(database, last_seq)


def refill(
    database: sqlite3.Connection,
    conversation_id: str,
    turns: Sequence[HotTurn],
    seen: Conversation,
) -> None:
    """Put in a conversation's hot messages anew, unless it has become staler than ``seen``."""
    ((stale,),) = database.execute(
        "SELECT stale FROM conversations WHERE conversation_id = ?", (conversation_id,)
    )
    if stale != seen.stale:
        return
    # Turns stored since the rows were read are hot already, and stay.
    database.execute(
        "DELETE FROM hot_messages WHERE conversation_id = ? AND turn < ?",
        (conversation_id, seen.next_turn),
    )
    _put_hot(database, turns)
    database.execute(
        "UPDATE conversations SET stale = 0 WHERE conversation_id = ?", (conversation_id,)
    )


def _put_hot(database: sqlite3.Connection, turns: Sequence[HotTurn]) -> None:
    # A message that was stored again elsewhere leaves its old place by mark_stale.
    database.executemany(
        "INSERT OR REPLACE INTO hot_messages (conversation_id, turn, payload) VALUES (?, ?, ?)",
        (
            (turn.conversation_id, turn.turn, message_to_json(turn.row))
            for turn in in_breaths(turns)
        ),
    )


def _set_last_seq(database: sqlite3.Connection, last_seq: int) -> None:
    database.execute("UPDATE meta SET value = max(value, ?) WHERE key = 'last_seq'", (last_seq,))
