"""Export: what of a store is asked for, read in parts and given to a writer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from bruno_core.models.context import SessionContext, UserContext
from numpy.typing import NDArray

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.checked import note_damaged, unchecked
from bruno_memory_vec.indexers.checksum import changed
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MEMORY, MESSAGE
from bruno_memory_vec.indexers.snapshot import LOADED
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.portability.exported import (
    CONVERSATION,
    NOTE,
    PROFILE,
    SESSION,
)
from bruno_memory_vec.portability.writers import WRITERS, About, ExportFormat, Writer, format_of
from bruno_memory_vec.rows import checks
from bruno_memory_vec.rows.models import Row, from_table
from bruno_memory_vec.sessions.protocol import ConversationNote
from bruno_memory_vec.store.manifest import folder_of
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.upkeep.backup.making import language_of_open
from bruno_memory_vec.upkeep.backup.people import Person, persons
from bruno_memory_vec.upkeep.backup.places import path_of
from bruno_memory_vec.upkeep.copying.people import people_of
from bruno_memory_vec.upkeep.exporting.report import ExportReport
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.projections import Progress

#: What an export can hold.
ExportKind = Literal["message", "memory", "session", "profile"]
KINDS: Final[tuple[str, ...]] = get_args(ExportKind)

_ROWS_AT_ONCE = 2_000
_NAMED = ("seq", "id", "kind", "conversation_id")
_PLACED = ("seq", "id", "kind", "user_id", "conversation_id", "turn", "created_at")


class Replaces(Protocol):
    """What changes all that is exported, the same everywhere: an anonymiser.

    It is told of everything before it changes anything.
    """

    def learn_row(self, row: Mapping[str, Any]) -> None:
        """Told of a row that is to come."""
        ...

    def learn_user(self, user: UserContext) -> None:
        """Told of a profile."""
        ...

    def learn_title(self, title: str | None) -> None:
        """Told of a conversation's title."""
        ...

    def row(self, row: Row) -> Row:
        """What is written for a row."""
        ...

    def user(self, user: UserContext) -> UserContext:
        """What is written for a profile."""
        ...

    def session(self, session: SessionContext) -> SessionContext:
        """What is written for a session."""
        ...

    def note(self, note: ConversationNote) -> ConversationNote:
        """What is written for a note."""
        ...

    def user_id(self, user_id: str) -> str:
        """What is written for the id of a user."""
        ...

    def conversation_id(self, conversation_id: str | None) -> str | None:
        """What is written for the id of a conversation."""
        ...

    def moment(self, at: datetime, user_id: str) -> datetime:
        """What is written for a time of a user."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        scope: whose, and of which conversation.
        where: which rows.
        kinds: which of :data:`KINDS`.
        vectors: whether vectors are wanted.
    """

    scope: Scope
    where: RowFilter
    kinds: tuple[str, ...]
    vectors: bool


def wanted(
    user_id: str | None,
    conversation_id: str | None,
    since: datetime | None,
    until: datetime | None,
    kinds: Any,
    vectors: Any,
) -> Wanted:
    """What arguments ask for.

    Raises:
        InvalidInputError: one of them is not usable.
    """
    chosen = checks.names("kinds", kinds, KINDS)
    rows = tuple(kind for kind in chosen or KINDS if kind in (MESSAGE, MEMORY))
    if conversation_id is not None and not chosen:
        # What is known of the user is not the conversation's.
        chosen = (MESSAGE, MEMORY, SESSION)
    start = None if since is None else checks.moment("since", since)
    end = None if until is None else checks.moment("until", until)
    if start is not None and end is not None and start >= end:
        raise InvalidInputError("until", "is not after since", fix="Give a later time.")
    scope = Scope.all_users() if user_id is None else Scope.user(user_id)
    return Wanted(
        scope.within(conversation_id),
        RowFilter(kinds=rows if len(rows) == 1 else (), since=start, until=end),
        chosen or KINDS,
        checks.flag("vectors", vectors),
    )


