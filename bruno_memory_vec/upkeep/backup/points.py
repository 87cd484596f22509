"""Points: what a backup holds of one moment, and the list of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from bruno_memory_vec.embedders.protocol import Fingerprint
from bruno_memory_vec.errors import (
    BackendUnavailable,
    EngineError,
    InvalidInputError,
    NotFoundError,
    StoreVersionError,
)
from bruno_memory_vec.rows.checks import moment
from bruno_memory_vec.upkeep.backup.repository import POINTS, Repository, damaged, plainly
from bruno_memory_vec.wording import counted

#: The version of what is written here.
FORMAT = 1
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


@dataclass(frozen=True, slots=True)
class Held:
    """A chunk that a point needs.

    Attributes:
        chunk: the name of the piece with its rows.
        listed: that of its list.
        rows: how many rows it has.
        dead: which of these the point does not have, as ranges of their places, the end excluded.
    """

    chunk: str
    listed: str
    rows: int
    dead: tuple[tuple[int, int], ...] = ()

    @property
    def alive(self) -> int:
        """How many rows the point has of it."""
        return self.rows - sum(end - start for start, end in self.dead)


@dataclass(frozen=True, slots=True)
class Point:
    """One moment of a store.

    Attributes:
        number: from 1; a pruned one's is not given again.
        at: when, UTC.
        store: the store's URL, without secrets.
        fingerprint: the embedder of its vectors.
        language: the stemmer of its words, as the setting has it; None where that is not known.
        schema: the version of the rows' schema.
        sealing: what its pieces passed.
        previous: the piece with the point before, whose hash is in its name; None for the first.
        rows: how many messages and memories.
        messages: how many of these are messages.
        users: how many users have rows.
        added: how many rows the point before had not, or not so.
        removed: how many it had and this one has not, or not so.
        chunks: where the rows are.
        people: the pieces with sessions, profiles, owners and notes.
        problems: what was wrong with the store, in words.
        name: the piece that holds the point itself; empty until it is written.
    """

    number: int
    at: datetime
    store: str
    fingerprint: Fingerprint
    language: str | None
    schema: int
    sealing: str
    previous: str | None
    rows: int
    messages: int
    users: int
    added: int
    removed: int
    chunks: tuple[Held, ...]
    people: tuple[str, ...]
    problems: tuple[str, ...] = ()
    name: str = ""

    def pieces(self) -> set[str]:
        """The names of all pieces that it needs, its own among them."""
        found = {self.name, *self.people}
        for held in self.chunks:
            found |= {held.chunk, held.listed}
        return found

    def to_bytes(self) -> bytes:
        """The point as a piece."""
        values = {name: getattr(self, name) for name in self.__slots__ if name != "name"}
        values["at"] = self.at.isoformat()
        values["fingerprint"] = asdict(self.fingerprint)
        values["chunks"] = [[held.chunk, held.listed, held.rows, held.dead] for held in self.chunks]
        return _json({"format": FORMAT, **values}).encode()

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Point:
        """The point that :meth:`to_bytes` was asked of.

        Raises:
            EngineError: it is none.
            StoreVersionError: another version wrote it.
        """
        try:
            values = json.loads(data)
            _refuse_newer(values)
            del values["format"]
            chunks = tuple(
                Held(chunk, listed, rows, tuple((start, end) for start, end in dead))
                for chunk, listed, rows, dead in values.pop("chunks")
            )
            return cls(
                **{
                    **values,
                    "at": datetime.fromisoformat(values["at"]),
                    "fingerprint": Fingerprint(**values["fingerprint"]),
                    "chunks": chunks,
                    "people": tuple(values["people"]),
                    "problems": tuple(values["problems"]),
                    "name": name,
                }
            )
        except (ValueError, TypeError, KeyError, InvalidInputError) as error:
            raise damaged(f"{name} is no point of a backup: {error}", error) from error

    def to_dict(self) -> dict[str, Any]:
        """What people and programs want to know of it."""
        return {
            "number": self.number,
            "at": self.at.isoformat(),
            "store": self.store,
            "rows": self.rows,
            "messages": self.messages,
            "memories": self.rows - self.messages,
            "users": self.users,
            "added": self.added,
            "removed": self.removed,
            "embedder": self.fingerprint.name,
            "problems": list(self.problems),
        }

    def __str__(self) -> str:
        """One line for people."""
        when = self.at.astimezone(timezone.utc).isoformat(timespec="seconds")
        return (
            f"{self.number:>4}  {when.replace('+00:00', 'Z')}  {counted(self.rows, 'row')}, "
            f"+{self.added:,} -{self.removed:,}"
        )


@dataclass(slots=True)
class Points:
    """The points of a backup, the oldest first.

    Attributes:
        id: of the backup.
        points: those.
        head_damaged: what is wrong with the head, where the points were found without it.
        unreadable: what is wrong with points that cannot be read, and are not among these.
        newest_unreadable: whether the newest point is one of those.
    """

    id: str = field(default_factory=lambda: uuid4().hex)
    points: list[Point] = field(default_factory=list)
    head_damaged: str | None = None
    unreadable: list[str] = field(default_factory=list)
    newest_unreadable: bool = False

    @property
    def last(self) -> Point | None:
        """The newest point."""
        return self.points[-1] if self.points else None

    def at(self, when: datetime | int | None) -> Point:
        """The newest point that is not later than a time, or the one of a number.

        Raises:
            InvalidInputError: it is no time.
            NotFoundError: there is none.
            EngineError: the newest one is asked for, and cannot be read.
        """
        if when is None and self.newest_unreadable:
            raise damaged(f"the newest point cannot be read: {self.unreadable[-1]}")
        if not self.points:
            raise NotFoundError("the backup has no point", fix="Make one: bruno-memory-vec backup")
        if when is None:
            return self.points[-1]
        if isinstance(when, int) and not isinstance(when, bool):
            found = [point for point in self.points if point.number == when]
        else:
            until = moment("at", when)
            found = [point for point in self.points if point.at <= until]
        if not found:
            first, last = self.points[0], self.points[-1]
            raise NotFoundError(
                f"the backup has no point {'of number' if isinstance(when, int) else 'by'} {when}",
                fix=f"It has {first.number} ({first.at.isoformat()}) to {last.number} "
                f"({last.at.isoformat()}); see bruno-memory-vec backup --list",
            )
        return found[-1]

    def with_point(self, repository: Repository, point: Point) -> Point:
        """Write a point and the head that names it; returns it with its name."""
        last = self.last
        point = replace(point, previous=None if last is None else last.name)
        written = replace(point, name=repository.write(POINTS, point.to_bytes()))
        self.points.append(written)
        self.write(repository)
        return written

    def write(self, repository: Repository) -> None:
        """Write the head."""
        names = [point.name for point in self.points]
        repository.write_head(_head({"format": FORMAT, "backup": self.id, "points": names}))
        self.head_damaged = None

    def pieces(self) -> set[str]:
        """Everything that any point needs."""
        return {name for point in self.points for name in point.pieces()}


def read_points(repository: Repository) -> Points:
    """The points of a backup. Where the head is damaged, they are found without it.

    Raises:
        BackendUnavailable: it cannot be read.
        StoreVersionError: another version wrote it.
    """
    try:
        data = repository.head()
        if data is None:
            return _without_head(repository, "is missing") if repository.names() else Points()
        held = json.loads(data)
        _refuse_newer(held)
        if data != _head({name: held[name] for name in ("format", "backup", "points")}):
            raise ValueError("it is not as it was written")
        id_, names = held["backup"], held["points"]
    except BackendUnavailable:
        raise
    except (EngineError, ValueError, TypeError, KeyError) as error:
        return _without_head(repository, _said(error))
    found = Points(id_)
    for name in names:
        try:
            found.points.append(read_point(repository, name))
            found.newest_unreadable = False
        except EngineError as error:
            found.unreadable.append(_said(error))
            found.newest_unreadable = True
    return found


def read_point(repository: Repository, name: str) -> Point:
    """A point by its name.

    Raises:
        EngineError: it is missing or damaged.
        StoreVersionError: another version wrote it.
    """
    return Point.from_bytes(repository.read(name), name)


def ranges(places: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Ascending places as ranges, the end excluded."""
    found: list[tuple[int, int]] = []
    for place in places:
        if found and found[-1][1] == place:
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
    return tuple(found)


