"""LanceDB's failures in our shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import BackendUnavailable, EngineError


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
