"""Which users may have rows that go with others, so that other users' deletions read none.

Most users have no summary, no fact and no short-term memory that has become lasting. What a
deletion would read to find that out costs several times the deletion. So the writing process
notes, of each of the three, who has stored one since the store was opened or before. A user who
has deleted the last one is still among them: that only costs a read.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

import pyarrow as pa
import pyarrow.compute as pc

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import MEMORY
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.rows.summaries import SUMMARY
from bruno_memory_vec.writing.dependants.consolidated import BECAME_LASTING
from bruno_memory_vec.writing.dependants.facts import FACTS
from bruno_memory_vec.writing.dependants.summaries import SUMMARIES


class UsersWithDependants:
    """The users who may have a summary, a fact, or a memory that has become another one.

    Until :meth:`learn` has ended, that may be any user.
    """

    def __init__(self) -> None:
        self._known = False
        self._summaries: set[str] = set()
        self._facts: set[str] = set()
        self._sources: set[str] = set()

    def note(self, rows: Iterable[Row]) -> None:
        """Take in rows that are about to be stored, as they are then."""
        for row in rows:
            if row["kind"] != MEMORY:
                continue
            user, origin = row["user_id"], row["origin"]
            if origin == SUMMARY:
                self._summaries.add(user)
            if origin in FACTS.origins and row["category"] in FACTS.categories:
                self._facts.add(user)
            if row["archived_at"] is not None and row["memory_type"] in BECAME_LASTING.memory_types:
                self._sources.add(user)

    async def learn(self, rows: RowIndex) -> None:
        """Read who has such rows. Only where no other process writes; rows may be stored meanwhile.

        Raises:
            EngineError: the rows cannot be read.
        """
        self._summaries |= await _users(rows, SUMMARIES)
        self._facts |= await _users(rows, FACTS)
        self._sources |= await _users(rows, BECAME_LASTING)
        self._known = True

    def summaries(self, found: pa.Table) -> pa.Table:
        """Those of some rows, with the column user_id, whose user may have summaries."""
        return self._of(found, self._summaries)

    def facts(self, found: pa.Table) -> pa.Table:
        """As :meth:`summaries`, of facts: extracted ones, and such as somebody gave."""
        return self._of(found, self._facts)

    def sources(self, found: pa.Table) -> pa.Table:
        """As :meth:`summaries`, of short-term memories that lasting ones stand for."""
        return self._of(found, self._sources)

    def _of(self, found: pa.Table, having: Set[str]) -> pa.Table:
        if not self._known:
            return found
        users = set(pc.unique(found.column("user_id")).to_pylist())
        if users <= having:
            return found
        here = pa.array(sorted(users & having), pa.string())
        return found.filter(pc.is_in(found.column("user_id"), here))


async def _users(rows: RowIndex, where: RowFilter) -> set[str]:
    table = await rows.read(EVERYONE, where, ("user_id",))
    return set(pc.unique(table.column("user_id")).to_pylist())
