"""Small files of a store: private, written whole, and never through a planted link.

What stands at a path may be a link that somebody has put there. So a file is written anew, beside
the old one, and takes its place in one step, which replaces a link and not what it names.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

#: Files are for their owner only, whatever the umask.
MODE = 0o600
#: So are the folders.
FOLDER_MODE = 0o700
# Not on Windows, where a link needs a right of its own.
NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
_BINARY: int = getattr(os, "O_BINARY", 0)


def make_folder(folder: Path) -> None:
    """Make a folder for its owner only, and those above it; one that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return  # made by another process just now
    os.chmod(folder, FOLDER_MODE)  # the umask may have taken the owner's own rights


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
    handle = os.open(fresh, flags, MODE)
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
