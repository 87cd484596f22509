"""Rows in a table of PostgreSQL: a ``RowIndex`` that finds rows by their words, too.

Each change is one transaction: a crash, a lost connection or a refused row leaves all of it or
nothing. A reader sees what was committed before its call. Of two writers of one row the one with
the larger ``seq`` prevails, in whatever order they arrive, so a change may be sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.errors import EngineError
from bruno_memory_vec.indexers.protocols import Maintenance, Stays
from bruno_memory_vec.indexers.query import EVERYONE, Candidates, LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, key_of, row_schema
from bruno_memory_vec.indexers.text.analysis import Analyser
from bruno_memory_vec.writing.projections import Progress

from .database import NAME, Database
from .records import columns_of, table_of, vector_bytes
from .statement import HASHED, Statement, hash_of, quoted
from .texts import given, stored
from .words import MOST_TERMS, Asked, asked_of, best, hashes_of, numbers

T = TypeVar("T")

_STORED = (*COLUMNS, "vector")
# What is derived from a row when it is stored.
_DERIVED = ("key", *HASHED.values(), "length", "terms", "pairs")
_PAGE = 2_000
# More rows than this are analysed and laid out in a thread.
_ROWS_ON_THE_LOOP = 32
_SEQS = "int8[]"
# A change of so many rows may take twice as long as a small one before it counts as hanging.
_ROWS_A_TIMEOUT = 1_000
# Seconds. What upkeep does takes as long as it takes.
_UPKEEP_TIMEOUT = 86_400.0


class PostgreSQLIndex:
    """A ``RowIndex`` that is also ``SearchesText`` and ``Compacts``, in one table.

    Args:
        database: has the table.
        dimension: of the vectors.
        analyser: how text becomes terms.
    """

    name = NAME

    def __init__(self, database: Database, dimension: int, analyser: Analyser) -> None:
        self.schema = row_schema(dimension)
        self.database = database
        #: How it makes the terms of rows and of questions.
        self.analyser = analyser

    # Writing

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        if not rows.num_rows:
            return
        records = await _in_a_thread_if_many(rows.num_rows, self._records, rows)
        await self._execute("add rows", self._upsert_text(), records)

    def _records(self, rows: pa.Table) -> list[tuple[Any, ...]]:
        """The rows with what is derived from them, in the order of their keys: two changes that
        touch the same rows wait for each other, and neither for ever."""
        rows = rows.select(list(_STORED))
        columns = columns_of(rows)
        derived = [self._derived(row) for row in rows.select(list(_READ_TO_DERIVE)).to_pylist()]
        records = [
            (*own, *row) for own, row in zip(derived, zip(*columns, strict=True), strict=True)
        ]
        records.sort(key=lambda record: record[0].int)
        return records

    def _derived(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        hashes = [None if row[c] is None else hash_of(stored(row[c])) for c in HASHED]
        terms = self.analyser.terms(row["content"])
        single, pairs = hashes_of(terms, hash_of(stored(row["user_id"])))
        return (_key(row), *hashes, len(terms), single, pairs)

    def _upsert_text(self) -> str:
        names = [*_DERIVED, *_STORED]
        places = ", ".join(f"${i}" for i in range(1, len(names) + 1))
        setting = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in names)
        return f"""
