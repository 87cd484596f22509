"""All rows in memory, as arrays: the engine of stores that are not kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .protocols import Stays
from .query import EVERYONE, Candidates, RowFilter, Scope
from .schema import KEY_COLUMNS, key_of, row_schema
from .snapshot import LOADED, HeldRows, Snapshot, Together
from .uses import USE_COLUMNS

# Preparing or searching more rows than this would block the event loop for too long.
_ROWS_ON_THE_LOOP = 500
_ALL = RowFilter()
_SEARCHED_ON_THE_LOOP = 20_000


@dataclass(slots=True)
class _Rows:
    """The rows of one user.

    Attributes:
        held: the rows, to which more are added.
        shown: what readers see. While a thread changes ``held``, it stays as it was before.
    """

    held: HeldRows
    shown: Snapshot | None = None


class MemoryIndex:
    """A ``RowIndex`` that keeps every user's rows as :class:`~.snapshot.HeldRows`.

    A search compares the question with every row of its scope. Reading takes a snapshot, which no
    later change touches, so that it may go on in a thread while rows are written.

    Args:
        dimension: of the vectors.
    """

    name = "memory"

    def __init__(self, dimension: int) -> None:
        self.schema = row_schema(dimension)
        self._users: dict[str, _Rows] = {}
        self._together = Together()
        # Users whose rows a thread is changing.
        self._changing: set[str] = set()

    # Changes, one at a time

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        parts = _by_user(rows)
        work: dict[str, Callable[[], HeldRows | None]] = {}
        for user, own in parts.items():
            known = self._users.get(user)
            replaced = None if all_new or known is None else _replaced(self._of(user), own)
            held = None if known is None else known.held
            work[user] = _Added(held, own.select(LOADED), replaced)
        await self._change(work, rows.num_rows)

    async def update(self, rows: pa.Table) -> None:
        seqs = rows.column("seq").to_numpy()
        only_uses = {"seq", *USE_COLUMNS}.issuperset(rows.column_names)
        work: dict[str, Callable[[], HeldRows | None]] = {}
        count = 0
        for user, known in self._users.items():
            snapshot = self._of(user)
            places, found = snapshot.find(seqs)
            if not len(places):
                continue
            if only_uses:
                known.held.set_uses(rows)
            else:
                work[user] = _Updated(snapshot, places, rows.filter(pa.array(found)))
                count += len(snapshot)
        await self._change(work, count)

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        work: dict[str, Callable[[], HeldRows | None]] = {}
        deleted, count = [np.empty(0, np.int64)], 0
        for user, snapshot in self._within(scope):
            gone = snapshot.columns["seq"]
            matching = snapshot.matching(scope, where)
            gone = gone if matching is None else gone[matching]
            if seqs is not None:
                gone = gone[np.isin(gone, np.asarray(seqs, np.int64))]
            if len(gone):
                deleted.append(gone.copy())
                work[user] = _Without(self._users[user].held, gone, whole=len(snapshot))
                count += len(snapshot)
        await self._change(work, count)
        return np.concatenate(deleted)

    async def _change(self, work: Mapping[str, Callable[[], HeldRows | None]], rows: int) -> None:
        """Do each user's work, then show all of it at once; None leaves no rows."""

        def changed() -> dict[str, _Rows | None]:
            made: dict[str, _Rows | None] = {}
            for user, one in work.items():
                held = one()
                made[user] = (
                    None if held is None else _Rows(held, held.snapshot() if many else None)
                )
            return made

        many = rows > _ROWS_ON_THE_LOOP
        if many:
            for user in work:
                if user in self._users:
                    self._of(user)  # prepared here, and shown until the thread has ended
            self._changing.update(work)
            try:
                made = await asyncio.to_thread(changed)
            finally:
                self._changing.difference_update(work)
        else:
            made = changed()
        for user, now in made.items():
            if now is None:
                self._users.pop(user, None)
            else:
                self._users[user] = now

    # Reading

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        snapshots = [snapshot for _, snapshot in self._within(scope)]

        def search() -> Candidates:
            return _best([one.search(vector, scope, where, limit) for one in snapshots], limit)

        many = sum(map(len, snapshots)) > _SEARCHED_ON_THE_LOOP
        return await asyncio.to_thread(search) if many else search()

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
        needed = list(dict.fromkeys((*columns, *(() if order_by is None else (order_by, "seq")))))
        snapshots = [snapshot for _, snapshot in self._within(scope)]

        def read() -> pa.Table:
            parts = [one.read(scope, where, needed, seqs=seqs, turns=turns) for one in snapshots]
            schema = pa.schema([self.schema.field(name) for name in needed])
            found = pa.concat_tables([schema.empty_table(), *(one.cast(schema) for one in parts)])
            if order_by is not None:
                # Rows without a value come last.
                keys = [(name, "descending") for name in (order_by, "seq")]
                found = found.take(pc.sort_indices(found, keys))
            return found.slice(0, limit).select(list(columns))

        many = sum(map(len, snapshots)) > _SEARCHED_ON_THE_LOOP
        return await asyncio.to_thread(read) if many else read()

    async def count(self, scope: Scope, where: RowFilter) -> int:
        total = 0
        for _, snapshot in self._within(scope):
            matching = snapshot.matching(scope, where)
            total += len(snapshot) if matching is None else int(np.count_nonzero(matching))
        return total

    async def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        schema = pa.schema([self.schema.field(name) for name in columns])
        for _, snapshot in list(self._within(scope)):
            first = int(np.searchsorted(snapshot.columns["seq"], seq, side="right"))
            for start in range(first, len(snapshot), _SEARCHED_ON_THE_LOOP):
                end = min(start + _SEARCHED_ON_THE_LOOP, len(snapshot))
                taken = snapshot.taken(np.arange(start, end), columns).cast(schema)
                for batch in taken.combine_chunks().to_batches():
                    yield batch

    async def last_seq(self) -> int:
        newest = (int(one.columns["seq"][-1]) for _, one in self._within(EVERYONE) if len(one))
        return max(newest, default=-1)

    def holds(self, scope: Scope) -> bool:
        return not scope.also and scope.user_id in self._users

    async def snapshot(self, scope: Scope, where: RowFilter = _ALL) -> Snapshot | None:
        # Archived rows are in memory as well: there is nowhere else.
        if scope.also:
            return self._together.of([one for _, one in self._within(scope)])
        return self._of(scope.user_id) if scope.user_id in self._users else None

    def what_stays(self) -> Sequence[Stays]:
        """As of :class:`~.protocols.TellsWhatStays`: there is no file."""
        return ()

    async def health(self) -> dict[str, Any]:
        held = [one.held for one in self._users.values()]
        return {
            "engine": self.name,
            "rows": sum(map(len, held)),
            "users": len(held),
            "bytes": sum(one.nbytes for one in held),
        }

    async def close(self) -> None:
        self._users.clear()

    def _of(self, user: str) -> Snapshot:
        """The rows of a user that has some, as they are now."""
        rows = self._users[user]
        if rows.shown is None or user not in self._changing:
            rows.shown = rows.held.snapshot()
        return rows.shown

    def _within(self, scope: Scope) -> list[tuple[str, Snapshot]]:
        """The rows of the users of a scope."""
        users = list(self._users) if scope.users is None else scope.users
        return [(user, self._of(user)) for user in users if user in self._users]


