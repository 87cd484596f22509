"""Files and folders for their owner only, whatever the umask, and no planted links.

LanceDB, Tantivy and SQLite make their files themselves, with the rights that the process's umask
leaves. Where the file system has access control lists (Linux), a folder says by its default list
what its new files and folders get. Elsewhere their folder keeps others out, and :func:`tighten`
takes the rights from what was made so far.
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress
from pathlib import Path

#: The rights of files and of folders.
FILE, FOLDER = 0o600, 0o700
_OTHERS = 0o077
# On Windows a link needs a right of its own.
NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)

# A list for all that will be made in a folder (acl(5)): the owner all, group and others nothing.
_DEFAULT_LIST = "system.posix_acl_default"
_OWNER_ONLY = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", who, rights, 0xFFFFFFFF) for who, rights in ((1, 7), (4, 0), (32, 0))
)


def make_private_folder(folder: Path) -> None:
    """Make a folder for its owner only, and those above it. One that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    for above in [*reversed(folder.parents), folder]:
        if above.is_dir():
            continue
        try:
            above.mkdir(mode=FOLDER)
        except FileExistsError:
            if not above.is_dir():
                raise
            continue  # another process has made it just now
        os.chmod(above, FOLDER)  # the umask may have taken the owner's own rights
        if hasattr(os, "setxattr"):
            with suppress(OSError):  # not every file system has such lists
                os.setxattr(above, _DEFAULT_LIST, _OWNER_ONLY)


def make_private_file(path: Path) -> None:
    """Make an empty file for its owner only; one that is there stays as it is.

    Raises:
        OSError: it cannot be made, or a link stands in its place.
    """
    refuse_link(path)
    if path.exists():
        return
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | NO_LINK, FILE)
    os.close(handle)


def refuse_link(path: Path) -> None:
    """Refuse to write to a file through a link in its place.

    Raises:
        OSError: a link is there.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, f"{path} is a link, and what it names is not to be changed")


def tighten(folder: Path) -> None:
    """Take the rights of others from all that is in a folder; links are not followed.

    What cannot be changed, because it is another user's or gone, stays as it is.
    """
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            with suppress(OSError):
                status = os.lstat(path)
                # A link has all rights, and they mean nothing.
                if status.st_mode & _OTHERS and not os.path.islink(path):
                    os.chmod(path, status.st_mode & 0o7777 & ~_OTHERS)
