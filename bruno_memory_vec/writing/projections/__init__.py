"""What is derived from the rows, and how it follows them: the protocol, and the one list.

The rows are the truth. A projection can be rebuilt from them at any time, so it is never in the
way of a write or of an opening: the writer tells it of each change, and where it has missed some,
it catches up. The lexical index and the sessions are the first two. Another one (an audit trail,
say) is an object with these methods, given to ``VectorMemory(projections=[...])``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.rows.models import Row

_log = get_logger(__name__)

T = TypeVar("T")

_NOTHING = np.empty(0, np.int64)


class Progress(Protocol):
    """Told how far long work has come, for a progress bar."""

    def __call__(self, work: str, done: int, total: int) -> None:
        """``done`` of ``total`` rows of ``work`` are through."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """One commit of the rows.

    Attributes:
        last_seq: the largest ``seq`` that the commit has given; None where it gave none.
        table: the rows that were added or put in the place of others, with all their columns;
            None for a deletion.
        rows: the same as the writer has them, in their order.
        removed: int64 (n,), the ``seq`` of rows that are gone, or that others are in place of.
        conversations: those that have lost a message.
    """

    last_seq: int | None = None
    table: pa.Table | None = None
    rows: Sequence[Row] = ()
    removed: NDArray[np.int64] = field(default_factory=_NOTHING.copy)
    conversations: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a projection stands.

    Attributes:
        last_seq: up to which row it has followed, -1 for none.
        count: how many rows it holds; None where it does not hold rows.
    """

    last_seq: int
    count: int | None = None


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What a pass over all rows has found, for projections to be compared with.

    Attributes:
        count: how many rows there are.
        last_seq: the largest ``seq``, -1 for none.
        last_turns: of each conversation, the last turn that a message has.
    """

    count: int
    last_seq: int
    last_turns: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a store, or what upkeep could not do.

    Attributes:
        part: the step or the part of the store.
        found: what is wrong.
        fix: what to do about it.
    """

    part: str
    found: str
    fix: str


class Projection(Protocol):
    """Follows the rows. Calls come one at a time, but for ``health``."""

    @property
    def name(self) -> str:
        """What ``health()`` calls it."""
        ...

    async def standing(self) -> Standing:
        """Where it stands, with what waits in it committed."""
        ...

    async def before(self, change: Change) -> None:
        """A commit is about to be made. What has to hold where the process is killed behind it."""
        ...

    async def apply(self, change: Change) -> None:
        """A commit was made. Blocking work is left for later, or done in a thread."""
        ...

    async def settle(self) -> bool:
        """Bring to the disk what :meth:`apply` left for later; whether more came meanwhile."""
        ...

    async def catch_up(self, rows: RowIndex, progress: Progress | None) -> Sequence[int]:
        """Follow the rows that it has missed, and forget those that are no more.

        Returns:
            The ``seq`` of rows whose columns it had to mend on the way; others are told of them.
        """
        ...

    async def compare(self, facts: RowFacts, stood: Standing) -> Sequence[Problem]:
        """What is wrong with it, as it stood when the rows were read."""
        ...

    async def health(self) -> dict[str, Any]:
        """Figures about it; raises an :class:`EngineError` where it does not work."""
        ...

    async def close(self) -> None:
        """Let go of it. Closing twice does nothing."""
        ...


class Projections:
    """The projections of one store, driven together.

    Args:
        own: those without which a store does not work.
        others: a user's, guarded (``projections.guarded``). What they raise is kept for
            ``health()`` and stops nothing: they catch up before the next write.
    """

    def __init__(self, own: Sequence[Projection], others: Sequence[Projection] = ()) -> None:
        self._own = tuple(own)
        self._others = tuple(others)

    def __iter__(self) -> Iterator[Projection]:
        yield from self._own
        yield from self._others

    async def last_seq(self) -> int:
        """The largest ``seq`` that any of them has heard of, -1 for none."""
        heard = [(await one.standing()).last_seq for one in self._own]
        for one in self._others:
            with suppress(EngineError):
                heard.append((await one.standing()).last_seq)
        return max(heard, default=-1)

    async def before(self, change: Change) -> dict[str, Exception]:
        """Tell all of them that a commit is about to be made. Returns which of a user's failed."""
        for own in self._own:
            await own.before(change)
        failed: dict[str, Exception] = {}
        for one in self._others:
            await _kept(one, one.before(change), failed)
        return failed

    async def apply(self, change: Change) -> dict[str, Exception]:
        """Tell all of them of a commit. Returns what failed, by name: the rows are stored."""
        failed: dict[str, Exception] = {}
        for one in self:
            await _kept(one, one.apply(change), failed)
        return failed

    async def catch_up(
        self, rows: RowIndex, progress: Progress | None = None
    ) -> dict[str, Exception]:
        """Let all of them know of every row, and of no other. Returns which of a user's failed.

        Raises:
            EngineError: an engine failed, or one of them does not hold the rows after a repair.
        """
        for own in self._own:
            await self.rewritten(rows, await own.catch_up(rows, progress), by=own)
        failed: dict[str, Exception] = {}
        for one in self._others:
            given = await _kept(one, one.catch_up(rows, progress), failed)
            await self.rewritten(rows, given or (), by=one)
        return failed

    async def rewritten(
        self, rows: RowIndex, seqs: Sequence[int], by: Projection | None = None
    ) -> None:
        """Tell all but one of rows whose columns have changed in their place."""
        if not seqs:
            return
        table = await rows.read(EVERYONE, RowFilter(), COLUMNS, seqs=seqs)
        change = Change(table=table, removed=np.asarray(seqs, np.int64))
        for own in self._own:
            if own is not by:
                await own.apply(change)
                await own.settle()
        for one in self._others:
            if one is not by:
                await _kept(one, one.apply(change), {})
                await _kept(one, one.settle(), {})


async def _kept(one: Projection, call: Awaitable[T], failed: dict[str, Exception]) -> T | None:
    """What a call gives; None where it fails, which is then in ``failed``."""
    try:
        return await call
    except Exception as error:
        _log.error("projection_behind", projection=one.name, error=str(error))
        failed.setdefault(one.name, error)
        return None
