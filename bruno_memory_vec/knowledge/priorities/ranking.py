"""Rows with their priorities: those of a user, listed, and those that a policy prunes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from bruno_core.models.message import MessageRole

from bruno_memory_vec.access import AllUsers
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import MEMORY, micros
from bruno_memory_vec.knowledge.priorities.emotion import EXTRA
from bruno_memory_vec.knowledge.priorities.score import (
    SCORED,
    Priorities,
    PriorityWeights,
    priorities_of,
)
from bruno_memory_vec.prompts.hidden_characters import one_line
from bruno_memory_vec.recall.copies import COLUMNS, once
from bruno_memory_vec.recall.request import row_filter
from bruno_memory_vec.rows import checks
from bruno_memory_vec.rows.models import Row, from_table, utc
from bruno_memory_vec.store.handle import Handle
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.wording import counted

Action = Literal["archive", "delete"]

_READ = ("id", "kind", "user_id", "conversation_id", "turn", "role", "origin", *SCORED)
_KEYED = ("seq", *COLUMNS)
_ROWS_AT_ONCE = 4_096
_SHOWN_ROWS, _SHOWN_CHARACTERS = 10, 70


@dataclass(frozen=True, slots=True)
class RowPriority:
    """A message or memory and its priority.

    Attributes:
        id: its id, as text.
        kind: "message" or "memory".
        user_id: whose.
        conversation_id: where it was said; None for a memory without a conversation.
        turn: its turn there; None for a memory.
        content: its text.
        created_at: when it was said or stored, UTC (timezone-aware).
        pinned: whether it is pinned; its priority is 1 then.
        score: its priority, 0..1.
        parts: what each part adds to the score.
        reason: why a policy prunes it; empty where none does.
        seq: its position in the store's write order, by which this very version of it is known.
    """

    id: str
    kind: str
    user_id: str
    conversation_id: str | None
    turn: int | None
    content: str
    created_at: datetime
    pinned: bool
    score: float
    parts: Mapping[str, float]
    reason: str = ""
    seq: int = -1

    def __str__(self) -> str:
        text = one_line(self.content, _SHOWN_CHARACTERS)
        why = f"  ({self.reason})" if self.reason else ""
        return f"{self.score:.2f}  {self.created_at:%Y-%m-%d} {self.kind}  {text}{why}"


@dataclass(frozen=True, slots=True)
class PrunePolicy:
    """Which rows are pruned, and how.

    A row is pruned where its priority is below ``below``, or where its user has more than ``most``
    rows of these kinds and it is among those of the least priority. Never pruned are: pinned
    rows, system messages, summaries, what is archived already, what is younger than ``older_than``,
    and the ``keep`` rows of each user with the highest priority.

    Attributes:
        below: 0..1; 0 prunes nothing by its priority.
        most: how many rows a user keeps at most; None for any number.
        keep: how many rows a user keeps at least.
        older_than: the least age of what is pruned.
        kinds: "memory", "message", or both.
        memory_types: of memories only these types; empty for all.
        action: "archive" leaves rows out of recall and keeps them, "delete" removes them.
        weights: how the priority is made.

    Raises:
        InvalidInputError: a value is not usable.
    """

    below: float = 0.25
    most: int | None = None
    keep: int = 100
    older_than: timedelta = timedelta(days=30)
    kinds: Sequence[str] = (MEMORY,)
    memory_types: Sequence[Any] = ()
    action: Action = "archive"
    weights: PriorityWeights = field(default_factory=PriorityWeights)

    def __post_init__(self) -> None:
        checks.unit_interval("policy.below", self.below)
        if self.most is not None:
            checks.limit("policy.most", self.most, largest=2**31, smallest=0)
        checks.limit("policy.keep", self.keep, largest=2**31, smallest=0)
        if not isinstance(self.older_than, timedelta) or self.older_than < timedelta(0):
            raise InvalidInputError(
                "policy.older_than", "is no age", fix="Give a timedelta of 0 or more."
            )
        checks.names("policy.action", [self.action], ("archive", "delete"))
        _of_class("policy.weights", self.weights, PriorityWeights)
        row_filter(alive_at=None, kinds=self.kinds, memory_types=self.memory_types)
        if not self.kinds:
            raise InvalidInputError(
                "policy.kinds", "is empty", fix='Give "memory", "message" or both.'
            )


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What a policy has pruned, or would.

    Attributes:
        dry_run: whether nothing was changed.
        action: "archive" or "delete".
        examined: how many rows could have been pruned.
        pruned: those that are pruned, the one of least priority first.
        changed_meanwhile: of these, how many were changed or deleted by others meanwhile, and left.
        left_out: parts of a priority that did not count, and why.
    """

    dry_run: bool
    action: Action
    examined: int
    pruned: tuple[RowPriority, ...]
    changed_meanwhile: int = 0
    left_out: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-able values, without the texts of rows."""
        return {
            "dry_run": self.dry_run,
            "action": self.action,
            "examined": self.examined,
            "pruned": [
                {
                    "id": row.id,
                    "kind": row.kind,
                    "user_id": row.user_id,
                    "score": row.score,
                    "parts": dict(row.parts),
                    "reason": row.reason,
                }
                for row in self.pruned
            ],
            "changed_meanwhile": self.changed_meanwhile,
            "left_out": list(self.left_out),
        }

    def __str__(self) -> str:
        past = {"archive": "archived", "delete": "deleted"}[self.action]
        will = f"would be {past}" if self.dry_run else past
        lines = [f"{len(self.pruned):,} of {counted(self.examined, 'row')} {will}"]
        lines += [f"  {row}" for row in self.pruned[:_SHOWN_ROWS]]
        if len(self.pruned) > _SHOWN_ROWS:
            lines.append(f"  ... and {len(self.pruned) - _SHOWN_ROWS:,} more")
        if self.changed_meanwhile:
            lines.append(f"{self.changed_meanwhile:,} were changed meanwhile, and left")
        lines += [f"not counted: {one}" for one in self.left_out]
        return "\n".join(lines)


async def list_priorities(
    handle: Handle,
    user_id: str | AllUsers | None,
    weights: PriorityWeights,
    kinds: Any,
    limit: int,
    now: datetime,
    *,
    lowest_first: bool,
) -> list[RowPriority]:
    """The rows of highest or of least priority; of equal ones the newest first.

    A message that is in several conversations is shown once.
    """
    _of_class("weights", weights, PriorityWeights)
    scope = await handle.caller.search_scope(handle.owners, user_id)
    where = row_filter(alive_at=now, unarchived_at=now, kinds=kinds)
    best: list[RowPriority] = []
    store = await handle.store()
    shown = once(await store.rows.read(scope, where, _KEYED)).column("seq").to_pylist()
    async for rows, found in _scored(store, scope, where, shown, weights, now):
        order = np.argsort(found.score if lowest_first else -found.score, kind="stable")[:limit]
        best += _listed(rows, found, order.tolist())
        best = sorted(best, key=lambda row: _order(row, lowest_first=lowest_first))[:limit]
    return best


def _of_class(field: str, value: Any, kind: type[Any]) -> None:
    if not isinstance(value, kind):
        name = kind.__name__
        raise InvalidInputError(field, f"is a {type(value).__name__}", fix=f"Give a {name}.")


def _order(row: RowPriority, *, lowest_first: bool) -> tuple[float, int]:
    return (row.score if lowest_first else -row.score, -row.seq)


async def prune(
    handle: Handle,
    user_id: str | AllUsers | None,
    policy: PrunePolicy,
    now: datetime,
    *,
    dry_run: bool,
) -> PruneReport:
    """Archive or delete what a policy prunes; with ``dry_run`` only say what that is.

    A message that is in several conversations counts once, and is pruned in all of them.
    A row that somebody pins, changes or deletes while this runs is left as it is.
    """
    _of_class("policy", policy, PrunePolicy)
    scope = await handle.caller.search_scope(handle.owners, user_id)
    store = await handle.store()
    # Asked for before anything is read, so that a reader is told at once.
    writer = None if dry_run else await handle.writer()
    where = row_filter(
        alive_at=None, unarchived_at=now, kinds=policy.kinds, memory_types=policy.memory_types
    )
    examined, by_user = 0, dict[str, list[RowPriority]]()
    every = await store.rows.read(scope, where, _KEYED)
    shown = once(every).column("seq").to_pylist()
    async for rows, found in _scored(store, scope, where, shown, policy.weights, now):
        places = _prunable(rows)
        examined += len(places)
        for row in _listed(rows, found, places):
            by_user.setdefault(row.user_id, []).append(row)
    pruned = [row for rows in by_user.values() for row in _pruned(rows, policy, now)]
    pruned.sort(key=lambda row: (row.score, row.seq))
    changed = 0
    if writer is not None and pruned:
        seqs = _with_copies(every, pruned)
        if policy.action == "delete":
            there = await store.rows.read(scope, RowFilter(), _KEYED, seqs=seqs)
            await writer.delete(scope, RowFilter(), seqs=seqs)
            changed = len(pruned) - once(there).num_rows
        else:
            at = micros(now.astimezone(timezone.utc))
            archived = await writer.rewrite(
                scope, RowFilter(), lambda row: {"archived_at": at}, seqs=seqs
            )
            changed = len(pruned) - len(
                {(row["user_id"], row["kind"], row["id"]) for row in archived}
            )
    uncounted = []
    if policy.weights.emotion is None and "emotion" not in policy.weights.effective:
        uncounted.append(f"emotion (pip install 'bruno-memory-vec[{EXTRA}]')")
    return PruneReport(dry_run, policy.action, examined, tuple(pruned), changed, tuple(uncounted))


def _with_copies(every: pa.Table, pruned: Sequence[RowPriority]) -> list[int]:
    """The ``seq`` of these rows and of their copies, among rows with the columns ``_KEYED``."""
    keys = {(row.user_id, row.kind, row.id) for row in pruned}
    columns = (every.column(name).to_pylist() for name in _KEYED)
    return [seq for seq, *key in zip(*columns, strict=True) if tuple(key) in keys]


def _prunable(rows: pa.Table) -> list[int]:
    """Which rows a policy may prune at all, by their role and origin."""
    roles, origins = rows.column("role").to_pylist(), rows.column("origin").to_pylist()
    return [
        place
        for place, (role, origin) in enumerate(zip(roles, origins, strict=True))
        if role != MessageRole.SYSTEM.value and origin != "summary"
    ]


def _pruned(rows: list[RowPriority], policy: PrunePolicy, now: datetime) -> Iterator[RowPriority]:
    """Which of a user's rows are pruned, and why."""
    ranked = sorted(rows, key=lambda row: _order(row, lowest_first=False))
    youngest = now - policy.older_than
    for place, row in enumerate(ranked):
        if place < policy.keep or row.pinned or row.created_at > youngest:
            continue
        reason = ""
        if row.score < policy.below:
            reason = f"priority below {policy.below:g}"
        elif policy.most is not None and place >= policy.most:
            reason = f"more than {policy.most:,} rows"
        if reason:
            yield replace(row, reason=reason)


