"""What a shell proposes for a word that is being typed: users, conversations, profiles, formats.

Nothing here may fail or be slow: a store is not opened for it.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import typer


def users(ctx: typer.Context, incomplete: str) -> list[str]:
    """Users of the store that the command line names so far."""
    from bruno_memory_vec.store.quick_names import quick_users

    folder = _folder(ctx)
    return [] if folder is None else _typable(quick_users(folder, incomplete))


def conversations(ctx: typer.Context, incomplete: str) -> list[str]:
    """Conversations of that store, and of the user if one is named."""
    from bruno_memory_vec.store.quick_names import quick_conversations

    folder = _folder(ctx)
    if folder is None:
        return []
    return _typable(quick_conversations(folder, incomplete, ctx.params.get("user")))


def profiles(incomplete: str) -> list[str]:
    """The profiles that come with the package."""
    place = resources.files("bruno_memory_vec") / "recall" / "profiles"
    names = [one.name.removesuffix(".toml") for one in place.iterdir() if ".toml" in one.name]
    return sorted(name for name in names if name.startswith(incomplete))


def _folder(ctx: typer.Context) -> Path | None:
    from bruno_core.utils.exceptions import BrunoError

    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.store.manifest import folder_of

    store: Any = ctx.params.get("store")
    try:
        return folder_of(MemoryConfig.build(**({} if store is None else {"url": store})).url)
    except BrunoError:
        return None  # a setting is wrong: the command itself will say so


def _typable(names: list[str]) -> list[str]:
    # A name with a line's end or an escape in it would be typed into the shell.
    return [name for name in names if name.isprintable()]
