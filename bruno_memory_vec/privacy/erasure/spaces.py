"""What somebody has said in spaces and groups, and that they are in a group.

These rows are the space's, and each says in ``metadata["author"]`` who spoke. So they are found by
that, and go with their author.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from bruno_memory_vec.access import AUTHOR, SPACE
from bruno_memory_vec.conversations.groups import Groups
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.rows.metadata_pairs import pair
from bruno_memory_vec.store.store import Store

_AT_ONCE: Final = 5_000


async def said_in_spaces(rows: RowIndex, user_id: str, columns: tuple[str, ...]) -> pa.Table:
    """The rows of spaces and groups whose author somebody is, with ``user_id`` among the columns.

    Raises:
        EngineError: they cannot be read.
    """
    by_them = RowFilter(metadata=(pair(AUTHOR, user_id),))
    found = await rows.read(EVERYONE, by_them, tuple(dict.fromkeys(("user_id", *columns))))
    return found.filter(pc.starts_with(found.column("user_id"), SPACE))


async def leave_spaces(store: Store, user_id: str) -> None:
    """Delete what somebody has said in spaces and groups, and take them out of every group.

    What was made of it, such as summaries, goes with it.

    Raises:
        EngineError: something is left.
    """
    assert store.writer is not None
    said = await said_in_spaces(store.rows, user_id, ("seq",))
    seqs = said.column("seq").to_pylist()
    for start in range(0, len(seqs), _AT_ONCE):
        part = seqs[start : start + _AT_ONCE]
        await store.writer.delete(EVERYONE, RowFilter(), seqs=part)
    await Groups(store).forget(user_id)
