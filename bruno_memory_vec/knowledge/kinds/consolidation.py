"""From short to long term: which memories last, and how they become lasting without a loss.

For each chosen memory there are two commits. The first stores the lasting memory, with a link to
the short one; the second archives the short one. Stopped before the first, nothing has happened;
stopped between them, both are there, and the next run sees by the link that only the second is
missing. A short one that is changed before the first commit is read again; what was deleted is not
stored. One that is deleted between the two takes along the lasting memory that it alone has said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final
from uuid import UUID

from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MEMORY, micros
from bruno_memory_vec.knowledge.kinds.semantic import (
    MOST_RELATED,
    TIMES_SEEN,
    SemanticMemory,
    statement_id,
)
from bruno_memory_vec.knowledge.kinds.view import columns_of
from bruno_memory_vec.rows.checks import unit_interval
from bruno_memory_vec.rows.models import Row, from_table, to_memory
from bruno_memory_vec.store.handle import Handle
from bruno_memory_vec.writing.dependants.consolidated import INTO
from bruno_memory_vec.writing.unchanged import RowsChanged

# So many memories are printed.
_SHOWN: Final = 20
_SHORT: Final = RowFilter(kinds=(MEMORY,), memory_types=(MemoryType.SHORT_TERM.value,))


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
    where = replace(_SHORT, alive_at=now, unarchived_at=now)
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
        lasts = await _made_lasting(handle, lasting, row)
        if lasts is not None:
            into, known = lasts
            done.append(Consolidated(memory_id, into, reason, known))
    return ConsolidationReport(len(rows), tuple(done), dry_run)


async def _made_lasting(
    handle: Handle, lasting: SemanticMemory, row: Row
) -> tuple[UUID, bool] | None:
    """The id of the lasting memory, and whether it was known; None where the short one is gone."""
    made: UUID | None = None
    now: Row | None = row
    while now is not None:
        try:
            entry, known = await lasting.merge(
                _lasting(now), origin=_origin(now), made_of=now["seq"]
            )
            made = made if known else entry.id
            if await _archive(handle, now, entry.id):
                return entry.id, made is None
        except RowsChanged:
            pass  # it is looked at again
        before, now = now, await _now(handle, row)
        if made is not None and (now is None or now["content"] != before["content"]):
            await _unmake(handle, before, made)
            made = None
    return None


async def _now(handle: Handle, row: Row) -> Row | None:
    """A short-term memory as it is stored now; None where it is not to be consolidated any more."""
    now = datetime.now(timezone.utc)
    where = replace(_SHORT, ids=(row["id"],), alive_at=now, unarchived_at=now)
    rows = (await handle.store()).rows
    return next(iter(from_table(await rows.read(Scope.user(row["user_id"]), where, COLUMNS))), None)


async def _unmake(handle: Handle, row: Row, made: UUID) -> None:
    """Delete a lasting memory that was just made of a short one which is gone, if it says no more.

    Who has said the same since has strengthened it, so that it cites others, or counts more.
    """
    store, writer = await handle.store(), await handle.writer()
    scope, where = Scope.user(row["user_id"]), RowFilter(kinds=(MEMORY,), ids=(str(made),))
    for its_row in from_table(await store.rows.read(scope, where, COLUMNS)):
        stored, wanted = to_memory(its_row), _lasting(row)
        alone = stored.metadata.related_memories == wanted.metadata.related_memories
        times = [one.metadata.custom_fields.get(TIMES_SEEN, 1) for one in (stored, wanted)]
        if alone and times[0] == times[1]:
            await writer.delete(scope, where, seqs=(its_row["seq"],))


def _lasting(row: Row) -> MemoryEntry:
    """The lasting memory of a short-term one."""
    entry = to_memory(row)
    source = entry.id
    entry.id = statement_id(entry.user_id, entry.content)
    entry.memory_type = MemoryType.LONG_TERM
    entry.expires_at = None
    entry.metadata.access_count = 0
    # Of one that was extracted the messages that say it, so that it goes with them.
    cited = entry.metadata.related_memories if row["origin"] == "extracted" else []
    entry.metadata.related_memories = [source, *cited[: MOST_RELATED - 1]]
    entry.metadata.embedding = None
    return entry


def _origin(row: Row) -> Any:
    return row["origin"]


async def _archive(handle: Handle, row: Row, into: UUID) -> bool:
    """Archive a short-term memory that has become lasting; False where that one is not there.

    Raises:
        RowsChanged: one of the two has changed. Nothing was written.
    """
    store, writer, bounds = await handle.store(), await handle.writer(), handle.config.bounds
    scope, its_row = Scope.user(row["user_id"]), RowFilter(kinds=(MEMORY,), ids=(str(into),))
    seqs = (await store.rows.read(scope, its_row, ("seq",))).column("seq").to_pylist()
    if not seqs:
        return False
    at = micros(datetime.now(timezone.utc))

    def change(row: Row) -> Mapping[str, Any]:
        entry = to_memory(row)
        # What links to it is to find it.
        entry.expires_at = None
        fields = entry.metadata.custom_fields
        entry.metadata.custom_fields = {**fields, INTO: str(into)}
        return {**columns_of(entry, bounds), "archived_at": at}

    where = RowFilter(kinds=(MEMORY,), ids=(row["id"],))
    await writer.rewrite(scope, where, change, unchanged=(row["seq"], *seqs))
    return True
