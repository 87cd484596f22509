"""The write-ahead log: files with the rows that were acknowledged and are not in the engine yet.

The log consists of segments, one file each. A segment's name is the ``seq`` of its first row;
no name is used twice. Rows are appended to the newest segment; a segment is removed when all
its rows are in the engine. A killed process leaves at worst an incomplete record at the end of
the newest segment, which was never acknowledged. Anything else that cannot be read is damage:
it is reported, and the file is kept aside.

With ``fsync``, both the rows and the file's name are on the disk when
:meth:`WriteAheadLog.append` returns.

A segment is a header, followed by records of Arrow rows::

    header   magic, format, length and crc32 of the schema, the file's marker, Arrow's schema
    record   marker, length, crc32 of the rows, crc32 of these; an Arrow record batch, 8 bytes 255

All parts begin at a multiple of 8. The marker finds the next record after a damaged one. It is
random, so that no stored text can look like a record.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

import pyarrow as pa

from ..errors import BackendUnavailable, EngineError
from ..private import FILE, make_private_folder

#: Added to the name of a damaged segment.
ASIDE = ".damaged"

_SUFFIX = ".log"
_POSIX = os.name == "posix"

# Of the bytes.
_FORMAT = 1

_MAGIC = b"bmv-log\n"
_ALIGNMENT = 8
_MARKER = 8
_HEADER = struct.Struct("<8sIII4x8s")
_RECORD = struct.Struct("<8sIII4x")
_CRCED = struct.Struct("<8sII")
# After a power cut, the end of a file that was not synced may be zeros. Rows may end with as many
# zeros too (the vector of a text without a known token), so each record ends with bytes 255.
_BLANK = 512
_END = b"\xff" * _ALIGNMENT


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a segment.

    Attributes:
        marker: the 8 bytes at the beginning of each record.
        schema: of its rows.
        end: where the header ends and the first record begins, in bytes.
    """

    marker: bytes
    schema: pa.Schema
    end: int


@dataclass(frozen=True, slots=True)
class Segment:
    """The content of a segment.

    Attributes:
        path: the file.
        rows: the rows of each whole record, in order.
        end: where the last whole record ends, in bytes; 0 where it has no header.
        header: None where it has none.
        damaged: number of bytes that cannot be read and that a killed process does not explain.
        torn: whether it ends with an incomplete write.
        begin: where reading began, in bytes; 0 for the whole file.
    """

    path: Path
    rows: tuple[pa.Table, ...]
    end: int
    header: Header | None
    damaged: int
    torn: bool
    begin: int = 0


def segments(folder: Path) -> list[Path]:
    """The paths of the log's segments, oldest first; empty where there is no log.

    Raises:
        BackendUnavailable: the folder cannot be read.
    """
    return _listed(folder, _SUFFIX)


def set_aside(folder: Path) -> list[Path]:
    """The paths of damaged segments, which are kept aside.

    Raises:
        BackendUnavailable: the folder cannot be read.
    """
    return _listed(folder, _SUFFIX + ASIDE)


def _listed(folder: Path, suffix: str) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            # A link is none of ours, and what it names is another's.
            names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unavailable("read", folder, error) from error
    return [folder / name for name in sorted(names) if name.endswith(suffix)]


def read_segment(path: Path, header: Header | None = None, begin: int = 0) -> Segment:
    """Read a segment's rows.

    Args:
        path: the file.
        header: its header, if it was read before; ``begin`` is ignored if the file has
            another header.
        begin: read only what comes after this many bytes.

    Raises:
        FileNotFoundError: it is gone.
        BackendUnavailable: it cannot be read.
        EngineError: a newer version wrote it.
    """
    try:
        data = memoryview(path.read_bytes())
        now = _read_header(data)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unavailable("read", path, error) from error
    except _NewerFormat as error:
        raise EngineError(
            "write-ahead log", "read", f"{path}: {error}", fix="Upgrade this package.", cause=error
        ) from error
    if now is None:
        short = _header_cut_short(data)
        return Segment(path, (), 0, None, 0 if short else len(data), short)
    same = header is not None and header.marker == now.marker and begin <= len(data)
    begin = begin if same else 0
    found = _read_records(data, now, begin)
    rows = tuple(pa.Table.from_batches([batch]) for batch in found.batches)
    return Segment(path, rows, found.end, now, found.damaged, found.torn, begin)


