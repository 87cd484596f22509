"""From short to long term: which memories last, and how they become lasting without a loss.

For each chosen memory there are two commits. The first stores the lasting memory, with a link to
the short one; the second archives the short one. Stopped before the first, nothing has happened;
stopped between them, both are there, and the next run sees by the link that only the second is
missing. A short one that is deleted or expires in between was not chosen in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final
from uuid import UUID

from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MEMORY, micros
from bruno_memory_vec.knowledge.kinds.semantic import SemanticMemory, statement_id
from bruno_memory_vec.knowledge.kinds.view import columns_of
from bruno_memory_vec.rows.checks import unit_interval
from bruno_memory_vec.rows.models import Row, from_table, to_memory
from bruno_memory_vec.store.handle import Handle

#: In ``custom_fields`` of a short-term memory: the id of the lasting one that it has become.
INTO: Final = "consolidated_into"
# So many memories are printed.
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class ConsolidationPolicy:
    """Which short-term memories become lasting: those for which any of these holds.

    Attributes:
        uses: it was recalled at least so often; None: that does not count.
        importance: it is at least so important, 0..1; None: that does not count. A memory that is
            stored without an importance by ``store_memory`` has bruno-core's default, 1.
        age: it has lived at least so long; None: that does not count.
    """

    uses: int | None = 3
    importance: float | None = None
    age: timedelta | None = None

    def __post_init__(self) -> None:
        if self.uses is not None and (not isinstance(self.uses, int) or self.uses < 1):
            raise InvalidInputError("policy.uses", "is no number of uses", fix="Give 1 or more.")
        if self.importance is not None:
            unit_interval("policy.importance", self.importance)
        if self.age is not None and not isinstance(self.age, timedelta):
            raise InvalidInputError("policy.age", "is no timedelta", fix="Give a timedelta.")
        if self.uses is None and self.importance is None and self.age is None:
            raise InvalidInputError("policy", "chooses nothing", fix="Set uses, importance or age.")

    def reason(self, uses: int, importance: float, age: timedelta) -> str | None:
        """Why a memory is to become lasting; None where it is not."""
        if self.uses is not None and uses >= self.uses:
            return "uses"
        if self.importance is not None and importance >= self.importance:
            return "importance"
        return "age" if self.age is not None and age >= self.age else None


@dataclass(frozen=True, slots=True)
class Consolidated:
    """A short-term memory that was made lasting, or is to be.

    Attributes:
        memory_id: the short-term memory.
        into: the lasting one; None in a dry run.
        reason: what of the policy has chosen it: "uses", "importance" or "age".
        known: whether a lasting memory said the same already.
    """

    memory_id: UUID
    into: UUID | None
    reason: str
    known: bool

    def __str__(self) -> str:
        into = "" if self.into is None else f" -> {self.into}"
        known = ", which was known already" if self.known else ""
        return f"{self.memory_id}{into}{known}  ({self.reason})"


@dataclass(frozen=True, slots=True)
class ConsolidationReport:
    """What a consolidation did.

    Attributes:
        looked_at: how many short-term memories there were.
        consolidated: those that are lasting now.
        dry_run: nothing was changed.
    """

    looked_at: int
    consolidated: tuple[Consolidated, ...]
    dry_run: bool

    def __str__(self) -> str:
        done = "would be made lasting" if self.dry_run else "made lasting"
        lines = [f"{len(self.consolidated):,} of {self.looked_at:,} short-term memories {done}"]
        lines += [f"  {one}" for one in self.consolidated[:_SHOWN]]
        if len(self.consolidated) > _SHOWN:
            lines.append(f"  ... and {len(self.consolidated) - _SHOWN:,} more")
        return "\n".join(lines)


async def consolidate(
    handle: Handle,
    lasting: SemanticMemory,
    user_id: str,
    policy: ConsolidationPolicy,
    *,
    dry_run: bool,
) -> ConsolidationReport:
    """As :meth:`.ConversationalMemory.consolidate`."""
    store, now = await handle.store(), datetime.now(timezone.utc)
    where = RowFilter(
        kinds=(MEMORY,),
        memory_types=(MemoryType.SHORT_TERM.value,),
        alive_at=now,
        unarchived_at=now,
    )
    rows = list(from_table(await store.rows.read(Scope.user(user_id), where, COLUMNS)))
    rows.sort(key=lambda row: (row["created_at"], row["seq"]))
    pending: Mapping[int, int] = {} if store.writer is None else store.writer.pending_uses
    done: list[Consolidated] = []
    for row in rows:
        age = timedelta(microseconds=micros(now) - row["created_at"])
        uses = row["access_count"] + pending.get(row["seq"], 0)
        reason = policy.reason(uses, row["importance"], age)
        if reason is None:
            continue
        memory_id = UUID(row["id"])
        if dry_run:
            done.append(Consolidated(memory_id, None, reason, known=False))
            continue
        entry, known = await lasting.merge(_lasting(row), origin=_origin(row))
        await _archive(handle, row, entry.id)
        done.append(Consolidated(memory_id, entry.id, reason, known))
    return ConsolidationReport(len(rows), tuple(done), dry_run)


def _lasting(row: Row) -> MemoryEntry:
    """The lasting memory of a short-term one."""
    entry = to_memory(row)
    source = entry.id
    entry.id = statement_id(entry.user_id, entry.content)
    entry.memory_type = MemoryType.LONG_TERM
    entry.expires_at = None
    entry.metadata.access_count = 0
    entry.metadata.related_memories = [source]
    entry.metadata.embedding = None
    return entry


def _origin(row: Row) -> Any:
    return row["origin"]


async def _archive(handle: Handle, row: Row, into: UUID) -> None:
    """Archive a short-term memory that has become lasting."""
    writer, bounds = await handle.writer(), handle.config.bounds
    at = micros(datetime.now(timezone.utc))

    def change(row: Row) -> Mapping[str, Any]:
        entry = to_memory(row)
        # What links to it is to find it.
        entry.expires_at = None
        fields = entry.metadata.custom_fields
        entry.metadata.custom_fields = {**fields, INTO: str(into)}
        return {**columns_of(entry, bounds), "archived_at": at}

    where = RowFilter(kinds=(MEMORY,), ids=(row["id"],))
    await writer.rewrite(Scope.user(row["user_id"]), where, change)
