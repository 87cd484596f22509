"""Buddy AI's memory databases, kept in a store of ours: ``MemoryDb`` of its memory v1 and v2.

``BrunoMemoryDb`` is a ``buddy.memory.v2.db.base.MemoryDb``, ``BrunoMemoryDbV1`` a
``buddy.memory.db.base.MemoryDb``: give one as ``db=`` to what Buddy has. Both can :meth:`search` by
meaning, which Buddy's own cannot, and take in what another database of Buddy's holds.

A row of Buddy's is a memory of ours. Its id there is any text and the same for everybody, ours a
UUID made of it and of the name of the table. What Buddy gave is in ``custom_fields`` as it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from os import PathLike
from typing import Any, Final, TypeVar
from uuid import UUID, uuid5

from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from pydantic import ValidationError

from bruno_memory_vec.access import ALL_USERS, AllUsers
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError
from bruno_memory_vec.indexers.query import RowFilter
from bruno_memory_vec.indexers.schema import MEMORY
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.rows import checks
from bruno_memory_vec.sync.background import BackgroundMemory

try:
    from buddy.memory.db.base import MemoryDb as MemoryDbV1
    from buddy.memory.row import MemoryRow as RowV1
    from buddy.memory.v2.db.base import MemoryDb as MemoryDbV2
    from buddy.memory.v2.db.schema import MemoryRow as RowV2
except ImportError as error:
    raise MissingDependencyError("buddy-ai", "buddy", cause=error) from error

S = TypeVar("S", bound="_Database")

#: Whose the memories are that Buddy has of nobody.
NOBODY: Final = "buddy:nobody"
#: In whose profile the tables are noted that there are.
TABLES: Final = "buddy:tables"

_NAMESPACE: Final = UUID("6c0f1f7e-93a1-5b53-8f3e-2a6d1b0c9e41")
# In `custom_fields`: the row's id, its user (None for nobody), what Buddy remembers, and its times.
_ID, _USER, _HELD, _TIMES = "buddy_id", "buddy_user", "buddy_memory", "buddy_times"
_AT_ONCE: Final = 500
_LONGEST_LABEL: Final = 255


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        read: how many rows the other database gave. Buddy's databases answer an error with an empty
            list and a line in their log, so look there where this is 0.
        stored: how many of them are new here.
        replaced: how many were here with another content or user.
        unchanged: how many were here as they are.
        users: of how many users they are; nobody is not counted.
    """

    read: int
    stored: int
    replaced: int
    unchanged: int
    users: int


