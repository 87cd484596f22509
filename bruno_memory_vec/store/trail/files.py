"""The files of trails: lines that are only appended, in files that are rotated, and a head.

::

    audit/trail-1.000001.jsonl   entries, a line each; the chain goes on in the next file
    audit/trail-1.000002.jsonl
    audit/trail-1.head           how many entries there are, and the last one's hash
    audit/trail-1.lock           held by the process that writes this trail
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.indexers.durable import sync_folder
from bruno_memory_vec.indexers.private import FILE, NO_LINK, make_private_folder
from bruno_memory_vec.store.file_lock import FileLock
from bruno_memory_vec.store.trail.entry import NOTHING, Chain, line_of, parts_of

_NAME: Final = re.compile(r"(trail-\d+)\.(\d{6,})\.jsonl")
# The head is written in place, always with so many bytes.
_HEAD_BYTES: Final = 128
_MOST_TRAILS: Final = 10_000


class Head(NamedTuple):
    """The end of a trail.

    Attributes:
        number: the number of its last entry.
        hash: that entry's hash.
    """

    number: int = 0
    hash: str = NOTHING

    def told(self) -> dict[str, Any]:
        """As it is handed out."""
        return {"count": self.number, "hash": self.hash}


class TrailFile:
    """One trail, open to be appended to by this process alone.

    Args:
        folder: where trails are.
        chain: makes the hashes.
        largest: after how many bytes the next file begins.

    Raises:
        BackendUnavailable: the folder cannot be written.
    """

    def __init__(self, folder: Path, chain: Chain, largest: int) -> None:
        self._folder, self._chain, self._largest = folder, chain, largest
        self._process = os.getpid()
        self._data = self._head_file = -1
        self._unsynced_name = False
        try:
            make_private_folder(folder)
            self.name, self._lock = self._free()
            try:
                self._open()
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise unwritable(folder, error) from error

    def _free(self) -> tuple[str, FileLock]:
        """The first trail that no other process has open."""
        for number in range(1, _MOST_TRAILS):
            name = f"trail-{number}"
            lock = FileLock.taken(self._folder / f"{name}.lock")
            if lock is not None:
                return name, lock
        raise OSError(f"{_MOST_TRAILS:,} trails are open")

    def _open(self) -> None:
        """Go on with the chain, and note what is missing of it."""
        path = self._folder / f"{self.name}.head"
        self._head_file = os.open(path, os.O_RDWR | os.O_CREAT | NO_LINK, FILE)
        told = read_head(self._folder, self.name)
        headed = has_head(self._folder, self.name)
        # It is written in place, so what is longer would stay behind it.
        os.ftruncate(self._head_file, min(os.fstat(self._head_file).st_size, _HEAD_BYTES))
        files = files_of(self._folder, self.name)
        last, torn = None, 0
        for path in reversed(files):
            found, left = _end_of(path)
            if left and path == files[-1]:
                # Kept beside: it was never whole, and the next line must not join it.
                _set_aside(path, left)
                torn = left
            if path.stat().st_size:
                last = found
                break
            # A kill may have come between a new file and its first entry.
        self._number = _number_of(files[-1]) if files else 0
        self._size = files[-1].stat().st_size if files else 0
        # Where entries are missing, the chain goes on from what the head knows, so the gap stays.
        self.head = told if last is None or told.number > last.number else last
        if files:
            self._data = os.open(files[-1], os.O_WRONLY | os.O_APPEND | NO_LINK)
        else:
            self._next_file()
        about: dict[str, object] = {"opened_by": self._process}
        if torn:
            about["torn_bytes"] = torn
        if last is None and told.number:
            about["end_damaged"] = True
        elif last is not None and told.number > last.number:
            about["lost_entries"] = told.number - last.number
        elif last is not None and last.number > 1 and not headed:
            # It was written with the first entry. Without it nobody knows what stood at the end.
            about["head_missing"] = True
        #: What the trail says when it is opened.
        self.about = about

    def _next_file(self) -> None:
        self._number += 1
        path = self._folder / f"{self.name}.{self._number:06d}.jsonl"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | NO_LINK
        fresh = os.open(path, flags, FILE)
        if self._data >= 0:
            os.fsync(self._data)
            os.close(self._data)
        self._data, self._size, self._unsynced_name = fresh, 0, True

    def append(self, bodies: list[dict[str, object]]) -> None:
        """Append entries: they survive a kill of the process from now on.

        Raises:
            BackendUnavailable: they cannot be written, and count as not there.
        """
        if os.getpid() != self._process:
            return  # a forked child's copy is never used
        lines, head = [], self.head
        for body in bodies:
            line, made = line_of(head.number + 1, body, head.hash, self._chain)
            lines.append(line)
            head = Head(head.number + 1, made)
        data = b"".join(lines)
        try:
            if self._size and self._size + len(data) > self._largest:
                self._next_file()
            _write(self._data, data, self._size)
            self._size += len(data)
            self.head = head
            _write_head(self._head_file, head)
        except OSError as error:
            raise unwritable(self._folder, error) from error

    def sync(self) -> None:
        """Let what was appended survive a power cut.

        Raises:
            BackendUnavailable: it cannot be synced.
        """
        try:
            os.fsync(self._data)
            os.fsync(self._head_file)
            if self._unsynced_name:
                sync_folder(self._folder)
                self._unsynced_name = False
        except OSError as error:
            raise unwritable(self._folder, error) from error

    def close(self) -> None:
        """Let go of the trail. Closing twice does nothing."""
        for handle in (self._data, self._head_file):
            if handle >= 0 and os.getpid() == self._process:
                os.close(handle)
        self._data = self._head_file = -1
        self._lock.release()


def _write(handle: int, data: bytes, size: int) -> None:
    """Append all of ``data``, or nothing: what was written of it is cut off again."""
    done = 0
    try:
        while done < len(data):
            done += os.write(handle, data[done:])
    except OSError:
        if done:
            os.ftruncate(handle, size)
        raise


def _write_head(handle: int, head: Head) -> None:
    said = json.dumps(head.told()).encode()
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, said.ljust(_HEAD_BYTES - 1) + b"\n")


def _set_aside(path: Path, torn: int) -> None:
    with open(path, "r+b") as file:
        file.seek(-torn, os.SEEK_END)
        left = file.read()
        place = path.with_name(f"{path.name}.torn")
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_LINK, FILE)
        try:
            os.write(handle, left + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        file.truncate(path.stat().st_size - torn)
        os.fsync(file.fileno())


def _end_of(path: Path) -> tuple[Head | None, int]:
    """The last line of a file, and how many bytes stand behind it; None where it is no entry."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        reach = 1 << 16
        while True:
            start = max(0, size - reach)
            file.seek(start)
            data = file.read(size - start)
            end = data.rfind(b"\n") + 1
            before = data.rfind(b"\n", 0, end - 1) + 1 if end else 0
            if start == 0 or (end and before):
                break
            reach *= 4
    found = parts_of(data[before:end]) if end else None
    if found is None:
        # The head, if there is one, knows where the chain was.
        return None, len(data) - end
    return Head(found[1]["n"], found[1]["hash"]), len(data) - end


