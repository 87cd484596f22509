"""``memory.semantic``: what lasts, each statement once."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, ClassVar, Final
from uuid import UUID, uuid4, uuid5

from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec.acts import acts
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MEMORY
from bruno_memory_vec.knowledge.kinds.view import Given, TypedView, columns_of, touched
from bruno_memory_vec.recall import RecallRequest
from bruno_memory_vec.rows.metadata_pairs import pair
from bruno_memory_vec.rows.models import Row, from_table, memory_row, to_memory

#: In ``custom_fields``: a hash of the statement, by which it is found again.
STATEMENT: Final = "statement"
#: In ``custom_fields``: how often it was said.
TIMES_SEEN: Final = "times_seen"
#: A memory cites at most so many others.
MOST_RELATED: Final = 1_000
# Of equal statements the id is the same, so that two processes at once do not store two.
_NAMESPACE: Final = UUID("5f3b7a0e-6f0d-4c55-9b55-2d6f0f9a1c11")
# Each time it is said again, what is missing of an importance of 1 becomes less by this share.
_MORE_IMPORTANT: Final = 0.1
_CANDIDATES: Final = 5
_ENDS: Final = " \t\n\r.!。！…\"'“”‘’«»"


class SemanticMemory(TypedView):
    """Knowledge that lasts: LONG_TERM, SEMANTIC and FACT memories.

    A statement that is added again is not doubled: the stored one becomes more certain and more
    important, and counts in ``custom_fields["times_seen"]`` how often it was said. Statements are
    the same if they differ only in case, spaces, and marks at their ends.
    """

    types: ClassVar = (MemoryType.LONG_TERM, MemoryType.SEMANTIC, MemoryType.FACT)
    default_type: ClassVar = MemoryType.LONG_TERM
    name: ClassVar = "semantic"

    @acts("write")
    async def add(
        self,
        statement: str | MemoryEntry,
        *,
        user_id: str | None = None,
        memory_type: MemoryType | None = None,
        conversation_id: str | None = None,
        category: str | None = None,
        tags: Sequence[str] = (),
        importance: float = 0.5,
        confidence: float = 1.0,
        metadata: Mapping[str, Any] | None = None,
        origin: Given = "given",
    ) -> MemoryEntry:
        """Store a statement, or strengthen the one that says the same.

        Returns:
            The memory as it is stored now; its id is the older one's where there was one.

        Raises:
            InvalidInputError: a value is not usable. Nothing was written.
            ForeignUserError: the view is another user's.
            ReadOnlyError, EmbeddingError, EngineError: it was not stored.
        """
        entry = self._entry(
            statement,
            user_id,
            memory_type=memory_type,
            conversation_id=conversation_id,
            category=category,
            tags=tags,
            importance=importance,
            confidence=confidence,
            metadata=metadata,
        )
        if isinstance(statement, str):
            entry.id = statement_id(entry.user_id, entry.content)
        stored, _ = await self.merge(entry, origin=origin)
        return stored

    @acts("write")
    async def merge(
        self, entry: MemoryEntry, *, origin: Given, made_of: int | None = None
    ) -> tuple[MemoryEntry, bool]:
        """Store an entry, or strengthen the one that says the same.

        An entry whose ``related_memories`` the stored one cites already says nothing new, and
        changes nothing: what was interrupted can be done again.

        Args:
            entry: what is said.
            origin: where it comes from.
            made_of: the ``seq`` of the stored row whose text it is.

        Returns:
            The memory as it is stored, and whether there was one that said the same.

        Raises:
            InvalidInputError: it is no ``MemoryEntry``.
            ForeignUserError: the view is another user's.
            RowsChanged: the row ``made_of`` was changed or deleted. Nothing was written.
        """
        if not isinstance(entry, MemoryEntry):
            raise InvalidInputError("entry", "expected a MemoryEntry", fix="Make a MemoryEntry.")
        self._handle.caller.acting_for_named(entry.user_id)
        await self._handle.writer()
        async with self._turns.of(entry.user_id):
            while (before := await self._same(entry)) is not None:
                stored = await self._strengthen(before, entry, made_of)
                if stored is not None:
                    return stored, True
            await self._free_id(entry)
            fields = {TIMES_SEEN: 1, **entry.metadata.custom_fields}
            entry.metadata.custom_fields = {**fields, STATEMENT: _hash(entry.content)}
            if made_of is None:
                await self._memory.store_memory(entry, origin=origin)
            else:
                writer, bounds = await self._handle.writer(), self._handle.config.bounds
                row = memory_row(entry, None, bounds, origin)
                await writer.write([row], unchanged=(made_of,))
            return entry, False

    async def _free_id(self, entry: MemoryEntry) -> None:
        """Give a statement another id where its own is that of one whose text was changed since."""
        if entry.id != statement_id(entry.user_id, entry.content):
            return
        rows, where = (await self._handle.store()).rows, self._where(str(entry.id))
        found = await rows.read(Scope.user(entry.user_id), where, ("content",))
        if any(normal(text) != normal(entry.content) for text in found["content"].to_pylist()):
            entry.id = uuid4()

    def _retold(self, entry: MemoryEntry, content: str) -> None:
        super()._retold(entry, content)
        if STATEMENT in entry.metadata.custom_fields:
            fields = {**entry.metadata.custom_fields, STATEMENT: _hash(content)}
            entry.metadata.custom_fields = fields

    async def _same(self, entry: MemoryEntry) -> Row | None:
        """The stored row that says the same, archived or not."""
        store, now = await self._handle.store(), datetime.now(timezone.utc)
        scope = Scope.user(entry.user_id)
        where = RowFilter(
            kinds=(MEMORY,), memory_types=tuple(one.value for one in self.types), alive_at=now
        )
        known = replace(where, metadata=(pair(STATEMENT, _hash(entry.content)),))
        found = await store.rows.read(scope, known, COLUMNS, order_by="seq", limit=_CANDIDATES)
        for row in from_table(found):
            if normal(row["content"]) == normal(entry.content):
                return row
        # One that was stored by another call has no hash: it is found by its words.
        hits = await store.retriever.recall(
            RecallRequest(
                query=entry.content,
                scope=scope,
                where=replace(where, unarchived_at=now),
                k=_CANDIDATES,
                profile=self._handle.profile,
                now=now,
            ),
            count_use=False,
        )
        same = [hit.id for hit in hits if normal(hit.content) == normal(entry.content)]
        if not same:
            return None
        found = await store.rows.read(scope, replace(where, ids=tuple(same[:1])), COLUMNS, limit=1)
        return next(iter(from_table(found)), None)

    async def _strengthen(
        self, before: Row, again: MemoryEntry, made_of: int | None
    ) -> MemoryEntry | None:
        """The stored memory, strengthened; None where it does not say the same any more."""
        writer, bounds = await self._handle.writer(), self._handle.config.bounds
        here: Row | None = None

        def change(row: Row) -> Mapping[str, Any] | None:
            nonlocal here
            old = to_memory(row)
            if normal(old.content) != normal(again.content):
                return None
            here = row
            cited = set(old.metadata.related_memories)
            if again.metadata.related_memories and cited.issuperset(
                again.metadata.related_memories
            ):
                return {"archived_at": None} if row["archived_at"] is not None else None
            columns = columns_of(touched(strengthened(old, again)), bounds)
            return {**columns, "archived_at": None}

        where = self._where(before["id"])
        unchanged = () if made_of is None else (made_of,)
        changed = await writer.rewrite(
            Scope.user(before["user_id"]), where, change, unchanged=unchanged
        )
        after = changed[0] if changed else here
        return None if after is None else to_memory(after)


def strengthened(old: MemoryEntry, again: MemoryEntry) -> MemoryEntry:
    """A memory that was said again: more certain, more important, with the sources of both."""
    about, more = old.metadata, again.metadata
    about.confidence = 1 - (1 - about.confidence) * (1 - more.confidence)
    best = max(about.importance, more.importance)
    about.importance = best + (1 - best) * _MORE_IMPORTANT
    about.tags = list(dict.fromkeys([*about.tags, *more.tags]))
    about.category = about.category if about.category is not None else more.category
    related = dict.fromkeys([*about.related_memories, *more.related_memories])
    about.related_memories = list(related)[-MOST_RELATED:]
    times = about.custom_fields.get(TIMES_SEEN, 1)
    about.custom_fields = {
        **more.custom_fields,
        **about.custom_fields,
        TIMES_SEEN: (times if isinstance(times, int) else 1) + 1,
        STATEMENT: _hash(old.content),
    }
    if old.expires_at is not None and again.expires_at is None:
        old.expires_at = None
    return old


def normal(statement: str) -> str:
    """A statement without what does not change its meaning: case, spaces, marks at its ends."""
    folded = unicodedata.normalize("NFKC", statement).casefold()
    return " ".join(folded.split()).strip(_ENDS)


def statement_id(user_id: str, statement: str) -> UUID:
    """The id of a user's statement."""
    return uuid5(_NAMESPACE, f"{user_id}\n{normal(statement)}")


def _hash(statement: str) -> str:
    return hashlib.blake2b(normal(statement).encode(), digest_size=16).hexdigest()
