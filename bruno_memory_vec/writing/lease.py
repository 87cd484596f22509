"""The lease: the right to write to a store and to number its rows and turns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol, runtime_checkable


class Wanted(NamedTuple):
    """What a commit adds to a conversation.

    Attributes:
        user_id: whose it is, or is to be if it has no owner yet.
        turns: how many new messages; 0 where a memory names it, or messages are only replaced.
    """

    user_id: str
    turns: int


class WriterLease(Protocol):
    """The right to write to a store. It gives the writer the ``seq`` and turns of its rows."""

    @property
    def exclusive(self) -> bool:
        """Whether no other process writes.

        If others do, cached knowledge of the store is valid only for one version of it.
        """
        ...

    def check(self) -> None:
        """Refuse to go on where the lease does not hold any more. It takes some microseconds.

        Called before anything is written, and once more before a commit is acknowledged.

        Raises:
            StoreError: this is another process than the one that opened the store, or work that an
                earlier event loop has left halfway.
            StoreMovedError: the store's files are not where they were opened.
        """
        ...

    async def next_seqs(self, count: int) -> int:
        """Reserve ``count`` numbers of the write order (``seq``), and return the first.

        A number is never given again, since a commit that failed may have been stored anyway.
        """
        ...

    async def next_turns(
        self, wanted: Mapping[str, Wanted], begun: Collection[str] = ()
    ) -> dict[str, int]:
        """The first free turn of each conversation, of as many as are wanted.

        ``begun``: those that nobody owned a moment ago, under the writer's lock. Where no other
        process writes, they have no turn yet.

        Where other processes write too, these turns are reserved and never given again, and a
        conversation that nobody owns is its user's from now on.

        Raises:
            ForeignUserError: another process has begun one of them for another user meanwhile.
        """
        ...

    def record_turns(self, next_turns: Mapping[str, int]) -> None:
        """Note the next free turns after a commit."""
        ...

    def forget_turns(self) -> None:
        """Read the next turns anew; call it after a commit with an unknown outcome."""
        ...

    def start_after(self, seq: int) -> None:
        """Give only numbers greater than ``seq``, up to which the store has rows."""
        ...

    def release(self) -> None:
        """Give up the lease. Releasing twice does nothing."""
        ...


@runtime_checkable
class RunsAlone(Protocol):
    """A lease that many processes may share, and that also serves rows with one writing process."""

    def alone(
        self,
        check: Callable[[], None] | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        """Only this process writes to the rows: the lease is exclusive from now on.

        Args:
            check: called by :meth:`WriterLease.check`, to raise where the rows are not to be used.
            release: called when the lease is given up.
        """
        ...
