"""Whether a copy, a restore or an import into a store's folder is at its end (``copying.json``).

What is copied can be read as soon as it is there, and a copy that was killed goes on with the same
command. Until it has, the store has only a part of the rows, and nothing else would say so.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

from bruno_memory_vec.store.manifest import write_whole

FILE = "copying.json"


def begin(folder: Path) -> None:
    """Note that a copy is under way. One that was killed before keeps its time.

    Raises:
        BackendUnavailable: the folder cannot be written.
    """
    if begun_at(folder) is None:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        write_whole(folder / FILE, json.dumps({"begun_at": now}))


def end(folder: Path) -> None:
    """Note that it is at its end."""
    (folder / FILE).unlink(missing_ok=True)


def begun_at(folder: Path) -> str | None:
    """When the copy began that is not at its end; None where there is none."""
    try:
        said = json.loads((folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return "at a time that is not known"
    found = said.get("begun_at") if isinstance(said, dict) else None
    return found if isinstance(found, str) else "at a time that is not known"


def problem(folder: Path) -> tuple[str, str] | None:
    """What is to be told of it, and what to do; None where there is nothing."""
    begun = begun_at(folder)
    if begun is None:
        return None
    return (
        f"a copy, restore or import into this store, begun {begun}, is not at its end: rows may be "
        "missing",
        f"Run the same command again; if that is not to be, delete {folder / FILE}.",
    )
