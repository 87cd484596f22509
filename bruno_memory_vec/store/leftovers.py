"""Files in a store's folder that nothing reads any more, and that may hold what was deleted since.

Damaged files that were set aside, and rows of another embedder: those of a re-embedding that has
not ended, and those that could not be removed after one.
"""

from __future__ import annotations

import os
from pathlib import Path

from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.indexers.lance.recovery import ASIDE
from bruno_memory_vec.store import manifest, moves

# What is set aside has this in its name, or lies in a folder of the name ASIDE.
_DAMAGED = ".damaged"


def set_aside(folder: Path) -> list[Path]:
    """The files of a store that were set aside because they are damaged."""
    found = []
    for place, _, names in os.walk(folder):
        within = Path(place)
        aside = ASIDE in within.relative_to(folder).parts
        found += [within / name for name in names if aside or _DAMAGED in name]
    return sorted(found)


def present(folder: Path) -> bool:
    """Whether there is any file of the kinds that this module is about."""
    if set_aside(folder):
        return True
    found = manifest.read(folder)
    if found is None:
        return False
    return moves.begun(folder, found) is not None or bool(moves.left_over(folder, found))


def remove_set_aside(folder: Path) -> list[Path]:
    """Delete what was set aside. Returns the files.

    Raises:
        BackendUnavailable: a file cannot be deleted.
    """
    found = set_aside(folder)
    for path in found:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise BackendUnavailable(
                "folder",
                "delete what was set aside",
                f"{path}: {error.strerror or error}",
                fix="It may hold what was deleted from the store: delete it.",
                cause=error,
            ) from error
    return found
