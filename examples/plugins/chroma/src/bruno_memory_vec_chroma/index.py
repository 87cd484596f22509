"""The engine: rows in one collection of an embedded Chroma, which one process uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.errors import BackendUnavailable
from bruno_memory_vec.indexers.query import EVERYONE, Candidates, RowFilter, Scope
from bruno_memory_vec.indexers.schema import KEY_COLUMNS
from bruno_memory_vec_chroma.conditions import Where, all_of, named, where_of
from bruno_memory_vec_chroma.records import metadatas, record_id, table, vectors, with_nulls

# Chroma takes 5,461 records at once, and SQLite some 32,000 values in a statement.
_RECORDS_AT_ONCE = 4_000
_SEQS_AT_ONCE = 4_000
_ROWS_A_BATCH = 1_000

T = TypeVar("T")


class ChromaIndex:
    """A ``RowIndex`` in a collection of Chroma's ``PersistentClient``.

    Args:
        client: the open client; closed with the index.
        collection: with inner products as distances.
        folder: where its files are.
        dimension: how many values a vector has.
        closed: called when the index is closed.
    """

    name = "chroma"

    def __init__(
        self,
        client: Any,
        collection: Any,
        folder: Path,
        dimension: int,
        closed: Callable[[], None],
    ) -> None:
        self._client = client
        self._collection = collection
        self._folder = folder
        self._dimension = dimension
        self._on_close = closed
        self._is_closed = False
        self._changes = 0
        # The largest seq; None where it has to be looked for.
        self._last: int | None = None

    async def version(self) -> int:
        """A number that changes with every change of the rows; nobody else changes them."""
        return self._changes

    # Writing

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        """As of ``RowIndex``; of more than 4,000 rows, each 4,000 are one commit."""
        if not rows.num_rows:
            return

        def write() -> None:
            keys = rows.select(list(KEY_COLUMNS)).to_pylist()
            ids = [record_id(key) for key in keys]
            made, embeddings = list(metadatas(rows)), vectors(rows)
            write = self._collection.add if all_new else self._collection.upsert
            for part in _parts(len(ids)):
                write(ids=ids[part], embeddings=embeddings[part], metadatas=made[part])

        # Not known while it may be either.
        last, self._last = self._last, None
        await self._do("write", write)
        if last is not None:
            self._last = max(last, int(rows.column("seq").to_numpy().max()))
        self._changes += 1

    async def update(self, rows: pa.Table) -> None:
        """As of ``RowIndex``."""
        seqs = rows.column("seq").to_pylist()
        changes = list(metadatas(rows))
        found: dict[str, Any] = {"ids": [], "metadatas": []}
        for start in range(0, len(seqs), _SEQS_AT_ONCE):
            where = {"seq": {"$in": seqs[start : start + _SEQS_AT_ONCE]}}
            part = await self._get(where=where, include=["metadatas"])
            found["ids"] += part["ids"]
            found["metadatas"] += part["metadatas"]
        if not found["ids"]:
            return
        at = {seq: number for number, seq in enumerate(seqs)}
        order = [at[record["seq"]] for record in found["metadatas"]]
        new = [
            with_nulls(record, changes[number])
            for record, number in zip(found["metadatas"], order, strict=True)
        ]
        embeddings = vectors(rows)[order] if "vector" in rows.column_names else None

        def write() -> None:
            for part in _parts(len(order)):
                self._collection.update(
                    ids=found["ids"][part],
                    metadatas=new[part],
                    embeddings=None if embeddings is None else embeddings[part],
                )

        await self._do("write", write)
        self._changes += 1

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        """As of ``RowIndex``."""
        found = await self._found(scope, where, seqs, None, ["metadatas"])
        if not found["ids"]:
            return np.empty(0, np.int64)

        def remove() -> None:
            for part in _parts(len(found["ids"])):
                self._collection.delete(ids=found["ids"][part])

        self._last = None
        await self._do("delete", remove)
        self._changes += 1
        return np.array([record["seq"] for record in found["metadatas"]], np.int64)

    # Reading

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        """As of ``RowIndex``. It asks Chroma's graph (HNSW), which is nearly exact."""
        if limit < 1:
            return Candidates.empty()
        found = await self._do(
            "search",
            lambda: self._collection.query(
                query_embeddings=np.asarray(vector, np.float32)[None],
                n_results=limit,
                where=where_of(scope, where),
                include=["metadatas", "distances"],
            ),
        )
        records = found["metadatas"][0]
        if not records:
            return Candidates.empty()
        # Chroma's distance is one less the inner product; of unit vectors that is the cosine.
        score = np.float32(1) - np.array(found["distances"][0], np.float32)
        seq = np.array([record["seq"] for record in records], np.int64)
        order = np.lexsort((-seq, -score))
        place = table(records, None, ["conversation_id", "turn"], self._dimension)
        talks = place.column("conversation_id").to_pylist()
        turn = place.column("turn").fill_null(-1).to_numpy()
        talks = tuple(talks[number] for number in order)
        return Candidates(seq[order], score[order], talks, turn[order])

    async def read(
        self,
        scope: Scope,
        where: RowFilter,
        columns: Sequence[str],
        *,
        seqs: Sequence[int] | None = None,
        turns: Mapping[str, Sequence[int]] | None = None,
        order_by: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """As of ``RowIndex``. Chroma has no order: what matches is read whole, and sorted here."""
        wanted = list(dict.fromkeys([*columns, *([order_by, "seq"] if order_by else [])]))
        include = ["metadatas", *(["embeddings"] if "vector" in wanted else [])]
        found = await self._found(scope, where, seqs, turns, include)
        rows = await asyncio.to_thread(
            table, found["metadatas"], found.get("embeddings"), wanted, self._dimension
        )
        if order_by is not None:
            order = [(order_by, "descending"), ("seq", "descending")]
            rows = rows.sort_by(order if order_by != "seq" else order[:1])
        return rows.slice(0, limit).select(list(columns))

    async def count(self, scope: Scope, where: RowFilter) -> int:
        """As of ``RowIndex``."""
        asked = where_of(scope, where)
        if asked is None:
            return int(await self._do("count", self._collection.count))
        return len((await self._get(where=asked, include=[]))["ids"])

    async def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        """As of ``RowIndex``: the ids first, so that no change meanwhile shifts what is read."""
        newer = {"seq": {"$gt": seq}}
        asked = all_of([where_of(scope, RowFilter()), newer])
        ids = (await self._get(where=asked, include=[]))["ids"]
        include = ["metadatas", *(["embeddings"] if "vector" in columns else [])]
        for start in range(0, len(ids), _ROWS_A_BATCH):
            found = await self._get(ids=ids[start : start + _ROWS_A_BATCH], include=include)
            rows = await asyncio.to_thread(
                table, found["metadatas"], found["embeddings"], columns, self._dimension
            )
            for batch in rows.to_batches():
                yield batch

    async def last_seq(self) -> int:
        """As of ``RowIndex``. Where it is not known, it is looked for by halves."""
        if self._last is None:
            changes = self._changes
            found = await self._look_for_last()
            if changes == self._changes:
                self._last = found
            return found
        return self._last

    async def health(self) -> dict[str, Any]:
        """As of ``RowIndex``."""
        return {
            "engine": self.name,
            "rows": await self.count(EVERYONE, RowFilter()),
            "bytes": await asyncio.to_thread(_size, self._folder),
        }

    async def close(self) -> None:
        """As of ``RowIndex``."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            await self._do("close", self._client.close)
        finally:
            self._on_close()

    # Chroma

    async def _look_for_last(self) -> int:
        low, high = -1, 2**63 - 1  # there is nothing above high
        while low < high:
            # Half of the numbers above low that may be there; of few rows they are all small.
            step = min(2 * max(low, 0) + 1_000, low + (high - low) // 2)
            found = await self._get(where={"seq": {"$gt": step}}, limit=1, include=["metadatas"])
            if found["ids"]:
                low = int(found["metadatas"][0]["seq"])
                continue
            high = step
            found = await self._get(where={"seq": {"$gt": low}}, limit=1, include=["metadatas"])
            if not found["ids"]:
                return low
            low = int(found["metadatas"][0]["seq"])
        return low

    async def _found(
        self,
        scope: Scope,
        where: RowFilter,
        seqs: Sequence[int] | None,
        turns: Mapping[str, Sequence[int]] | None,
        include: Sequence[str],
    ) -> dict[str, Any]:
        """The records that match, each once; with ``seqs`` or ``turns`` only those they name."""
        asked = where_of(scope, where)
        if seqs is None and turns is None:
            return await self._get(where=asked, include=include)
        whole: dict[str, Any] = {"ids": [], "metadatas": [], "embeddings": None}
        known: set[str] = set()
        for some in _named(seqs, turns):
            found = await self._get(where=all_of([asked, some]), include=include)
            fresh = [at for at, id_ in enumerate(found["ids"]) if id_ not in known]
            known.update(found["ids"])
            whole["ids"] += [found["ids"][at] for at in fresh]
            whole["metadatas"] += [found["metadatas"][at] for at in fresh]
            if found["embeddings"] is not None:
                part = np.asarray(found["embeddings"], np.float32)[fresh]
                before = whole["embeddings"]
                whole["embeddings"] = part if before is None else np.concatenate([before, part])
        if whole["embeddings"] is None:
            whole["embeddings"] = np.empty((0, self._dimension), np.float32)
        return whole

    async def _get(self, **asked: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self._do("read", lambda: self._collection.get(**asked))
        return found

    async def _do(self, operation: str, work: Callable[[], T]) -> T:
        """A call of the client, in a thread, since it blocks.

        Raises:
            BackendUnavailable: whatever Chroma raises.
        """
        if self._is_closed and operation != "close":
            raise BackendUnavailable(
                self.name, operation, "it is closed", fix="Open the memory again."
            )
        try:
            return await asyncio.to_thread(work)
        except Exception as error:  # Chroma's own, SQLite's, and those of its Rust part
            raise BackendUnavailable(
                self.name,
                operation,
                f"{type(error).__name__}: {error}",
                fix=f"Check that {self._folder} has free space and may be written.",
                cause=error,
            ) from error


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, _RECORDS_AT_ONCE):
        yield slice(start, start + _RECORDS_AT_ONCE)


def _named(
    seqs: Sequence[int] | None, turns: Mapping[str, Sequence[int]] | None
) -> Iterator[Where]:
    """Parts of what ``seqs`` and ``turns`` name, each small enough for one statement."""
    numbers = list(seqs or ())
    for start in range(0, len(numbers), _SEQS_AT_ONCE):
        some = named(numbers[start : start + _SEQS_AT_ONCE], None)
        if some is not None:
            yield some
    for conversation, asked in (turns or {}).items():
        places = list(asked)
        for start in range(0, len(places), _SEQS_AT_ONCE):
            some = named(None, {conversation: places[start : start + _SEQS_AT_ONCE]})
            if some is not None:
                yield some


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
