"""The three methods that bruno-core's older guide and its plugin registry ask for.

``MemoryBackendRegistry`` refuses a class without them, and ``ContextManager``
calls ``retrieve_context``. Each is a few words over the newer methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bruno_core.models.memory import MemoryEntry
from bruno_core.models.message import Message

from bruno_memory_vec.rows import checks as validation

if TYPE_CHECKING:
    from bruno_memory_vec.door import Door


class OlderGuide:
    """Adds the older guide's methods to a memory that has ``recall`` and ``clear_history``."""

    if TYPE_CHECKING:
        _door: Door
        _user: str | None
        # What the memory that this is mixed into has.
        recall: Any
        clear_history: Any

    async def retrieve_context(
        self, user_id: str, query: str, limit: int = 10, conversation_id: str | None = None
    ) -> list[Message]:
        """The messages that answer ``query`` best, oldest first, as a prompt wants them."""
        hits = await self.recall(
            query,
            user_id=user_id,
            k=validation.limit("limit", limit),
            conversation_id=conversation_id,
            kinds="message",
        )
        ordered = sorted(hits, key=lambda hit: (hit.created_at, hit.turn or 0))
        return [hit.record for hit in ordered if isinstance(hit.record, Message)]

    async def search_memories(self, user_id: str, query: str, limit: int = 5) -> list[MemoryEntry]:
        """The memories that answer ``query`` best, best first."""
        hits = await self.recall(
            query, user_id=user_id, k=validation.limit("limit", limit), kinds="memory"
        )
        return [hit.record for hit in hits if isinstance(hit.record, MemoryEntry)]

    async def clear_conversation(self, user_id: str, conversation_id: str) -> None:
        """Delete every message of a user's conversation.

        Raises:
            ForeignUserError: the conversation is another user's.
        """
        await self._door.scope(self._user, user_id, conversation_id)
        await self.clear_history(conversation_id, keep_system_messages=False)