class WriteAheadLog:
    """Writes the log. Its calls block, and run one at a time.

    They are locked, because a call that an ended event loop has left in a thread may still be
    running when the next loop makes one.

    Args:
        folder: where the segments are; made with the first one.
        schema: of the rows.
        fsync: an append returns only when it would survive a power cut.
        check: called before files are made, removed or renamed; raises where the folder's path
            does not lead to this log any more.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        *,
        fsync: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._schema = schema
        self._fsync = fsync
        self._may_change = check
        self._file: FileIO | None = None
        self._path = folder
        # The device and number of the newest segment.
        self._identity = (0, 0)
        self._header: Header | None = None
        # Where the last whole record ends, in bytes.
        self._end = 0
        # Whether a failed write may have left bytes after it.
        self._cut = False
        self._failed_sync: OSError | None = None
        self._taken: frozenset[Path] = frozenset()
        self._busy = threading.Lock()

    def append(self, rows: pa.Table) -> tuple[Path, int]:
        """Append at least one row; returns the segment, and the number of bytes in it.

        Raises:
            BackendUnavailable: the rows could not be written, and the log is as it was.
        """
        with self._busy:
            return self._append(rows)

    def _append(self, rows: pa.Table) -> tuple[Path, int]:
        self._check()
        try:
            if self._is_cut_short():
                # Someone else has. Records after a gap would be found by nobody.
                self._let_go()
            size = self._write_record(rows)
            if not self._in_place():
                # The segment was moved or deleted. Its earlier rows are in memory, too, and will be
                # flushed; these have to be where they can be found again.
                self._let_go()
                size = self._write_record(rows)
                if not self._in_place():
                    raise FileNotFoundError(errno.ENOENT, "it is removed again and again")
        except OSError as error:
            with suppress(OSError):
                # If that fails, it is done before the next write.
                self._cut_back()
            raise unavailable("add rows", self._path, error) from error
        self._end += size
        return self._path, size

    def _write_record(self, rows: pa.Table) -> int:
        """Write a record into the newest segment, or a new one; returns how long it is."""
        if self._file is None:
            self._may_change()
            self._path = self._fresh(rows.column("seq")[0].as_py())
            self._begin(self._path)
        file, header = self._file, self._header
        assert file is not None
        assert header is not None
        self._cut_back()
        record = _make_record(header.marker, rows)
        self._cut = True
        _write(file, record)
        self._sync(file.fileno())
        self._cut = False
        return len(record)

    def _in_place(self) -> bool:
        """Whether the path of the newest segment still leads to it."""
        try:
            return _identity(os.stat(self._path)) == self._identity
        except FileNotFoundError:
            return False

    def _is_cut_short(self) -> bool:
        """Whether the newest segment is shorter than what was written to it."""
        return self._file is not None and os.fstat(self._file.fileno()).st_size < self._end

    def _let_go(self) -> None:
        """Close a segment that another process has moved or cut, without the record just written.

        What it held is in memory, too, and will be flushed.
        """
        file, self._file = self._file, None
        if file is not None:
            with closing(file):
                if os.fstat(file.fileno()).st_size > self._end:
                    file.truncate(self._end)

    def rotate(self) -> None:
        """Let the next append begin a new segment.

        Raises:
            BackendUnavailable: the end of a failed write could not be removed.
        """
        with self._busy:
            file, self._file = self._file, None
            if file is not None:
                try:
                    self._cut_back(file)
                except OSError as error:
                    raise unavailable("end a file", self._path, error) from error
                finally:
                    file.close()

    def mend(self, found: Segment) -> None:
        """Remove an incomplete write from the end of a segment.

        Raises:
            BackendUnavailable: it cannot be written.
        """
        self._may_change()
        try:
            with found.path.open("r+b") as file:
                file.truncate(found.end)
                self._sync(file.fileno())
        except OSError as error:
            raise unavailable("mend", found.path, error) from error

    def avoid(self, paths: list[Path]) -> None:
        """Give no new segment the name of one of these, which will be removed later.

        A segment without a whole row may be named by the ``seq`` that the next row gets.
        """
        self._taken = frozenset(paths)

    def remove(self, paths: list[Path], damaged: frozenset[Path] = frozenset()) -> None:
        """Remove segments, oldest first; damaged ones are kept under another name.

        Raises:
            BackendUnavailable: some could not be removed.
        """
        self._may_change()
        for path in paths:
            try:
                if path in damaged:
                    path.replace(path.with_name(path.name + ASIDE))
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise unavailable("let go of rows", path, error) from error
        if self._fsync and paths:
            # If a power cut brought the segment back, a row deleted meanwhile would come back too.
            try:
                self._sync_folder(self._folder)
            except OSError as error:
                raise unavailable("let go of rows", self._folder, error) from error

    def close(self) -> None:
        """Close the newest segment. Closing twice does nothing."""
        file, header = self._file, self._header
        self.rotate()
        empty = header is not None and self._end == header.end
        if file is not None and empty and self._in_place():
            with suppress(OSError):
                # If it fails: the segment has no row, and the next opening removes it.
                os.unlink(file.name)

    def _fresh(self, first_seq: int) -> Path:
        path, number = self._folder / f"{first_seq:020}{_SUFFIX}", 0
        while path in self._taken:
            number += 1
            # Such a name sorts after the one without a number.
            path = self._folder / f"{first_seq:020}_{number}{_SUFFIX}"
        return path

    def _begin(self, path: Path) -> None:
        made = not self._folder.is_dir()
        make_private_folder(self._folder)
        if self._folder.is_symlink():
            raise OSError(errno.ELOOP, "the folder of the log is a link")
        header, data = _make_header(self._schema)
        # A file that exists already was begun by a call that failed. A link does, too.
        path.unlink(missing_ok=True)
        # Without a buffer, so that a write reaches the system at once.
        file = FileIO(str(path), "x", opener=_private)
        try:
            _write(file, data)
            if self._fsync:
                self._sync(file.fileno())
                self._sync_folder(self._folder)
                if made:
                    self._sync_folder(self._folder.parent)
        except BaseException:
            file.close()
            with suppress(OSError):
                # If it stays, its incomplete header is read as no row.
                path.unlink()
            raise
        self._identity = _identity(os.fstat(file.fileno()))
        self._file, self._header, self._end, self._cut = file, header, len(data), False

    def _cut_back(self, file: FileIO | None = None) -> None:
        """Truncate the segment after its last whole record."""
        file = file or self._file
        if self._cut and file is not None:
            file.truncate(self._end)
            file.seek(self._end)
            self._cut = False

    def _check(self) -> None:
        if self._failed_sync is not None:
            error = self._failed_sync
            # The system may have dropped the data that it could not write, and the next sync would
            # succeed all the same.
            raise BackendUnavailable(
                "write-ahead log",
                "make rows durable",
                str(error),
                fix=f"Check the disk of {self._folder}, then close the memory and open it again: "
                "what was not acknowledged may be there or not.",
                cause=error,
            ) from error

    def _sync(self, handle: int) -> None:
        if self._fsync:
            try:
                # macOS and Windows have no fdatasync.
                getattr(os, "fdatasync", os.fsync)(handle)
            except OSError as error:
                self._failed_sync = error
                raise

    def _sync_folder(self, folder: Path) -> None:
        if not _POSIX:
            return  # Windows makes names durable by itself
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            self._failed_sync = error
            raise
        finally:
            os.close(handle)


def _private(path: str, flags: int) -> int:
    """Open a new file for its owner only, whatever the umask."""
    return os.open(path, flags, FILE)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _write(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        # A full disk takes only a part; writing the rest then raises the error.
        left = left[file.write(left) or 0 :]


def unavailable(operation: str, path: Path, error: OSError) -> BackendUnavailable:
    """The error for a log that cannot be read or written."""
    return BackendUnavailable(
        "write-ahead log",
        operation,
        f"{path}: {error.strerror or error}",
        fix=f"Check that {path.parent} has free space and may be read and written.",
        cause=error,
    )


# The bytes of a segment


@dataclass(slots=True)
class _Found:
    """The records of a file.

    Attributes:
        batches: the rows of each whole record, in order.
        end: where the last whole record ends, in bytes.
        damaged: number of bytes that cannot be read and that a killed process does not explain.
        torn: whether an incomplete write follows ``end``.
    """

    batches: list[pa.RecordBatch] = field(default_factory=list)
    end: int = 0
    damaged: int = 0
    torn: bool = False


class _NewerFormat(Exception):
    """A later version of this package wrote the file."""


def _make_header(schema: pa.Schema) -> tuple[Header, bytes]:
    """The header of a new file, and its bytes."""
    marker = os.urandom(_MARKER)
    said = _padded(schema.serialize().to_pybytes())
    data = _HEADER.pack(_MAGIC, _FORMAT, len(said), zlib.crc32(said, _seed(marker)), marker) + said
    return Header(marker, schema, len(data)), data


def _make_record(marker: bytes, rows: pa.Table) -> bytes:
    """The bytes of one record; ``rows`` has at least one row."""
    (batch,) = rows.combine_chunks().to_batches()
    said = _padded(batch.serialize().to_pybytes()) + _END
    crc = zlib.crc32(said)
    return _RECORD.pack(marker, len(said), crc, _head_crc(marker, len(said), crc)) + said


def _read_header(data: memoryview) -> Header | None:
    """The header of a file; None where it is incomplete or damaged.

    Raises:
        _NewerFormat: it has another format than :data:`_FORMAT`.
    """
    if len(data) < _HEADER.size:
        return None
    magic, number, length, crc, marker = _HEADER.unpack_from(data)
    said = bytes(data[_HEADER.size : _HEADER.size + length])
    if magic != _MAGIC or len(said) < length or zlib.crc32(said, _seed(marker)) != crc:
        return None
    if number != _FORMAT:
        raise _NewerFormat(f"its format is {number}, not {_FORMAT}")
    return Header(marker, pa.ipc.read_schema(pa.py_buffer(said)), _HEADER.size + length)


def _header_cut_short(data: memoryview) -> bool:
    """Whether writing the header of a file was interrupted, so that no row was ever in it."""
    if len(data) < _HEADER.size or not bytes(data).strip(b"\0"):
        return True
    magic, _, length, _, _ = _HEADER.unpack_from(data)
    short: bool = magic == _MAGIC and len(data) < _HEADER.size + length
    return short or bytes(data).endswith(bytes(_BLANK))


def _read_records(data: memoryview, header: Header, begin: int = 0) -> _Found:
    """Every whole record from ``begin`` on (default: from the first)."""
    at = begin or header.end
    found = _Found(end=at)
    while at < len(data):
        end = _whole(data, header.marker, at)
        if end is None:
            behind = _next_whole(data, header.marker, at + _ALIGNMENT)
            if behind is None:
                break
            found.damaged += behind - at
            at = behind
            continue
        # A copy: it is aligned as Arrow needs it, and is freed with these rows.
        said = pa.py_buffer(bytes(data[at + _RECORD.size : end]))
        found.batches.append(pa.ipc.read_record_batch(said, header.schema))
        found.end = at = end
    if found.end < len(data):
        if _cut_short(data, header.marker, found.end):
            found.torn = True
        else:
            found.damaged += len(data) - found.end
    return found


def _whole(data: memoryview, marker: bytes, at: int) -> int | None:
    """Where the whole record at ``at`` ends; None where there is none."""
    if at + _RECORD.size > len(data):
        return None
    its_marker, length, crc, head_crc = _RECORD.unpack_from(data, at)
    end: int = at + _RECORD.size + length
    if its_marker != marker or _head_crc(marker, length, crc) != head_crc or end > len(data):
        return None
    return end if zlib.crc32(data[at + _RECORD.size : end]) == crc else None


def _next_whole(data: memoryview, marker: bytes, at: int) -> int | None:
    rest = data.obj if isinstance(data.obj, bytes) and len(data.obj) == len(data) else bytes(data)
    while (at := rest.find(marker, at)) >= 0:
        if _whole(data, marker, at) is not None:
            return at
        at += 1
    return None


def _cut_short(data: memoryview, marker: bytes, at: int) -> bool:
    """Whether the bytes from ``at`` on are a write that a kill or a power cut interrupted."""
    rest = bytes(data[at:])
    if not rest.strip(b"\0") or rest.endswith(bytes(_BLANK)):
        return True
    if len(rest) < _RECORD.size:
        return marker.startswith(rest[:_MARKER])
    its_marker, length, crc, head_crc = _RECORD.unpack_from(rest)
    good: bool = its_marker == marker and _head_crc(marker, length, crc) == head_crc
    return good and _RECORD.size + int(length) > len(rest)


def _head_crc(marker: bytes, length: int, crc: int) -> int:
    return zlib.crc32(_CRCED.pack(marker, length, crc))


def _seed(marker: bytes) -> int:
    return zlib.crc32(marker)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)
