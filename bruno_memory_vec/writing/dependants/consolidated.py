"""What goes with a deletion: short-term memories that a deleted lasting one stands for.

A short-term memory that has become lasting is kept, archived, and says in which one. Its text is
the lasting one's, so it goes with that one; one that was taken out of the archive stays.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final

import pyarrow as pa

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import MEMORY
from bruno_memory_vec.rows import tagged_json
from bruno_memory_vec.rows.metadata_pairs import pair
from bruno_memory_vec.rows.models import from_table

#: In ``custom_fields`` of a short-term memory: the id of the lasting one that it has become.
INTO: Final = "consolidated_into"
#: The rows among which those memories are: short-term ones that are archived.
BECAME_LASTING: Final = RowFilter(
    kinds=(MEMORY,),
    memory_types=("short_term",),
    archived_since=datetime(1970, 1, 1, tzinfo=timezone.utc),
)


async def sources_along(rows: RowIndex, found: pa.Table) -> list[int]:
    """The ``seq`` of the short-term memories that go along, and are not among those rows.

    Args:
        rows: where they are.
        found: the rows that are to go, with the columns seq, kind, id and user_id.
    """
    gone = {(row["user_id"], row["id"]) for row in from_table(found) if row["kind"] == MEMORY}
    if not gone:
        return []
    users = {user for user, _ in gone}
    scope = Scope.user(next(iter(users))) if len(users) == 1 else EVERYONE
    where = BECAME_LASTING
    if len(gone) == 1:
        where = RowFilter(
            kinds=where.kinds,
            memory_types=where.memory_types,
            archived_since=where.archived_since,
            metadata=tuple(pair(INTO, id_) for _, id_ in gone),
        )
    table = await rows.read(scope, where, ("seq", "user_id", "metadata"))
    known = set(found.column("seq").to_pylist())
    return [
        row["seq"]
        for row in from_table(table)
        if (row["user_id"], tagged_json.loads(row["metadata"]).get(INTO)) in gone
        and row["seq"] not in known
    ]
