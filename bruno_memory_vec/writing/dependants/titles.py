"""What goes with a deletion: titles that a model made of what is deleted.

A title that somebody gave is theirs, and stays until the conversation is deleted.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pyarrow as pa

from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.rows.models import from_table
from bruno_memory_vec.sessions.protocol import ConversationNote, SessionStore

#: The columns of the rows that go which :meth:`MadeTitles.let_go` reads.
TITLE_COLUMNS = ("kind", "user_id", "conversation_id", "turn")


class MadeTitles:
    """The titles that models made of conversations.

    Args:
        sessions: where they are noted.
        lock: held while a note is read and saved anew.
    """

    def __init__(self, sessions: SessionStore, lock: LoopLock) -> None:
        self._sessions = sessions
        self._lock = lock

    async def let_go(self, found: pa.Table) -> None:
        """Drop the titles that were made of messages which are to go, or to get another text.

        Args:
            found: the rows, with ``TITLE_COLUMNS``.

        Raises:
            EngineError: the session store failed.
        """
        first: dict[str, dict[str, int]] = defaultdict(dict)
        for row in from_table(found):
            if row["kind"] == MESSAGE:
                talks, talk = first[row["user_id"]], row["conversation_id"]
                turn = -1 if row["turn"] is None else row["turn"]
                talks[talk] = min(turn, talks.get(talk, turn))
        for user_id, talks in first.items():
            async with self._lock:
                for note in await self._notes(user_id, list(talks)):
                    if _made_of(note, talks.get(note.conversation_id)):
                        without = replace(note, title=None, title_by=None, titled_turns=None)
                        await self._sessions.save_note(without)

    async def _notes(self, user_id: str, talks: list[str]) -> list[ConversationNote]:
        if len(talks) > 1:
            return await self._sessions.notes(user_id)
        note = await self._sessions.note(user_id, talks[0])
        return [] if note is None else [note]


def _made_of(note: ConversationNote, turn: int | None) -> bool:
    """Whether a model made the title of turns that this one is among, or may be."""
    if turn is None or note.title_by != "model":
        return False
    return note.titled_turns is None or turn < note.titled_turns