def _without_head(repository: Repository, problem: str) -> Points:
    """The chain of points that ends with the newest one that can be read."""
    known: dict[str, Point] = {}
    unreadable: list[str] = []
    for name in repository.names():
        if name.startswith(f"{POINTS}/"):
            try:
                known[name] = read_point(repository, name)
            except EngineError as error:
                unreadable.append(_said(error))
    followed = {point.previous for point in known.values()}
    ends = [point for name, point in known.items() if name not in followed]
    if not ends:
        # A backup that was killed before its first point has left pieces only.
        missing = problem == "is missing" and not unreadable
        return Points(head_damaged=None if missing else problem, unreadable=unreadable)
    last: Point | None = max(ends, key=lambda point: (point.number, point.at))
    chain: list[Point] = []
    while last is not None:
        chain.append(last)
        last = None if last.previous is None else known.get(last.previous)
    return Points(points=chain[::-1], head_damaged=problem, unreadable=unreadable)


def _said(error: Exception) -> str:
    return plainly(error)


def _head(held: Mapping[str, Any]) -> bytes:
    plain = _json(held)
    checksum = hashlib.sha256(plain.encode()).hexdigest()
    return _json({**held, "sha256": checksum}).encode()


def _refuse_newer(held: Mapping[str, Any]) -> None:
    if held["format"] != FORMAT:
        raise StoreVersionError(
            f"the backup has the format {held['format']!r}, and this version reads {FORMAT}",
            fix="Install the version that wrote it, or a newer one.",
        )
