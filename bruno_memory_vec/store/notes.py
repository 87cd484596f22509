"""Changes of the note of a conversation, one after the other, so that none undoes another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from bruno_memory_vec.sessions.protocol import ConversationNote

if TYPE_CHECKING:
    from bruno_memory_vec.store.store import Store


async def change_note(
    store: Store,
    user_id: str,
    conversation_id: str,
    *,
    only_if: Callable[[ConversationNote], bool] | None = None,
    **values: Any,
) -> ConversationNote:
    """Set fields of a conversation's note, which is made where there is none.

    Of several processes that change one note at the same time the last one prevails.

    Args:
        store: an open store.
        user_id: the conversation's owner.
        conversation_id: which.
        only_if: whether to set them, by the note as it is.
        values: by name, the fields to set.

    Returns:
        The note as it is now.

    Raises:
        EngineError: it was not saved.
    """
    async with store.notes_lock:
        before = await store.sessions.note(user_id, conversation_id)
        if before is None:
            before = ConversationNote(conversation_id, user_id, datetime.now(timezone.utc))
        if only_if is not None and not only_if(before):
            return before
        after = replace(before, **values)
        if after != before:
            await store.sessions.save_note(after)
        return after
