"""Retention: rows that are older than the policy lets their kind be are deleted, and erased."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bruno_memory_vec.errors import ReadOnlyError
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE
from bruno_memory_vec.retention_policy import KINDS, rule_for
from bruno_memory_vec.rows.models import utc
from bruno_memory_vec.rows.summaries import SUMMARY
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.wording import counted

_READ = ("seq", "user_id", "conversation_id", "created_at", "pinned_at", "origin")
# More in one deletion would let writers wait for too long.
_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class KindRetention:
    """What a policy finds too old, of one of the kinds that it names.

    Attributes:
        kind: as the policy names it.
        days: how long such rows are kept.
        before: rows created before this time are too old (UTC).
        rows: how many are.
        oldest: when the oldest of them was created; None for none.
        newest: when the newest of them was created; None for none.
        users: of how many users they are.
        conversations: in how many conversations they are.
        pinned: how many more are as old, and are kept because they are pinned.
    """

    kind: str
    days: float
    before: datetime
    rows: int
    oldest: datetime | None
    newest: datetime | None
    users: int
    conversations: int
    pinned: int


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What :meth:`apply_retention <bruno_memory_vec.VectorMemory.apply_retention>` did.

    Attributes:
        at: the time that ages count from, UTC.
        dry_run: nothing was deleted.
        kinds: by kind, as the policy names them.
        users: of how many users rows are too old.
        conversations: in how many conversations.
        removed: how many rows were deleted; what was made of them went with them, and is not
            counted.
    """

    at: datetime
    dry_run: bool
    kinds: tuple[KindRetention, ...]
    users: int
    conversations: int
    removed: int

    @property
    def rows(self) -> int:
        """How many rows are too old."""
        return sum(kind.rows for kind in self.kinds)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold; times in ISO 8601."""
        return {
            "at": self.at.isoformat(),
            "dry_run": self.dry_run,
            "rows": self.rows,
            "removed": self.removed,
            "users": self.users,
            "conversations": self.conversations,
            "kinds": [
                {
                    "kind": kind.kind,
                    "days": kind.days,
                    "before": kind.before.isoformat(),
                    "rows": kind.rows,
                    "oldest": None if kind.oldest is None else kind.oldest.isoformat(),
                    "newest": None if kind.newest is None else kind.newest.isoformat(),
                    "users": kind.users,
                    "conversations": kind.conversations,
                    "pinned": kind.pinned,
                }
                for kind in self.kinds
            ],
        }

    def __str__(self) -> str:
        """A few lines for people."""
        verb = "would be deleted" if self.dry_run else "deleted"
        many = self.rows if self.dry_run else self.removed
        lines = [
            f"{counted(many, 'row')} {verb}, of {counted(self.users, 'user')} in "
            f"{counted(self.conversations, 'conversation')}"
        ]
        for kind in self.kinds:
            about = f"{kind.kind} ({kind.days:g} days): {counted(kind.rows, 'row')}"
            if kind.oldest is not None and kind.newest is not None:
                about += f", {kind.oldest:%Y-%m-%d} to {kind.newest:%Y-%m-%d}"
            if kind.pinned:
                about += f"; {kind.pinned:,} as old are pinned, and kept"
            lines.append(about)
        return "\n".join(lines)


@dataclass(slots=True)
class _Found:
    """Rows that are too old, of one kind of a policy."""

    before: datetime
    seqs: list[int] = field(default_factory=list)
    users: set[str] = field(default_factory=set)
    conversations: set[str] = field(default_factory=set)
    oldest: datetime | None = None
    newest: datetime | None = None
    pinned: int = 0

    def take(self, rows: pa.Table) -> None:
        """Take rows in with the columns ``_READ``."""
        # A summary goes with what it is made of, and not by its own age.
        rows = rows.filter(pc.not_equal(rows.column("origin"), SUMMARY))
        unpinned = rows.filter(pc.is_null(rows.column("pinned_at")))
        self.pinned += rows.num_rows - unpinned.num_rows
        if not unpinned.num_rows:
            return
        self.seqs += unpinned.column("seq").to_pylist()
        self.users.update(unpinned.column("user_id").to_pylist())
        self.conversations.update(set(unpinned.column("conversation_id").to_pylist()) - {None})
        ends = pc.min_max(unpinned.column("created_at").cast(pa.int64())).as_py()
        first, last = utc(ends["min"]), utc(ends["max"])
        self.oldest = first if self.oldest is None else min(self.oldest, first)
        self.newest = last if self.newest is None else max(self.newest, last)


async def apply_retention(
    store: Store, policy: Mapping[str, float | None], now: datetime, *, dry_run: bool
) -> RetentionReport:
    """Delete the rows that are older than a policy lets their kind be.

    A row that somebody pins or changes while this runs is left as it is. Pinned rows are kept.
    What was made of a deleted row goes with it, as with any deletion. The files are erased as
    after any deletion (docs/deletion.md); :func:`.maintain_store` does it at once.

    Args:
        store: the open store.
        policy: days by kind (:func:`~bruno_memory_vec.retention_policy.retention_of`).
        now: the time that ages count from, timezone-aware.
        dry_run: say what would be deleted, and delete nothing.

    Raises:
        ReadOnlyError: the store was opened read-only, and this is no dry run.
        EngineError: the rows cannot be read, or some not be deleted.
    """
    writer = store.writer
    if writer is None and not dry_run:
        raise ReadOnlyError(
            "the memory was opened with read_only=True", fix="Open it without, or as a dry run."
        )
    at = now.astimezone(timezone.utc)
    found: dict[str, _Found] = {}
    for kind in (kind for kind in KINDS if "." in kind):
        rule = rule_for(policy, kind)
        days = None if rule is None else policy[rule]
        if rule is None or days is None:
            continue
        its = found.setdefault(rule, _Found(at - timedelta(days=days)))
        its.take(await store.rows.read(EVERYONE, _too_old(kind, its.before), _READ))
    removed = 0
    if writer is not None and not dry_run:
        seqs = sorted(seq for its in found.values() for seq in its.seqs)
        for start in range(0, len(seqs), _AT_ONCE):
            part = seqs[start : start + _AT_ONCE]
            removed += await writer.delete(EVERYONE, RowFilter(), seqs=part)
    kinds = [
        KindRetention(
            kind=rule,
            days=float(policy[rule] or 0),
            before=its.before,
            rows=len(its.seqs),
            oldest=its.oldest,
            newest=its.newest,
            users=len(its.users),
            conversations=len(its.conversations),
            pinned=its.pinned,
        )
        for rule, its in found.items()
    ]
    return RetentionReport(
        at=at,
        dry_run=dry_run,
        kinds=tuple(kinds),
        users=len({user for its in found.values() for user in its.users}),
        conversations=len({talk for its in found.values() for talk in its.conversations}),
        removed=removed,
    )


def _too_old(kind: str, before: datetime) -> RowFilter:
    general, _, special = kind.partition(".")
    if general == MESSAGE:
        return RowFilter(kinds=(MESSAGE,), roles=(special,), until=before)
    return RowFilter(kinds=(MEMORY,), memory_types=(special,), until=before)
