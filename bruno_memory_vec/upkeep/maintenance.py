"""Upkeep of a store on request, with a report of what it did and whether the store is sound."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.conversations.activity import end_expired
from bruno_memory_vec.errors import BackendUnavailable, ReadOnlyError, problem_and_fix
from bruno_memory_vec.events import Events
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import SearchesText
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.prompts.hidden_characters import marked
from bruno_memory_vec.store.record import (
    BACKGROUND,
    FILE,
    MAINTAIN_PROBLEM,
    of_background,
)
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.upkeep.leftovers import Leftovers, erase_leftovers
from bruno_memory_vec.upkeep.retention import RetentionReport, apply_retention
from bruno_memory_vec.upkeep.verification import verify
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.projections import Problem, Progress

_log = get_logger(__name__)

#: More files than this make a store slower to search and to open than necessary.
MANY_FILES = 1_000
#: The same, for versions of the rows: each is read when the store is opened.
MANY_VERSIONS = 500

#: In the report's ``details``: which damaged files were deleted, as they may have held what was
#: deleted; and why what was deleted is not erased yet.
SET_ASIDE_REMOVED, NOT_ERASED = "set_aside_removed", "not_erased"

_WORK = "maintaining"
_STEPS = 7
# About as many as a store has when nothing is written.
_FEW_VERSIONS = 10


@dataclass(frozen=True, slots=True)
class Figures:
    """How large a store is. None where the store has no folder, or its engine no such figure.

    Attributes:
        rows: messages and memories.
        lexical: rows in the lexical index.
        fragments: the parts in which the rows are stored; each makes a search slower.
        versions: versions of the rows that are still kept for readers.
        files: files in the store's folder.
        bytes: their total size.
        indexes: for each index of the rows, how many rows are not in it yet; these are searched
            without it.
    """

    rows: int
    lexical: int | None
    fragments: int | None
    versions: int | None
    files: int | None
    bytes: int | None
    indexes: dict[str, int]

    @property
    def unindexed(self) -> int:
        """The largest number of rows that any index of the rows lacks."""
        return max(self.indexes.values(), default=0)


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What :meth:`VectorMemory.maintain <bruno_memory_vec.VectorMemory.maintain>` did.

    Attributes:
        at: when it began, UTC.
        before: the store's figures at the beginning.
        after: the store's figures at the end.
        seconds: how long each step took.
        details: the engine's report of its upkeep.
        verified: whether the store was verified without a problem.
        problems: what failed or is wrong, each with advice. Empty is healthy.
        expired_removed: how many memories were removed because they have expired.
        sessions_ended: how many sessions were ended because nothing was said in them for long.
        summaries_removed: how many summaries were removed because what they are made of is gone.
        too_old_removed: how many rows were removed because ``retention_days`` says so.
    """

    at: datetime
    before: Figures
    after: Figures
    seconds: dict[str, float]
    details: dict[str, Any]
    verified: bool
    problems: tuple[Problem, ...]
    expired_removed: int = 0
    sessions_ended: int = 0
    summaries_removed: int = 0
    too_old_removed: int = 0

    @property
    def ok(self) -> bool:
        """Whether every step was done and nothing is wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The fields and ``ok`` as plain values that JSON can hold; times in ISO 8601."""
        return {
            **asdict(self),
            "at": self.at.isoformat(),
            "seconds": {name: round(spent, 3) for name, spent in self.seconds.items()},
            "problems": [asdict(problem) for problem in self.problems],
            "ok": self.ok,
        }

    def __str__(self) -> str:
        """A few lines for people."""
        steps = ", ".join(f"{name} {spent:.2f} s" for name, spent in self.seconds.items())
        lines = [f"{counted(self.after.rows, 'row')} maintained: {steps}"]
        lines.extend(_changes(self.before, self.after))
        if self.expired_removed:
            lines.append(f"expired memories removed: {self.expired_removed:,}")
        if self.too_old_removed:
            lines.append(f"rows removed that were too old: {self.too_old_removed:,}")
        if self.sessions_ended:
            lines.append(f"expired sessions ended: {self.sessions_ended:,}")
        if self.summaries_removed:
            lines.append(f"summaries of what was deleted removed: {self.summaries_removed:,}")
        if self.details.get(SET_ASIDE_REMOVED):
            names = ", ".join(self.details[SET_ASIDE_REMOVED])
            lines.append(f"removed, as they may have held what was deleted: {names}")
        if self.details.get(NOT_ERASED):
            lines.append(f"what was deleted is not erased yet: {self.details[NOT_ERASED]}")
        if self.after.versions is not None and self.after.versions > _FEW_VERSIONS:
            lines.append("the newest versions stay for a while: others may be reading them")
        if self.verified:
            lines.append("verified: rows, turns, vectors, lexical index and sessions are in order")
        for problem in self.problems:
            lines.append(f"PROBLEM in {problem.part}: {problem.found.rstrip('.')}. {problem.fix}")
        return marked("\n".join(lines))


