"""The files of a Tantivy folder: which belong to the index, and whether they are as written.

Tantivy ends each file of a segment with a checksum, which it does not compare when it opens one.
``meta.json`` names the segments of the last commit. A process that is killed amid a commit leaves
files that it does not name, and Tantivy fails on these when it comes to write files of the same
name.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..private import make_private_folder

#: Names the segments of the last commit.
META = "meta.json"

_MANAGED, _LOCKS = ".managed.json", ".tantivy-"
# The parts of a segment that every one has.
_PARTS = ("idx", "pos", "term", "fast", "fieldnorm", "store")
# A file ends with JSON, the JSON's length, and this number.
_END, _MAGIC = struct.Struct("<II"), 1337
_LONGEST_JSON = 4096
_PART = 2**20


def damage(folder: Path, *, largest: int | None = None) -> str | None:
    """What is wrong with an index; None if nothing is, or the folder holds none.

    Args:
        folder: the index's.
        largest: read no file of more bytes than this; None to read all.

    Raises:
        OSError: a file may not be read.
    """
    try:
        named = _named(folder)
        for name in sorted(named):
            with open(folder / name, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if (largest is None or size <= largest) and not _is_whole(file, size):
                    return f"{name} is not as it was written"
    except FileNotFoundError as error:
        if not (folder / META).exists():
            return f"it has no {META}" if _others(folder) else None
        return f"{Path(str(error.filename)).name} is missing"
    except (IsADirectoryError, NotADirectoryError) as error:
        return str(error)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"its {META} cannot be read: {error}"
    return None


def size(folder: Path) -> int:
    """The bytes of the largest file."""
    with suppress(OSError), os.scandir(folder) as entries:
        return max((entry.stat().st_size for entry in entries), default=0)
    return 0


def sweep(folder: Path) -> None:
    """Remove the files that no commit names. The caller is the only writer.

    Raises:
        OSError: one cannot be removed.
    """
    try:
        named = _named(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # damaged, which damage() tells
    for name in _others(folder):
        if name not in named:
            (folder / name).unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Make the folder empty, or make it.

    Raises:
        OSError: it cannot be removed or made.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
    make_private_folder(folder)


def _named(folder: Path) -> set[str]:
    """The files of the last commit's segments."""
    meta: dict[str, Any] = json.loads((folder / META).read_text(encoding="utf-8"))
    names: set[str] = set()
    for segment in meta["segments"]:
        stem = segment["segment_id"].replace("-", "")
        names.update(f"{stem}.{part}" for part in _PARTS)
        if segment["deletes"] is not None:
            names.add(f"{stem}.{int(segment['deletes']['opstamp'])}.del")
    return names


def _others(folder: Path) -> list[str]:
    """The names in a folder, but for those that every index has."""
    own = (META, _MANAGED)
    with suppress(FileNotFoundError):
        return [
            name for name in os.listdir(folder) if name not in own and not name.startswith(_LOCKS)
        ]
    return []


def _is_whole(file: Any, size: int) -> bool:
    """Whether an open file has the checksum that it ends with."""
    if size < _END.size:
        return False
    file.seek(size - _END.size)
    length, magic = _END.unpack(file.read(_END.size))
    if magic != _MAGIC or length > min(_LONGEST_JSON, size - _END.size):
        return False
    left = size - _END.size - length
    file.seek(left)
    try:
        written = json.loads(file.read(length))["crc"]
    except (ValueError, KeyError, TypeError):
        return False
    file.seek(0)
    crc = 0
    while left:
        part = file.read(min(_PART, left))
        if not part:
            return False
        crc = zlib.crc32(part, crc)
        left -= len(part)
    return bool(crc == written)
