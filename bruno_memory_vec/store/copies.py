"""The copies of a store that the library has made, so that an erasure can reach or name them.

A line of ``erasure/copies.jsonl`` each: what it is, where, and when it was made. It holds nothing
of what is stored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, Literal

from bruno_memory_vec.indexers.private import FILE, NO_LINK, make_private_folder
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.store.files import replace_file
from bruno_memory_vec.store.record import ERASURE

_log = get_logger(__name__)

#: The file in the folder ``erasure/`` of a store.
COPIES: Final = "copies.jsonl"

#: A store like this one; files of the library's own format; another store, or an export.
Kind = Literal["snapshot", "backup", "copy"]


@dataclass(frozen=True, slots=True)
class KnownCopy:
    """A copy of a store.

    Attributes:
        kind: "snapshot" (a store like any other), "backup", or "copy" (in another store).
        place: its folder, file or URL, without secrets.
        at: when it was last written, ISO 8601, UTC.
    """

    kind: str
    place: str
    at: str


def note_copy(folder: Path, kind: Kind, place: str | Path) -> None:
    """Note that a copy of the store in a folder was made. A failure is logged, and stops nothing.

    Args:
        folder: the store's.
        kind: what the copy is.
        place: where it is; of a URL its secrets are left out.
    """
    where = os.path.normpath(place) if isinstance(place, Path) else masked(place)
    line = json.dumps(asdict(KnownCopy(kind, where, datetime.now(timezone.utc).isoformat())))
    path = folder / ERASURE / COPIES
    try:
        make_private_folder(path.parent)
        # Added at its end: another process, which writes to the store, may note one, too.
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_LINK, FILE)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)
    except OSError as error:
        _log.warning("copy_not_noted", place=where, error=str(error))


def known_copies(folder: Path) -> list[KnownCopy]:
    """The copies that are known, each place once, the oldest first. Lines that are none are left.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        lines = (folder / ERASURE / COPIES).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found: dict[str, KnownCopy] = {}
    for line in lines:
        try:
            one = KnownCopy(**json.loads(line))
        except (ValueError, TypeError):
            continue
        found[one.place] = one
    return list(found.values())


def forget_copies(folder: Path, places: Iterable[str]) -> None:
    """Note copies no more, such as those that are not there any longer.

    Raises:
        OSError: the file cannot be written.
    """
    gone = set(places)
    left = [one for one in known_copies(folder) if one.place not in gone]
    text = "".join(f"{json.dumps(asdict(one))}\n" for one in left)
    replace_file(folder / ERASURE / COPIES, text.encode())
