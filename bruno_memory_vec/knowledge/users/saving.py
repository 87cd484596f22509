"""Changes of a user's saved profile, each made of what is saved: none is lost."""

from __future__ import annotations

from collections.abc import Callable

from bruno_core.models.context import UserContext

from bruno_memory_vec.knowledge.turns import Turns
from bruno_memory_vec.sessions.protocol import ChangesUsers, SessionStore


async def change_user(
    sessions: SessionStore,
    turns: Turns,
    user_id: str,
    change: Callable[[UserContext], UserContext],
) -> UserContext:
    """Change a user's profile as it is saved, and return it.

    Where several processes write, the session store sees to it that none of their changes is lost;
    else the changes of this one take turns.

    Args:
        sessions: where it is saved.
        turns: lets changes of one user take turns.
        user_id: whose.
        change: makes the new one of the saved one; the same object to leave it as it is. It may be
            called several times.
    """

    def changed(saved: UserContext | None) -> UserContext | None:
        before = UserContext(user_id=user_id) if saved is None else saved
        after = change(before)
        return None if after is before else after

    async with turns.of(user_id):
        if isinstance(sessions, ChangesUsers):
            saved = await sessions.change_user(user_id, changed)
        else:
            saved = await sessions.user(user_id)
            after = changed(saved)
            if after is not None:
                await sessions.save_user(after)
                saved = after
    return UserContext(user_id=user_id) if saved is None else saved
