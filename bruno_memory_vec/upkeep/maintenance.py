"""Upkeep that a user can see: what it did, what it cost, and whether the store is in order."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.errors import BackendUnavailable, ReadOnlyError, told
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.store.folder import Store
from bruno_memory_vec.store.manifest import folder_of, write_whole
from bruno_memory_vec.upkeep.verification import Problem, verify
from bruno_memory_vec.writing.projections import Progress

_log = get_logger(__name__)

FILE = "maintenance.json"
#: A store with more files than this is slower to search, and to open, than it need be.
MANY_FILES = 1_000
#: The same, for versions of the rows: each is read when the store is opened.
MANY_VERSIONS = 500

_WORK = "maintaining"
_STEPS = 4
# A store at rest has about these.
_FEW_VERSIONS = 10
_PROBLEM = "maintain: "
_BACKGROUND = "background"
# Background work and maintain() may write the record at once.
_recording = threading.Lock()


@dataclass(frozen=True, slots=True)
class Figures:
    """How large a store is. None where it is not kept in a folder, or its engine has no such thing.

    Attributes:
        rows: messages and memories.
        words: rows in the word index.
        fragments: the parts in which the rows are stored; each costs every search a little.
        versions: states of the rows that are still kept for readers.
        files: in the store's folder.
        bytes: of these files.
        indexes: for each index of the rows, how many rows are not in it yet and are searched
            without it.
    """

    rows: int
    words: int
    fragments: int | None
    versions: int | None
    files: int | None
    bytes: int | None
    indexes: dict[str, int]

    @property
    def unindexed(self) -> int:
        """The rows that the index which is most behind does not have."""
        return max(self.indexes.values(), default=0)


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What :meth:`VectorMemory.maintain <bruno_memory_vec.VectorMemory.maintain>` did.

    Attributes:
        at: when it began, UTC.
        before: the store's figures as it began.
        after: and as it ended.
        seconds: what each step took.
        details: what the rows' engine says of its upkeep.
        verified: whether the store was looked through and is in order.
        problems: what failed or is wrong, each with what to do. Empty is healthy.
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
            lines.append("verified: rows, turns, vectors, word index and sessions are in order")
        for problem in self.problems:
            lines.append(f"PROBLEM in {problem.part}: {problem.found.rstrip('.')}. {problem.fix}")
        return "\n".join(lines)


async def maintain_store(store: Store, progress: Progress | None = None) -> MaintenanceReport:
    """Do all upkeep of an open store now, and look it through.

    The steps: write the access counts that wait, commit the word index, compact the
    rows with their indexes and old versions, verify. A step that fails does not
    keep the others from being done; it is named in the report, in ``health()`` and,
    by ``maintenance.json`` in the store's folder, in ``doctor``.

    Args:
        store: the open store.
        progress: told how far it is.

    Raises:
        ReadOnlyError: the store was opened to read.
        StoreClosedError, EngineError: the store cannot even be measured.
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
    await steps.run("commit words", store.lexical.commit)
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
    for name in [name for name in writer.problems if name.startswith(_PROBLEM)]:
        del writer.problems[name]
    for problem in report.problems:
        writer.problems[f"{_PROBLEM}{problem.part}"] = f"{problem.found}. {problem.fix}"
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
    """Runs steps one after another, and remembers what each took and which failed."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}
        self.problems: list[Problem] = []

    async def run(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """What the step gives; None where it failed."""
        started = time.perf_counter()
        try:
            return await work()
        except BrunoError as error:
            found, fix = told(error)
            fix = fix or "Try again."
            # What failed in one step often fails in the next.
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
    folder = folder_of(store.config.url)
    disk = None if folder is None else await asyncio.to_thread(footprint, folder)
    return Figures(
        rows=rows["rows"],
        words=await store.lexical.count(),
        fragments=rows.get("fragments"),
        versions=None if disk is None else disk.versions,
        files=None if disk is None else disk.files,
        bytes=None if disk is None else disk.bytes,
        indexes={
            ", ".join(index["columns"]): index["rows_not_in_it"]
            for index in rows.get("indexes", ())
        },
    )


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a store's folder takes.

    Attributes:
        files: how many.
        bytes: their sizes together.
        versions: how many of them are versions of the rows.
    """

    files: int
    bytes: int
    versions: int


