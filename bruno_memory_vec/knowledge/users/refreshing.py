"""Taking what is learned of a user from the rows anew, and saving it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Final

from bruno_core.models.context import UserContext

from bruno_memory_vec.knowledge.turns import Turns
from bruno_memory_vec.knowledge.users.aggregation import (
    learned_from,
    said_of,
    style_in,
    zone_of,
)
from bruno_memory_vec.knowledge.users.record import joined, learned_of, with_learned
from bruno_memory_vec.knowledge.users.saving import change_user
from bruno_memory_vec.store.store import Store

# With other processes that write: how often what was saved is compared with the rows again.
_LOOKS: Final = 3


async def refresh(store: Store, user_id: str, turns: Turns, *, style: bool = True) -> UserContext:
    """Take what is learned of a user from the rows, save it, and return the user as saved.

    What the memories say is read and saved under the lock of the writer: nothing that is deleted
    meanwhile is saved after it.

    Args:
        store: an open store that may be written.
        user_id: whose.
        turns: lets changes of the record take turns.
        style: count how the user writes as well; else it stays as it was.

    Raises:
        EngineError: the rows cannot be read, or the result not be saved.
    """
    writer, sessions = store.writer, store.sessions
    assert writer is not None
    counted = None
    if style:
        before = await sessions.user(user_id)
        zone = None if before is None else zone_of(joined(before).profile)
        counted = await style_in(store.rows, user_id, zone)
    changed = True

    def learn(saved: UserContext) -> UserContext:
        nonlocal changed
        old = learned_of(saved)
        new = learned_from(old, said, counted if style else old.style, _now())
        changed = replace(new, refreshed_at=old.refreshed_at) != old
        return with_learned(saved, new) if changed else saved

    for _ in range(1 if writer.writes_alone else _LOOKS):
        async with writer.exclusive:
            said = await said_of(store.rows, user_id)
            saved = await change_user(sessions, turns, user_id, learn)
        if not changed:
            break
    return saved


def _now() -> datetime:
    return datetime.now(timezone.utc)