def read_head(folder: Path, trail: str) -> Head:
    """The head of a trail as it is kept beside it; the beginning where there is none."""
    try:
        read = json.loads((folder / f"{trail}.head").read_bytes() or b"{}")
        return Head(int(read["count"]), str(read["hash"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return Head()


def has_head(folder: Path, trail: str) -> bool:
    """Whether a trail has a readable head."""
    return read_head(folder, trail) != Head()


def trails_in(folder: Path) -> list[str]:
    """The trails of a folder, by their files and heads."""
    if not folder.is_dir():
        return []
    names = {
        found[1] for path in folder.iterdir() if (found := _NAME.fullmatch(path.name)) is not None
    }
    names |= {path.stem for path in folder.glob("trail-*.head")}
    return sorted(names, key=lambda name: int(name.partition("-")[2]))


def files_of(folder: Path, trail: str) -> list[Path]:
    """The files of a trail, in their order."""
    found = [path for path in folder.glob(f"{trail}.*.jsonl") if _NAME.fullmatch(path.name)]
    return sorted(found, key=_number_of)


def _number_of(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return int(found[2])


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, the last one perhaps without its end."""
    with open(path, "rb") as file:
        yield from file


def unwritable(folder: Path, error: OSError) -> BackendUnavailable:
    """The error of a folder that cannot be used."""
    return BackendUnavailable(
        "audit",
        "write",
        f"{folder}: {error}",
        fix="Make room and give rights, or name another folder in audit_folder.",
        cause=error,
    )
