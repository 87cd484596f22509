"""What goes with a deletion: facts that were extracted from what is deleted.

A fact goes with the last of its sources; where others say it, too, it stays and cites these. What a
fact that goes, with its messages or by itself, has superseded, or what a deleted message has ended,
holds again: also a fact that somebody gave. So nothing is known that only deleted messages have
said, and no fact stays archived for one that is gone.
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

#: The rows among which facts are: those that were extracted, and those that somebody gave.
FACTS = RowFilter(
    kinds=(MEMORY,), origins=("extracted", "given"), categories=("fact", "preference")
)
_COLUMNS = ("seq", "id", "user_id", "origin", "metadata", "extra", "archived_at")
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
    was_ended: bool = False

    @classmethod
    def of(cls, row: Row) -> _Fact:
        extra = tagged_json.loads(row["extra"]) if row["extra"] else {}
        fact = cls(row, tagged_json.loads(row["metadata"]), extra)
        fact.was_ended = fact._ended
        return fact

    def without(self, gone: set[_Key]) -> bool:
        """Let it cite nothing that goes; returns whether it stays."""
        user = self.row["user_id"]
        if self.row["origin"] != "extracted":
            return True
        before = [str(one) for one in self.extra.get("related", ())]
        left = [one for one in before if (user, one) not in gone]
        if len(left) < len(before):
            seen = self.fields.get("times_seen")
            # Whoever stores a memory may write anything there.
            seen = seen if isinstance(seen, int) else len(before)
            self.fields["times_seen"] = max(len(left), seen - (len(before) - len(left)))
            self.extra["related"] = left
            self.touched = True
            return bool(left)
        return True

    def follow(self, going: Mapping[_Key, _Fact], gone: set[_Key]) -> None:
        """Let it name no fact and no message that goes; it holds again if nothing else ended it."""
        user = self.row["user_id"]
        for name in ("superseded_by", "supersedes"):
            named, passed = self._named(name), set[str]()
            while named is not None and (user, named) in going and named not in passed:
                passed.add(named)
                named = going[user, named]._named(name)
                self._set(name, None if named in passed else named)
        ended_by = self._named("ended_by")
        if ended_by is not None and (user, ended_by) in gone:
            self._set("ended_by", None)

    def _named(self, name: str) -> str | None:
        value = self.fields.get(name)
        return value if isinstance(value, str) else None

    @property
    def _ended(self) -> bool:
        return any(self._named(name) is not None for name in ("superseded_by", "ended_by"))

    def _set(self, name: str, value: str | None) -> None:
        self.touched = True
        if value is None:
            self.fields.pop(name, None)
        else:
            self.fields[name] = value

    def values(self) -> Mapping[str, Any]:
        """The new values of its columns."""
        # One that was archived for another reason stays so.
        holds_again = self.was_ended and not self._ended
        return {
            "metadata": tagged_json.dumps(self.fields),
            "metadata_pairs": pairs_of(self.fields),
            "extra": tagged_json.dumps(self.extra) if self.extra else None,
            "archived_at": None if holds_again else self.row["archived_at"],
        }


async def facts_along(rows: RowIndex, found: pa.Table) -> FactsAlong:
    """What happens to facts where messages or facts are deleted, or messages get another text.

    Args:
        rows: where they are.
        found: the rows that are to go, with the columns seq, kind, id, user_id, conversation_id and
            origin.
    """
    leaving = list(from_table(found))
    gone = {(row["user_id"], row["id"]) for row in leaving if row["kind"] == MESSAGE}
    deleted = {row["seq"] for row in leaving if row["kind"] == MEMORY}
    if not gone and not deleted:
        return FactsAlong()
    users = {row["user_id"] for row in leaving}
    scope = Scope.user(next(iter(users))) if len(users) == 1 else EVERYONE
    table = await rows.read(scope, FACTS, _COLUMNS)
    facts = [_Fact.of(row) for row in from_table(table) if row["user_id"] in users]
    if facts and gone:
        gone -= await _elsewhere(rows, scope, gone, found)
    # A lasting memory cites the short-term one that it was made of, and that one's sources.
    cited = gone | {(row["user_id"], row["id"]) for row in leaving if row["kind"] == MEMORY}
    going: dict[_Key, _Fact] = {}
    while True:
        more = {
            key: fact
            for fact in facts
            if (key := (fact.row["user_id"], fact.row["id"])) not in going
            and (fact.row["seq"] in deleted or not fact.without(cited))
        }
        if not more:
            break
        going |= more
        cited |= more.keys()
    along = FactsAlong([seq for fact in going.values() if (seq := fact.row["seq"]) not in deleted])
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