@dataclass(frozen=True, slots=True)
class _Added:
    """Rows of a user with more of them, and without those that these replace."""

    held: HeldRows | None
    more: pa.Table
    replaced: NDArray[np.int64] | None

    def __call__(self) -> HeldRows:
        held = self.held
        if held is not None and self.replaced is not None and len(self.replaced):
            if len(self.replaced) == len(held):
                held = None
            else:
                held = held.without(self.replaced)
        if held is None:
            return HeldRows(self.more)
        held.add(self.more)
        return held


@dataclass(frozen=True, slots=True)
class _Without:
    """Rows of a user without some of them; None without all."""

    held: HeldRows
    gone: NDArray[np.int64]
    whole: int

    def __call__(self) -> HeldRows | None:
        return None if len(self.gone) == self.whole else self.held.without(self.gone)


@dataclass(frozen=True, slots=True)
class _Updated:
    """Rows of a user in which columns of some are set."""

    snapshot: Snapshot
    places: NDArray[np.int64]
    rows: pa.Table

    def __call__(self) -> HeldRows:
        table = self.snapshot.taken(np.arange(len(self.snapshot)), LOADED)
        # From where each row takes its value: from the table, or from the new ones behind it.
        source = np.arange(len(table))
        source[self.places] = len(table) + np.arange(len(self.places))
        for name in self.rows.column_names:
            at = table.schema.get_field_index(name)
            field = table.schema.field(at)
            both = pa.chunked_array(
                [*table.column(at).chunks, *self.rows.column(name).cast(field.type).chunks],
                field.type,
            )
            table = table.set_column(at, field, both.take(pa.array(source)))
        return HeldRows(table)


def _by_user(rows: pa.Table) -> dict[str, pa.Table]:
    users = rows.column("user_id").combine_chunks().dictionary_encode()
    names, owners = users.dictionary.to_pylist(), users.indices.to_numpy()
    if len(names) == 1:
        return {names[0]: rows}
    return {
        name: rows.take(pa.array(np.flatnonzero(owners == number)))
        for number, name in enumerate(names)
    }


def _replaced(snapshot: Snapshot, rows: pa.Table) -> NDArray[np.int64]:
    """The ``seq`` of held rows with the key of one of ``rows``."""
    keys = {key_of(row) for row in rows.select(KEY_COLUMNS).to_pylist()}
    ids = RowFilter(ids=tuple({key[-1] for key in keys}))
    held = snapshot.read(EVERYONE, ids, (*KEY_COLUMNS, "seq")).to_pylist()
    return np.array([row["seq"] for row in held if key_of(row) in keys], np.int64)


def _best(found: Sequence[Candidates], limit: int) -> Candidates:
    """The best of several lists by score; of equal scores, the row that was written last."""
    if len(found) == 1:
        return found[0]
    seq = np.concatenate([np.empty(0, np.int64), *(one.seq for one in found)])
    score = np.concatenate([np.empty(0, np.float32), *(one.score for one in found)])
    turn = np.concatenate([np.empty(0, np.int64), *(one.turn for one in found)])
    conversations = [name for one in found for name in one.conversation_id]
    order = np.lexsort((-seq, -score))[:limit]
    return Candidates(
        seq[order], score[order], tuple(conversations[i] for i in order.tolist()), turn[order]
    )
