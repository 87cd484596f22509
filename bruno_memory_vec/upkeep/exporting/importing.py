"""An export, taken in again: every row as it was, its turn, times, uses and marks.

The file is read whole and checked before anything is written: its rows are put into pieces, as
those of a backup are, and from there they are copied into the store and compared with it.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from bruno_core.models.context import SessionContext, UserContext

from bruno_memory_vec.embedders.protocol import Fingerprint
from bruno_memory_vec.errors import (
    BackendUnavailable,
    ForeignUserError,
    InvalidInputError,
)
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.query import EVERYONE
from bruno_memory_vec.indexers.schema import CHECKSUM, MEMORY, MESSAGE, SCHEMA_VERSION, row_schema
from bruno_memory_vec.portability.decoding import ByteStream
from bruno_memory_vec.portability.exported import (
    CONVERSATION,
    END,
    LONGEST_HEADER,
    NOTE,
    PROFILE,
    SESSION,
    check_version,
    header_of,
    row_of,
    vector_of,
)
from bruno_memory_vec.portability.opening import Unzipped
from bruno_memory_vec.portability.records import BadFieldError, parse_json
from bruno_memory_vec.rows.models import Row, to_table
from bruno_memory_vec.sessions.payloads import from_texts, note_from_text
from bruno_memory_vec.store.deployment import Made
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.upkeep.backup.chunks import list_of, packed, rows_to_parts
from bruno_memory_vec.upkeep.backup.contents import Contents
from bruno_memory_vec.upkeep.backup.folder import FolderRepository
from bruno_memory_vec.upkeep.backup.in_memory import MemoryRepository
from bruno_memory_vec.upkeep.backup.people import Person, people_to_pieces
from bruno_memory_vec.upkeep.backup.places import path_of
from bruno_memory_vec.upkeep.backup.points import Held, Point
from bruno_memory_vec.upkeep.backup.repository import CHUNKS, LISTS, PEOPLE, Repository
from bruno_memory_vec.upkeep.backup.sealing import Sealing, for_passing_through
from bruno_memory_vec.upkeep.backup.source import source_of
from bruno_memory_vec.upkeep.copying.comparison import outline
from bruno_memory_vec.upkeep.copying.report import CopyReport
from bruno_memory_vec.upkeep.copying.run import copy_from
from bruno_memory_vec.writing.projections import Progress

_LINES_AT_ONCE = 2_000
# A larger file passes through a folder of its own, in the place for temporary files.
_IN_MEMORY_BYTES = 256 * 2**20
_WITHOUT_VECTORS = Fingerprint("an export without vectors", "0", 1)
_GZIP = b"\x1f\x8b"
# A longer line is no row of anybody: it would only fill the memory.
_LONGEST_LINE = 2**28


async def import_export_into(
    opened: Callable[[], Awaitable[Store]],
    path: str | Path,
    *,
    user_id: str | None = None,
    only: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> CopyReport:
    """Take an export in: JSON lines that this library has written.

    Rows that are in the store already, as they are, are left alone; those that differ become what
    the export has. What else is in the store stays. Vectors are copied where the store's embedder
    made them, and made anew otherwise.

    Args:
        opened: gives the open store; asked only for a file that was found to be good.
        path: the file; one that was packed by gzip is unpacked.
        user_id: take in only this user.
        only: refuse a file that has anything of another user.
        dry_run: say what would be written, and write nothing.
        progress: called with the progress of long work.

    Raises:
        InvalidInputError: the file is none, was cut, or a line of it cannot be used; the error
            names it.
        ForeignUserError: it has another user's rows, or a conversation that is another user's in
            the store.
        StoreError: a message stands in a conversation where the store has another one.
        EmbeddingError, EngineError: what was written before is written; the next call goes on.
    """
    file = path_of("path", path)
    async with _repository(file) as place:
        # It may go into an encrypted store, and the process may be killed.
        sealing = for_passing_through()
        staged = await _Staging(file, place, only, sealing, progress).run()
        async with source_of(place, sealing, staged) as source:
            await _refuse_doubled(source.rows, file)
            report = await copy_from(
                source,
                await opened(),
                Made(staged.fingerprint, staged.language),
                user_id=user_id,
                others="keep",
                dry_run=dry_run,
                progress=progress,
            )
            return replace(report, source=str(file))


@asynccontextmanager
async def _repository(file: Path) -> AsyncIterator[Repository]:
    try:
        size = await asyncio.to_thread(lambda: file.stat().st_size)
    except OSError as error:
        raise _unreadable(file, error) from error
    if size <= _IN_MEMORY_BYTES:
        yield MemoryRepository(str(file))
        return
    with tempfile.TemporaryDirectory(prefix="bruno-memory-import-") as folder:
        place = await asyncio.to_thread(FolderRepository, Path(folder), write=True)
        try:
            yield place
        finally:
            await to_its_end(asyncio.to_thread(place.close))


@dataclass(slots=True)
class _Staging:
    """A file, read into pieces; everything about it is checked."""

    file: Path
    place: Repository
    only: str | None
    sealing: Sealing
    progress: Progress | None
    _fingerprint: Fingerprint = _WITHOUT_VECTORS
    _contents: Contents = field(default_factory=Contents)
    _owners: dict[str, tuple[str, int]] = field(default_factory=dict)
    _people: dict[str, Person] = field(default_factory=dict)
    _sessions: int = 0
    _messages: int = 0
    _line: int = 0
    _done: bool = False

    async def run(self) -> Point:
        """Read the file.

        Raises: as :func:`import_export_into`.
        """
        opened = await asyncio.to_thread(_open, self.file)
        try:
            lines = await asyncio.to_thread(_unpacked, opened)
            header = await asyncio.to_thread(self._header, lines)
            while True:
                people = await to_its_end(asyncio.to_thread(self._some, lines))
                if people is None:
                    break
                for number, held in people:
                    try:
                        await self._person(held)
                    except (BadFieldError, KeyError, ValueError, TypeError) as error:
                        raise self._bad(number, error) from error
                if self.progress is not None:
                    self.progress("reading the export", self._line, self._line)
        finally:
            opened.close()
        if not self._done:
            raise InvalidInputError(
                "path",
                f"{self.file} was cut: its last line is missing",
                fix="Export again, or take the file from where it is whole.",
            )
        self._check_owners()
        pieces = await people_to_pieces(self.sealing, self._people)
        names = [await asyncio.to_thread(self.place.write, PEOPLE, piece) for piece in pieces]
        found = np.arange(len(self._contents.seq))
        return Point(
            number=1,
            at=datetime.now(timezone.utc),
            store=str(header.get("store")),
            fingerprint=self._fingerprint,
            language=header.get("language"),
            schema=SCHEMA_VERSION,
            sealing=self.sealing.name,
            previous=None,
            rows=len(found),
            messages=self._messages,
            users=len(self._people),
            added=len(found),
            removed=0,
            chunks=self._contents.held(found),
            people=tuple(names),
        )

    def _header(self, lines: ByteStream) -> dict[str, Any]:
        first = _read_line(self.file, lines, LONGEST_HEADER)
        header = header_of(first)
        if header is None:
            raise InvalidInputError(
                "path",
                f"{self.file} is no export of bruno-memory-vec",
                fix="Chats of other programs are read by: bruno-memory-vec ingest",
            )
        check_version(header, self.file.name)
        self._line = 1
        if header.get("vectors"):
            try:
                self._fingerprint = Fingerprint(**header["fingerprint"])
            except (TypeError, KeyError, InvalidInputError) as error:
                raise self._bad(1, BadFieldError("fingerprint", "is none")) from error
        return header

    def _some(self, lines: ByteStream) -> list[tuple[int, dict[str, Any]]] | None:
        """Take some lines: their rows become a chunk, all others are given back."""
        rows: list[Row] = []
        vectors: list[Any] = []
        others: list[tuple[int, dict[str, Any]]] = []
        read = 0
        for data in islice(_lines(self.file, lines), _LINES_AT_ONCE):
            read += 1
            self._line += 1
            try:
                held = parse_json(data)
                if not isinstance(held, dict):
                    raise BadFieldError("line", "is no object")
                if self._done:
                    raise BadFieldError("line", "stands behind the end of the export")
                kind = held.get("kind")
                if kind in (MESSAGE, MEMORY):
                    rows.append(self._row(held))
                    dimension = self._fingerprint.dimension
                    if self._fingerprint is not _WITHOUT_VECTORS:
                        vectors.append(vector_of(held, dimension))
                elif kind == END:
                    self._end(held)
                else:
                    others.append((self._line, held))
            except BadFieldError as error:
                raise self._bad(self._line, error) from error
        if rows:
            self._chunk(rows, vectors)
        return others if read else None

    def _row(self, held: Mapping[str, Any]) -> Row:
        row = row_of(held)
        self._mine(row["user_id"])
        talk = row["conversation_id"]
        if talk is not None and row["kind"] == MESSAGE:
            self._messages += 1
            owner, _ = self._owners.setdefault(talk, (row["user_id"], self._line))
            if owner != row["user_id"]:
                raise BadFieldError(
                    "user_id", f"the conversation {talk!r} is {owner!r}'s on an earlier line"
                )
        return row

    def _mine(self, user: str) -> None:
        if self.only is not None and user != self.only:
            raise ForeignUserError(
                f"line {self._line} of {self.file} is of the user {user!r}, and this memory serves "
                f"{self.only!r} only",
                fix="Take the export in with the whole memory.",
            )

    def _end(self, held: Mapping[str, Any]) -> None:
        if held.get("lines") != self._line:
            raise BadFieldError("lines", f"is {held.get('lines')}, and this is line {self._line}")
        self._done = True

    def _chunk(self, rows: list[Row], vectors: list[Any]) -> None:
        first = len(self._contents.seq)
        for number, row in enumerate(rows):
            row["seq"] = first + number
        dimension = self._fingerprint.dimension
        made = np.stack(vectors) if vectors else np.zeros((len(rows), dimension), np.float32)
        table = to_table(rows, made, row_schema(dimension))
        parts, ordered = rows_to_parts(table, self.sealing)
        held = Held(
            self.place.write(CHUNKS, packed(parts)),
            self.place.write(LISTS, self.sealing.seal(list_of(ordered), None)),
            table.num_rows,
        )
        seq, checksum = (ordered.column(name).to_numpy() for name in ("seq", CHECKSUM))
        self._contents.add(held, seq, checksum)

    async def _person(self, held: dict[str, Any]) -> None:
        kind, user = held.get("kind"), held.get("user_id")
        if not isinstance(user, str):
            raise BadFieldError("user_id", "is missing")
        self._mine(user)
        person = self._people.setdefault(user, Person(user))
        if kind == CONVERSATION:
            turn = held["next_turn"]
            if isinstance(turn, bool) or not isinstance(turn, int) or turn < 0:
                raise BadFieldError("next_turn", "is no turn")
            at = held.get("touched_at")
            when = None if at is None else datetime.fromisoformat(at)
            person.conversations.append((str(held["conversation_id"]), turn, when))
        elif kind == SESSION:
            (session,) = await from_texts(SessionContext, [json.dumps(held["session"])])
            if session.user_id != user:
                raise BadFieldError("user_id", "is not that of the session")
            person.sessions.append((self._sessions, session))
            self._sessions += 1
        elif kind == PROFILE:
            if held["profile"] is not None:
                (profile,) = await from_texts(UserContext, [json.dumps(held["profile"])])
                if profile.user_id != user:
                    raise BadFieldError("user_id", "is not that of the profile")
                person.profile = profile
            person.current = held.get("current_conversation")
        elif kind == NOTE:
            note = note_from_text(json.dumps(held["note"]))
            if note.user_id != user:
                raise BadFieldError("user_id", "is not that of the note")
            person.notes.append(note)
        else:
            raise BadFieldError("kind", f"{kind!r} is unknown")

    def _check_owners(self) -> None:
        for person in self._people.values():
            for talk, _, _ in person.conversations:
                owner, line = self._owners.get(talk, (person.user_id, 0))
                if owner != person.user_id:
                    raise self._bad(
                        line,
                        BadFieldError(
                            "user_id", f"the conversation {talk!r} is {person.user_id!r}'s"
                        ),
                    )

    def _bad(self, number: int, error: Exception) -> InvalidInputError:
        said = f"{error.where}: {error.problem}" if isinstance(error, BadFieldError) else ""
        said = said or (f"{error} is missing" if isinstance(error, KeyError) else str(error))
        return InvalidInputError(
            "path", f"line {number:,} of {self.file}: {said}", fix="Mend the line, or export again."
        )


async def _refuse_doubled(rows: Any, file: Path) -> None:
    """Refuse two messages of one conversation that have one turn."""
    found = await outline(rows, EVERYONE, embedded=True)
    placed = found.place[found.place != 0]
    if len(np.unique(placed)) != len(placed):
        raise InvalidInputError(
            "path",
            f"{file} has two messages of one turn in a conversation",
            fix="Mend the turns, or export again.",
        )


def _open(file: Path) -> BinaryIO:
    try:
        return open(file, "rb")
    except OSError as error:
        raise _unreadable(file, error) from error


def _unpacked(opened: BinaryIO) -> ByteStream:
    packed = opened.read(len(_GZIP)) == _GZIP
    opened.seek(0)
    return Unzipped(opened) if packed else opened


def _read_line(file: Path, lines: ByteStream, longest: int = _LONGEST_LINE) -> bytes:
    try:
        line = lines.readline(longest)
    except (OSError, EOFError) as error:
        raise _unreadable(file, error) from error
    if len(line) >= _LONGEST_LINE:
        raise InvalidInputError(
            "path",
            f"{file} has a line of more than {_LONGEST_LINE:,} bytes, as no export has",
            fix="Export again, or take the file from where it is whole.",
        )
    return line


def _lines(file: Path, lines: ByteStream) -> Iterator[bytes]:
    while line := _read_line(file, lines):
        yield line


def _unreadable(file: Path, error: Exception) -> BackendUnavailable:
    return BackendUnavailable(
        "export",
        "read",
        f"{file}: {getattr(error, 'strerror', None) or error}",
        fix="Name a file that can be read.",
        cause=error,
    )
