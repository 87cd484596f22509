"""The user's names in a store's own records: the last maintenance, and what repairs gave up.

What was lost or wrong stays there; whose it was, and where, goes.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

from bruno_memory_vec.store.files import replace_file
from bruno_memory_vec.store.manifest import folder_of, unwritable
from bruno_memory_vec.store.record import FILE, LOSSES
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
    folder = folder_of(store.config.url)
    if folder is not None:
        store.check()
        try:
            changed += await asyncio.to_thread(_in_files, folder, user_id, names)
        except OSError as error:
            raise unwritable(folder, error) from error
    return changed


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


def _in_files(folder: Path, user_id: str, names: Callable[[str], bool]) -> int:
    return _in_maintenance(folder / FILE, names) + _in_losses(folder / LOSSES, user_id, names)


def _in_maintenance(path: Path, names: Callable[[str], bool]) -> int:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0
    record, changed = without(record, names)
    if changed:
        replace_file(path, json.dumps(record, indent=2).encode())
    return changed


def _in_losses(path: Path, user_id: str, names: Callable[[str], bool]) -> int:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return 0
    changed, kept = 0, []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            kept.append(line)
            continue
        entry, gone = _of_others(entry, user_id)
        entry, named = without(entry, names)
        changed += gone + named
        kept.append(json.dumps(entry) if gone + named else line)
    if changed:
        replace_file(path, "".join(f"{line}\n" for line in kept).encode())
    return changed


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
