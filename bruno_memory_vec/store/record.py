"""The size of a store's folder, and the record of its upkeep (``maintenance.json``)."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from bruno_memory_vec.errors import BackendUnavailable, StoreError
from bruno_memory_vec.indexers.forks import free_in_children
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.store.manifest import unwritable, write_whole

_log = get_logger(__name__)

FILE = "maintenance.json"
#: The folder of the files of users, in the store's.
USERS = "users"
#: What repairs have given up, a line each.
LOSSES = "losses.jsonl"
#: The folder of what is kept of erasures, and of the copies that were made of the store.
ERASURE = "erasure"
UNDER_WAY, RECEIPTS, RECEIPTS_KEY = "under-way.json", "receipts.jsonl", "receipts.key"
#: The files there that are sealed in an encrypted store.
KEPT_OF_ERASURES = (UNDER_WAY, RECEIPTS, RECEIPTS_KEY)
#: Keys of a line there: why the ledger began anew, and which rows were lost or deleted before, by
#: their ``seq``.
NEW_LEDGER, PERHAPS_LOST = "new_ledger", "perhaps_lost"
#: Prefix of the names of problems that maintain() has found.
MAINTAIN_PROBLEM = "maintain: "
# The key of what is sealed, in the records of an encrypted store.
_SEALED = "sealed"
_BEGINS = f'{{"{_SEALED}":'
#: The key in the record of the failures of background work.
BACKGROUND = "background"
# Held while the record is written, which background work and maintain() may do at the same time.
_recording = threading.Lock()
free_in_children(_recording)


@dataclass(frozen=True, slots=True)
class Footprint:
    """The size of a store's folder.

    Attributes:
        files: how many files, without those of users.
        bytes: their total size.
        versions: how many of the files are versions of the rows.
    """

    files: int
    bytes: int
    versions: int


def footprint(folder: Path) -> Footprint:
    """Count a folder's files. Another process may write meanwhile."""
    files = size = versions = 0
    users = os.path.join(folder, USERS)
    for path, _, names in os.walk(folder):
        # LanceDB has a small file for each version that was not removed yet.
        versions += len(names) if os.path.basename(path) == "_versions" else 0
        for name in names:
            try:
                size += os.stat(os.path.join(path, name)).st_size
            except FileNotFoundError:
                continue  # removed meanwhile
            # One a user is as many as there should be.
            files += path != users
    return Footprint(files, size, versions)


def readable_size(size: float) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


class SealsText(Protocol):
    """Seals texts for the disk.

    Attributes:
        receipts_key: the key that signs receipts of erasures, 32 bytes.
    """

    receipts_key: bytes

    def seal_text(self, text: str) -> str:
        """A text sealed, as ASCII."""
        ...

    def open_text(self, sealed: str) -> str:
        """The text of :meth:`seal_text`.

        Raises:
            ValueError: it was sealed with another key, or has changed.
        """
        ...


class UpkeepRecord(Protocol):
    """Keeps the results of a store's upkeep for other processes."""

    async def footprint(self) -> Footprint:
        """The size of the store."""
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
        """Replace the recorded failures of background work by these, by the name of the work."""
        ...

    async def keep_losses(self, losses: Mapping[str, Any]) -> None:
        """Add to the record of what repairs have given up.

        Raises:
            BackendUnavailable: it cannot be written.
        """
        ...

    async def change(self, change: Callable[[Any], Any]) -> None:
        """Change the last report, and each entry of what repairs have given up.

        Args:
            change: gives what is to be there in place of one of them; it may be the same.

        Raises:
            BackendUnavailable: it cannot be written.
        """
        ...


class FolderRecord:
    """An :class:`UpkeepRecord` in a store's folder: ``maintenance.json``.

    So ``doctor`` can show it for a store that is closed, or open in another process.

    Args:
        folder: the store's.
        check: called before each write; raises where the folder is not the store's any more.
        keys: seal what is written, as reports may name ids; None for a plain store.
    """

    def __init__(
        self,
        folder: Path,
        check: Callable[[], None] = lambda: None,
        keys: SealsText | None = None,
    ) -> None:
        self._folder = folder
        self._check = check
        self._keys = keys

    async def footprint(self) -> Footprint:
        """As of :class:`UpkeepRecord`."""
        return await asyncio.to_thread(footprint, self._folder)

    async def last(self) -> dict[str, Any] | None:
        """As of :class:`UpkeepRecord`."""
        return await asyncio.to_thread(last_maintenance, self._folder, self._keys)

    async def background(self) -> dict[str, str]:
        """The failures of background work in the process that writes, or was the last to."""
        return await asyncio.to_thread(background_problems, self._folder, self._keys)

    async def keep(self, report: Mapping[str, Any]) -> None:
        """As of :class:`UpkeepRecord`."""
        await asyncio.to_thread(self._write, report)

    async def keep_problems(self, problems: Mapping[str, str]) -> None:
        """As of :class:`UpkeepRecord`."""
        try:
            await asyncio.to_thread(self._keep, of_background(problems))
        except (BackendUnavailable, StoreError) as error:
            # If the disk is full, this fails too. The writer's health() still has the problems.
            _log.error("background_problems_not_recorded", error=str(error))

    async def keep_losses(self, losses: Mapping[str, Any]) -> None:
        """As of :class:`UpkeepRecord`."""
        path = self._folder / LOSSES

        def write() -> None:
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            write_whole(path, f"{before}{_said(losses, self._keys)}")

        try:
            await asyncio.to_thread(write)
        except OSError as error:
            raise unwritable(self._folder, error) from error

    async def change(self, change: Callable[[Any], Any]) -> None:
        """As of :class:`UpkeepRecord`. What cannot be read is left as it is."""
        try:
            await asyncio.to_thread(self._change, change)
        except OSError as error:
            raise unwritable(self._folder, error) from error

    def _change(self, change: Callable[[Any], Any]) -> None:
        with _recording:
            self._check()
            record = _read(self._folder, self._keys)
            changed = change(record)
            if changed != record:
                write_whole(self._folder / FILE, _said(changed, self._keys, indent=2))
            path = self._folder / LOSSES
            if not path.exists():
                return
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = []
            for line in lines:
                try:
                    entry = _loaded(line, self._keys)
                except ValueError:
                    kept.append(line)
                    continue
                now = change(entry)
                kept.append(line if now == entry else _said(now, self._keys))
            if kept != lines:
                write_whole(path, "\n".join(kept))

    def _write(self, record: Mapping[str, Any]) -> None:
        with _recording:
            self._check()
            write_whole(self._folder / FILE, _said(record, self._keys, indent=2))

    def _keep(self, told: dict[str, str]) -> None:
        with _recording:
            self._check()
            record = _read(self._folder, self._keys)
            if record.get(BACKGROUND, {}) == told:
                return
            record.pop(BACKGROUND, None)
            if told:
                record[BACKGROUND] = told
            write_whole(self._folder / FILE, _said(record, self._keys, indent=2))