INSERT INTO {self.database.rows} AS held ({", ".join(map(quoted, names))}) VALUES ({places})
ON CONFLICT (key) DO UPDATE SET {setting} WHERE held.seq <= excluded.seq"""

    async def update(self, rows: pa.Table) -> None:
        names = [name for name in rows.column_names if name != "seq"]
        if not rows.num_rows or not names:
            return
        refused = HASHED.keys() & set(names)
        if refused:
            raise EngineError(
                NAME,
                "update rows",
                f"{', '.join(sorted(refused))} is part of what identifies a row",
                fix="Store the whole row again.",
            )
        columns = columns_of(rows.select(["seq", *names]))
        setting = [f"{quoted(name)} = ${i}" for i, name in enumerate(names, 2)]
        if "content" in names:
            texts = rows.column("content").to_pylist()
            columns += map(list, zip(*map(self._words_of, texts), strict=True))
            setting += _set_words(len(names) + 2)
        records = sorted(zip(*columns, strict=True), key=itemgetter(0))
        text = f"UPDATE {self.database.rows} SET {', '.join(setting)} WHERE seq = $1"
        await self._execute("update rows", text, records)

    def _words_of(self, content: str) -> tuple[int, list[int], list[int]]:
        """The number of terms of a text, and the hashes of terms and pairs, of no user yet."""
        terms = self.analyser.terms(content)
        return (len(terms), *hashes_of(terms, 0))

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        statement = Statement()
        asked = statement.within(scope, where)
        if seqs is not None:
            asked += f" AND seq = ANY({statement.bind([int(seq) for seq in seqs], _SEQS)})"
        text = f"DELETE FROM {self.database.rows} WHERE {asked} RETURNING seq"
        # Not sent twice: the second answer would not name what the first one has deleted.
        found = await self.database.call(
            "delete rows", lambda c: c.fetch(text, *statement.values), repeatable=False
        )
        return np.array([record[0] for record in found], np.int64)

    async def _execute(self, operation: str, text: str, records: Sequence[Sequence[Any]]) -> None:
        # One transaction, and as good as one round trip.
        timeout = self.database.settings.timeout * (1 + len(records) / _ROWS_A_TIMEOUT)
        await self.database.call(operation, lambda c: c.executemany(text, records, timeout=timeout))

    # Searching

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        if limit < 1:
            return Candidates.empty()
        statement = Statement()
        text = self._nearest(statement, vector, scope, where, limit)
        return _candidates(await self.database.fetch("search", text, *statement.values))

    async def search_text(
        self, query: LexicalQuery, scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        """As of :class:`~bruno_memory_vec.indexers.protocols.SearchesText`."""
        asked = await self._asked(query, scope)
        if limit < 1 or not asked.times:
            return Candidates.empty()
        statement = Statement()
        text = best(statement, self.database.rows, asked, scope, where, limit)
        return _candidates(await self.database.fetch("search", text, *statement.values))

    async def search_both(
        self,
        vector: NDArray[np.float32],
        query: LexicalQuery,
        scope: Scope,
        where: RowFilter,
        *,
        nearest: int,
        text: int,
    ) -> tuple[Candidates, Candidates]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.SearchesText`."""
        asked = await self._asked(query, scope)
        if nearest < 1 or text < 1 or not asked.times:
            by_vector = await self.search(vector, scope, where, nearest)
            return by_vector, await self.search_text(query, scope, where, text)
        statement = Statement()
        one = self._nearest(statement, vector, scope, where, nearest)
        other = best(statement, self.database.rows, asked, scope, where, text)
        both = f"SELECT *, TRUE FROM ({one}) v UNION ALL SELECT *, FALSE FROM ({other}) w"
        found = await self.database.fetch("search", both, *statement.values)
        return (
            _candidates([record for record in found if record[4]]),
            _candidates([record for record in found if not record[4]]),
        )

    def _nearest(
        self,
        statement: Statement,
        vector: NDArray[np.float32],
        scope: Scope,
        where: RowFilter,
        limit: int,
    ) -> str:
        asked = statement.within(scope, where)
        (binary,) = vector_bytes(np.asarray(vector, np.float32).reshape(1, -1))
        distance = f"(vector <#> {statement.bind(binary, 'vector')})"
        # Of one user all rows are compared, which is exact and takes milliseconds: the sum keeps
        # an HNSW index out, which would look among everybody's rows.
        by = distance if scope.user_id is None else f"{distance} + 0"
        return f"""
SELECT seq, conversation_id, turn, -{distance} AS score
FROM {self.database.rows} WHERE {asked} ORDER BY {by}{self._newest(scope)}
LIMIT {statement.bind(limit, "int8")}"""

    def _newest(self, scope: Scope) -> str:
        """Of equal rows the newest first; an HNSW index gives none in that order."""
        indexed = scope.user_id is None and self.database.settings.hnsw_above is not None
        return "" if indexed else ", seq DESC"

    async def _asked(self, query: LexicalQuery, scope: Scope) -> Asked:
        asked = asked_of(query, self.analyser)
        if len(asked.times) <= MOST_TERMS:
            return asked
        statement = Statement()
        text = numbers(statement, self.database.rows, asked, scope)
        found = await self.database.fetch("search", text, *statement.values)
        return asked.rarest([record["n"] for record in found])

    # Reading

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
        statement = Statement()
        asked = statement.within(scope, where)
        if seqs is not None or turns is not None:
            asked += f" AND key IN ({self._named(statement, seqs or (), turns or {})})"
        text = f"SELECT {_names(columns)} FROM {self.database.rows} WHERE {asked}"
        if order_by is not None:
            text += f" ORDER BY {quoted(order_by)} DESC NULLS LAST, seq DESC"
        if limit is not None:
            text += f" LIMIT {statement.bind(limit, 'int8')}"
        found = await self.database.fetch("read", text, *statement.values)
        return await _in_a_thread_if_many(len(found), table_of, found, self._schema_of(columns))

    def _named(
        self, statement: Statement, seqs: Sequence[int], turns: Mapping[str, Sequence[int]]
    ) -> str:
        """The keys of rows with one of these ``seq``, or at one of these places."""
        rows = self.database.rows
        places = [
            (stored(conversation), int(turn))
            for conversation, numbers in turns.items()
            for turn in numbers
        ]
        names = statement.bind([name for name, _ in places], "text[]")
        hashes = statement.bind([hash_of(name) for name, _ in places], _SEQS)
        at = statement.bind([turn for _, turn in places], _SEQS)
        wanted = statement.bind([int(seq) for seq in seqs], _SEQS)
        return f"""
SELECT key FROM {rows} WHERE seq = ANY({wanted})
UNION
SELECT r.key FROM unnest({names}, {hashes}, {at}) AS asked (name, place, turn)
JOIN {rows} r ON r.place = asked.place AND r.turn = asked.turn AND r.conversation_id = asked.name"""

    async def count(self, scope: Scope, where: RowFilter) -> int:
        statement = Statement()
        text = f"SELECT count(*) FROM {self.database.rows} WHERE {statement.within(scope, where)}"
        return int(await self.database.fetchval("count", text, *statement.values))

    async def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        schema, last = self._schema_of(columns), (seq, UUID(int=2**128 - 1))
        while True:
            statement = Statement()
            asked = statement.within(scope, RowFilter())
            place = f"({statement.bind(last[0], 'int8')}, {statement.bind(last[1], 'uuid')})"
            text = f"""
SELECT {_names(columns)}, seq AS at, key FROM {self.database.rows}
WHERE {asked} AND (seq, key) > {place} ORDER BY seq, key LIMIT {_PAGE}"""
            found = await self.database.fetch("read", text, *statement.values)
            if found:
                last = (found[-1]["at"], found[-1]["key"])
                records = [record[: len(columns)] for record in map(tuple, found)]
                table = await _in_a_thread_if_many(len(found), table_of, records, schema)
                for batch in table.combine_chunks().to_batches():
                    yield batch
            if len(found) < _PAGE:
                return

    async def last_seq(self) -> int:
        text = f"SELECT coalesce(max(seq), -1) FROM {self.database.rows}"
        return int(await self.database.fetchval("read", text))

    def _schema_of(self, columns: Sequence[str]) -> pa.Schema:
        return pa.schema([self.schema.field(name) for name in columns])

    # Upkeep

    def due(self, *, at_rest: bool = False) -> bool:
        """Never: the server's own autovacuum does what has to be done regularly."""
        return False

    async def maintain(self, *, keep_none: bool = False) -> Maintenance:
        """Refresh the planner's statistics, and make the HNSW index where there are enough rows."""
        above, rows = self.database.settings.hnsw_above, self.database.rows
        count = await self.count(EVERYONE, RowFilter())
        made = above is not None and count > above

        async def work(connection: Any) -> None:
            if made:
                await connection.execute(
                    f"CREATE INDEX CONCURRENTLY IF NOT EXISTS rows_hnsw ON {rows} "
                    "USING hnsw (vector vector_ip_ops)",
                    timeout=_UPKEEP_TIMEOUT,
                )
            await connection.execute(f"VACUUM (ANALYZE) {rows}", timeout=_UPKEEP_TIMEOUT)

        await self.database.call("maintain", work)
        return Maintenance(runs=1, details={"rows": count, "hnsw": made})

    async def analyse_anew(self, progress: Progress | None) -> None:
        """Make the terms of all rows by the analyser, as after a change of the language."""
        done = 0
        total = await self.count(EVERYONE, RowFilter())
        text = (
            f"UPDATE {self.database.rows} SET length = $2, terms = $3, pairs = $4 "
            "WHERE key = $1 AND seq = $5"
        )
        async for batch in self.after(-1, ["seq", *_READ_TO_DERIVE]):
            records = await asyncio.to_thread(self._terms_of, batch.to_pylist())
            await self._execute("analyse texts", text, records)
            done += batch.num_rows
            if progress is not None:
                progress("analysing", done, total)

    def _terms_of(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        found = []
        for row in rows:
            key, *_, length, terms, pairs = self._derived(row)
            found.append((key, length, terms, pairs, row["seq"]))
        return found

    def what_stays(self) -> Sequence[Stays]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.TellsWhatStays`."""
        return (
            Stays(
                "the files of PostgreSQL: dead tuples, its write-ahead log, replicas and backups",
                "a deleted row's bytes stay in its page until a VACUUM and a later write, and in "
                "the log until its segments are recycled",
                "Run VACUUM (FULL) on the table, then CHECKPOINT, and prune archived logs and "
                "backups.",
            ),
        )

    async def health(self) -> dict[str, Any]:
        text = f"""
SELECT count(*) AS rows, pg_total_relation_size($1::text::regclass) AS bytes,
    current_setting('server_version') AS server,
    (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector
FROM {self.database.rows}"""
        (found,) = await self.database.fetch("answer", text, self.database.rows)
        return {"engine": self.name, "url": self.database.settings.shown, **dict(found)}

    async def close(self) -> None:
        await self.database.close()


_READ_TO_DERIVE = ("kind", "user_id", "conversation_id", "id", "content")


def _set_words(first: int) -> list[str]:
    """What an update sets by :meth:`PostgreSQLIndex._words_of`, from a parameter's number on."""
    mixed = [
        f"{column} = (SELECT coalesce(array_agg(hash # owner ORDER BY at), '{{}}') "
        f"FROM unnest(${number}::int8[]) WITH ORDINALITY AS given (hash, at))"
        for number, column in enumerate(("terms", "pairs"), first + 1)
    ]
    return [f"length = ${first}", *mixed]


def _key(row: Mapping[str, Any]) -> UUID:
    """What identifies a row, as 128 bits. Lengths keep two different keys apart."""
    parts = [stored(part) for part in key_of(row) if part is not None]
    whole = "".join(f"{len(part)}:{part}" for part in parts)
    return UUID(bytes=blake2b(whole.encode(), digest_size=16).digest())


def _names(columns: Sequence[str]) -> str:
    return ", ".join(map(quoted, columns))


def _candidates(found: Sequence[Any]) -> Candidates:
    """Records of seq, conversation, turn and score as candidates, best first."""
    if not found:
        return Candidates.empty()
    seq = np.array([record[0] for record in found], np.int64)
    turn = np.array([-1 if record[2] is None else record[2] for record in found], np.int64)
    score = np.array([record[3] for record in found], np.float32)
    order = np.lexsort((-seq, -score))
    names = [record[1] for record in found]
    return Candidates(
        seq[order],
        score[order],
        tuple(None if names[i] is None else given(names[i]) for i in order.tolist()),
        turn[order],
    )


async def _in_a_thread_if_many(count: int, work: Callable[..., T], *arguments: Any) -> T:
    if count > _ROWS_ON_THE_LOOP:
        return await asyncio.to_thread(work, *arguments)
    return work(*arguments)
