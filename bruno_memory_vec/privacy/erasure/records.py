"""The user's names in a store's own records: the last maintenance, and what repairs gave up.

What was lost or wrong stays there; whose it was, and where, goes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

from bruno_memory_vec.store.manifest import HOLDER
from bruno_memory_vec.store.store import Store

#: Stands where something named the user.
WITHHELD: Final = "withheld: it named a user who was forgotten"

_NAMES = ("user_id", "conversation_id", "id", "turn")


async def withhold(store: Store, user_id: str, conversations: Collection[str]) -> int:
    """Take a user's names out of a store's records, on disk and in memory.

    Args:
        store: the open store.
        user_id: who.
        conversations: the user's.

    Returns:
        How many entries were changed.

    Raises:
        BackendUnavailable: a file cannot be written.
    """
    names = naming(user_id, conversations)
    changed = 0
    if store.writer is not None:
        problems = store.writer.problems
        for name in [name for name, text in problems.items() if names(text)]:
            problems[name] = WITHHELD
            changed += 1
    if store.record is not None:

        def change(entry: Any) -> Any:
            nonlocal changed
            entry, gone = _of_others(entry, user_id)
            entry, named = without(entry, names)
            changed += gone + named
            return entry

        await store.record.change(change)
    return changed


def sweep(folder: Path) -> int:
    """Remove what a killed process has half written beside files of a store that is open to write.

    That are files whose names end with ``.new`` and that are older than this opening; what is being
    written now is younger.

    Raises:
        OSError: one cannot be removed.
    """
    try:
        opened = (folder / HOLDER).stat().st_mtime_ns
    except FileNotFoundError:
        return 0
    swept = 0
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if name.endswith(".new") and path.stat().st_mtime_ns < opened:
                path.unlink(missing_ok=True)
                swept += 1
    return swept


def naming(user_id: str, conversations: Collection[str]) -> Callable[[str], bool]:
    """Tells whether a text names a user, or one of the user's conversations in quotes."""
    whole = re.compile(rf"(?<![\w.@-]){re.escape(user_id)}(?![\w@-])")
    quoted = [repr(name) for name in (user_id, *conversations)]

    def names(text: str) -> bool:
        return whole.search(text) is not None or any(one in text for one in quoted)

    return names


def without(value: Any, names: Callable[[str], bool]) -> tuple[Any, int]:
    """A JSON value without what names the user, and how many texts were taken out."""
    if isinstance(value, str):
        return (WITHHELD, 1) if names(value) else (value, 0)
    if isinstance(value, list):
        parts = [without(one, names) for one in value]
        return [one for one, _ in parts], sum(count for _, count in parts)
    if isinstance(value, dict):
        told = {key: without(one, names) for key, one in value.items()}
        return {key: one for key, (one, _) in told.items()}, sum(n for _, n in told.values())
    return value, 0


def _of_others(value: Any, user_id: str) -> tuple[Any, int]:
    """Rows that were lost keep their number; of the user's, names and places go."""
    if isinstance(value, list):
        parts = [_of_others(one, user_id) for one in value]
        return [one for one, _ in parts], sum(count for _, count in parts)
    if not isinstance(value, dict):
        return value, 0
    if value.get("user_id") == user_id:
        return {key: None if key in _NAMES else one for key, one in value.items()}, 1
    told = {key: _of_others(one, user_id) for key, one in value.items()}
    return {key: one for key, (one, _) in told.items()}, sum(count for _, count in told.values())
