"""Upkeep of a store on request, with a report of what it did and whether the store is sound."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.errors import BackendUnavailable, ReadOnlyError, problem_and_fix
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.store.record import (
    BACKGROUND,
    FILE,
    MAINTAIN_PROBLEM,
    of_background,
)
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.upkeep.verification import verify
from bruno_memory_vec.writing.projections import Problem, Progress

_log = get_logger(__name__)

#: More files than this make a store slower to search and to open than necessary.
MANY_FILES = 1_000
#: The same, for versions of the rows: each is read when the store is opened.
MANY_VERSIONS = 500

_WORK = "maintaining"
_STEPS = 4
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
    lexical: int
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
    """

    at: datetime
    before: Figures
    after: Figures
    seconds: dict[str, float]
    details: dict[str, Any]
    verified: bool
    problems: tuple[Problem, ...]

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
        lines = [f"{self.after.rows:,} rows maintained: {steps}"]
        lines.extend(_changes(self.before, self.after))
        if self.after.versions is not None and self.after.versions > _FEW_VERSIONS:
            lines.append("the newest versions stay for a while: others may be reading them")
        if self.verified:
            lines.append("verified: rows, turns, vectors, lexical index and sessions are in order")
        for problem in self.problems:
            lines.append(f"PROBLEM in {problem.part}: {problem.found.rstrip('.')}. {problem.fix}")
        return "\n".join(lines)


async def maintain_store(store: Store, progress: Progress | None = None) -> MaintenanceReport:
    """Do all upkeep of an open store now, and verify it.

    The steps: write the pending access counts, commit the lexical index, compact the rows with
    their indexes and old versions, verify. If a step fails, the others are still done. The failure
    is in the report, in ``health()`` and, through ``maintenance.json`` in the store's folder, in
    ``doctor``.

    Args:
        store: the open store.
        progress: called with the progress.

    Raises:
        ReadOnlyError: the store was opened read-only.
        StoreClosedError, EngineError: the figures of the store cannot be read.
    """
    writer = store.writer
    if writer is None:
        raise ReadOnlyError(
            "the memory was opened with read_only=True", fix="Open it without, to maintain it."
        )
    at = datetime.now(timezone.utc)
    before = await measure(store)
    steps = _Steps(progress)
    await steps.run("count accesses", writer.flush_uses)
    await steps.run("commit lexical index", store.lexical.commit)
    await steps.run("compact rows", writer.maintain)
    found = await steps.run("verify", lambda: verify(store, progress))
    report = MaintenanceReport(
        at=at,
        before=before,
        after=await measure(store),
        seconds=steps.seconds,
        details=dict((await store.rows.health()).get("upkeep", {})),
        verified=found == [],
        problems=(*steps.problems, *(found or ())),
    )
    report = await _keep(store, report)
    for name in [name for name in writer.problems if name.startswith(MAINTAIN_PROBLEM)]:
        del writer.problems[name]
    for problem in report.problems:
        writer.problems[f"{MAINTAIN_PROBLEM}{problem.part}"] = f"{problem.found}. {problem.fix}"
        _log.error("maintenance_problem", part=problem.part, problem=problem.found)
    return report


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

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
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
                self._progress(_WORK, len(self.seconds), _STEPS)


async def measure(store: Store) -> Figures:
    """The figures of an open store.

    Raises:
        EngineError: an engine does not answer.
    """
    rows = await store.rows.health()
    disk = None if store.record is None else await store.record.footprint()
    return Figures(
        rows=rows["rows"],
        lexical=await store.lexical.count(),
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
