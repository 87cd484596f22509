"""The last act of a migration: what was made beside a store takes its place.

A migration makes everything in the folder ``.migration`` of the store, and verifies it there. Until
then the store is untouched, and what a killed process leaves there is removed. The switch is one
write of ``store.json``: from then on it names what is to be moved where, under a format that no
version reads, so that an older version, which knows nothing of this, refuses the store and does not
open half of it. The moves may be done again after a kill; the last one is ``store.json`` as it will
be. So a store is the old one before that write, and the new one after it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bruno_memory_vec._version import __version__
from bruno_memory_vec.errors import NotAStoreError
from bruno_memory_vec.indexers.durable import sync_folder
from bruno_memory_vec.store import manifest

#: The folder in which a migration works.
STAGING = ".migration"
#: The key of ``store.json`` that says what is still to be moved.
KEY = "migrating"
#: The format of a store whose migration has not ended: newer than any.
BETWEEN = 10**6


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A switch that was begun.

    Attributes:
        final: ``store.json`` as it will be.
        drops: what is removed first, by its path in the store.
        moves: what is moved then, from where and to where, by paths in the store.
        leaves: what is removed when all is done: the old rows.
    """

    final: Mapping[str, Any]
    drops: Sequence[str]
    moves: Sequence[tuple[str, str]]
    leaves: Sequence[str]

    @property
    def to(self) -> int:
        """The format that the store will have."""
        return int(self.final["schema"])


def unfinished(folder: Path) -> Unfinished | None:
    """The switch that a killed process has left in a store; None where there is none.

    Raises:
        NotAStoreError: ``store.json`` was changed by hand.
    """
    try:
        data = json.loads((folder / manifest.FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # who opens it says what is wrong
    if not isinstance(data, dict) or KEY not in data:
        return None
    try:
        said = data[KEY]
        found = Unfinished(
            dict(said["final"]),
            [_inside(name) for name in said["drops"]],
            [(_inside(one), _inside(other)) for one, other in said["moves"]],
            [_inside(name) for name in said["leaves"]],
        )
        found.to  # noqa: B018 - it has to be a number
        return found
    except (KeyError, TypeError, ValueError) as error:
        raise NotAStoreError(
            f"{folder / manifest.FILE} was changed by hand or damaged: {error}",
            fix="Restore it from a snapshot or a backup; the other files of the store are not "
            "touched.",
            cause=error,
        ) from error


def _inside(name: str) -> str:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"{name!r} is not in the store")
    return name


def switch(folder: Path, what: Unfinished) -> None:
    """Let the store be the new one. The caller holds its lock, and the new files are synced.

    Raises:
        BackendUnavailable: the folder cannot be written; what was moved then is moved by
            :func:`finish`.
    """
    between = {
        "format": what.final["format"],
        "schema": BETWEEN,
        "written_by": __version__,
        KEY: {
            "final": dict(what.final),
            "drops": list(what.drops),
            "moves": [list(move) for move in what.moves],
            "leaves": list(what.leaves),
        },
    }
    manifest.write_whole(folder / manifest.FILE, json.dumps(between, indent=2))
    finish(folder, what)


def finish(folder: Path, what: Unfinished) -> None:
    """Do the moves of a switch that was begun, from wherever it was stopped.

    Raises:
        BackendUnavailable: the folder cannot be written.
    """
    try:
        for name in what.drops:
            _remove(folder / name)
        for one, other in what.moves:
            if (folder / one).exists():
                _remove(folder / other)
                os.rename(folder / one, folder / other)
        sync_folder(folder)
    except OSError as error:
        raise manifest.unwritable(folder, error) from error
    manifest.write_whole(folder / manifest.FILE, json.dumps(what.final, indent=2))
    try:
        sync_folder(folder)
        for name in what.leaves:
            _remove(folder / name)
        _remove(folder / STAGING)
    except OSError as error:
        raise manifest.unwritable(folder, error) from error


def roll_back(folder: Path) -> bool:
    """Remove what a migration has left that did not come to its switch; returns whether it did.

    Raises:
        BackendUnavailable: it cannot be removed.
    """
    try:
        present = (folder / STAGING).exists() or (folder / STAGING).is_symlink()
        _remove(folder / STAGING)
    except OSError as error:
        raise manifest.unwritable(folder, error) from error
    return present


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