async def export_of(
    store: Store,
    path: str | Path,
    asked: Wanted,
    *,
    format: ExportFormat | None = None,  # noqa: A002 - the word users know
    overwrite: bool = False,
    replaces: Replaces | None = None,
    named: str | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Write what is asked for of an open store to files.

    Args:
        store: the open store; it may be written meanwhile.
        path: a file, or a folder for Markdown.
        asked: what to write.
        format: of the files; None for that of the path's suffix.
        overwrite: replace a file that is there.
        replaces: changes all that is written.
        named: what the files call the store; None for its place.
        progress: called with the progress of long work.

    Raises:
        InvalidInputError: an argument is not usable, or something is at ``path``. Nothing was
            written.
        EngineError: the store cannot be read, or a file not be written.
    """
    place = path_of("path", path)
    folder = folder_of(store.config.url)
    if folder is not None and folder.resolve() in (place.resolve(), *place.resolve().parents):
        raise InvalidInputError(
            "path", f"{place} is inside the store", fix="Name a place beside it."
        )
    chosen = await asyncio.to_thread(format_of, place, format)
    kind = WRITERS[chosen]
    if asked.vectors and not kind.vectors:
        raise InvalidInputError(
            "vectors", f"{chosen} has no place for vectors", fix="Choose jsonl or parquet."
        )
    if asked.vectors and replaces is not None:
        raise InvalidInputError(
            "vectors",
            "are those of the texts before they were anonymised",
            fix="Leave vectors out; or make an anonymised copy of the store, and export that.",
        )
    return await _Export(
        store, place, asked, chosen, kind, overwrite, replaces, named, progress
    ).run()


class _Export:
    """One call."""

    def __init__(
        self,
        store: Store,
        path: Path,
        asked: Wanted,
        chosen: str,
        kind: type[Writer],
        overwrite: Any,
        replaces: Replaces | None,
        named: str | None,
        progress: Progress | None,
    ) -> None:
        self._store = store
        self._path = path
        self._asked = asked
        self._format = chosen
        self._kind = kind
        self._overwrite = checks.flag("overwrite", overwrite)
        self._replaces = replaces
        self._named = named
        self._progress = progress
        self._started = time.perf_counter()
        self._damaged: list[int] = []
        # What each row that is wanted is called, by its seq.
        self._placed: pa.Table | None = None
        self._counts = dict.fromkeys(KINDS, 0)

    async def run(self) -> ExportReport:
        """Write the files.

        Raises: as :func:`export_of`.
        """
        store, asked = self._store, self._asked
        if store.writer is not None:
            await store.writer.flush_uses()
        order, talks, users = await self._order()
        people = await self._people(talks, users)
        if self._replaces is not None:
            people = await self._replaced(self._replaces, order, people)
        titles = {
            note.conversation_id: note.title
            for person in people
            for note in person.notes
            if note.title is not None
        }
        about = About(
            datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
            # Where it is tells whose it is.
            (self._named or masked(store.config.url)) if self._replaces is None else "anonymised",
            asdict(store.embedder.fingerprint),
            asked.vectors,
            language_of_open(store),
            _described(asked, self._replaces),
            titles,
        )
        writer = await to_its_end(asyncio.to_thread(self._writer, about))
        try:
            async for table in self._read(order):
                await to_its_end(asyncio.to_thread(self._write, writer, table))
            for kind, held in [pair async for pair in self._lines(people)]:
                await to_its_end(asyncio.to_thread(writer.person, kind, held))
            files = await to_its_end(asyncio.to_thread(writer.finish))
        except BaseException:
            await to_its_end(asyncio.to_thread(writer.discard))
            raise
        size = await asyncio.to_thread(lambda: sum(file.stat().st_size for file in files))
        return ExportReport(
            path=str(self._path),
            format=self._format,
            files=len(files),
            messages=self._counts[MESSAGE],
            memories=self._counts[MEMORY],
            conversations=len(talks),
            sessions=self._counts[SESSION],
            profiles=self._counts[PROFILE],
            users=len(users),
            bytes=size,
            problems=self._problems(),
            seconds=time.perf_counter() - self._started,
        )

    def _writer(self, about: About) -> Writer:
        return self._kind(self._path, about, overwrite=self._overwrite)

    async def _order(self) -> tuple[NDArray[np.int64], set[str], list[str]]:
        """The ``seq`` of each row in the order of the file, the conversations, and the users."""
        asked = self._asked
        if not {MESSAGE, MEMORY} & set(asked.kinds):
            return np.empty(0, np.int64), set(), []
        found = await self._store.rows.read(asked.scope, asked.where, _PLACED)
        self._placed = found.select(_NAMED)
        said = [kind == MESSAGE for kind in found.column("kind").to_pylist()]
        talks = {
            talk
            for talk, is_message in zip(
                found.column("conversation_id").to_pylist(), said, strict=True
            )
            if is_message
        }
        users = sorted(set(found.column("user_id").to_pylist()))
        seq = found.column("seq").to_numpy()
        if not self._kind.by_conversation:
            return np.sort(seq), talks, users
        return seq[await asyncio.to_thread(_by_conversation, found, said)], talks, users

    async def _read(
        self, order: NDArray[np.int64], work: str = "exporting rows"
    ) -> AsyncIterator[pa.Table]:
        asked = self._asked
        rows = unchecked(self._store.rows)
        columns = LOADED if asked.vectors else COLUMNS
        damaged: list[int] = []
        for start in range(0, len(order), _ROWS_AT_ONCE):
            part = order[start : start + _ROWS_AT_ONCE]
            found = await rows.read(asked.scope, asked.where, columns, seqs=part.tolist())
            place = {seq: at for at, seq in enumerate(part.tolist())}
            if found.num_rows < len(part):
                found = pa.concat_tables([found, await self._stored_again(found, place, columns)])
            sound, unlike = await asyncio.to_thread(_sound, found, place)
            damaged += unlike
            yield sound
            if self._progress is not None:
                self._progress(work, start + len(part), len(order))
        self._damaged = damaged
        if damaged:
            note_damaged(self._store.rows, damaged)

    async def _stored_again(
        self, found: pa.Table, place: dict[int, int], columns: Sequence[str]
    ) -> pa.Table:
        """Rows that got another ``seq`` since the order was made; ``place`` learns where they go.

        Those that were deleted meanwhile are not among them.
        """
        assert self._placed is not None
        there = set(found.column("seq").to_pylist())
        gone = pa.array([seq for seq in place if seq not in there], pa.int64())
        lost = self._placed.filter(pc.is_in(self._placed.column("seq"), value_set=gone))
        old = {_called(row): place[row["seq"]] for row in lost.to_pylist()}
        where = replace(self._asked.where, ids=tuple({name for name, _ in old}))
        again = await unchecked(self._store.rows).read(self._asked.scope, where, columns)
        called = [_called(row) for row in again.select(_NAMED).to_pylist()]
        kept = [at for at, name in enumerate(called) if name in old]
        seqs = again.column("seq").to_pylist()
        place.update({seqs[at]: old[called[at]] for at in kept})
        return again.take(pa.array(kept, pa.int64()))

    def _write(self, writer: Writer, table: pa.Table) -> None:
        vectors = None
        if self._asked.vectors:
            flat = table.column("vector").combine_chunks().flatten().to_numpy()
            vectors = flat.reshape(table.num_rows, -1)
            table = table.drop_columns(["vector"])
        rows = list(from_table(table))
        for row in rows:
            self._counts[row["kind"]] += 1
        if self._replaces is not None:
            rows = [self._replaces.row(row) for row in rows]
        if rows:
            writer.rows(rows, vectors)

    async def _replaced(
        self, change: Replaces, order: NDArray[np.int64], people: Sequence[Person]
    ) -> list[Person]:
        """Tell of everything once; then everybody as changed."""
        for person in people:
            if person.profile is not None:
                change.learn_user(person.profile)
            for note in person.notes:
                change.learn_title(note.title)
        async for table in self._read(order, "reading names"):
            await asyncio.to_thread(_learn, change, table)
        return [_changed(change, person) for person in people]

    async def _people(self, talks: set[str], users: list[str]) -> list[Person]:
        """What is kept of whom is asked for, besides rows."""
        store, asked = self._store, self._asked
        user, talk = asked.scope.user_id, asked.scope.conversation_id
        people = await people_of(store.sessions, {}, users, user)
        if talk is not None:
            people.conversations = [one for one in people.conversations if one[0] == talk]
        found = await persons(store.sessions, people)
        for person in found.values():
            if talk is not None:
                person.notes = [one for one in person.notes if one.conversation_id == talk]
                person.sessions = [
                    pair for pair in person.sessions if pair[1].conversation_id == talk
                ]
                person.current = None
            if SESSION not in asked.kinds:
                person.sessions = []
            if PROFILE not in asked.kinds:
                person.profile = None
                person.current = None
            if MESSAGE not in asked.kinds:
                person.conversations, person.notes = [], []
        return [found[name] for name in sorted(found)]

    async def _lines(self, people: Sequence[Person]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        placed: list[tuple[int, str, dict[str, Any]]] = []
        for person in people:
            held, user = await person.to_dict(), person.user_id
            for talk, turn, touched in held["conversations"]:
                record = {"conversation_id": talk, "user_id": user, "next_turn": turn}
                yield CONVERSATION, {**record, **({"touched_at": touched} if touched else {})}
            for place, session in held["sessions"]:
                placed.append((place, user, session))
            if held["profile"] is not None or held["current"] is not None:
                self._counts[PROFILE] += held["profile"] is not None
                known = held["profile"] or {"user_id": user}
                current = {"current_conversation": held["current"]} if held["current"] else {}
                whole = {"user_id": user, "profile": known, **current}
                if held["profile"] is not None or self._format == "jsonl":
                    yield PROFILE, whole if held["profile"] else {**whole, "profile": None}
            for note in held["notes"]:
                yield (
                    NOTE,
                    {"user_id": user, "conversation_id": note["conversation_id"], "note": note},
                )
        if not self._kind.has_sessions:
            return
        for _, user, session in sorted(placed, key=lambda one: one[0]):
            self._counts[SESSION] += 1
            yield SESSION, {"user_id": user, "session": session}

    def _problems(self) -> tuple[str, ...]:
        if not self._damaged:
            return ()
        return (
            f"{counted(len(self._damaged), 'row is', 'rows are')} damaged in the store and left "
            f"out, such as seq {min(self._damaged)}: run bruno-memory-vec doctor",
        )


def _by_conversation(found: pa.Table, said: Sequence[bool]) -> NDArray[np.int64]:
    """The places of rows, user by user, conversation by conversation, then memories by time."""
    columns = {name: found.column(name).to_pylist() for name in ("user_id", "conversation_id")}
    turns = found.column("turn").fill_null(-1).to_pylist()
    times = found.column("created_at").cast(pa.int64()).to_pylist()
    begun: dict[tuple[str, str], int] = {}
    users, talks = columns["user_id"], columns["conversation_id"]
    for user, talk, when, is_message in zip(users, talks, times, said, strict=True):
        if is_message:
            begun[user, talk] = min(when, begun.get((user, talk), when))

    def place(at: int) -> tuple[Any, ...]:
        if said[at]:
            return users[at], 0, begun[users[at], talks[at]], talks[at], turns[at]
        return users[at], 1, times[at], "", 0

    return np.array(sorted(range(len(said)), key=place), np.int64)


def _called(row: Mapping[str, Any]) -> tuple[str, str | None]:
    """What a row is called that keeps this name when it is stored again."""
    return row["id"], row["conversation_id"] if row["kind"] == MESSAGE else None


def _sound(found: pa.Table, place: Mapping[int, int]) -> tuple[pa.Table, list[int]]:
    """Rows in the order in which ``place`` has their ``seq``; and which are damaged, left out."""
    seqs = found.column("seq").to_pylist()
    unlike = changed(found)
    kept = [at for at in range(len(seqs)) if not unlike[at]]
    kept.sort(key=lambda at: place[seqs[at]])
    return found.take(pa.array(kept, pa.int64())), [seqs[at] for at in np.flatnonzero(unlike)]


def _learn(change: Replaces, table: pa.Table) -> None:
    for row in from_table(table):
        change.learn_row(row)


def _changed(change: Replaces, person: Person) -> Person:
    user = person.user_id
    return Person(
        change.user_id(user),
        [
            (
                change.conversation_id(talk) or "",
                turn,
                None if at is None else change.moment(at, user),
            )
            for talk, turn, at in person.conversations
        ],
        [(place, change.session(session)) for place, session in person.sessions],
        None if person.profile is None else change.user(person.profile),
        change.conversation_id(person.current),
        [change.note(note) for note in person.notes],
    )


def _described(asked: Wanted, change: Replaces | None) -> dict[str, Any]:
    user, talk = asked.scope.user_id, asked.scope.conversation_id
    since, until = asked.where.since, asked.where.until
    if change is not None:
        user = None if user is None else change.user_id(user)
        # Bounds of time are not moved, since they are nobody's; so they would tell by how much.
        talk, since, until = change.conversation_id(talk), None, None
    held = {
        "user_id": user,
        "conversation_id": talk,
        "since": None if since is None else since.isoformat(),
        "until": None if until is None else until.isoformat(),
    }
    return {
        **{name: value for name, value in held.items() if value is not None},
        "kinds": list(asked.kinds),
    }