class _Database:
    """What both versions do; the rows of each are its own."""

    def __init__(
        self,
        url: str | PathLike[str],
        table_name: str = "memory",
        **settings: Any,
    ) -> None:
        """Name a store; it is opened, or made, at the first call.

        Args:
            url: the store: a folder, or any other URL of one. One process writes to a folder.
            table_name: several tables are apart in one store.
            settings: as for :func:`~bruno_memory_vec.open_memory`.

        Raises:
            InvalidInputError: a setting is not usable.
        """
        self.table_name = checks.identifier("table_name", table_name)
        self.url = str(url)
        self._category = checks.label("table_name", f"buddy:{table_name}")
        # Now, so that a setting that is not usable is told where it is given.
        memory = VectorMemory(self.url, **settings)
        self._memory = BackgroundMemory(lambda: memory)

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __deepcopy__(self: S, memo: dict[int, Any]) -> S:
        # Agents are copied with what they have: a copy uses the same open store.
        return self

    def close(self) -> None:
        """Write what is pending and release the store. Closing twice does nothing."""
        self._memory.close()

    def to_dict(self) -> dict[str, Any]:
        """What it is called and where, as Buddy's own tell it."""
        return {"name": type(self).__name__, "table_name": self.table_name, "url": self.url}

    # Buddy's methods

    def create(self) -> None:
        """Make the table, if there is none."""
        self._memory.run(lambda memory: self._note(memory, there=True))

    def table_exists(self) -> bool:
        """Whether the table was made, by :meth:`create` or by a first memory."""
        return self._memory.run(self._is_there)

    def memory_exists(self, memory: Any) -> bool:
        """Whether there is a memory of this id, whoever's."""

        async def work(held: VectorMemory) -> bool:
            return await held.get_memory(self._uuid(memory.id)) is not None

        return self._memory.run(work)

    def read_memories(
        self, user_id: str | None = None, limit: int | None = None, sort: str | None = None
    ) -> list[Any]:
        """The memories of a user, or of everybody, the newest first; "asc": the oldest first."""

        async def work(held: VectorMemory) -> list[Any]:
            entries = await self._entries(held, ALL_USERS if user_id is None else user_id)
            # They come newest first; of one moment, the one that was stored last.
            entries.sort(key=lambda one: one.created_at, reverse=True)
            if sort == "asc":
                entries.reverse()
            wanted = entries if limit is None else entries[: max(limit, 0)]
            return [self._to_row(entry) for entry in wanted]

        return self._memory.run(work)

    def upsert_memory(self, memory: Any) -> Any:
        """Store a memory, in place of the one of this id, whoever's that is. Returns it.

        Raises:
            InvalidInputError: it cannot be stored; the error names the field.
        """

        async def work(held: VectorMemory) -> Any:
            before = await held.get_memory(self._uuid(memory.id))
            entry = self._to_entry(memory, before)
            await held.store_memory(entry, origin="imported")
            if before is not None and before.user_id != entry.user_id:
                await held.for_user(before.user_id).delete_memory(str(before.id))
            await self._note(held, there=True)
            return self._to_row(entry)

        return self._memory.run(work)

    def clear(self) -> bool:
        """Delete all memories of the table, everybody's."""
        self._memory.run(self._clear)
        return True

    def drop_table(self) -> None:
        """Delete all memories of the table, and the table."""

        async def work(held: VectorMemory) -> None:
            await self._clear(held)
            await self._note(held, there=False)

        self._memory.run(work)

    # What Buddy's own cannot do

    def search(self, query: str, user_id: str | None = None, limit: int = 10) -> list[Any]:
        """The memories that answer a question best, by words and by meaning, the best first.

        Args:
            query: a question or any text.
            user_id: whose; None for everybody's.
            limit: how many at most, 1 to 1000.

        Raises:
            InvalidInputError: an argument is not usable.
        """

        async def work(held: VectorMemory) -> list[Any]:
            hits = await held.recall(
                query,
                user_id=ALL_USERS if user_id is None else user_id,
                k=limit,
                kinds="memory",
                categories=self._category,
                include_expired=True,
            )
            return [self._to_row(hit.record) for hit in hits]

        return self._memory.run(work)

    def import_from(self, other: Any) -> Imported:
        """Take in what another database of Buddy's holds, through its own ``read_memories()``.

        Of either version: SQLite, PostgreSQL, MongoDB, Redis, Firestore. Ids, users, times and
        texts stay, so a second import changes nothing, and one that was stopped goes on.

        Raises:
            InvalidInputError: it is no such database, or one of its memories cannot be stored.
                Of a batch of 500 memories all are stored, or none.
        """
        read = getattr(other, "read_memories", None)
        if not callable(read) or other is self:
            raise InvalidInputError(
                "other",
                f"is no memory database of Buddy's, but a {type(other).__name__}",
                fix="Give a MemoryDb, such as buddy.memory.v2.db.sqlite.SqliteMemoryDb(...).",
            )
        # Before anything is asked of the thread: the other one may be slow, or use this one.
        rows = list(read(sort="asc"))
        for number, row in enumerate(rows):
            if not isinstance(getattr(row, "memory", None), Mapping) or not getattr(
                row, "id", None
            ):
                raise InvalidInputError(
                    "other",
                    f"its memory number {number} has no id, or holds no dict",
                    fix="Delete it there, or give a MemoryDb.",
                )
        return self._memory.run(lambda held: self._import(held, rows))

    # What is inside

    async def _import(self, held: VectorMemory, rows: Sequence[Any]) -> Imported:
        known = {entry.id: entry for entry in await self._entries(held, ALL_USERS)}
        stored = replaced = unchanged = 0
        for batch in _batches(rows):
            entries, moved = [], []
            for row in batch:
                before = known.get(self._uuid(row.id))
                entry = self._to_entry(self._as_mine(row), before, given=row)
                if before is not None and _same(before, entry):
                    unchanged += 1
                    continue
                stored += before is None
                replaced += before is not None
                entries.append(entry)
                if before is not None and before.user_id != entry.user_id:
                    moved.append(before)
            await held.store_memories(entries, origin="imported")
            for before in moved:
                await held.for_user(before.user_id).delete_memory(str(before.id))
        await self._note(held, there=True)
        users = {row.user_id for row in rows} - {None}
        return Imported(len(rows), stored, replaced, unchanged, len(users))

    async def _entries(self, held: VectorMemory, user: str | AllUsers) -> list[MemoryEntry]:
        """The table's memories; of two of one id, which a kill may leave, the newer one."""
        found = await held.list_memories(
            user,
            categories=self._category,
            include_expired=True,
            include_archived=True,
            limit=None,
        )
        newest: dict[UUID, MemoryEntry] = {}
        for entry in found:
            kept = newest.get(entry.id)
            if kept is None or _utc(entry.updated_at) > _utc(kept.updated_at):
                newest[entry.id] = entry
        return list(newest.values())

    async def _clear(self, held: VectorMemory) -> None:
        writer = await held._handle.writer()
        where = RowFilter(kinds=(MEMORY,), categories=(self._category,))
        await writer.delete(held._handle.caller.scope, where)

    async def _delete(self, held: VectorMemory, id_: str) -> None:
        writer = await held._handle.writer()
        where = RowFilter(kinds=(MEMORY,), ids=(str(self._uuid(id_)),))
        await writer.delete(held._handle.caller.scope, where)

    async def _note(self, held: VectorMemory, *, there: bool) -> None:
        """Note that there is this table, or that there is none."""
        user = await held.get_user(TABLES)
        if bool(user.profile.get(self.table_name)) != there:
            profile = {**user.profile, self.table_name: there}
            await held.save_user(UserContext(user_id=TABLES, profile=profile))

    async def _is_there(self, held: VectorMemory) -> bool:
        return bool((await held.get_user(TABLES)).profile.get(self.table_name))

    def _uuid(self, id_: Any) -> UUID:
        if not isinstance(id_, str) or not id_:
            raise InvalidInputError("id", f"{id_!r} is no text", fix="Give the memory's id.")
        return uuid5(_NAMESPACE, f"{self.table_name}\0{id_}")

    def _to_entry(self, row: Any, before: MemoryEntry | None, given: Any = None) -> MemoryEntry:
        """A row of Buddy's as a memory of ours.

        Args:
            row: of this version.
            before: the memory of this id that is stored.
            given: the row as another database gave it, with its times.
        """
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        made, changed = _times(row if given is None else given)
        if before is not None:
            made = made or before.created_at
        text = row.memory.get("memory")
        topics = row.memory.get("topics") or ()
        try:
            return MemoryEntry(
                id=self._uuid(row.id),
                content=text if isinstance(text, str) and text.strip() else _readable(row.memory),
                memory_type=MemoryType.FACT,
                user_id=NOBODY if row.user_id is None else row.user_id,
                metadata=MemoryMetadata(
                    source="buddy-ai",
                    category=self._category,
                    tags=[one for one in topics if isinstance(one, str) and _is_label(one)],
                    custom_fields={
                        _ID: row.id,
                        _USER: row.user_id,
                        _HELD: dict(row.memory),
                        _TIMES: [made is not None, changed is not None],
                    },
                ),
                created_at=made or changed or now,
                updated_at=changed or now,
                last_accessed=changed or now,
            )
        except ValidationError as error:
            wrong = error.errors()[0]
            raise InvalidInputError(
                f"memory.{'.'.join(map(str, wrong['loc']))}",
                f"cannot be stored: {wrong['msg']}",
                fix="Mend it, or leave this memory out.",
                cause=error,
            ) from error

    def _to_row(self, entry: Any) -> Any:
        fields = entry.metadata.custom_fields
        return self._made(fields[_ID], fields[_USER], dict(fields[_HELD]), entry)

    def _made(self, id_: str, user: str | None, held: dict[str, Any], entry: Any) -> Any:
        raise NotImplementedError

    def _as_mine(self, row: Any) -> Any:
        raise NotImplementedError


