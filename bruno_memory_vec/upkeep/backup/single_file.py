"""A backup in one file: records, one after the other, each with its own checksums.

Nothing within the file changes once it is there: a backup appends, and a pruning writes the file
anew beside the old one. What a killed backup has left at the end is cut off by the next one; a
record in the middle that was changed is stepped over, and :meth:`FileRepository.damage` tells it.

A record is the mark, the lengths of its name and its data, a CRC-32 of these and the name, the
name, the SHA-256 of the data, and the data. The head is the last record of that name.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from bruno_memory_vec.errors import EngineError, InvalidInputError
from bruno_memory_vec.indexers.durable import sync_folder
from bruno_memory_vec.indexers.private import FILE, NO_LINK, make_private_folder
from bruno_memory_vec.store.file_lock import FileLock
from bruno_memory_vec.upkeep.backup.repository import (
    checked,
    damaged,
    locked,
    missing,
    name_of,
    unusable,
)

#: What such a file begins with.
MAGIC = b"bruno-memory-vec backup 1\n"
_MARK = b"\xb7\xc2\x91\xee"
_LENGTHS = struct.Struct("<HQ")
_CRC = struct.Struct("<I")
_BEFORE_NAME = len(_MARK) + _LENGTHS.size + _CRC.size
_HASH = 32
_HEAD = "head"
_LONGEST_NAME = 200
_BLOCK = 2**20
_BINARY: int = getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class _Record:
    """A record: its name, where its data is, how much, and its SHA-256."""

    name: str
    at: int
    length: int
    digest: bytes


class FileRepository:
    """A ``Repository`` that is one file.

    Args:
        path: which; it is made to write.
        write: whether it is to be written, by nobody else meanwhile.

    Raises:
        InvalidInputError: the file is something else.
        StoreLockedError: somebody else writes to it.
        EngineError: it cannot be made, read or written.
    """

    sweeps = False

    def __init__(self, path: Path, *, write: bool) -> None:
        self._path = path
        self._lock: FileLock | None = None
        self._damage: list[str] = []
        self._pieces: dict[str, _Record] = {}
        self._head: _Record | None = None
        self._end = 0
        try:
            if write:
                make_private_folder(path.parent)
                self._lock = locked(path)
            flags = (os.O_RDWR if write else os.O_RDONLY) | NO_LINK | _BINARY
            handle = os.open(path, flags)
            self._file: BinaryIO = os.fdopen(handle, "r+b" if write else "rb")
        except OSError as error:
            self.close()
            raise unusable(path, "open", error) from error
        try:
            self._open(write)
        except OSError as error:
            self.close()
            raise unusable(path, "read", error) from error
        except BaseException:
            self.close()
            raise

    def _open(self, write: bool) -> None:
        size = os.fstat(self._file.fileno()).st_size
        if size == 0 and write:
            self._append_bytes(MAGIC)
            return
        self._file.seek(0)
        begin = self._file.read(len(MAGIC))
        if begin != MAGIC:
            if write and MAGIC.startswith(begin):  # killed as it was begun
                self._file.truncate(0)
                self._end = 0
                self._append_bytes(MAGIC)
                return
            # A backup whose first bytes were changed still has its records.
            if not any(True for _ in self._records(0, size)):
                raise InvalidInputError(
                    "target", f"{self._path} is no backup", fix="Name a new file, or a backup."
                )
            self._damage.append(f"{self._path}: its first bytes are not as they were written")
        self._end = len(MAGIC)
        for record in self._records(len(MAGIC), size):
            if record.name == _HEAD:
                self._head = record
            else:
                self._pieces[record.name] = record
            self._end = record.at + record.length
        if self._tail:
            self._end = size
        if write and self._end < size:
            self._file.truncate(self._end)

    @property
    def path(self) -> str:
        return str(self._path)

    @property
    def keys(self) -> Path | None:
        return None

    def head(self) -> bytes | None:
        if self._head is None:
            return None
        data = self._data(self._head)
        if hashlib.sha256(data).digest() != self._head.digest:
            raise damaged(f"the head of {self._path} is not as it was written")
        return data

    def write_head(self, data: bytes) -> None:
        try:
            # What the head names is on the disk before it.
            self._file.flush()
            os.fsync(self._file.fileno())
            self._head = self._append(_HEAD, data)
            self._file.flush()
            os.fsync(self._file.fileno())
            sync_folder(self._path.parent)
        except OSError as error:
            raise unusable(self._path, "write", error) from error

    def has(self, name: str) -> bool:
        return name in self._pieces

    def write(self, kind: str, data: bytes) -> str:
        name = name_of(kind, data)
        if name in self._pieces:
            try:
                self.read(name)
            except EngineError:
                del self._pieces[name]  # damaged: what is appended now counts
            else:
                return name
        try:
            self._pieces[name] = self._append(name, data)
        except OSError as error:
            raise unusable(self._path, "write", error) from error
        return name

    def read(self, name: str) -> bytes:
        record = self._pieces.get(name)
        if record is None:
            raise missing(name, self.path)
        return checked(name, self._data(record), self.path)

    def names(self) -> list[str]:
        return list(self._pieces)

    def keep_only(self, names: Collection[str]) -> None:
        kept = set(names)
        head = self.head()
        fresh = self._path.with_name(f".{self._path.name}.{uuid4().hex}.part")
        try:
            handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK | _BINARY, FILE)
            try:
                with os.fdopen(handle, "r+b") as file:
                    file.write(MAGIC)
                    for name in self._pieces:
                        if name in kept:
                            file.write(_packed(name, self.read(name)))
                    if head is not None:
                        file.write(_packed(_HEAD, head))
                    file.flush()
                    os.fsync(file.fileno())
                lock = locked(fresh)
                os.replace(fresh, self._path)
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise
            sync_folder(self._path.parent)
            self._file.close()
            if self._lock is not None:
                self._lock.release()
            self._lock = lock
            self._file = os.fdopen(os.open(self._path, os.O_RDWR | NO_LINK | _BINARY), "r+b")
            self._damage, self._pieces, self._head = [], {}, None
            self._open(True)
        except OSError as error:
            raise unusable(self._path, "prune", error) from error

    def damage(self) -> list[str]:
        found = list(self._damage)
        try:
            if self._head is None and self._pieces:
                found.append(f"{self._path} has no list of its points")
            self.head()
        except EngineError:
            found.append(f"the list of points of {self._path} is not as it was written")
        # Each piece is read by its name, the newest of that name; all others lie there, too.
        for record in self._records(len(MAGIC), os.fstat(self._file.fileno()).st_size, note=False):
            latest = self._head if record.name == _HEAD else self._pieces.get(record.name)
            if record == latest:
                # A head is compared with it at each opening; a piece, with its own name.
                if record.name != _HEAD and record.name.partition("/")[2] != record.digest.hex():
                    found.append(f"{self._path}: the checksum of {record.name} was changed")
                continue
            if hashlib.sha256(self._data(record)).digest() != record.digest:
                found.append(f"{self._path}: an earlier {record.name} is not as it was written")
        return found

    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        file: BinaryIO | None = getattr(self, "_file", None)
        if file is not None:
            file.close()
        if self._lock is not None:
            self._lock.release()

    @property
    def _tail(self) -> bool:
        """Whether what stands behind the last record may be more than a killed backup's rest."""
        return bool(self._damage) and self._damage[-1].endswith(_AT_THE_END)

    def _records(self, start: int, size: int, *, note: bool = True) -> Iterator[_Record]:
        at = start
        while at < size:
            record, cut = self._record_at(at, size)
            if record is not None:
                yield record
                at = record.at + record.length
                continue
            if cut:
                return
            after = self._next_record(at + 1, size)
            if note:
                where = f"{self._path}: the bytes from {at:,} to {after:,} are no record"
                self._damage.append(where + (_AT_THE_END if after == size else ""))
            at = after

    def _record_at(self, at: int, size: int) -> tuple[_Record | None, bool]:
        """The record that begins there; else None, and whether it may have been cut by a kill."""
        self._file.seek(at)
        begin = self._file.read(_BEFORE_NAME)
        if len(begin) < _BEFORE_NAME:
            return None, True
        if not begin.startswith(_MARK):
            return None, False
        name_length, length = _LENGTHS.unpack_from(begin, len(_MARK))
        if name_length > _LONGEST_NAME:
            return None, False
        name = self._file.read(name_length)
        if len(name) < name_length:
            # A wrong length would seem to be a cut name.
            return None, at + _BEFORE_NAME + name_length > size and name_length <= _LONGEST_NAME
        (crc,) = _CRC.unpack_from(begin, len(_MARK) + _LENGTHS.size)
        if zlib.crc32(name, zlib.crc32(begin[: -_CRC.size])) != crc:
            return None, False
        digest = self._file.read(_HASH)
        begins = at + _BEFORE_NAME + name_length + _HASH
        if begins + length > size:
            return None, True
        return _Record(name.decode(), begins, length, digest), False

    def _next_record(self, at: int, size: int) -> int:
        """Where the next record begins; the end of the file where none does."""
        while at < size:
            self._file.seek(at)
            block = self._file.read(_BLOCK)
            found = block.find(_MARK)
            if found < 0:
                at += max(1, len(block) - len(_MARK) + 1)
                continue
            at += found
            if self._record_at(at, size)[0] is not None:
                return at
            at += 1
        return size

    def _data(self, record: _Record) -> bytes:
        try:
            self._file.seek(record.at)
            return self._file.read(record.length)
        except OSError as error:
            raise unusable(self._path, "read", error) from error

    def _append(self, name: str, data: bytes) -> _Record:
        packed = _packed(name, data)
        at = self._end + len(packed) - len(data)
        self._append_bytes(packed)
        return _Record(name, at, len(data), hashlib.sha256(data).digest())

    def _append_bytes(self, data: bytes) -> None:
        self._file.seek(self._end)
        self._file.write(data)
        self._file.flush()
        self._end += len(data)


_AT_THE_END = ", up to the end"


def _packed(name: str, data: bytes) -> bytes:
    called = name.encode()
    begin = _MARK + _LENGTHS.pack(len(called), len(data))
    crc = _CRC.pack(zlib.crc32(called, zlib.crc32(begin)))
    return b"".join((begin, crc, called, hashlib.sha256(data).digest(), data))
