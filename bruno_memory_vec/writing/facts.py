"""What goes with a deletion: facts that were extracted from what is deleted.

A fact goes with the last of its sources; where others say it, too, it stays and cites these. What a
fact that goes has superseded, or what a deleted message has ended, holds again. So nothing is known
that only deleted messages have said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE
from bruno_memory_vec.rows import tagged_json
from bruno_memory_vec.rows.metadata_pairs import pairs_of
from bruno_memory_vec.rows.models import Row, from_table

EXTRACTED = RowFilter(kinds=(MEMORY,), origins=("extracted",))
_COLUMNS = ("seq", "id", "user_id", "metadata", "extra", "archived_at")
#: (user, id)
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class FactsAlong:
    """What happens to facts whose sources are deleted.

    Attributes:
        seqs: the positions of those that go.
        changed: by the position of those that stay, new values of columns.
    """

    seqs: list[int] = field(default_factory=list)
    changed: dict[int, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(slots=True)
class _Fact:
    row: Row
    fields: dict[str, Any]
    extra: dict[str, Any]
    touched: bool = False

    @classmethod
    def of(cls, row: Row) -> _Fact:
        extra = tagged_json.loads(row["extra"]) if row["extra"] else {}
        return cls(row, tagged_json.loads(row["metadata"]), extra)

    def without(self, gone: set[_Key]) -> bool:
        """Let it cite none of the messages that go; returns whether it cites any others."""
        user = self.row["user_id"]
        before = [str(one) for one in self.extra.get("related", ())]
        left = [one for one in before if (user, one) not in gone]
        if len(left) < len(before):
            seen = self.fields.get("times_seen", len(before))
            self.fields["times_seen"] = max(len(left), seen - (len(before) - len(left)))
            self.extra["related"] = left
            self.touched = True
            return bool(left)
        return True

    def follow(self, going: Mapping[_Key, _Fact], gone: set[_Key]) -> None:
        """Let it name no fact and no message that goes; it holds again if nothing else ended it."""
        user = self.row["user_id"]
        for name in ("superseded_by", "supersedes"):
            named = self.fields.get(name)
            while named is not None and (user, named) in going:
                named = going[user, named].fields.get(name)
                self._set(name, named)
        if (user, self.fields.get("ended_by")) in gone:
            self._set("ended_by", None)

    def _set(self, name: str, value: str | None) -> None:
        self.touched = True
        if value is None:
            self.fields.pop(name, None)
        else:
            self.fields[name] = value

    def values(self) -> Mapping[str, Any]:
        """The new values of its columns."""
        ended = self.fields.get("superseded_by") or self.fields.get("ended_by")
        return {
            "metadata": tagged_json.dumps(self.fields),
            "metadata_pairs": pairs_of(self.fields),
            "extra": tagged_json.dumps(self.extra) if self.extra else None,
            "archived_at": self.row["archived_at"] if ended else None,
        }


async def facts_along(rows: RowIndex, found: pa.Table) -> FactsAlong:
    """What happens to the facts of messages that are deleted, or get another text.

    Args:
        rows: where they are.
        found: the rows that are to go, with the columns kind, id, user_id and conversation_id.
    """
    gone = {(row["user_id"], row["id"]) for row in from_table(found) if row["kind"] == MESSAGE}
    if not gone:
        return FactsAlong()
    users = {user for user, _ in gone}
    scope = Scope.user(next(iter(users))) if len(users) == 1 else EVERYONE
    table = await rows.read(scope, EXTRACTED, _COLUMNS)
    facts = [_Fact.of(row) for row in from_table(table) if row["user_id"] in users]
    if facts:
        gone -= await _elsewhere(rows, scope, gone, found)
    going = {
        (fact.row["user_id"], fact.row["id"]): fact for fact in facts if not fact.without(gone)
    }
    along = FactsAlong([fact.row["seq"] for fact in going.values()])
    for fact in facts:
        if (fact.row["user_id"], fact.row["id"]) in going:
            continue
        fact.follow(going, gone)
        if fact.touched:
            along.changed[fact.row["seq"]] = fact.values()
    return along


async def _elsewhere(rows: RowIndex, scope: Scope, gone: set[_Key], found: pa.Table) -> set[_Key]:
    """Those of the messages that stay in another conversation, such as a branch."""
    where = RowFilter(kinds=(MESSAGE,), ids=tuple({id_ for _, id_ in gone}))
    columns = ("user_id", "id", "conversation_id")
    leaving = {tuple(row.values()) for row in found.select(columns).to_pylist()}
    held = (await rows.read(scope, where, columns)).select(columns).to_pylist()
    return {(row["user_id"], row["id"]) for row in held if tuple(row.values()) not in leaving}