async def _scored(
    store: Store,
    scope: Scope,
    where: RowFilter,
    seqs: Sequence[int],
    weights: PriorityWeights,
    now: datetime,
) -> AsyncIterator[tuple[pa.Table, Priorities]]:
    """Rows with these ``seq`` in parts, each with its priorities."""
    uses = {} if store.writer is None else store.writer.pending_uses
    columns = tuple(dict.fromkeys(_READ))
    for start in range(0, len(seqs), _ROWS_AT_ONCE):
        part = seqs[start : start + _ROWS_AT_ONCE]
        rows = await store.rows.read(scope, where, columns, seqs=part)
        yield rows, await asyncio.to_thread(priorities_of, rows, weights, now, uses)


def _listed(rows: pa.Table, found: Priorities, places: Iterable[int]) -> list[RowPriority]:
    chosen = list(places)
    taken: list[Row] = list(from_table(rows.take(pa.array(chosen, pa.int64()))))
    return [
        RowPriority(
            id=row["id"],
            kind=row["kind"],
            user_id=row["user_id"],
            conversation_id=row["conversation_id"],
            turn=row["turn"],
            content=row["content"],
            created_at=utc(row["created_at"]),
            pinned=row["pinned_at"] is not None,
            score=float(found.score[place]),
            parts={name: float(values[place]) for name, values in found.parts.items()},
            seq=row["seq"],
        )
        for row, place in zip(taken, chosen, strict=True)
    ]
