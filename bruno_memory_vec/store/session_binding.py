"""Which sessions belong to which rows, where the two are in different places.

Rows on a server can be reached from many machines, and sessions in SQLite are on one. So the rows
name their sessions, and the sessions their rows: another machine with its own sessions would number
rows and turns that are numbered already.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from bruno_memory_vec.errors import BackendUnavailable, StoreError
from bruno_memory_vec.sessions.choice import folder_of_sessions
from bruno_memory_vec.store.files import replace_file
from bruno_memory_vec.store.manifest import unwritable

FILE = "rows.json"
#: What names sessions that many processes share.
SHARED = "shared"
#: What names sessions in memory: they are gone with their process.
IN_MEMORY = "memory"


def name_of_sessions(url: str, name: str, rows: str) -> str:
    """The name under which a session store has the sessions of some rows.

    In Redis it is these rows' alone: stores of one name on two servers, or in two folders, may have
    their sessions in one Redis.

    Args:
        url: of the session store.
        name: the store's name.
        rows: identifies its rows.
    """
    return name if folder_of_sessions(url) is not None else f"{name}.{rows}"


async def bound(url: str, name: str, rows: str) -> str:
    """What names the sessions at a URL, which belong to these rows from now on.

    Args:
        url: of the sessions, which are open to write.
        name: the store's name.
        rows: identifies its rows.

    Raises:
        StoreError: they belong to other rows.
        BackendUnavailable: their folder cannot be read or written.
    """
    folder = folder_of_sessions(url)
    if folder is None:
        return SHARED if url.split("://")[0].lower() not in _OF_SQLITE else IN_MEMORY
    return await asyncio.to_thread(_in_folder, folder / quote(name, safe=""), rows)


_OF_SQLITE = ("sqlite", ":memory:")


def _in_folder(folder: Path, rows: str) -> str:
    path = folder / FILE
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        if known is None:
            known = {"sessions": uuid4().hex, "rows": rows}
            replace_file(path, json.dumps(known).encode())
    except OSError as error:
        raise unwritable(folder, error) from error
    except ValueError as error:
        raise BackendUnavailable(
            "folder", "open", f"{path}: {error}", fix="Restore it from a backup.", cause=error
        ) from error
    if known.get("rows") != rows:
        raise StoreError(
            f"the sessions in {folder} belong to other rows",
            fix="Name another folder with the setting sessions; or move this one away, and "
            "sessions begin anew from the rows.",
        )
    return str(known.get("sessions"))
