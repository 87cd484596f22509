"""A projection of a user's: whatever it raises is an error that names it, and stops nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from bruno_memory_vec.errors import EngineError, InvalidInputError
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.writing.projections import (
    Change,
    Problem,
    Progress,
    Projection,
    RowFacts,
    Standing,
)

T = TypeVar("T")

_METHODS = ("standing", "before", "apply", "settle", "catch_up", "compare", "health", "close")
# What health() has under these names.
_TAKEN = frozenset(
    "status url read_only embedder profile maintenance problems "
    "rows lexical sessions users writer embedding_cache held_words".split()
)


def checked(field: str, projections: Any) -> tuple[Projection, ...]:
    """Projections that have all methods, and a name of their own each.

    Raises:
        InvalidInputError: one has not.
    """
    fix = "Give a list of objects with the methods of writing.projections.Projection."
    try:
        found = tuple(projections)
    except TypeError as error:
        raise InvalidInputError(
            field, f"is a {type(projections).__name__}", fix=fix, cause=error
        ) from error
    names: set[str] = set()
    for one in found:
        missing = [method for method in _METHODS if not callable(getattr(one, method, None))]
        if missing:
            raise InvalidInputError(
                field, f"a {type(one).__name__} has no method {missing[0]}", fix=fix
            )
        name = getattr(one, "name", None)
        if not isinstance(name, str) or not name.strip():
            raise InvalidInputError(field, f"a {type(one).__name__} has no name", fix=fix)
        if name in _TAKEN or name in names:
            raise InvalidInputError(
                field, f"the name {name!r} is taken", fix="Give each a name of its own."
            )
        names.add(name)
    return found


class Guarded:
    """Calls a projection, and gives what it raises our shape, its own ``CancelledError`` too."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self.name = projection.name

    async def standing(self) -> Standing:
        """As of :class:`Projection`."""
        return await self._call("tell where it stands", self._projection.standing())

    async def before(self, change: Change) -> None:
        """As of :class:`Projection`."""
        await self._call("prepare for a commit", self._projection.before(change))

    async def apply(self, change: Change) -> None:
        """As of :class:`Projection`."""
        await self._call("follow a commit", self._projection.apply(change))

    async def settle(self) -> bool:
        """As of :class:`Projection`."""
        return await self._call("settle", self._projection.settle())

    async def catch_up(self, rows: RowIndex, progress: Progress | None) -> Sequence[int]:
        """As of :class:`Projection`."""
        return await self._call("catch up", self._projection.catch_up(rows, progress))

    async def compare(self, facts: RowFacts, stood: Standing) -> Sequence[Problem]:
        """As of :class:`Projection`."""
        return await self._call("be compared", self._projection.compare(facts, stood))

    async def health(self) -> dict[str, Any]:
        """As of :class:`Projection`."""
        return await self._call("tell of its health", self._projection.health())

    async def close(self) -> None:
        """As of :class:`Projection`."""
        await self._call("close", self._projection.close())

    async def _call(self, operation: str, call: Awaitable[T]) -> T:
        # A task of its own: awaited here, a CancelledError of the projection's would look like one
        # of the caller's, and stop the writer.
        task = asyncio.ensure_future(call)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # looked at, or asyncio says that nobody did
            raise
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled():
            return task.result()
        if error is not None and not isinstance(error, Exception):
            raise error
        text = "nobody had cancelled it" if error is None else str(error) or type(error).__name__
        raise EngineError(
            self.name,
            operation,
            text,
            fix="Mend this projection: it follows the rows before the next write, or when the "
            "store is opened again.",
            cause=error,
        ) from error
