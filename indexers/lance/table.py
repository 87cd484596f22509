"""Opening LanceDB and its table, and turning its failures into our errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import BackendUnavailable, EngineError
from .rest_client import put_off_rest_client

#: LanceDB names the manifest of version n by 2**64 - 1 - n, so that the newest is listed first.
NEWEST_NAME = 2**64 - 1


def import_lancedb() -> Any:
    """Import LanceDB and the parts of it that are used. The first time takes about a second."""
    put_off_rest_client()
    import lancedb
    import lancedb.index
    import lancedb.query

    return lancedb


def refuse_links(path: str, table: str) -> None:
    """Refuse to write where a link stands for the database's folder or the table's.

    Raises:
        BackendUnavailable: a link is there. What it names was not touched.
    """
    for folder in (Path(path), Path(path) / f"{table}.lance"):
        if folder.is_symlink():
            raise BackendUnavailable(
                "lancedb",
                "open",
                f"{folder} is a link",
                fix="Move what it names to its place. A whole store may be moved, or be a link.",
            )


def unborn(path: str, table: str) -> bool:
    """Whether a table has no commit: the process that made it was killed before the first one."""
    folder = Path(path) / f"{table}.lance"
    return not any(folder.glob("_versions/*.manifest")) and not any(folder.glob("data/*"))


def no_rows(path: str) -> BackendUnavailable:
    """The error of a reader that finds nothing to read."""
    return BackendUnavailable(
        "lancedb",
        "open",
        f"there are no rows in {path}",
        fix="Open the store once without read_only.",
    )


@contextmanager
def errors(operation: str, path: str) -> Iterator[None]:
    """Turn every failure of LanceDB into an :class:`EngineError`."""
    try:
        yield
    except EngineError:
        raise
    except BaseException as error:
        known = isinstance(error, (RuntimeError, ValueError, OSError, TypeError, KeyError))
        if not known and type(error).__name__ not in _PANICS:
            raise
        cause = error if isinstance(error, Exception) else None
        problem = _SOURCE_PLACE.sub("", str(error)).rstrip(" ,.")[:_LONGEST_PROBLEM]
        lowered = problem.lower()
        if any(word in lowered for word in _UNAVAILABLE):
            raise BackendUnavailable(
                "lancedb",
                operation,
                problem,
                fix=f"Check that {path} has free space and may be read and written.",
                cause=cause,
            ) from error
        raise EngineError(
            "lancedb",
            operation,
            problem,
            fix="Run `bruno-memory-vec doctor` on the store.",
            cause=cause,
        ) from error


# LanceDB repeats the whole statement, which may name thousands of rows.
_LONGEST_PROBLEM = 500
# LanceDB ends its messages with a file and line of its own source.
_SOURCE_PLACE = re.compile(r",? */\S+\.rs:\d+:\d+$")

# The exceptions of a Rust panic, which LanceDB raises on files that it did not write.
_PANICS = ("PanicException", "RustPanic")
_UNAVAILABLE = (
    "no space",
    "permission denied",
    "read-only file system",
    "quota",
    "file too large",
    "too many open files",
)