def footprint(folder: Path) -> Footprint:
    """Count a folder's files. It may be written meanwhile."""
    files = size = versions = 0
    for path, _, names in os.walk(folder):
        # LanceDB's: a small file for each commit that has not been cleaned away.
        versions += len(names) if os.path.basename(path) == "_versions" else 0
        for name in names:
            try:
                size += os.stat(os.path.join(path, name)).st_size
            except FileNotFoundError:
                continue  # cleaned away just now
            files += 1
    return Footprint(files, size, versions)


def readable_size(size: float) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


# The record on disk


async def _keep(store: Store, report: MaintenanceReport) -> MaintenanceReport:
    """Write the report beside the rows; one that cannot be written has a problem more."""
    folder = folder_of(store.config.url)
    if folder is None:
        return report
    record = report.to_dict()
    assert store.writer is not None
    if background := _of_background(store.writer.problems):
        record[_BACKGROUND] = background
    try:
        await asyncio.to_thread(_write, folder, record)
    except BackendUnavailable as error:
        problem = Problem(FILE, *told(error))
        return replace(report, problems=(*report.problems, problem))
    return report


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    with _recording:
        write_whole(folder / FILE, json.dumps(record, indent=2))


class BackgroundRecord:
    """Keeps in ``maintenance.json`` what fails out of a caller's sight.

    So the doctor of a store that is closed, or open elsewhere, knows of it.

    Args:
        folder: the store's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __call__(self, problems: Mapping[str, str]) -> None:
        """Keep these, by the name of the work, and no others."""
        try:
            await asyncio.to_thread(self._keep, _of_background(problems))
        except BackendUnavailable as error:
            # Where the disk is full, this file is as well. The writer's health() has it all.
            _log.error("background_problems_not_recorded", error=str(error))

    def _keep(self, told: dict[str, str]) -> None:
        with _recording:
            record = _read(self._folder)
            if record.get(_BACKGROUND, {}) == told:
                return
            record.pop(_BACKGROUND, None)
            if told:
                record[_BACKGROUND] = told
            write_whole(self._folder / FILE, json.dumps(record, indent=2))


def _of_background(problems: Mapping[str, str]) -> dict[str, str]:
    # Those that maintain() found are in its report.
    return {name: text for name, text in problems.items() if not name.startswith(_PROBLEM)}


def _read(folder: Path) -> dict[str, Any]:
    """The record as it is; empty where there is none that can be read."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def background_problems(folder: Path) -> dict[str, str]:
    """What failed out of a caller's sight in the last process that wrote, by the work's name."""
    found = _read(folder).get(_BACKGROUND)
    if not isinstance(found, dict):
        return {}
    return {name: text for name, text in found.items() if isinstance(text, str)}


def last_maintenance(folder: Path) -> dict[str, Any] | None:
    """The last report of a store in a folder, as :meth:`MaintenanceReport.to_dict` made it.

    What has failed in the background since is in it under "background", where something has. None
    where there was none, or its file cannot be read: it is a record, and nothing rests on it.
    """
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if set(found) == {_BACKGROUND}:
            return None  # it was never maintained
        datetime.fromisoformat(found["at"])
        for name in ("before", "after"):
            if not all(isinstance(found[name][key], int) for key in ("files", "versions")):
                raise ValueError(f"{name!r} has no figures")
        for problem in found["problems"]:
            "".join((problem["part"], problem["found"], problem["fix"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("maintenance_record_unreadable", file=str(folder / FILE), error=str(error))
        return None
    return dict(found)
