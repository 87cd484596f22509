"""Small files of a store: private, written whole, and never through a planted link.

What stands at a path may be a link that somebody has put there. So a file is written anew, beside
the old one, and takes its place in one step, which replaces a link and not what it names.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from bruno_memory_vec.indexers.private import FILE, NO_LINK

_BINARY: int = getattr(os, "O_BINARY", 0)


def replace_file(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file whole: a reader sees the old content or the new one, at any moment.

    Args:
        path: the file. A link in its place is replaced, and what it names is not touched.
        data: the content.
        sync: whether the content is on the disk before it takes its place.

    Raises:
        OSError: it cannot be written. The old file is as it was.

    One caller at a time: who writes to a store holds its lock.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)  # what a killed process has left, or a link
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | _BINARY
    handle = os.open(fresh, flags, FILE)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise
