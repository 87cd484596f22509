"""Writes what was found: new facts first, then what changes of stored ones.

These are two commits, since the first one makes rows and the second one archives some. Killed in
between, both facts hold for a while, and the new one names the one that it supersedes: whatever
is found next for this user ends it (:func:`.merging.plan_of`). In no order is a fact archived
before the one in its place is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType

from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MEMORY, micros
from bruno_memory_vec.knowledge.extraction.attributes import attribute
from bruno_memory_vec.knowledge.extraction.candidate import Candidate
from bruno_memory_vec.knowledge.extraction.fact import FACTS, Fact, fact_of, held
from bruno_memory_vec.knowledge.extraction.merging import NewFact, Plan, bounded, plan_of
from bruno_memory_vec.knowledge.extraction.report import Stored
from bruno_memory_vec.rows import tagged_json
from bruno_memory_vec.rows.metadata_pairs import pairs_of
from bruno_memory_vec.rows.models import Row, from_table, memory_row, utc
from bruno_memory_vec.store.store import Store
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
    plan = await planned(store, user_id, found)
    now = micros(datetime.now(timezone.utc))
    if plan.new:
        bounds = store.config.bounds
        rows = []
        for new in plan.new.values():
            row = memory_row(_entry(user_id, new), None, bounds, origin)
            # The past of a fact that is known already is stored as past.
            row["archived_at"] = now if new.superseded_by is not None else None
            rows.append(row)
        await writer.write(rows)
    changed = sorted(plan.changed)
    for start in range(0, len(changed), _IDS_AT_ONCE):
        where = RowFilter(kinds=(MEMORY,), ids=tuple(changed[start : start + _IDS_AT_ONCE]))
        await writer.rewrite(Scope.user(user_id), where, lambda row: _changed(row, plan, now))
    return counted(plan)


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
