"""Erasing: nothing of what was deleted or replaced stays in any file of the store."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from bruno_memory_vec.indexers.aio import LoopLock, to_its_end
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import Erases, RowIndex
from bruno_memory_vec.writing.projections import Projections

#: At rest, erasing waits for so many seconds after a deletion, so that it is done once for many.
DELAY = 30.0
#: And for so many times as long as the last erasure took, so that it takes a hundredth of the time.
TIMES_AS_LONG = 100.0
#: While rows are written all the time, it waits for so many times as long as at rest.
BUSY = 10.0
#: But never longer than a day.
LONGEST = 86_400.0


@runtime_checkable
class ErasingProjection(Protocol):
    """A projection that keeps what was deleted in its files, until it is erased."""

    async def has_erasable(self) -> bool:
        """Whether there is something to erase of which the rows do not know."""
        ...

    async def erase(self, rows: RowIndex, exclusive: LoopLock, *, deleted: bool) -> None:
        """Let no file hold what was deleted or replaced.

        Args:
            rows: the rows.
            exclusive: while it is held, the rows do not change. Hold it shortly.
            deleted: rows were deleted or replaced since the last time.
        """
        ...


@runtime_checkable
class ForgettingProjection(Protocol):
    """A projection that keeps something of users besides what is in their rows."""

    async def forget_user(self, user_id: str) -> None:
        """Begin nothing more about a user, and return when what is under way has ended.

        It is called before the user's rows are deleted, and once more after it. Rows may be
        written meanwhile.
        """
        ...


def delay(last: float, *, at_rest: bool) -> float:
    """How many seconds to wait before erasing in the background.

    Args:
        last: how long the last erasure took, in seconds.
        at_rest: nothing was written for a while.
    """
    return min(LONGEST, max(DELAY, TIMES_AS_LONG * last) * (1.0 if at_rest else BUSY))


async def some_has_erasable(projections: Projections) -> bool:
    """Whether a projection has something to erase of which the rows do not know."""
    for projection in projections:
        if isinstance(projection, ErasingProjection) and await projection.has_erasable():
            return True
    return False


async def erase(rows: RowIndex, projections: Projections, exclusive: LoopLock) -> None:
    """Erase what was deleted or replaced, first from the projections.

    The rows remember that there is something to erase until they are done themselves, so a
    process that is killed halfway leaves it to the next one.

    Raises:
        EngineError: something was not erased.
    """
    erases = capability(rows, Erases)
    deleted = erases is not None and erases.erasable_since is not None
    for projection in projections:
        if isinstance(projection, ErasingProjection):
            await to_its_end(projection.erase(rows, exclusive, deleted=deleted))
    if erases is not None and deleted:
        await to_its_end(erases.erase())
