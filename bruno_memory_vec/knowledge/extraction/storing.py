"""Writes what was found: new facts first, then what changes of stored ones.

What was found is stored only as far as the turns that say it are stored at that moment: they may
have been deleted, or stored with another text, while a model was asked. Each commit names the rows
that it is made of (:mod:`bruno_memory_vec.writing.unchanged`); where one has changed, it is planned
anew.

These are two commits, since the first one makes rows and the second one archives some. Killed in
between, both facts hold for a while, and the new one names the one that it supersedes: whatever
is found next for this user ends it (:func:`.merging.plan_of`). In no order is a fact archived
before the one in its place is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import Any
from uuid import UUID

from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType

from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MEMORY, MESSAGE, micros
from bruno_memory_vec.knowledge.extraction.attributes import attribute
from bruno_memory_vec.knowledge.extraction.candidate import Candidate
from bruno_memory_vec.knowledge.extraction.fact import FACTS, Fact, fact_of, held
from bruno_memory_vec.knowledge.extraction.merging import NewFact, Plan, bounded, plan_of
from bruno_memory_vec.knowledge.extraction.report import Stored
from bruno_memory_vec.rows import tagged_json
from bruno_memory_vec.rows.metadata_pairs import pairs_of
from bruno_memory_vec.rows.models import Row, from_table, memory_row, utc
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.writing.unchanged import RowsChanged
from bruno_memory_vec.writing.writer import Writer

_IMPORTANCE = 0.6
# As many ids as a filter takes in one piece.
_IDS_AT_ONCE = 500


async def stored_facts(store: Store, user_id: str) -> list[tuple[Fact, Row]]:
    """All facts of a user with their rows, archived ones among them, in no particular order."""
    table = await store.rows.read(Scope.user(user_id), FACTS, COLUMNS)
    return [(fact, row) for row in from_table(table) if (fact := fact_of(row)) is not None]


async def planned(store: Store, user_id: str, found: Sequence[Candidate]) -> Plan:
    """What storing would change."""
    known = await stored_facts(store, user_id)
    return plan_of(user_id, [held(fact, row) for fact, row in known], found)


async def store_facts(
    store: Store,
    writer: Writer,
    user_id: str,
    found: Sequence[Candidate],
    *,
    origin: str = "extracted",
) -> Stored:
    """Store facts, and archive those that they supersede. The caller holds the user's lock.

    Raises:
        EngineError, EmbeddingError: not all was stored; called again, it ends what is left.
    """
    new: set[str] = set()
    while True:
        try:
            done = await _store(store, writer, user_id, found, origin, new)
            return replace(done, new=len(new))
        except RowsChanged:
            continue  # each time something else has changed, so it comes to an end


async def _store(
    store: Store,
    writer: Writer,
    user_id: str,
    found: Sequence[Candidate],
    origin: str,
    new_ids: set[str],
) -> Stored:
    """Once from the plan to its commits. To ``new_ids`` it adds the facts that it has stored.

    Raises:
        RowsChanged: something that it is made of has changed meanwhile; the rest is to be done.
    """
    turns = await _stored_turns(store, user_id, found)
    left = [one for one in map(partial(_still_said, turns), found) if one is not None]
    known = await stored_facts(store, user_id)
    plan = plan_of(user_id, [held(fact, row) for fact, row in known], left)
    made_of = {turns[source.id, source.text] for one in left for source in one.sources}
    seqs = {fact.id: row["seq"] for fact, row in known}
    now = micros(datetime.now(timezone.utc))
    if plan.new:
        named = {id_ for one in plan.new.values() for id_ in (one.supersedes, one.superseded_by)}
        bounds = store.config.bounds
        rows = []
        for new in plan.new.values():
            row = memory_row(_entry(user_id, new), None, bounds, origin)
            # The past of a fact that is known already is stored as past.
            row["archived_at"] = now if new.superseded_by is not None else None
            rows.append(row)
        links = {seqs[id_] for id_ in named if id_ in seqs}
        await writer.write(rows, unchanged=made_of | links)
        seqs.update({row["id"]: row["seq"] for row in rows})
        new_ids.update(plan.new)
    changed = sorted(plan.changed)
    for start in range(0, len(changed), _IDS_AT_ONCE):
        some = changed[start : start + _IDS_AT_ONCE]
        involved = {*some, *(plan.superseded[id_] for id_ in some if id_ in plan.superseded)}
        where = RowFilter(kinds=(MEMORY,), ids=tuple(some))
        after = await writer.rewrite(
            Scope.user(user_id),
            where,
            lambda row: _changed(row, plan, now),
            unchanged=made_of | {seqs[id_] for id_ in involved},
        )
        seqs.update({row["id"]: row["seq"] for row in after})
    return counted(plan)


async def _stored_turns(
    store: Store, user_id: str, found: Sequence[Candidate]
) -> dict[tuple[str, str], int]:
    """The ``seq`` of the turns that are cited, by id and text, of those that are stored."""
    ids = sorted({source.id for one in found for source in one.sources})
    turns: dict[tuple[str, str], int] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        where = RowFilter(kinds=(MESSAGE,), ids=tuple(ids[start : start + _IDS_AT_ONCE]))
        table = await store.rows.read(Scope.user(user_id), where, ("id", "content", "seq"))
        turns.update({(row["id"], row["content"]): row["seq"] for row in from_table(table)})
    return turns


def _still_said(turns: Mapping[tuple[str, str], int], found: Candidate) -> Candidate | None:
    """A candidate with those of its sources that are stored as they were read; None for none."""
    left = tuple(one for one in found.sources if (one.id, one.text) in turns)
    if len(left) == len(found.sources):
        return found
    return replace(found, sources=left) if left else None


def counted(plan: Plan) -> Stored:
    """How much a plan changes."""
    return Stored(len(plan.new), len(plan.repeated), len(plan.superseded), len(plan.ended))


def _entry(user_id: str, new: NewFact) -> MemoryEntry:
    found = new.candidate
    fields: dict[str, Any] = {
        "subject": found.subject,
        "attribute": found.attribute,
        "value": found.value,
        "times_seen": max(1, len(found.sources)),
        "method": found.method,
    }
    if new.supersedes is not None:
        fields["supersedes"] = new.supersedes
    if new.superseded_by is not None:
        fields["superseded_by"] = new.superseded_by
    said = [source.at for source in found.sources]
    first, last = (min(said), max(said)) if said else (found.at, found.at)
    return MemoryEntry.model_construct(
        id=UUID(new.id),
        content=found.text,
        memory_type=MemoryType.FACT,
        user_id=user_id,
        conversation_id=found.sources[0].conversation_id if found.sources else None,
        metadata=MemoryMetadata(
            source="extraction" if found.sources else "caller",
            category=attribute(found.attribute).category,
            importance=_IMPORTANCE,
            confidence=found.confidence,
            related_memories=[UUID(id_) for id_ in bounded([one.id for one in found.sources])],
            custom_fields=fields,
        ),
        created_at=utc(first),
        updated_at=utc(last),
        last_accessed=utc(last),
        expires_at=None,
    )


def _changed(row: Row, plan: Plan, now: int) -> Mapping[str, Any] | None:
    """The new values of a stored fact's columns. It is called under the lock of the writer."""
    fields = tagged_json.loads(row["metadata"])
    extra = tagged_json.loads(row["extra"]) if row["extra"] else {}
    values: dict[str, Any] = {}
    again = plan.repeated.get(row["id"])
    if again is not None:
        before = list(extra.get("related", ()))
        fresh = [id_ for id_ in again.sources if id_ not in before]
        fields["times_seen"] = fields.get("times_seen", len(before) or 1) + len(fresh)
        extra["related"] = bounded([*before, *fresh])
        values["confidence"] = max(row["confidence"], again.confidence)
        values["updated_at"] = max(row["updated_at"], again.said)
        values["extra"] = tagged_json.dumps(extra)
    by, turn = plan.superseded.get(row["id"]), plan.ended.get(row["id"])
    if by is not None:
        fields["superseded_by"] = by
    if turn is not None:
        fields["ended_by"] = turn
    if by is not None or turn is not None:
        values["archived_at"] = row["archived_at"] if row["archived_at"] is not None else now
    values["metadata"] = tagged_json.dumps(fields)
    values["metadata_pairs"] = pairs_of(fields)
    return values
