"""Whether each conversation has one owner: by its rows, and by what the sessions say."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.sessions.protocol import SessionStore
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.projections import Problem

#: The columns that :meth:`SeenOwners.take` reads.
OWNER_COLUMNS = ("user_id", "conversation_id")

_DECIDE = (
    "Decide whose each is, and delete the rows of the others: "
    "memory.for_user(user).delete_messages(ids, conversation), or delete_memory(id)."
)
_REPAIR = "Run: bruno-memory-vec doctor --repair, which takes the owners from the rows."
_SAID = RowFilter(kinds=(MESSAGE,))
_CONVERSATIONS_AT_ONCE = 10_000


class SeenOwners:
    """The users of each conversation, as a pass over the rows finds them.

    Attributes:
        owners: by conversation, the user of the first of its rows that was seen.
        others: by conversation, the first other user that was seen in it.
        up_to: the ``seq`` of the newest row at the end of :meth:`take_all`.
    """

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        self.others: dict[str, str] = {}
        self.up_to = -1

    async def take_all(self, rows: RowIndex) -> None:
        """Add every row; two columns of each are read.

        Raises:
            EngineError: an engine failed.
        """
        async for batch in rows.after(-1, list(OWNER_COLUMNS)):
            if batch.num_rows:
                self.take(batch)
        self.up_to = await rows.last_seq()

    def take(self, batch: pa.RecordBatch) -> None:
        """Add rows, which have :data:`OWNER_COLUMNS`."""
        columns = pa.Table.from_batches([batch]).select(list(OWNER_COLUMNS))
        # In the order in which they are there, so that the first row counts.
        pairs = columns.group_by(list(OWNER_COLUMNS), use_threads=False).aggregate([])
        users, talks = (pairs.column(name).to_pylist() for name in OWNER_COLUMNS)
        for user, talk in zip(users, talks, strict=True):
            if talk is not None and self.owners.setdefault(talk, user) != user:
                self.others.setdefault(talk, user)

    def problems(self) -> list[Problem]:
        """That conversations have several owners, by their rows."""
        if not self.others:
            return []
        talk, other = next(iter(self.others.items()))
        return [
            Problem(
                "rows",
                f"{counted(len(self.others), 'conversation has', 'conversations have')} rows of "
                f"several users, such as {talk!r} of {self.owners[talk]!r} and {other!r}",
                _DECIDE,
            )
        ]

    def in_order(self) -> str:
        """What is told where there are no problems."""
        if len(self.owners) == 1:
            return "1 conversation has one owner"
        return f"each of {len(self.owners):,} conversations has one owner"

    async def compare(self, sessions: SessionStore) -> list[Problem]:
        """That conversations belong to nobody of those who have rows in them, by the sessions."""
        wrong = await self.not_as_in(sessions)
        if not wrong:
            return []
        talk = next(iter(wrong))
        said = (await sessions.owners([talk])).get(talk)
        whose = "nobody's" if said is None else f"{said!r}'s"
        return [
            Problem(
                "sessions",
                f"{counted(len(wrong), 'conversation has', 'conversations have')} another owner "
                f"than their rows, such as {talk!r}, which is {whose}, with rows of "
                f"{self.owners[talk]!r}",
                _REPAIR,
            )
        ]

    async def not_as_in(self, sessions: SessionStore) -> Mapping[str, str]:
        """The owners by the rows, where the sessions say otherwise."""
        wrong: dict[str, str] = {}
        names = list(self.owners)
        for start in range(0, len(names), _CONVERSATIONS_AT_ONCE):
            part = names[start : start + _CONVERSATIONS_AT_ONCE]
            said = await sessions.owners(part)
            for talk in part:
                known = said.get(talk)
                if known != self.owners[talk] and not (known and talk in self.others):
                    wrong[talk] = self.owners[talk]
        return wrong


async def mend_owners(rows: RowIndex, sessions: SessionStore) -> int:
    """Give conversations the owner that their rows have. Returns how many had another one, or none.

    The caller holds ``Writer.exclusive``.

    Raises:
        EngineError: an engine failed.
    """
    seen = SeenOwners()
    await seen.take_all(rows)
    wrong = await seen.not_as_in(sessions)
    given = []
    for talk, owner in wrong.items():
        scope = Scope.all_users().within(talk)
        last = await rows.read(scope, _SAID, ["turn"], order_by="turn", limit=1)
        turns = [turn for turn in last.column("turn").to_pylist() if turn is not None]
        given.append((talk, owner, max(turns, default=-1) + 1))
    if given:
        await sessions.give(given)
    return len(given)
