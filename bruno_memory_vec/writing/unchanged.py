"""What a commit may require: that rows are still stored as its caller has read them.

A caller that makes something of stored rows, and takes its time over it, names their ``seq``. They
are looked for under the lock of the writer, so between that and the commit none is deleted.
"""

from __future__ import annotations

from collections.abc import Collection

from bruno_core.utils.exceptions import MemoryError as BrunoMemoryError

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter


class RowsChanged(BrunoMemoryError):
    """A row that a commit requires was changed or deleted. Nothing of the commit was stored.

    It never reaches a caller of the package: whoever requires rows reads them again.
    """


async def require_unchanged(rows: RowIndex, seqs: Collection[int]) -> None:
    """Raise :class:`RowsChanged` unless each of these ``seq`` is stored."""
    wanted = set(seqs)
    if not wanted:
        return
    found = await rows.read(EVERYONE, RowFilter(), ("seq",), seqs=sorted(wanted))
    if found.num_rows < len(wanted):
        raise RowsChanged("a row was changed or deleted since it was read")
