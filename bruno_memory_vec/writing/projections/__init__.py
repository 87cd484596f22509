"""Projections: what is derived from the rows, and kept up to date with them.

The rows are the source of truth. A projection can be rebuilt from them at any time, so its failure
never prevents a write or an opening. The writer calls it for each change; where it has missed
some, it catches up. The lexical index and the sessions are projections. Another one (an audit
trail, for example) is an object with these methods, given to ``VectorMemory(projections=[...])``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.acts import Act
from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.sessions.protocol import WritesBehind

_log = get_logger(__name__)

T = TypeVar("T")

_NOTHING = np.empty(0, np.int64)


class Progress(Protocol):
    """A callback that reports the progress of long work."""

    def __call__(self, work: str, done: int, total: int) -> None:
        """``done`` of ``total`` rows of ``work`` are done."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """One commit of the rows.

    Attributes:
        last_seq: the largest ``seq`` of the commit's rows; None where it added none.
        table: the rows that were added or that replaced others, with all columns; None for a
            deletion.
        rows: the same rows as dicts, in the same order.
        removed: int64 (n,), the ``seq`` of rows that were deleted or replaced; before the commit,
            of those that are to be.
        conversations: the conversations that have lost a message.
        gone: of a deletion, the ``id``, ``kind``, ``user_id``, ``conversation_id`` and ``seq`` of
            the rows that are deleted; None where rows were added.
        again: of the rows, the ``seq`` of those that replaced others.
        rewritten: whether only columns of stored rows were changed, and no content; also where a
            branch got copies of them.
        requests: of a commit of several calls, each with its rows as it gave them; else empty.
    """

    last_seq: int | None = None
    table: pa.Table | None = None
    rows: Sequence[Row] = ()
    removed: NDArray[np.int64] = field(default_factory=_NOTHING.copy)
    conversations: Sequence[str] = ()
    gone: pa.Table | None = None
    again: frozenset[int] = frozenset()
    rewritten: bool = False
    requests: Sequence[tuple[Act | None, Sequence[Row]]] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a projection.

    Attributes:
        last_seq: the ``seq`` of the last row that it has applied, -1 for none.
        count: how many rows it holds; None where it does not hold rows.
    """

    last_seq: int
    count: int | None = None


@dataclass(frozen=True, slots=True)
class RowFacts:
    """The result of a pass over all rows, to compare projections with.

    Attributes:
        count: how many rows there are.
        last_seq: the largest ``seq``, -1 for none.
        last_turns: by conversation, the turn of its last message.
    """

    count: int
    last_seq: int
    last_turns: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a store, or of its upkeep.

    Attributes:
        part: the part of the store, or the step of the upkeep.
        found: what is wrong.
        fix: what to do about it.
    """

    part: str
    found: str
    fix: str


class Projection(Protocol):
    """Something derived from the rows. Except for ``health``, calls come one at a time."""

    @property
    def name(self) -> str:
        """Its name in ``health()``."""
        ...

    async def standing(self) -> Standing:
        """Its state, after committing what is pending."""
        ...

    async def before(self, change: Change) -> None:
        """Called before a commit, to store what must hold if the process is killed after it."""
        ...

    async def apply(self, change: Change) -> None:
        """Called after a commit. It must not block: slow work is left to :meth:`settle`."""
        ...

    async def settle(self) -> bool:
        """Store what :meth:`apply` left for later; returns whether more came meanwhile."""
        ...

    async def catch_up(self, rows: RowIndex, progress: Progress | None) -> Sequence[int]:
        """Apply the rows that it has missed, and drop those that do not exist any more.

        Returns:
            The ``seq`` of rows whose columns it had to repair; the other projections apply these.
        """
        ...

    async def compare(self, facts: RowFacts, stood: Standing) -> Sequence[Problem]:
        """Its problems. ``stood`` is its state from when the rows were read for ``facts``."""
        ...

    async def health(self) -> dict[str, Any]:
        """Figures about it; raises an :class:`EngineError` where it does not work."""
        ...

    async def close(self) -> None:
        """Close it. Closing twice does nothing."""
        ...


@runtime_checkable
class FillsAnew(Protocol):
    """A projection that may be found damaged while it is used, and can then be filled anew."""

    @property
    def damaged(self) -> bool:
        """Whether it has to be filled anew."""
        ...

    @property
    def checked(self) -> bool:
        """Whether opening has compared all of it with its checksums."""
        ...

    def failed(self, error: EngineError) -> None:
        """Note that its engine has failed, where others use it."""
        ...

    async def check(self) -> None:
        """Compare all of it with its checksums; it is :attr:`damaged` if that fails."""
        ...

    async def fill_anew(self, rows: RowIndex, progress: Progress | None = None) -> None:
        """Fill it from the rows if it is damaged; rows may be written meanwhile.

        Afterwards ``catch_up`` has to be called while no row changes.

        Raises:
            EngineError: the rows cannot be read.
        """
        ...


@runtime_checkable
class FollowsLater(Protocol):
    """A projection that may store what ``apply`` told it a moment later.

    Attributes:
        later: what does so; None where it stores all at once.
    """

    later: WritesBehind | None


@runtime_checkable
class HasMuchToSettle(Protocol):
    """A projection that holds in memory what it has to settle."""

    @property
    def many_wait(self) -> bool:
        """Whether so many rows wait for ``settle`` that it is better called at once."""
        ...


@runtime_checkable
class MendsOthers(Protocol):
    """A projection that several processes share, and in which each mends what another has left."""

    @property
    def mend_every(self) -> float | None:
        """Seconds between two calls of :meth:`mend_others`; None where nobody else writes."""
        ...

    async def mend_others(self, rows: RowIndex) -> None:
        """End the changes of processes that have ended in between, by what the rows have of them.

        Raises:
            EngineError: an engine failed.
        """
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
        """Call all of them after a commit. Returns the failures by name; the rows are stored."""
        failed: dict[str, Exception] = {}
        for one in self:
            await _kept(one, one.apply(change), failed)
        return failed

    async def catch_up(
        self, rows: RowIndex, progress: Progress | None = None
    ) -> dict[str, Exception]:
        """Let all of them know of every row, and of no other. Returns which of a user's failed.

        Raises:
            EngineError: an engine failed, or one of them does not match the rows after a repair.
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
        """Apply rows whose columns have changed (same ``seq``) to all projections but ``by``."""
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
