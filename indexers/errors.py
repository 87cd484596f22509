"""Errors raised by the engines.

They are separate from ``bruno_memory_vec.errors`` because the engines import nothing from that
package. Its docstring shows the whole tree of errors.
"""

from __future__ import annotations

from bruno_core.utils import exceptions as bruno


def sentences(problem: str, fix: str) -> str:
    """What happened, then what to do. What a problem quotes may end with a full stop of its own."""
    ended = problem if problem.endswith("...") else f"{problem.removesuffix('.')}."
    return f"{ended} {fix}"


class EngineError(bruno.MemoryError):
    """An engine could not do what it was asked.

    Attributes:
        engine: which engine ("lancedb", "tantivy", ...).
        operation: what it was doing ("open", "add", "search", ...).
        fix: what the caller can do about it.
    """

    def __init__(
        self,
        engine: str,
        operation: str,
        problem: str,
        *,
        fix: str,
        cause: Exception | None = None,
    ) -> None:
        self.engine = engine
        self.operation = operation
        self.fix = fix
        super().__init__(f"{engine} failed to {operation}: {sentences(problem, fix)}", cause=cause)


class BackendUnavailable(EngineError):
    """The engine cannot be reached: a server is down, a folder cannot be read or written."""


class IndexDamaged(EngineError):
    """An index on disk cannot be read. A derived one is rebuilt from the rows."""
