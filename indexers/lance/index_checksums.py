"""Checksums of the files of a LanceDB table's indexes.

LanceDB keeps none. It fails on an index file that was cut short, and on a changed byte it may
answer wrongly, or ask for so much memory that the process ends. So an index whose files are not
as they were when it was made must never be read; it is derived from the rows, and made again.

LanceDB writes the files of an index once, into a folder of their own, and never changes them.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import BackendUnavailable
from ..private import FILE as FILE_RIGHTS

#: The record's name, in the folder of the rows.
FILE = "index-checksums.json"

_INDICES = "_indices"
# The files of a vector index end so; no scalar index has such a file.
_VECTOR_FILE = ".idx"
_PART = 2**20
# A larger file is read again only if its size or its time has changed, or for a thorough check.
_LARGE = 2**25
# A writer records the checksums some milliseconds after its commit. A reader that looks between
# the two trusts files which are not older than this many seconds.
_RECORDED_WITHIN = 60.0


class _File(NamedTuple):
    size: int
    mtime_ns: int
    crc: int


@dataclass(frozen=True, slots=True)
class IndexFiles:
    """The result of a check: each folder of an index by its state.

    Attributes:
        whole: as recorded.
        damaged: a file is missing or differs, by the folder: what is wrong.
        unknown: not recorded; a process ended between its commit and the record.
        live: by the index's name, its folder, as the record has it.
        vectors: those of vector indexes among all of these.
    """

    whole: frozenset[str]
    damaged: Mapping[str, str]
    unknown: frozenset[str]
    live: Mapping[str, str]
    vectors: frozenset[str]

    def problem(self, folder: str) -> str | None:
        """What is wrong with a folder; None if nothing is."""
        if folder in self.whole:
            return None
        return self.damaged.get(folder, "its files have no recorded checksum")

    def problem_of_vectors(self) -> str | None:
        """What is wrong with any vector index; None if nothing is, or there is none."""
        wrong = [self.problem(folder) for folder in sorted(self.vectors)]
        return next((problem for problem in wrong if problem is not None), None)


class IndexChecksums:
    """Records the checksums of a table's index files, and compares the files with them.

    Its methods block; one is called at a time.

    Args:
        rows: the folder of the rows, which holds the table's folder and the record.
        table: the name of the table's folder.
    """

    def __init__(self, rows: Path, table: str) -> None:
        self._indices = rows / table / _INDICES
        self._path = rows / FILE

    def check(self, *, thorough: bool = False, beside_writer: bool = False) -> IndexFiles:
        """Compare the files with the record.

        Args:
            thorough: read large files too whose size and time are as recorded.
            beside_writer: where there is a record, trust files that it lacks if they are a minute
                old at most.

        Raises:
            BackendUnavailable: a file may not be read.
        """
        files, live = self._read()
        of_folder: dict[str, dict[str, _File]] = {}
        for name, file in files.items():
            folder, _, inside = name.partition("/")
            of_folder.setdefault(folder, {})[inside] = file
        present = self._folders()
        whole, damaged, unknown = set(), {}, set()
        for folder in present:
            recorded = of_folder.get(folder)
            if recorded is None:
                if beside_writer and files and self._young(folder):
                    whole.add(folder)
                else:
                    unknown.add(folder)
                continue
            wrong = self._wrong(folder, recorded, thorough=thorough)
            if wrong is None:
                whole.add(folder)
            else:
                damaged[folder] = wrong
        for folder in set(live.values()) - present:
            damaged[folder] = f"its folder {folder} is missing"
        vectors = {
            folder for folder, inside in of_folder.items() if any(map(_of_vectors, inside))
        } & (set(damaged) | whole)
        vectors |= {folder for folder in unknown if self._has_vectors(folder)}
        # What an older version of the table had is of no consequence.
        current = set(live.values())
        vectors = {one for one in vectors if one in current or one in unknown}
        return IndexFiles(frozenset(whole), damaged, frozenset(unknown), live, frozenset(vectors))

    def record(self, live: Mapping[str, str]) -> None:
        """Record the files that are there now, after the table's indexes were changed.

        Those that were recorded before keep their checksum: a file that has changed since must
        not become right by this.

        Args:
            live: by the name of each index, its folder.

        Raises:
            BackendUnavailable: the record cannot be written, or a file may not be read.
        """
        before, live_before = self._read()
        files: dict[str, _File] = {}
        for folder in self._folders():
            with suppress(FileNotFoundError), os.scandir(self._indices / folder) as entries:
                for entry in entries:
                    name = f"{folder}/{entry.name}"
                    known = before.get(name)
                    # The clean-up of old versions may remove one meanwhile.
                    with suppress(FileNotFoundError):
                        files[name] = known or self._checksum(name)
        # A file of a folder that stays must stay as well.
        folders = {name.partition("/")[0] for name in files}
        files.update(
            {
                name: file
                for name, file in before.items()
                if name not in files and name.partition("/")[0] in folders
            }
        )
        if files == before and dict(live) == live_before:
            return
        body = {"files": {name: list(file) for name, file in files.items()}, "live": dict(live)}
        self._write(json.dumps({**body, "checksum": _checksum_of(body)}))

    def _read(self) -> tuple[dict[str, _File], dict[str, str]]:
        """The record; empty where there is none, or where it is damaged."""
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            body = {"files": data["files"], "live": data["live"]}
            if data["checksum"] != _checksum_of(body):
                return {}, {}
            return {name: _File(*file) for name, file in body["files"].items()}, body["live"]
        except FileNotFoundError:
            return {}, {}
        except OSError as error:
            raise _unavailable("read", self._path, error) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}, {}

    def _write(self, text: str) -> None:
        fresh = self._path.with_name(f"{FILE}.new")
        try:
            # Made anew, so that it is never written through a link of this name.
            fresh.unlink(missing_ok=True)
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_RIGHTS)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            fresh.replace(self._path)
        except OSError as error:
            raise _unavailable("write", self._path, error) from error

    def _folders(self) -> set[str]:
        try:
            with os.scandir(self._indices) as entries:
                return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise _unavailable("read", self._indices, error) from error

    def _wrong(self, folder: str, recorded: Mapping[str, _File], *, thorough: bool) -> str | None:
        for inside, file in recorded.items():
            name = f"{folder}/{inside}"
            try:
                found = os.stat(self._indices / name)
                if found.st_size != file.size:
                    return f"{name} has {found.st_size:,} bytes, not {file.size:,}"
                if file.size > _LARGE and not thorough and found.st_mtime_ns == file.mtime_ns:
                    continue
                if self._checksum(name).crc != file.crc:
                    return f"{name} is not as it was written"
            except FileNotFoundError:
                return f"{name} is missing"
            except OSError as error:
                raise _unavailable("read", self._indices / name, error) from error
        return None

    def _checksum(self, name: str) -> _File:
        crc = 0
        with open(self._indices / name, "rb") as file:
            state = os.fstat(file.fileno())
            while part := file.read(_PART):
                crc = zlib.crc32(part, crc)
        return _File(state.st_size, state.st_mtime_ns, crc)

    def _young(self, folder: str) -> bool:
        with suppress(OSError):
            return time.time() - os.stat(self._indices / folder).st_mtime < _RECORDED_WITHIN
        return True  # gone meanwhile

    def _has_vectors(self, folder: str) -> bool:
        with suppress(OSError):
            return any(map(_of_vectors, os.listdir(self._indices / folder)))
        return False


def _of_vectors(name: str) -> bool:
    return name.endswith(_VECTOR_FILE)


def _checksum_of(body: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())


def _unavailable(operation: str, path: Path, error: OSError) -> BackendUnavailable:
    return BackendUnavailable(
        "lancedb",
        f"{operation} the checksums of its indexes",
        str(error),
        fix=f"Check that {path} may be read and written, and that its disk has free space.",
        cause=error,
    )
