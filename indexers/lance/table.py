"""LanceDB and its table as we use them: opened in our way, failing in our way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import BackendUnavailable, EngineError


def import_lancedb() -> Any:
    """LanceDB, with the parts of it that are used. The first time takes a second or two."""
    import lancedb
    import lancedb.index
    import lancedb.query

    return lancedb


def unborn(path: str, table: str) -> bool:
    """Whether a table's maker was killed before its first commit, so that it never was one."""
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
    """Give every failure of LanceDB our shape."""
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
# LanceDB ends its messages with the place in its own source.
_SOURCE_PLACE = re.compile(r",? */\S+\.rs:\d+:\d+$")

# How the Rust of LanceDB fails on files that are not what it wrote.
_PANICS = ("PanicException", "RustPanic")
_UNAVAILABLE = (
    "no space",
    "permission denied",
    "read-only file system",
    "quota",
    "file too large",
    "too many open files",
)
