"""What all typed views share: to add, recall, list, get, update and delete memories of a kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, ClassVar, Literal, Protocol
from uuid import UUID

from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType

from bruno_memory_vec.access import Caller
from bruno_memory_vec.acts import acts
from bruno_memory_vec.conversations.context import to_store
from bruno_memory_vec.conversations.listing import Page, newest_row
from bruno_memory_vec.errors import InvalidInputError, NotFoundError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import KEPT, MEMORY
from bruno_memory_vec.knowledge.extraction.fact import FACT_FIELDS, is_fact
from bruno_memory_vec.knowledge.turns import Turns
from bruno_memory_vec.recall.hits import Hit, Hits
from bruno_memory_vec.rows import checks
from bruno_memory_vec.rows.models import Row, memory_row, read_one, to_memory
from bruno_memory_vec.store.handle import Handle
from bruno_memory_vec.writing.unchanged import RowsChanged

#: Where a memory of a view comes from.
Given = Literal["given", "extracted", "imported"]

# A row's own columns, which no field of a memory holds, and what only a commit sets.
_NOT_OF_THE_ENTRY = (*KEPT, "turn", "seq", "checksum")


class Memory(Protocol):
    """What a view needs of the memory that it is a view of."""

    @property
    def store_memory(self) -> Callable[..., Awaitable[None]]:
        """Stores one memory."""
        ...

    @property
    def recall(self) -> Callable[..., Awaitable[Hits]]:
        """Answers a question."""
        ...

    @property
    def list_memories(self) -> Callable[..., Awaitable[Page[MemoryEntry]]]:
        """A page of memories, the newest first."""
        ...

    @property
    def timeline(self) -> Callable[..., Awaitable[Page[Hit]]]:
        """A page of rows by their time."""
        ...


class TypedView:
    """Memories of some types. Those of other types do not exist in it.

    Args:
        memory: the memory or a user's view of it; its access rules are this view's.
        handle: the same, for what has no method there.
        turns: lets changes of one user's memories take turns.
    """

    #: The types it shows.
    types: ClassVar[tuple[MemoryType, ...]]
    #: The type of what it adds, where none is named.
    default_type: ClassVar[MemoryType]
    #: What it is called in errors.
    name: ClassVar[str]
    #: Rows of these origins; None for all.
    origins: ClassVar[tuple[str, ...] | None] = None

    @property
    def _part_of_memory(self) -> str:
        """As what an observed operation of it is named."""
        return self.name

    def __init__(self, memory: Memory, handle: Handle, turns: Turns) -> None:
        self._memory = memory
        self._handle = handle
        self._turns = turns

    @acts("read")
    async def recall(
        self,
        query: str,
        *,
        user_id: str | None = None,
        k: int = 10,
        conversation_id: str | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        min_importance: float = 0.0,
        min_confidence: float = 0.0,
        include_archived: bool = False,
        now: datetime | None = None,
    ) -> Hits:
        """The memories of this kind that answer ``query`` best, as ``VectorMemory.recall``."""
        return await self._memory.recall(
            query,
            user_id=user_id,
            k=k,
            conversation_id=conversation_id,
            kinds=MEMORY,
            memory_types=self.types,
            tags=tags,
            categories=categories,
            metadata=metadata,
            since=since,
            until=until,
            min_importance=min_importance,
            min_confidence=min_confidence,
            include_archived=include_archived,
            origins=self.origins,
            now=now,
        )

    @acts("read")
    async def list(
        self,
        *,
        user_id: str | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        include_expired: bool = False,
        include_archived: bool = False,
        limit: int | None = 100,
        after: str | None = None,
    ) -> Page[MemoryEntry]:
        """The memories of this kind, the newest first, as ``VectorMemory.list_memories``."""
        return await self._memory.list_memories(
            user_id,
            memory_types=self.types,
            tags=tags,
            categories=categories,
            metadata=metadata,
            include_expired=include_expired,
            include_archived=include_archived,
            limit=limit,
            after=after,
        )

    @acts("read")
    async def get(self, memory_id: str | UUID, *, user_id: str | None = None) -> MemoryEntry | None:
        """A memory by its id; None where there is none of this kind for this caller.

        Raises:
            InvalidInputError: the id is no UUID.
        """
        return await read_one(await self._row(memory_id, user_id), to_memory)

    @acts("write")
    async def update(
        self,
        memory_id: str | UUID,
        *,
        user_id: str | None = None,
        content: str | None = None,
        category: str | None = None,
        tags: Sequence[str] | None = None,
        importance: float | None = None,
        confidence: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        expires_at: datetime | None = None,
    ) -> MemoryEntry:
        """Change a memory; what is not named stays. Returns it as it is stored now.

        ``metadata`` is joined to its ``custom_fields``; a key with None is taken out. A fact with
        another text is no fact any more, unless ``metadata`` gives its "attribute" and "value":
        ``facts`` and the user's profile know nothing of it, and the memory stays.

        Raises:
            NotFoundError: there is no such memory of this kind for this caller.
            InvalidInputError: a value cannot be kept. Nothing was written.
        """

        def changed(entry: MemoryEntry) -> MemoryEntry:
            about = entry.metadata
            if content is not None and content != entry.content:
                self._retold(entry, content)
            if category is not None:
                about.category = category
            if tags is not None:
                about.tags = list(tags)
            if importance is not None:
                about.importance = checks.unit_interval("importance", importance)
            if confidence is not None:
                about.confidence = checks.unit_interval("confidence", confidence)
            if metadata is not None:
                joined = {**about.custom_fields, **metadata}
                about.custom_fields = {
                    key: value for key, value in joined.items() if value is not None
                }
            if expires_at is not None:
                entry.expires_at = expires_at
            return entry

        return await self._changed(memory_id, user_id, changed, embed=content is not None)

    @acts("delete")
    async def delete(self, memory_id: str | UUID, *, user_id: str | None = None) -> None:
        """Delete a memory.

        Raises:
            NotFoundError: there is no such memory of this kind for this caller.
        """
        row = await self._existing(memory_id, user_id)
        writer = await self._handle.writer()
        await writer.delete(Scope.user(row["user_id"]), self._where(row["id"]))

    # For the kinds

    def _user(self, user_id: str | None) -> str:
        user = self._handle.caller.acting_for(user_id)
        if user is None:
            raise InvalidInputError(
                "user_id",
                "is missing, so that it is not clear whose memory is meant",
                fix="Give user_id=..., or use for_user().",
            )
        return user

    def _entry(
        self,
        given: str | MemoryEntry,
        user_id: str | None,
        *,
        memory_type: MemoryType | None = None,
        conversation_id: str | None = None,
        category: str | None = None,
        tags: Sequence[str] = (),
        importance: float = 0.5,
        confidence: float = 1.0,
        metadata: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> MemoryEntry:
        """The entry that is to be stored: a copy of the given one, or one of a text.

        Raises:
            InvalidInputError: the given one is of another kind or user, or a value is not usable.
        """
        if isinstance(given, MemoryEntry):
            if given.memory_type not in self.types:
                raise InvalidInputError(
                    "memory.memory_type",
                    f"is {given.memory_type.value!r}, which is no {self.name} memory",
                    fix=f"Use one of {', '.join(one.value for one in self.types)}.",
                )
            if user_id is not None and given.user_id != self._user(user_id):
                raise InvalidInputError(
                    "user_id", "is not that of the memory", fix="Name one of the two."
                )
            self._handle.caller.acting_for_named(given.user_id)
            return given.model_copy(deep=True)
        chosen = self.default_type if memory_type is None else memory_type
        if not isinstance(chosen, str) or chosen not in self.types:
            raise InvalidInputError(
                "memory_type",
                f"{checks.shown(chosen)} is no {self.name} memory",
                fix=f"Use one of {', '.join(one.value for one in self.types)}.",
            )
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        created = now if at is None else at
        return MemoryEntry(
            content=checks.storable_text("content", given),
            memory_type=chosen,
            user_id=self._user(user_id),
            conversation_id=conversation_id,
            metadata=MemoryMetadata(
                source=self.name,
                category=category,
                tags=[checks.label("tags", tag) for tag in tags],
                importance=checks.unit_interval("importance", importance),
                confidence=checks.unit_interval("confidence", confidence),
                custom_fields=dict(metadata or {}),
            ),
            created_at=created,
            updated_at=created,
            last_accessed=created,
        )

    def _retold(self, entry: MemoryEntry, content: str) -> None:
        """Give an entry another text, without what said the same as the old one."""
        entry.content = content
        fields = entry.metadata.custom_fields
        if is_fact(fields):
            kept = {name: value for name, value in fields.items() if name not in FACT_FIELDS}
            entry.metadata.custom_fields = kept

    async def _row(self, memory_id: str | UUID, user_id: str | None) -> Row | None:
        (id_,) = checks.uuids("memory_id", [memory_id])
        scope = Caller(self._handle.caller.acting_for(user_id)).scope
        rows = (await self._handle.store()).rows
        return await newest_row(rows, scope, self._where(id_))

    async def _existing(self, memory_id: str | UUID, user_id: str | None) -> Row:
        row = await self._row(memory_id, user_id)
        if row is None:
            raise NotFoundError(
                f"there is no {self.name} memory {checks.shown(str(memory_id))}",
                fix="Use the id of one that this view has stored or listed.",
            )
        return row

    def _where(self, id_: str) -> RowFilter:
        return RowFilter(
            kinds=(MEMORY,),
            ids=(id_,),
            memory_types=tuple(one.value for one in self.types),
            origins=self.origins or (),
        )

    async def _changed(
        self,
        memory_id: str | UUID,
        user_id: str | None,
        change: Callable[[MemoryEntry], MemoryEntry],
        *,
        embed: bool = False,
    ) -> MemoryEntry:
        """A memory changed, and stored again.

        Args:
            memory_id: which.
            user_id: whose; None for the caller's.
            change: makes the new one, of a copy.
            embed: the text changes, so it has to be embedded anew. Else it is changed in one step,
                between which no other change comes.
        """
        row = await self._existing(memory_id, user_id)
        bounds, writer = self._handle.config.bounds, await self._handle.writer()
        if embed:
            await self._handle.throttle.wait(row["user_id"])
            async with self._turns.of(row["user_id"]):
                while True:
                    row = await self._existing(memory_id, row["user_id"])
                    kept = await to_store([touched(change(to_memory(row)))])
                    if not kept:
                        raise InvalidInputError(
                            "content", "holds notes and nothing else", fix="Give a text."
                        )
                    again = memory_row(kept[0], None, bounds, row["origin"])
                    try:
                        await writer.write([again], unchanged=(row["seq"],))
                    except RowsChanged:
                        continue  # what was deleted meanwhile is not stored again
                    entry: MemoryEntry = kept[0]
                    return entry
        # Refused here, before the writer is asked.
        columns_of(change(to_memory(row)), bounds)
        changed = await writer.rewrite(
            Scope.user(row["user_id"]),
            self._where(row["id"]),
            lambda row: columns_of(touched(change(to_memory(row))), bounds),
        )
        if not changed:  # deleted in between
            await self._existing(memory_id, row["user_id"])
        return to_memory(changed[0])


def touched(entry: MemoryEntry) -> MemoryEntry:
    """The entry, updated now."""
    entry.updated_at = datetime.now(timezone.utc).replace(tzinfo=None)
    return entry


def columns_of(entry: MemoryEntry, bounds: Any) -> dict[str, Any]:
    """The columns of a memory's row that a change of the entry changes; not its text.

    Raises:
        InvalidInputError: a value cannot be kept.
    """
    row = memory_row(entry, None, bounds)
    return {name: value for name, value in row.items() if name not in _NOT_OF_THE_ENTRY}
