"""A cache in front of an index: the rows of recently active users, in memory."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .aio import to_its_end
from .allocator import give_back
from .forwarding import ForwardingRowIndex, capability
from .protocols import KeepsTerms, RowIndex, UserVersions, Version, Versioned
from .query import Candidates, RowFilter, Scope
from .snapshot import LOADED, Gathered, HeldRows, Snapshot, Together, split_archived, use_values
from .user_files.files import UserFiles
from .user_files.newer import NewerRows
from .uses import USE_COLUMNS
from .whole_store import WholeStore
from .words.kept import without_terms
from .words.terms import TERMS

#: Users with more rows than this are not cached.
MOST_ROWS = 150_000
#: Users with more rows than this are read in the background; the engine answers meanwhile.
ROWS_AT_ONCE = 20_000
# Seconds before a user of many rows who did not fit is read again.
_AGAIN = 30.0
# How many users are remembered as not cached.
_MOST_LARGE = 100_000
_SEARCHED_ON_THE_LOOP = 20_000
_READ_BEFORE_GIVING_BACK = 20_000
# Seconds. Returning memory takes some tens of milliseconds, so it is not done for each search.
_BEFORE_GIVING_BACK = 0.1
# The share of the budget that all users' rows together may take.
_FOR_ALL_USERS = 0.25
# What fewer rows have left is returned when nothing was read for so many seconds.
_READ_AT_REST, _AT_REST = 2_000, 1.0
# Preparing more rows than this would block the event loop for too long.
_ROWS_ON_THE_LOOP = 500
# The users of so many rows are counted faster in Python than by Arrow.
_FEW_ROWS = 64
_ALL = RowFilter()
#: Users with fewer rows have no file: reading them from the engine hardly takes longer.
FILED_ROWS = 100
# A file of fewer bytes is read on the event loop, which takes a millisecond.
_BYTES_ON_THE_LOOP = 4 * 2**20
_VOIDED_ON_THE_LOOP = 8
# So many rows may be read from the engine beside a file before it is written anew, or a tenth.
_FEW_BEHIND = 32
# Seconds before the files of users who were read from the engine are written, and the share of the
# time that this may take.
_BEFORE_FILING, _FILING_SHARE = 0.5, 0.1
# In one commit, of so many users at most what their files lack then is kept.
_FOLLOWED = 8
# Where more rows are named, nobody's rows are read into memory for that.
_FEW_NAMED = 500
# Of more users than this, who has no file is not remembered but looked up.
_MOST_UNFILED = 10_000
# Seconds that closing may take for it.
_FILING_AT_CLOSE = 1.0
# Closing waits as long until a rest between two files notices it.
_REST_STEP = 0.05


class CachedIndex(ForwardingRowIndex):
    """An index with a cache of the rows of the users who asked last.

    A user's first search reads all rows of that user, which takes as long as a search by the
    engine. Later searches do not need the engine. The answers are those of the engine: changes go
    through this object and reach both before they return.

    Archived rows are not kept in memory: the engine answers what asks for them.

    Args:
        inner: the index with the rows.
        budget: how many bytes may be cached.
        versions: tells whether another process has changed a user's rows; asked before each use of
            held rows, and told of each change that goes through here. None where no other process
            writes.
        files: the files of users, opened; only where no other process writes.
        last_seq: the largest ``seq`` of the rows; needed only with ``files``.
    """

    def __init__(
        self,
        inner: RowIndex,
        budget: int,
        *,
        versions: UserVersions | None = None,
        files: UserFiles | None = None,
        last_seq: int = -1,
    ) -> None:
        super().__init__(inner)
        self._files = files
        self._keeps_terms = capability(inner, KeepsTerms)
        self._last_seq = last_seq
        # Users whose rows were read from the engine, and are to be written.
        self._unfiled: dict[str, None] = {}
        # Users who may have no file; None where it may be anybody. How many rows were added to
        # users who have one, since it was written.
        self._perhaps_unfiled: set[str] | None = set() if files and files.complete else None
        self._added: Counter[str] = Counter()
        self._newer = NewerRows()
        self._filing: asyncio.Task[None] | None = None
        self._budget = budget
        self._versions = versions
        # Other processes' changes are told by user, so all users' rows are not held beside them.
        self._whole = WholeStore(inner, 0 if versions else int(budget * _FOR_ALL_USERS))
        # The version of each user's rows that are held.
        self._seen: dict[str, Version | None] = {}
        # The ``seq`` of held rows that were deleted or replaced. They leave at the next question,
        # all at once, since that copies the user's rows.
        self._gone: dict[str, list[NDArray[np.int64]]] = {}
        self._users: OrderedDict[str, HeldRows] = OrderedDict()
        self._together = Together()
        self._bytes = 0
        self._background: set[asyncio.Task[None]] = set()
        self._problem: str | None = None
        # Rows that were read since freed memory was last returned to the system.
        self._read = 0
        self._giving_back = False
        # Users whose rows are being read. With each, how many changes had ended when the reading
        # began, and which version they had.
        self._loading: dict[
            str, tuple[asyncio.Task[HeldRows | None], tuple[int, Version | None]]
        ] = {}
        # Users whose rows are not kept, so that the engine answers, and until when.
        self._large: OrderedDict[str, float] = OrderedDict()
        # How many changes have begun, and how many have ended. Rows that were read while one was
        # under way are not kept.
        self._begun = self._ended = 0
        self._hits = self._misses = 0

    # Changes: the engine first, then the cache

    @asynccontextmanager
    async def _changing(self, affected: Callable[[], None]) -> AsyncIterator[None]:
        """Around a change of the rows. If it fails, ``affected`` drops what may be outdated."""
        self._begun += 1
        try:
            with self._whole.changing():
                yield
        except BaseException:
            affected()
            raise
        finally:
            self._ended += 1

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        counts = _rows_by_user(rows)
        async with self._changing(lambda: self._forget(counts)):
            newer: dict[str, list[pa.Table]] = {}
            if self._files is not None:
                # Before it: if it fails, the rows may be stored all the same.
                if all_new:
                    newer = self._note_added(self._files, counts)
                else:
                    await self._void(self._files, list(counts))
            await self.inner.upsert(rows, all_new=all_new)
            for user, tables in newer.items():
                one = rows if len(counts) == 1 else _rows_of_one(rows, user)
                self._newer.put(user, [*tables, one])
            if self._files is not None and rows.num_rows:
                self._last_seq = max(self._last_seq, int(rows.column("seq").to_numpy().max()))
            await self._tell(list(counts))
            if all_new:
                self._whole.added(rows)
                self._add(rows, counts)
            else:
                self._whole.drop()
                self._replace(rows)

    async def update(self, rows: pa.Table) -> None:
        counted = {"seq", *USE_COLUMNS}.issuperset(rows.column_names)
        async with self._changing(self._forget_all):
            if self._files is not None:
                await to_its_end(asyncio.to_thread(self._before_update, self._files, rows, counted))
            await self.inner.update(rows)
            if counted:
                self._whole.used(rows)
                for held in self._users.values():
                    held.set_uses(rows)
                if self._files is not None:
                    await to_its_end(asyncio.to_thread(self._files.end_uses))
            else:
                await self._tell(None)
                self.clear()

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        async with self._changing(self.clear):
            if self._files is not None:
                await self._before_deletion(self._files, scope, where, seqs)
            gone = await self.inner.delete(scope, where, seqs=seqs)
            self._whole.removed(gone)
            if self._files is not None and len(gone):
                await to_its_end(asyncio.to_thread(self._files.forget_uses, gone))
            if len(gone):
                await self._tell(scope.users)
            if scope.users is None:
                self._large.clear()
            for user in scope.users or ():
                self._large.pop(user, None)
            for user in list(self._users) if scope.users is None else scope.users:
                self._remove(user, gone)
        return gone

    def _forget_all(self) -> None:
        self.clear()
        if self._files is not None:
            self._newer.clear()
            self._is_unfiled(None)
            self._files.void_all()

    def _note_added(self, files: UserFiles, counts: Mapping[str, int]) -> dict[str, list[pa.Table]]:
        """Note rows that are about to be added.

        Returns:
            For those of whom it is known what their files lack until then: that.
        """
        newer = {}
        for user, count in counts.items():
            known = self._newer.has(user) or files.is_current(user)
            tables = self._newer.take(user)
            if known and count <= _ROWS_ON_THE_LOOP and len(counts) <= _FOLLOWED:
                newer[user] = tables
        files.added(counts)
        for user, count in counts.items():
            if files.has(user):
                self._added[user] += count
            else:
                self._is_unfiled([user])
        return newer

    def _before_update(self, files: UserFiles, rows: pa.Table, counted: bool) -> None:
        self._newer.clear()  # some of these may be updated
        all_uses = counted and {"seq", *USE_COLUMNS}.issubset(rows.column_names)
        if all_uses and files.begin_uses(rows.column("seq").to_numpy(), use_values(rows)):
            return
        self._is_unfiled(None)
        files.void_all()

    async def _before_deletion(
        self, files: UserFiles, scope: Scope, where: RowFilter, seqs: Sequence[int] | None
    ) -> None:
        """Void the files of those whose rows are about to be deleted."""
        if scope.user_id is not None:
            users = list(scope.users or ())
        elif seqs is None and not where.conditions():
            self._newer.clear()
            self._is_unfiled(None)
            await to_its_end(asyncio.to_thread(files.void_all))
            return
        else:
            found = await self.inner.read(scope, where, ["user_id"], seqs=seqs)
            users = found.column("user_id").unique().to_pylist()
        await self._void(files, users)

    async def _void(self, files: UserFiles, users: Sequence[str]) -> None:
        self._is_unfiled(users)
        for user in users:
            self._added.pop(user, None)
            self._newer.take(user)
        if len(users) <= _VOIDED_ON_THE_LOOP:
            files.void(users)
        else:
            await to_its_end(asyncio.to_thread(files.void, users))

    # Reading

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        rows = None if scope.also else await self._rows_of(scope)
        if rows is None or not rows.has_all(where):
            try:
                return await self.inner.search(vector, scope, where, limit)
            finally:
                # The engine has read the vectors of a large scope and freed them.
                self._give_back_soon()
        snapshot = rows.snapshot()

        def search() -> Candidates:
            return snapshot.search(vector, scope, where, limit)

        many = len(rows) > _SEARCHED_ON_THE_LOOP
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
        named = len(seqs or ()) + sum(map(len, (turns or {}).values()))
        are_named = seqs is not None or turns is not None
        if are_named and order_by is None and limit is None:
            if named > _FEW_NAMED and not self.holds(scope):
                # Work on many rows, which changes them next: what was read for it would be dropped.
                return await self.inner.read(scope, where, columns, seqs=seqs, turns=turns)
            rows = None if scope.also else await self._rows_of(scope)
            if rows is not None and rows.has_all(where):
                return rows.snapshot().read(scope, where, columns, seqs=seqs, turns=turns)
        return await self.inner.read(
            scope, where, columns, seqs=seqs, turns=turns, order_by=order_by, limit=limit
        )

    def holds(self, scope: Scope) -> bool:
        if scope.user_id is None:
            return self._whole.held is not None
        return not scope.also and scope.user_id in self._users

    async def snapshot(self, scope: Scope, where: RowFilter = _ALL) -> Snapshot | None:
        if scope.also:
            return await self._several(scope, where)
        rows = await self._rows_of(scope)
        return rows.snapshot() if rows is not None and rows.has_all(where) else None

    async def _several(self, scope: Scope, where: RowFilter) -> Snapshot | None:
        """The rows of several users; None where one of them is not in memory."""
        found: list[Snapshot] = []
        for user in scope.users or ():
            rows = await self._rows_of(Scope(user))
            if rows is None or not rows.has_all(where):
                return None
            found.append(rows.snapshot())
        return await asyncio.to_thread(self._together.of, found)

    @property
    def lookups(self) -> tuple[int, int]:
        return self._hits, self._misses

    async def health(self) -> dict[str, Any]:
        return {
            **await self.inner.health(),
            "cache": {
                "users": len(self._users),
                "rows": sum(len(rows) for rows in self._users.values()),
                "bytes": self._bytes + self._whole.nbytes,
                "all_users": 0 if self._whole.held is None else len(self._whole.held),
                "budget": self._budget,
                "hits": self._hits,
                "misses": self._misses,
                "hit_rate": self._hits / max(self._hits + self._misses, 1),
                "problem": self._problem,
            },
            **({} if self._files is None else {"user_files": await self._figures(self._files)}),
        }

    @staticmethod
    async def _figures(files: UserFiles) -> dict[str, Any]:
        return await asyncio.to_thread(files.figures)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        running = [task for task in self._background if task.get_loop() is loop]
        for task in running:
            task.cancel()
        if self._files is not None:
            if running:
                await asyncio.wait(running)  # one of them may be writing a file
            await self._file_held(self._files)
        self.clear()
        await self.inner.close()
        if self._files is not None:
            await to_its_end(asyncio.to_thread(self._end, self._files))

    def _end(self, files: UserFiles) -> None:
        files.end(self._last_seq, complete=self._perhaps_unfiled == set())

    # The cache

    def clear(self) -> None:
        """Drop everything from the cache."""
        self._whole.drop()
        self._users.clear()
        self._seen.clear()
        self._gone.clear()
        self._bytes = 0
        self._large.clear()

    async def _tell(self, users: Collection[str] | None) -> None:
        """Tell the other processes that rows have changed, before whoever changed them is told.

        What is held of them stays if nobody else has changed it since; the change itself is made
        by the caller.
        """
        if self._versions is None:
            return
        for user, version in (await self._versions.changed(users)).items():
            seen = self._seen.get(user)
            if seen is not None and version == (*seen[:-1], int(seen[-1]) + 1):
                self._seen[user] = version
            else:
                self._drop(user)

    async def _rows_of(self, scope: Scope) -> HeldRows | None:
        """The rows of a scope's user; None where the engine has to answer."""
        user = scope.user_id
        if user is None:
            return self._rows_of_all()
        if user in self._large:
            if time.monotonic() > self._large[user]:
                self._load_later(user)
            return None
        version = None
        if self._versions is not None:
            version = await self._versions.current(user)
            if version is None:
                return None
            if user in self._users and self._seen.get(user) != version:
                self._drop(user)
        rows = self._users.get(user)
        if rows is not None:
            self._users.move_to_end(user)
            self._hits += 1
            if user not in self._gone:
                return rows
        else:
            self._misses += 1
        loading, began = self._loading.get(user, (None, None))
        now = (self._ended, version)
        if loading is None or loading.get_loop() is not asyncio.get_running_loop():
            loading = asyncio.create_task(self._load(user, version))
            self._loading[user] = loading, now
            loading.add_done_callback(lambda task: self._loaded(user, task))
        elif began != now:
            # A change has ended since that reading began. Its rows may be older than the change,
            # which this caller has to see.
            return None
        # Others may wait for the same reading, so a cancelled caller does not cancel it.
        return await asyncio.shield(loading)

    def _rows_of_all(self) -> HeldRows | None:
        """All users' rows; None where the engine has to answer."""
        if self._whole.to_be_read:
            self._beside(self._read_all())
        rows = self._whole.ask()
        if rows is None:
            self._misses += 1
        else:
            self._hits += 1
        return rows

    async def _read_all(self) -> None:
        await self._whole.read()
        self._make_room()

    def _load_later(self, user: str) -> None:
        """Read a user of many rows in the background; the engine answers meanwhile."""
        self._leave(user, time.monotonic() + _AGAIN)
        self._beside(self._load_whole(user))

    async def _load_whole(self, user: str) -> None:
        version = None
        if self._versions is not None:
            version = await self._versions.current(user)
            if version is None:
                return
        await self._load(user, version, whole=True)
        if user in self._users:
            # Otherwise it changed meanwhile, or there is no room; a later question tries again.
            self._large.pop(user, None)

    def _give_back_soon(self) -> None:
        """Return freed memory to the system soon, when the current reads are likely over."""
        self._read = 0
        if not self._giving_back:
            self._giving_back = True
            self._beside(self._give_back())

    async def _give_back(self) -> None:
        try:
            await asyncio.sleep(_BEFORE_GIVING_BACK)
            await asyncio.to_thread(give_back)
        finally:
            self._giving_back = False

    async def _give_back_at_rest(self) -> None:
        """Return freed memory when nothing has been read for a while, or as soon as many were."""
        try:
            before = -1
            while before != self._read and self._read >= before:
                before = self._read
                await asyncio.sleep(_AT_REST)
            self._read = 0
            await asyncio.to_thread(give_back)
        finally:
            self._giving_back = False

    def _beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do work in the background; if it fails, the engine goes on answering."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled():
            self._problem = None if task.exception() is None else str(task.exception())

    async def _load(
        self, user: str, version: Version | None, *, whole: bool = False
    ) -> HeldRows | None:
        begun, ended = self._begun, self._ended
        scope = Scope.user(user)
        kept, filed = self._users.get(user), None
        if kept is None and self._files is not None and begun == ended:
            filed = await self._from_file(self._files, user)
            if begun != self._begun:
                filed = None  # it was of before the change that has begun since
        if kept is not None and user in self._gone:
            copy = kept.copying_without(np.concatenate(self._gone[user]))
            many = len(kept) > _ROWS_ON_THE_LOOP
            rows = await asyncio.to_thread(copy) if many else copy()
        elif filed is not None:
            rows = filed
        elif whole:
            gathered = await self._gather(scope)
            if gathered is None:
                self._leave(user, self._until())
            if not gathered:
                return None
            rows = await asyncio.to_thread(gathered.rows)
        else:
            limit = ROWS_AT_ONCE
            # The words of rows come with them, where the index has them.
            columns = LOADED if self._keeps_terms is None else (*LOADED, TERMS)
            table = await self.inner.read(scope, RowFilter(), columns, limit=limit + 1)
            if table.num_rows > limit:
                self._load_later(user)
                return None
            if table.nbytes > self._budget:
                self._leave(user, self._until())
                return None
            many = table.num_rows > _ROWS_ON_THE_LOOP
            rows = await asyncio.to_thread(_held, table) if many else _held(table)
        self._read += len(rows)
        if self._read > _READ_BEFORE_GIVING_BACK:
            self._give_back_soon()
        elif self._read > _READ_AT_REST and not self._giving_back:
            self._giving_back = True
            self._beside(self._give_back_at_rest())
        if begun == ended == self._begun:
            # They are as new as the version that was read before them, or newer.
            self._keep(user, rows, version)
            if filed is None or self._added[user] > max(_FEW_BEHIND, len(rows) // 10):
                self._file_later(user)
        # Otherwise the rows have changed since: they answer this question and are not kept.
        return rows

    # The files of users

    async def _from_file(self, files: UserFiles, user: str) -> HeldRows | None:
        """A user's rows from the file, with those that were added since; None where it has to be
        read from the engine."""
        size = files.size(user)
        if size > self._budget:
            return None
        many = size > _BYTES_ON_THE_LOOP
        found = await asyncio.to_thread(files.load, user) if many else files.load(user)
        if found is None:
            self._newer.take(user)
            return None
        rows, through = found
        if not files.is_behind(user, through):
            return rows
        table = self._newer.of(user)
        if table is None:
            newer = [
                batch
                async for batch in self.inner.after(through, LOADED, Scope.user(user))
                if batch.num_rows
            ]
            if not newer:
                return rows
            table = pa.Table.from_batches(newer)
        if table.column("archived_at").null_count < table.num_rows or len(rows) < table.num_rows:
            return None
        rows.add(table.sort_by("seq"))
        return rows

    def _file_later(self, user: str) -> None:
        """Write a held user's file in the background."""
        rows = self._users.get(user)
        if self._files is None or rows is None or len(rows) < FILED_ROWS:
            return
        self._unfiled[user] = None
        filing = self._filing
        if filing is None or filing.done() or filing.get_loop() is not asyncio.get_running_loop():
            self._filing = self._beside(self._file_each(self._files))

    async def _file_each(self, files: UserFiles) -> None:
        await asyncio.sleep(_BEFORE_FILING)
        while self._unfiled:
            user = next(iter(self._unfiled))
            del self._unfiled[user]
            started = time.perf_counter()
            await self._file(files, user)
            await asyncio.sleep((time.perf_counter() - started) / _FILING_SHARE)

    async def _file(self, files: UserFiles, user: str, rows: HeldRows | None = None) -> bool:
        """Write a user's file, of the rows that are held, or of others that are as new."""
        if rows is None and user not in self._gone:  # else some rows have still to leave
            rows = self._users.get(user)
        if rows is None or self._begun != self._ended or not files.begin_save(user):
            return False
        added = self._added.pop(user, 0)
        self._newer.take(user)
        done = await to_its_end(asyncio.to_thread(files.save, user, rows.parts(), self._last_seq))
        if not done:
            self._newer.take(user)  # what was added meanwhile is not all that an older file lacks
            if files.has(user):
                self._added[user] += added
        return done

    async def _file_held(self, files: UserFiles) -> None:
        """Write the outdated files of held users, in bounded time: the rest is topped up."""
        until = time.monotonic() + _FILING_AT_CLOSE
        for user in reversed(list(self._users)):
            if time.monotonic() > until:
                break
            if len(self._users[user]) >= FILED_ROWS and not files.is_current(user):
                await self._file(files, user)

    async def write_user_files(
        self, *, at_rest: bool = False, goes_on: Callable[[], bool] = lambda: True
    ) -> int:
        """As of :class:`~.protocols.KeepsUserFiles`."""
        files = self._files
        if files is None:
            return 0
        perhaps, self._perhaps_unfiled = self._perhaps_unfiled, set()
        try:
            return await self._write_files(files, perhaps, at_rest, goes_on)
        except BaseException:  # also where it is cancelled, as by closing
            self._perhaps_unfiled = None
            raise

    async def _write_files(
        self,
        files: UserFiles,
        perhaps: Collection[str] | None,
        at_rest: bool,
        goes_on: Callable[[], bool],
    ) -> int:
        written = 0
        everyone = perhaps is None or not at_rest
        counts: dict[str, int] = {}
        if perhaps is None or everyone:
            counts = await self._rows_of_each()
        else:
            much = [user for user, added in self._added.items() if added >= _FEW_BEHIND]
            for user in {*perhaps, *much}:
                counts[user] = await self.inner.count(Scope.user(user), _ALL)
        left = list(counts)
        while left and goes_on():
            user = left.pop()
            count = counts[user]
            if not FILED_ROWS <= count <= MOST_ROWS:
                self._newer.take(user)
                files.void([user])
                continue
            few = self._added[user] < max(_FEW_BEHIND, count // 10)
            if files.is_current(user) or (at_rest and few and files.has(user)):
                continue
            started = time.perf_counter()
            if not await self._write_file(files, user):
                files.added([user])
                self._is_unfiled([user])
            else:
                written += 1
                if at_rest:
                    await _rest((time.perf_counter() - started) / _FILING_SHARE, goes_on)
        self._is_unfiled(left)
        if not at_rest and not left:
            files.all_current()
        return written

    async def _rows_of_each(self) -> dict[str, int]:
        """How many rows each user has."""
        counts: Counter[str] = Counter()
        async for batch in self.inner.after(-1, ["user_id"]):
            found = pc.value_counts(batch.column("user_id"))
            users, numbers = found.field("values").to_pylist(), found.field("counts").to_pylist()
            for user, number in zip(users, numbers, strict=True):
                counts[user] += number
        return counts

    def _is_unfiled(self, users: Collection[str] | None) -> None:
        """Note who may have no file; None for everyone."""
        if self._perhaps_unfiled is not None:
            self._perhaps_unfiled.update(users or ())
            if users is None or len(self._perhaps_unfiled) > _MOST_UNFILED:
                self._perhaps_unfiled = None

    async def _write_file(self, files: UserFiles, user: str) -> bool:
        if user in self._users and user not in self._gone:
            return await self._file(files, user)
        begun, ended = self._begun, self._ended
        gathered = await self._gather(Scope.user(user))
        if not gathered:
            return False
        rows = await asyncio.to_thread(gathered.rows)
        return begun == ended == self._begun and await self._file(files, user, rows)

    async def drop_user_files(self, *, for_good: bool = False) -> None:
        """As of :class:`~.protocols.KeepsUserFiles`."""
        files = self._files
        if files is None:
            return
        self._newer.clear()
        if for_good:
            self._files = None
        await to_its_end(asyncio.to_thread(files.void_all))
        if for_good:
            await to_its_end(asyncio.to_thread(self._end, files))

    async def _gather(self, scope: Scope) -> Gathered | None:
        """All rows of a scope, in batches; None where they are too many for the cache."""
        count = await self.inner.count(scope, RowFilter())
        gathered = Gathered(count)
        async for batch in self.inner.after(-1, LOADED, scope):
            await asyncio.to_thread(gathered.add, batch)
            if len(gathered) > MOST_ROWS or gathered.nbytes > self._budget:
                return None
        return gathered

    def _until(self) -> float:
        """Until when a user of too many rows is not cached: another process may delete some."""
        return inf if self._versions is None else time.monotonic() + _AGAIN

    def _leave(self, user: str, until: float) -> None:
        """Do not cache a user until a given time (monotonic seconds)."""
        self._large[user] = until
        while len(self._large) > _MOST_LARGE:
            self._large.popitem(last=False)

    def _loaded(self, user: str, task: asyncio.Task[HeldRows | None]) -> None:
        if self._loading.get(user, (None, None))[0] is task:
            del self._loading[user]
        if not task.cancelled():
            # Where every caller was cancelled, nobody else looks at the exception, and asyncio
            # would complain.
            task.exception()

    def _keep(self, user: str, rows: HeldRows, version: Version | None) -> None:
        """Cache a user's rows as the most recently used; evict others where there is no room."""
        self._drop(user)
        if rows.nbytes <= self._budget and len(rows) <= MOST_ROWS:
            self._users[user] = rows
            self._bytes += rows.nbytes
            self._seen[user] = version
        self._make_room()

    def _make_room(self) -> None:
        while self._users and self._bytes + self._whole.nbytes > self._budget:
            gone = next(iter(self._users))
            if len(self._users[gone]) > ROWS_AT_ONCE:
                # Reading this many rows again at the next search would evict other users, whose
                # next searches would evict this one.
                self._leave(gone, time.monotonic() + _AGAIN)
            self._drop(gone)

    def _drop(self, user: str) -> None:
        rows = self._users.pop(user, None)
        self._seen.pop(user, None)
        self._gone.pop(user, None)
        if rows is not None:
            self._bytes -= rows.nbytes

    def _forget(self, users: Iterable[str]) -> None:
        for user in users:
            self._drop(user)
            self._large.pop(user, None)

    def _add(self, rows: pa.Table, users: Collection[str]) -> None:
        """Take in new rows, which are of these users."""
        held = [user for user in users if user in self._users]
        owners = np.empty(0, np.int64)
        if held and len(users) > 1:
            column = rows.column("user_id").combine_chunks()
            owners = pc.index_in(column, pa.array(held, column.type)).fill_null(-1).to_numpy()
        for number, user in enumerate(held):
            kept = self._users.get(user)
            if kept is None:
                continue  # there was no room for it beside those before
            own = rows if len(users) == 1 else rows.take(pa.array(np.flatnonzero(owners == number)))
            version, gone = self._seen.get(user), self._gone.get(user)
            self._drop(user)
            # Many new rows are not added on the event loop; the next search reads the user again.
            # So it does where some come archived, as from a copy of a store.
            archived = own.column("archived_at").null_count < own.num_rows
            if own.num_rows <= _ROWS_ON_THE_LOOP and not archived:
                kept.add(own)
                self._keep(user, kept, version)
                if gone is not None and user in self._users:
                    self._gone[user] = gone

    def _replace(self, rows: pa.Table) -> None:
        """Take in rows that replace those with their keys, or are new; they are newer than all."""
        users: list[str] = pc.unique(rows.column("user_id")).to_pylist()
        for user in users:
            kept = self._users.get(user)
            if kept is None:
                self._large.pop(user, None)
                continue
            own = _rows_of_one(rows, user)
            if own.num_rows > _ROWS_ON_THE_LOOP:
                self._drop(user)
                continue
            self._remove(user, kept.with_keys_of(own))
            self._add(own, [user])

    def _remove(self, user: str, seqs: NDArray[np.int64]) -> None:
        kept = self._users.get(user)
        if kept is None or not kept.snapshot().find(seqs)[1].any():
            return
        if len(kept) > ROWS_AT_ONCE:
            # A copy of so many takes too much memory; the next search reads the user again.
            self._drop(user)
        else:
            self._gone.setdefault(user, []).append(seqs)


async def _rest(seconds: float, goes_on: Callable[[], bool]) -> None:
    """Wait so long, or until it is not to go on: closing waits for this."""
    until = time.monotonic() + seconds
    while goes_on() and (left := until - time.monotonic()) > 0:  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(min(left, _REST_STEP))


def _rows_by_user(rows: pa.Table) -> dict[str, int]:
    """How many rows each user has."""
    users = rows.column("user_id")
    if len(users) <= _FEW_ROWS:
        return dict(Counter(users.to_pylist()))
    return {one["values"]: one["counts"] for one in pc.value_counts(users).to_pylist()}


def _rows_of_one(rows: pa.Table, user: str) -> pa.Table:
    return rows.filter(pc.equal(rows.column("user_id"), user))


def _held(table: pa.Table) -> HeldRows:
    left, archived_until = split_archived(table)
    rows, words = without_terms(left)
    return HeldRows(rows, archived_until=archived_until, words=words)


class RowsVersion:
    """The versions of all users' rows at once, for a reader beside another process that writes.

    Args:
        rows: tells its version.
    """

    def __init__(self, rows: Versioned) -> None:
        self._rows = rows

    async def current(self, user_id: str) -> Version:
        """As of :class:`~.protocols.UserVersions`."""
        return (await self._rows.version(),)

    async def changed(self, users: Collection[str] | None) -> Mapping[str, Version]:
        """A reader changes nothing."""
        return {}
