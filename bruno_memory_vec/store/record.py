"""What a store's folder takes, and the record in it of its upkeep (``maintenance.json``)."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.store.manifest import write_whole

_log = get_logger(__name__)

FILE = "maintenance.json"
#: Before the names of problems that maintain() has found.
MAINTAIN_PROBLEM = "maintain: "
#: Where the record keeps what failed in the background.
BACKGROUND = "background"
# Background work and maintain() may write the record at once.
_recording = threading.Lock()


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


class UpkeepRecord(Protocol):
    """Where a store keeps what its upkeep found, for other processes."""

    async def footprint(self) -> Footprint:
        """What the store takes."""
        ...

    async def last(self) -> dict[str, Any] | None:
        """The last report, as ``MaintenanceReport.to_dict`` made it; None where there is none."""
        ...

    async def keep(self, report: Mapping[str, Any]) -> None:
        """Keep a report.

        Raises:
            BackendUnavailable: it cannot be written.
        """
        ...

    async def keep_problems(self, problems: Mapping[str, str]) -> None:
        """Keep what fails out of a caller's sight, by the name of the work, and nothing else."""
        ...


class FolderRecord:
    """An :class:`UpkeepRecord` in a store's folder: ``maintenance.json``.

    So the doctor of a store that is closed, or open elsewhere, knows of it.

    Args:
        folder: the store's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def footprint(self) -> Footprint:
        """As of :class:`UpkeepRecord`."""
        return await asyncio.to_thread(footprint, self._folder)

    async def last(self) -> dict[str, Any] | None:
        """As of :class:`UpkeepRecord`."""
        return await asyncio.to_thread(last_maintenance, self._folder)

    async def keep(self, report: Mapping[str, Any]) -> None:
        """As of :class:`UpkeepRecord`."""
        await asyncio.to_thread(self._write, report)

    async def keep_problems(self, problems: Mapping[str, str]) -> None:
        """As of :class:`UpkeepRecord`."""
        try:
            await asyncio.to_thread(self._keep, of_background(problems))
        except BackendUnavailable as error:
            # Where the disk is full, this file is as well. The writer's health() has it all.
            _log.error("background_problems_not_recorded", error=str(error))

    def _write(self, record: Mapping[str, Any]) -> None:
        with _recording:
            write_whole(self._folder / FILE, json.dumps(record, indent=2))

    def _keep(self, told: dict[str, str]) -> None:
        with _recording:
            record = _read(self._folder)
            if record.get(BACKGROUND, {}) == told:
                return
            record.pop(BACKGROUND, None)
            if told:
                record[BACKGROUND] = told
            write_whole(self._folder / FILE, json.dumps(record, indent=2))


def of_background(problems: Mapping[str, str]) -> dict[str, str]:
    """The problems of background work; those that maintain() found are in its report."""
    return {name: text for name, text in problems.items() if not name.startswith(MAINTAIN_PROBLEM)}


def _read(folder: Path) -> dict[str, Any]:
    """The record as it is; empty where there is none that can be read."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def background_problems(folder: Path) -> dict[str, str]:
    """What failed out of a caller's sight in the last process that wrote, by the work's name."""
    found = _read(folder).get(BACKGROUND)
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
        if set(found) == {BACKGROUND}:
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