class BrunoMemoryDb(_Database, MemoryDbV2):
    """A ``MemoryDb`` of Buddy's memory v2: ``Memory(db=BrunoMemoryDb("memory"))``."""

    def delete_memory(self, memory_id: str) -> None:
        """Delete a memory, whoever's; nothing, where there is none of this id."""
        self._memory.run(lambda held: self._delete(held, memory_id))

    def _made(self, id_: str, user: str | None, held: dict[str, Any], entry: Any) -> Any:
        return RowV2(id=id_, user_id=user, memory=held, last_updated=entry.updated_at)

    def _as_mine(self, row: Any) -> Any:
        held = dict(row.memory)
        if "memory_id" not in held:  # of v1: UserMemory.from_dict() takes no other names
            topic = held.pop("topic", None)
            held.pop("id", None)
            held = {**held, "memory_id": row.id, **({"topics": [topic]} if topic else {})}
        return RowV2(id=row.id, user_id=row.user_id, memory=held)


class BrunoMemoryDbV1(_Database, MemoryDbV1):
    """A ``MemoryDb`` of Buddy's memory v1: ``MemoryManager(db=BrunoMemoryDbV1("memory"))``."""

    def delete_memory(self, id: str) -> None:  # noqa: A002  # Buddy calls it by this name
        """Delete a memory, whoever's; nothing, where there is none of this id."""
        self._memory.run(lambda held: self._delete(held, id))

    def _made(self, id_: str, user: str | None, held: dict[str, Any], entry: Any) -> Any:
        return RowV1(
            id=id_,
            user_id=user,
            memory=held,
            created_at=entry.created_at,
            updated_at=entry.updated_at,
        )

    def _as_mine(self, row: Any) -> Any:
        held = dict(row.memory)
        if "memory_id" in held:  # of v2
            topics = held.pop("topics", None)
            held.pop("memory_id")
            held.pop("last_updated", None)
            held = {**held, "id": row.id, **({"topic": ", ".join(topics)} if topics else {})}
        return RowV1(id=row.id, user_id=row.user_id, memory=held)


def _times(row: Any) -> tuple[datetime | None, datetime | None]:
    """When a row was made, and when it was changed last, as far as it says so."""
    made = getattr(row, "created_at", None)
    changed = getattr(row, "updated_at", None) or getattr(row, "last_updated", None)
    return made, changed


def _same(before: MemoryEntry, entry: MemoryEntry) -> bool:
    mine, theirs = before.metadata.custom_fields, entry.metadata.custom_fields
    same = all(mine.get(name) == theirs[name] for name in (_ID, _USER, _HELD))
    # A database that tells no time of a row gives none to compare.
    told = theirs[_TIMES][1]
    return same and (not told or _utc(before.updated_at) == _utc(entry.updated_at))


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)


def _readable(held: Mapping[str, Any]) -> str:
    return json.dumps(held, ensure_ascii=False, default=str)


def _is_label(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_LABEL and "\0" not in text


def _batches(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), _AT_ONCE):
        yield rows[start : start + _AT_ONCE]
