"""Who may write to a store, and who numbers its rows and turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol


class WriterLease(Protocol):
    """The right to write. A writer that has it numbers what it writes by it."""

    @property
    def exclusive(self) -> bool:
        """Whether no other process writes.

        Where others do, nothing may be remembered of the store without asking for its version.
        """
        ...

    def check(self) -> None:
        """Refuse to go on where the lease does not hold here any more.

        Raises:
            StoreError: this is another process than the one that opened the store.
        """
        ...

    async def next_seqs(self, count: int) -> int:
        """Take ``count`` positions in the write order, and return the first.

        A commit that fails may have been made all the same, so what was taken is never given again.
        """
        ...

    async def next_turns(self, conversations: Iterable[str]) -> dict[str, int]:
        """The next free turn of each conversation."""
        ...

    def took_turns(self, next_turns: Mapping[str, int]) -> None:
        """A commit has taken turns: these are the next free ones now."""
        ...

    def forget_turns(self) -> None:
        """It is not known how a commit ended: read the turns again."""
        ...

    def begin_behind(self, seq: int) -> None:
        """The store holds rows up to here: the first position to give is behind it."""
        ...

    def release(self) -> None:
        """Give the right up. Releasing twice does nothing."""
        ...
