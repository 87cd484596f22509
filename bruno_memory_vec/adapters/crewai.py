"""A storage of CrewAI's memory, kept in a store of ours.

``MemoryStorage`` has what ``crewai.memory.storage.backend.StorageBackend`` asks for: give one as
``storage=`` to ``crewai.Memory``, and its :meth:`~MemoryStorage.embed` as ``embedder=``, which
needs no key and no server. A record of CrewAI's is a memory of one user here, with its embedding
made by the store's own embedder, so that recalls, exports and every other surface have it, too.

CrewAI asks a storage by vector alone; :meth:`~MemoryStorage.recall` asks it by words and meaning.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from os import PathLike
from typing import Any, Final, TypeVar
from uuid import UUID, uuid5

import numpy as np
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType

from bruno_memory_vec.embedders import embed_texts
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError, NotFoundError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MEMORY
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.recall.request import row_filter
from bruno_memory_vec.rows import checks
from bruno_memory_vec.rows.models import read_all, to_memory
from bruno_memory_vec.sync.background import BackgroundMemory

try:
    from crewai.memory.storage.backend import EmbeddingDimensionMismatchError
    from crewai.memory.types import MemoryRecord, ScopeInfo
except ImportError as error:
    raise MissingDependencyError("crewai", "crewai", cause=error) from error

T = TypeVar("T")

#: Whose the memories are, unless somebody else is named.
USER: Final = "crewai"

_NAMESPACE: Final = UUID("0f7d4d9e-0d3b-5c1a-9a86-6f1f5d3a7a52")
_SOURCE: Final = "crewai"
# In `custom_fields`: the record itself, and for each scope that it is in, that it is.
_RECORD: Final = "crewai_record"
_IN: Final = "crewai_in:"
_DEEPEST: Final = 32
_METADATA: Final = "crewai_metadata:"


class MemoryStorage:
    """A storage backend of CrewAI's memory.

    Any thread may call it. One process writes to a folder; :meth:`close`, or the end of ``with``,
    writes what is pending, and so does the end of the program.

    Args:
        url: the store: a folder, or any other URL of one.
        user_id: whose memories: those of another user of the store do not exist here.
        settings: as for :func:`~bruno_memory_vec.open_memory`.

    Raises:
        InvalidInputError: an argument is not usable.
    """

    def __init__(self, url: str | PathLike[str], *, user_id: str = USER, **settings: Any) -> None:
        self.user_id = checks.identifier("user_id", user_id)
        # Now, so that a setting that is not usable is told where it is given.
        memory = VectorMemory(str(url), **settings)
        self._memory = BackgroundMemory(lambda: memory)

    def __enter__(self) -> MemoryStorage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> MemoryStorage:
        # Crews and agents are copied with what they have: a copy uses the same open store.
        return self

    def close(self) -> None:
        """Write what is pending and release the store. Closing twice does nothing."""
        self._memory.close()

    # For crewai.Memory

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The vectors of texts by the store's embedder: the ``embedder=`` of ``crewai.Memory``.

        Raises:
            EmbeddingError: they cannot be embedded.
        """
        if isinstance(texts, str) or not all(isinstance(one, str) for one in texts):
            raise InvalidInputError("texts", "is no list of strings", fix="Give a list of strings.")
        given = list(texts)

        async def work(held: VectorMemory) -> list[list[float]]:
            store = await held._handle.store()
            vectors = await embed_texts(store.embedder, given, "document")
            return [vector.tolist() for vector in vectors]

        return self._memory.run(work) if given else []

    def save(self, records: list[MemoryRecord]) -> None:
        """Store records, all or none; one of a known id takes the place of the old one.

        Raises:
            InvalidInputError: a record cannot be kept.
            EmbeddingDimensionMismatchError: its embedding is none of :meth:`embed`.
        """
        self._run(lambda held: self._save(held, records))

    def update(self, record: MemoryRecord) -> None:
        """Store a record in the place of the one of its id. Raises as :meth:`save`."""
        self.save([record])

    def search(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """The records nearest to a vector of :meth:`embed`, with their cosine similarity.

        Raises:
            EmbeddingDimensionMismatchError: the vector is of another embedder.
        """
        where = _filter(scope_prefix, categories, metadata_filter)
        return self._run(lambda held: self._search(held, query_embedding, where, limit, min_score))

    def recall(
        self, query: str, scope_prefix: str | None = None, limit: int = 10
    ) -> list[tuple[MemoryRecord, float]]:
        """The records that answer a question best, by words and meaning, with their score.

        Raises:
            InvalidInputError: an argument is not usable.
        """

        async def work(held: VectorMemory) -> list[tuple[MemoryRecord, float]]:
            # Of the user's memories only CrewAI's, each of which is within the root.
            inside = {f"{_IN}{_path(scope_prefix or '/')}": True}
            hits = await held.recall(query, k=limit, kinds="memory", metadata=inside)
            return [(_record(hit.record), hit.score) for hit in hits]

        return self._run(work)

    def delete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """Delete records that match all that is given, for good; returns how many.

        Without anything given, all of them, as :meth:`reset` does.
        """
        where = _filter(scope_prefix, categories, metadata_filter, record_ids, older_than)
        if record_ids is not None and not record_ids:
            return 0
        return self._run(lambda held: self._delete(held, where))

    def get_record(self, record_id: str) -> MemoryRecord | None:
        """The record of an id, None where there is none."""

        async def work(held: VectorMemory) -> MemoryRecord | None:
            entry = await held.get_memory(_uuid(record_id))
            return None if entry is None else _record(entry)

        return self._run(work)

    def list_records(
        self, scope_prefix: str | None = None, limit: int = 200, offset: int = 0
    ) -> list[MemoryRecord]:
        """Records of a scope and those within it, newest first."""
        if limit <= 0 or offset < 0:
            return []
        return self._all(scope_prefix)[offset : offset + limit]

    def get_scope_info(self, scope: str) -> ScopeInfo:
        """How many records a scope has, with those within it, and which scopes these are."""
        path = _path(scope)
        records = self._all(path)
        times = [one.created_at for one in records]
        return ScopeInfo(
            path=path,
            record_count=len(records),
            categories=sorted({name for one in records for name in one.categories}),
            oldest_record=min(times, default=None),
            newest_record=max(times, default=None),
            child_scopes=_children(path, records),
        )

    def list_scopes(self, parent: str = "/") -> list[str]:
        """The scopes right below one."""
        return _children(_path(parent), self._all(parent))

    def list_categories(self, scope_prefix: str | None = None) -> dict[str, int]:
        """How many records each category has."""
        return dict(Counter(name for one in self._all(scope_prefix) for name in one.categories))

    def count(self, scope_prefix: str | None = None) -> int:
        """How many records a scope has, with those within it."""

        async def work(held: VectorMemory) -> int:
            found = await _rows(held, self.user_id, _filter(scope_prefix), ("id",))
            return int(found.num_rows)

        return self._run(work)

    def reset(self, scope_prefix: str | None = None) -> None:
        """Delete all records of a scope and those within it, for good."""
        self.delete(scope_prefix)

    def touch_records(self, record_ids: list[str]) -> None:
        """Note that records were used now, those that there are."""

        async def work(held: VectorMemory) -> None:
            where = _filter(None, None, None, record_ids)
            now = datetime.now(timezone.utc).replace(tzinfo=None)
            entries = await _entries(held, self.user_id, where)
            for entry in entries:
                record = _record(entry)
                record.last_accessed = now
                entry.last_accessed = now
                entry.metadata.custom_fields[_RECORD] = _held(record)
            if entries:
                await held.store_memories(entries)

        if record_ids:
            self._run(work)

    async def asave(self, records: list[MemoryRecord]) -> None:
        """:meth:`save` for a coroutine."""
        await asyncio.to_thread(self.save, records)

    async def asearch(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """:meth:`search` for a coroutine."""
        return await asyncio.to_thread(
            self.search,
            query_embedding,
            scope_prefix,
            categories,
            metadata_filter,
            limit,
            min_score,
        )

    async def adelete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """:meth:`delete` for a coroutine."""
        return await asyncio.to_thread(
            self.delete, scope_prefix, categories, record_ids, older_than, metadata_filter
        )

    # What is inside

    def _run(self, work: Callable[[VectorMemory], Awaitable[T]]) -> T:
        return self._memory.run(lambda held: work(held.for_user(self.user_id)))

    async def _save(self, held: VectorMemory, records: Sequence[MemoryRecord]) -> None:
        if not records:
            return
        store = await held._handle.store()
        for record in records:
            if record.embedding:
                _fits(record.embedding, store.embedder.fingerprint.dimension)
        await held.store_memories([_entry(one, self.user_id) for one in records])

    async def _search(
        self,
        held: VectorMemory,
        query: Sequence[float],
        where: RowFilter,
        limit: int,
        least: float,
    ) -> list[tuple[MemoryRecord, float]]:
        if limit <= 0 or not len(query):
            return []
        store = await held._handle.store()
        _fits(query, store.embedder.fingerprint.dimension)
        vector = np.asarray(query, np.float32)
        length = float(np.linalg.norm(vector))
        if length == 0:
            return []
        scope = Scope.user(self.user_id)
        near = await store.rows.search(vector / np.float32(length), scope, where, limit)
        scores = dict(zip(near.seq.tolist(), near.score.tolist(), strict=True))
        found = await store.rows.read(scope, where, COLUMNS, seqs=list(scores))
        entries = await read_all(found, to_memory)
        seqs = found.column("seq").to_pylist()
        best = sorted(zip(seqs, entries, strict=True), key=lambda pair: -scores[pair[0]])
        # Below 0 nothing is alike; CrewAI weighs scores of 0 to 1.
        pairs = [(_record(entry), min(max(scores[seq], 0.0), 1.0)) for seq, entry in best]
        return [pair for pair in pairs if pair[1] >= least]

    async def _delete(self, held: VectorMemory, where: RowFilter) -> int:
        writer = await held._handle.writer()
        return await writer.delete(Scope.user(self.user_id), where)

    def _all(self, scope_prefix: str | None) -> list[MemoryRecord]:
        async def work(held: VectorMemory) -> list[MemoryRecord]:
            entries = await _entries(held, self.user_id, _filter(scope_prefix))
            return [_record(entry) for entry in entries]

        return sorted(self._run(work), key=lambda one: one.created_at, reverse=True)


async def _rows(held: VectorMemory, user_id: str, where: RowFilter, columns: Sequence[str]) -> Any:
    store = await held._handle.store()
    return await store.rows.read(Scope.user(user_id), where, columns)


async def _entries(held: VectorMemory, user_id: str, where: RowFilter) -> list[MemoryEntry]:
    return await read_all(await _rows(held, user_id, where, COLUMNS), to_memory)


def _filter(
    scope_prefix: str | None = None,
    categories: Sequence[str] | None = None,
    metadata: dict[str, Any] | None = None,
    record_ids: Sequence[str] | None = None,
    older_than: datetime | None = None,
) -> RowFilter:
    pairs: dict[str, Any] = {f"{_IN}{_path(scope_prefix or '/')}": True}
    for key, value in (metadata or {}).items():
        pairs[f"{_METADATA}{key}"] = value
    where = row_filter(
        alive_at=None,
        kinds=MEMORY,
        tags=list(categories) if categories else None,
        until=older_than,
        metadata=pairs,
    )
    if record_ids is None:
        return where
    return replace(where, ids=tuple(str(_uuid(one)) for one in record_ids))


def _path(scope: str) -> str:
    """A scope as CrewAI writes it: from the root, without a slash at its end or two in a row."""
    given = checks.storable_text("scope", scope, blank=True)
    return "/" + "/".join(part for part in given.split("/") if part)


def _parents(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    if len(parts) > _DEEPEST:
        raise InvalidInputError(
            "scope", f"has {len(parts)} levels", fix=f"Give one with {_DEEPEST} at most."
        )
    return ["/", *("/" + "/".join(parts[:end]) for end in range(1, len(parts) + 1))]


def _children(path: str, records: Sequence[MemoryRecord]) -> list[str]:
    before = path if path.endswith("/") else f"{path}/"
    found = {
        before + record.scope[len(before) :].split("/", 1)[0]
        for record in records
        if record.scope.startswith(before) and len(record.scope) > len(before)
    }
    return sorted(found)


def _uuid(record_id: str) -> UUID:
    return uuid5(_NAMESPACE, checks.identifier("id", record_id))


def _held(record: MemoryRecord) -> dict[str, Any]:
    held: dict[str, Any] = record.model_dump(mode="python", exclude={"content", "embedding"})
    return held


def _entry(record: MemoryRecord, user_id: str) -> MemoryEntry:
    path = _path(record.scope)
    fields: dict[str, Any] = {_RECORD: {**_held(record), "scope": path}}
    fields |= {f"{_IN}{parent}": True for parent in _parents(path)}
    for key, value in record.metadata.items():
        if isinstance(value, (str, int, float, bool)):
            fields[f"{_METADATA}{key}"] = value
    return MemoryEntry(
        id=_uuid(record.id),
        content=checks.storable_text("content", record.content),
        memory_type=MemoryType.LONG_TERM,
        user_id=user_id,
        metadata=MemoryMetadata(
            source=_SOURCE,
            tags=list(dict.fromkeys(record.categories)),
            importance=record.importance,
            custom_fields=fields,
        ),
        created_at=record.created_at,
        last_accessed=record.last_accessed,
    )


def _record(entry: Any) -> MemoryRecord:
    held = entry.metadata.custom_fields.get(_RECORD)
    if not isinstance(held, dict):
        raise NotFoundError(
            f"the memory {entry.id} is no record of CrewAI's", fix="Read it by get_memory()."
        )
    return MemoryRecord(content=entry.content, **held)


def _fits(vector: Sequence[float], dimension: int) -> None:
    if len(vector) != dimension:
        raise EmbeddingDimensionMismatchError(dimension, len(vector))