async def maintain_store(
    store: Store,
    progress: Progress | None = None,
    *,
    keep_set_aside: bool = False,
    events: Events | None = None,
) -> MaintenanceReport:
    """Do all upkeep of an open store now, and verify it.

    The steps: write the pending access counts, remove expired memories, remove what
    ``retention_days`` says is too old, remove summaries of what
    is not stored any more, end expired sessions, commit the lexical index, compact the rows with
    their indexes and old versions, verify. If a step fails, the others are still done. The failure
    is in the report, in ``health()`` and, through ``maintenance.json`` in the store's folder, in
    ``doctor``.

    If anything was deleted or replaced since the last time, no file of the store holds anything of
    it afterwards, but the ids of users and conversations (docs/deletion.md).

    Args:
        store: the open store.
        progress: called with the progress.
        keep_set_aside: keep damaged files that were set aside. As long as there are any, and what
            was deleted could be in them, nothing is erased.
        events: told of each expired session that was ended.

    Raises:
        ReadOnlyError: the store was opened read-only.
        StoreClosedError, EngineError: the figures of the store cannot be read.
    """
    writer = store.writer
    if writer is None:
        raise ReadOnlyError(
            "the memory was opened with read_only=True", fix="Open it without, to maintain it."
        )
    told = Events() if events is None else events
    at = datetime.now(timezone.utc)
    before = await measure(store)
    retains = store.config.retention_days is not None
    steps = _Steps(progress, _STEPS + writer.has_erasable + retains)
    await steps.run("count accesses", writer.flush_uses)
    expired = await steps.run("remove expired memories", writer.remove_expired)
    too_old = 0
    if retains:
        retained = await steps.run("apply retention", lambda: _retain(store, at))
        too_old = 0 if retained is None else retained.removed
    left_over = await steps.run("remove left summaries", writer.remove_left_over)
    ended = await steps.run("end expired sessions", lambda: end_expired(store))
    for session in ended or ():
        told.session_ended(session)
    await steps.run("commit lexical index", writer.settle)
    left: Leftovers | None = Leftovers()
    if writer.has_erasable:
        left = await steps.run(
            "erase leftovers", lambda: erase_leftovers(store, keep_set_aside=keep_set_aside)
        )
    erase = left is not None and left.kept is None
    await steps.run("compact rows", lambda: writer.maintain(erase=erase))
    found = await steps.run("verify", lambda: verify(store, progress))
    report = MaintenanceReport(
        at=at,
        before=before,
        after=await measure(store),
        seconds=steps.seconds,
        details={**(await store.rows.health()).get("upkeep", {}), **_erasing(left)},
        verified=found == [],
        problems=(*steps.problems, *(found or ())),
        expired_removed=expired or 0,
        sessions_ended=len(ended or ()),
        summaries_removed=left_over or 0,
        too_old_removed=too_old,
    )
    report = await _keep(store, report)
    for name in [name for name in writer.problems if name.startswith(MAINTAIN_PROBLEM)]:
        del writer.problems[name]
    for problem in report.problems:
        writer.problems[f"{MAINTAIN_PROBLEM}{problem.part}"] = f"{problem.found}. {problem.fix}"
        _log.error("maintenance_problem", part=problem.part, problem=problem.found)
    return report


async def _retain(store: Store, at: datetime) -> RetentionReport:
    return await apply_retention(store, store.config.retention_days or {}, at, dry_run=False)


def _erasing(left: Leftovers | None) -> dict[str, Any]:
    """What to tell of the erasing, where there is something to tell."""
    if left is not None and left.removed:
        return {SET_ASIDE_REMOVED: list(left.removed)}
    return {} if left is None or left.kept is None else {NOT_ERASED: left.kept}


def _changes(before: Figures, after: Figures) -> list[str]:
    """One line for each figure that the engine has."""
    pairs = {
        "files": (before.files, after.files),
        "bytes": (before.bytes, after.bytes),
        "versions": (before.versions, after.versions),
        "fragments": (before.fragments, after.fragments),
        "rows not in the indexes yet": (before.unindexed, after.unindexed)
        if after.indexes
        else (None, None),
    }
    return [
        f"{name}: {now:,}" + ("" if then == now else f", before {then:,}")
        for name, (then, now) in pairs.items()
        if then is not None and now is not None
    ]


class _Steps:
    """Runs steps one after another, and records how long each took and which failed."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self.seconds: dict[str, float] = {}
        self.problems: list[Problem] = []

    async def run(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """The result of a step; None where it failed."""
        started = time.perf_counter()
        try:
            return await work()
        except BrunoError as error:
            found, fix = problem_and_fix(error)
            fix = fix or "Try again."
            # The same failure often stops several steps; it is reported once.
            if all(problem.found != found for problem in self.problems):
                self.problems.append(Problem(name, found, fix))
            return None
        finally:
            self.seconds[name] = time.perf_counter() - started
            if self._progress is not None:
                self._progress(_WORK, len(self.seconds), max(self._total, len(self.seconds)))


async def measure(store: Store) -> Figures:
    """The figures of an open store.

    Raises:
        EngineError: an engine does not answer.
    """
    rows = await store.rows.health()
    searches_text = capability(store.rows, SearchesText) is not None
    disk = None if store.record is None else await store.record.footprint()
    return Figures(
        rows=rows["rows"],
        lexical=None if searches_text else await store.lexical.count(),
        fragments=rows.get("fragments"),
        versions=None if disk is None else disk.versions,
        files=None if disk is None else disk.files,
        bytes=None if disk is None else disk.bytes,
        indexes={
            ", ".join(index["columns"]): index["rows_not_in_it"]
            for index in rows.get("indexes", ())
        },
    )


async def _keep(store: Store, report: MaintenanceReport) -> MaintenanceReport:
    """Write the report beside the rows; if that fails, add it to the problems."""
    if store.record is None:
        return report
    record = report.to_dict()
    assert store.writer is not None
    if background := of_background(store.writer.problems):
        record[BACKGROUND] = background
    try:
        await store.record.keep(record)
    except BackendUnavailable as error:
        problem = Problem(FILE, *problem_and_fix(error))
        return replace(report, problems=(*report.problems, problem))
    return report