def of_background(problems: Mapping[str, str]) -> dict[str, str]:
    """The problems of background work, without those that maintain() found."""
    return {name: text for name, text in problems.items() if not name.startswith(MAINTAIN_PROBLEM)}


def _said(record: Mapping[str, Any], keys: SealsText | None, indent: int | None = None) -> str:
    """A record as JSON; with keys, as JSON that holds it sealed."""
    if keys is None:
        return json.dumps(record, indent=indent)
    return json.dumps({_SEALED: keys.seal_text(json.dumps(record))})


def _loaded(text: str, keys: SealsText | None) -> Any:
    """What :func:`_said` has written.

    Raises:
        ValueError: it cannot be read, or not with these keys.
    """
    found = json.loads(text)
    if keys is None or not isinstance(found, dict) or _SEALED not in found:
        return found
    return json.loads(keys.open_text(str(found[_SEALED])))


def sealed_text(text: str, keys: SealsText | None) -> str:
    """A text for the disk: sealed where there are keys."""
    return text if keys is None else json.dumps({_SEALED: keys.seal_text(text)})


def opened_text(text: str, keys: SealsText | None) -> str:
    """What :func:`sealed_text` was given; a text that is not sealed is as it is.

    Raises:
        ValueError: it was sealed with another key, or has changed.
    """
    if keys is None or not text.startswith(_BEGINS):
        return text
    return keys.open_text(str(json.loads(text)[_SEALED]))


def reseal(folder: Path, before: SealsText | None, after: SealsText | None) -> None:
    """Write the records anew as they are read from now on. What cannot be read stays as it is.

    Raises:
        BackendUnavailable: they cannot be written.
    """
    for name, indent in ((FILE, 2), (LOSSES, None)):
        path = folder / name
        try:
            text = path.read_text(encoding="utf-8")
            parts = [text] if name == FILE else text.splitlines()
            if after is not None and all(_SEALED in json.loads(part) for part in parts):
                continue
            said = [_said(_loaded(part, before or after), after, indent) for part in parts]
        except (OSError, ValueError, TypeError):
            continue
        write_whole(path, "\n".join(said))
    for name in KEPT_OF_ERASURES:
        path = folder / ERASURE / name
        try:
            text = path.read_text(encoding="utf-8")
            if after is not None and text.startswith(_BEGINS):
                continue
            text = opened_text(text, before or after)
        except (OSError, ValueError, TypeError):
            continue
        if name == RECEIPTS_KEY and after is None and before is not None:
            # The key that signed until now is one of those that are gone.
            text = f"{text}{before.receipts_key.hex()}\n"
        write_whole(path, sealed_text(text, after).rstrip("\n"))


def _read(folder: Path, keys: SealsText | None = None) -> dict[str, Any]:
    """The record; empty where there is none, or it cannot be read."""
    try:
        found = _loaded((folder / FILE).read_text(encoding="utf-8"), keys)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def background_problems(folder: Path, keys: SealsText | None = None) -> dict[str, str]:
    """The failures of background work in the last writing process, by the name of the work."""
    found = _read(folder, keys).get(BACKGROUND)
    if not isinstance(found, dict):
        return {}
    return {name: text for name, text in found.items() if isinstance(text, str)}


def losses(folder: Path, keys: SealsText | None = None) -> list[dict[str, Any]]:
    """What repairs have given up, the oldest first; empty where there is no readable record."""
    try:
        lines = (folder / LOSSES).read_text(encoding="utf-8").splitlines()
        found = [_loaded(line, keys) for line in lines]
        return [one for one in found if isinstance(one, dict) and isinstance(one.get("at"), str)]
    except (OSError, ValueError):
        return []


def last_maintenance(folder: Path, keys: SealsText | None = None) -> dict[str, Any] | None:
    """The last report of a store in a folder, as :meth:`MaintenanceReport.to_dict` made it.

    Failures of background work since then are in it under "background". None where there is no
    report, or its file cannot be read: nothing depends on it.
    """
    try:
        found = _loaded((folder / FILE).read_text(encoding="utf-8"), keys)
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
