"""Marking all hot context of a closed store, for a repair of its rows."""

from __future__ import annotations

from pathlib import Path

from bruno_memory_vec.sessions.sqlite_connection import connect, errors


async def mark_all_stale(path: Path) -> None:
    """Say that no conversation's hot messages are true any more: each is read from the rows again.

    Hold the writer's lock. Does nothing where there is no file, or nothing in it yet.

    Args:
        path: the file of the sessions.

    Raises:
        BackendUnavailable: it cannot be written, or is damaged.
    """
    if not path.exists():  # noqa: ASYNC240  # one look at a local file
        return
    with errors("mark all conversations", str(path)):
        connection = await connect(str(path), read_only=False)
        try:
            await connection.execute("PRAGMA busy_timeout = 5000")
            ((version,),) = await connection.execute_fetchall("PRAGMA user_version")
            if version > 0:
                await connection.execute("UPDATE conversations SET stale = stale + 1")
                await connection.commit()
        finally:
            await connection.close()
