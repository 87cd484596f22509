"""The write path: one task, group commit, rows first.

Callers put rows into a queue and wait. A task takes the queued rows as one batch: it embeds them,
gives each row its ``seq`` and turn, commits the rows, and then applies the commit to the
projections. Calls that arrive meanwhile form the next batch, so that many concurrent callers share
one commit.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from bruno_core.utils.exceptions import BrunoError
from numpy.typing import NDArray

from bruno_memory_vec.acts import Act, current_watch
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.errors import (
    BackendUnavailable,
    EngineError,
    ForeignUserError,
    StoreClosedError,
)
from bruno_memory_vec.indexers.aio import LoopLock, to_its_end
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import (
    Compacts,
    Erases,
    Flushes,
    KeepsUserFiles,
    Maintenance,
    RowIndex,
)
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import (
    COLUMNS,
    KEPT,
    KEY_COLUMNS,
    MEMORY,
    MESSAGE,
    Key,
    key_of,
)
from bruno_memory_vec.indexers.uses import count_uses
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.observability.observer import Observer
from bruno_memory_vec.observability.stages import Stages
from bruno_memory_vec.rows.models import Row, from_table, to_table, with_positions
from bruno_memory_vec.sessions.lost import SessionsLost
from bruno_memory_vec.sessions.owners import Owners
from bruno_memory_vec.sessions.protocol import WritesBehind
from bruno_memory_vec.writing import erasure
from bruno_memory_vec.writing.ahead import PreparesAhead
from bruno_memory_vec.writing.background import FLUSH, Background, Flushing, runs
from bruno_memory_vec.writing.commit import (
    Batch,
    Stored,
    embed,
    give_positions,
    in_thread_if_many,
    look_again,
    prepare,
    rewritten,
    wanted_turns,
)
from bruno_memory_vec.writing.dependants.consolidated import sources_along
from bruno_memory_vec.writing.dependants.facts import FACTS, facts_along
from bruno_memory_vec.writing.dependants.summaries import (
    GOING_COLUMNS,
    SUMMARIES,
    Along,
    goes_along,
    left_over,
    stored_summaries,
)
from bruno_memory_vec.writing.dependants.titles import MadeTitles
from bruno_memory_vec.writing.dependants.users import UsersWithDependants
from bruno_memory_vec.writing.known_ids import KnownIds
from bruno_memory_vec.writing.lease import Wanted, WriterLease
from bruno_memory_vec.writing.ownership import settle
from bruno_memory_vec.writing.projections import (
    Change,
    FillsAnew,
    FollowsLater,
    HasMuchToSettle,
    MendsOthers,
    Projections,
)
from bruno_memory_vec.writing.queue import QUEUE_ROWS, Request, WriteQueue
from bruno_memory_vec.writing.unchanged import require_unchanged
from bruno_memory_vec.writing.visits import writing_here

_log = get_logger(__name__)

_ANSWERS_AT_ONCE = 64
# Seconds after which the lexical index is committed when nothing searches here. Readers in other
# processes wait at most that long.
LEXICAL_DELAY = 0.5
# Seconds until a failed commit of it is tried again.
_SETTLE_AGAIN = 2.0
# Seconds that a commit waits to be written into the sessions. At 0 that begins at once, beside what
# its caller does next; what is committed meanwhile is written by the next one, together. Longer
# would cost less, but until then nothing misses a row that a kill and a damaged log take.
_SESSIONS_DELAY = 0.0
# Counting a use rewrites the row, so uses are gathered until this many rows have some, or the
# memory is maintained or closed. The rankers see them at once (pending_uses).
_USES_BEFORE_FLUSH = 20_000

# Seconds without a write after which the rows are compacted.
_REST = 3.0

# Seconds between two looks for expired memories; the first is earlier.
_EXPIRY_EVERY, _EXPIRY_FIRST = 600.0, 60.0
# Seconds until erasing is tried again after a failure.
_ERASE_AGAIN = 300.0
# In a store of more rows close() does not erase, which would take seconds, unless something has
# waited for a day: it may be that the store is never open for long.
_ROWS_ERASED_AT_CLOSE = 20_000

_SESSIONS = "write what was stored into the sessions"
_SETTLE, _COMPACT, _TIDY = "commit the projections", "compact the rows", "tidy up"
_USER_FILES = "write the files of users"
_ERASE, _EXPIRE = "erase what was deleted", "remove expired memories"
_INDEXING = "find new rows by their words"
_CHECK = "compare the projections with their checksums"
_MEND = "fill what was damaged anew from the rows"
_FOLLOWING = "follow the rows in the "
_OTHERS = "end what other processes have left"

# Up to so many rows are deleted by their seq; a condition that names more takes longer to parse.
_NAMED_ROWS = 1_000

_NONE: frozenset[int] = frozenset()

T = TypeVar("T")


class Writer:
    """Writes rows in the order of the calls. There is one for each open store.

    Args:
        rows: the rows.
        projections: kept up to date with the rows.
        lease: the right to write; it numbers rows and turns.
        embedder: makes the vectors.
        known: ids that may be stored already; used only if the lease is exclusive.
        schema: the rows' Arrow schema.
        embed_timeout: how long the embedder may take, see :func:`embed_texts`.
        keep_expired: how long an expired memory is kept.
        titles: those that models made; they go with the messages that they are made of.
    """

    def __init__(
        self,
        rows: RowIndex,
        projections: Projections,
        lease: WriterLease,
        owners: Owners,
        embedder: Embedder,
        known: KnownIds,
        schema: pa.Schema,
        embed_timeout: float | None = None,
        keep_expired: timedelta = timedelta(0),
        titles: MadeTitles | None = None,
    ) -> None:
        self._take(rows)
        self._projections = projections
        # What may be written a moment later, by a process that writes alone.
        self._settling = [one for one in projections if isinstance(one, HasMuchToSettle)]
        self._later: list[WritesBehind] = []
        if lease.exclusive:
            for one in projections:
                if isinstance(one, FollowsLater) and one.later is not None:
                    self._write_later(one.name, one.later)
        self._lease = lease
        self._owners = owners
        self._embedder = embedder
        self._known = known
        self._schema = schema
        self._embed_timeout = embed_timeout
        self._keep_expired = keep_expired
        self._titles = titles
        self._dependants = UsersWithDependants()
        self._queue = WriteQueue()
        self._ahead = PreparesAhead(self._queue, embedder, known, embed_timeout)
        self._draining: asyncio.Task[None] | None = None
        self._committing = LoopLock()
        self._uses: Counter[int] = Counter()
        # Whether the outcome of a commit is unknown: its rows may be stored, but not in the
        # projections.
        self._uncertain = False
        self._changing: set[asyncio.Future[Any]] = set()
        self._background = Background()
        self._written_at = 0.0
        # How much work goes on that writes again and again; see at_work.
        self._works = 0
        # A flush is a commit, after which upkeep may be due.
        self._flushing = Flushing(self._background, self._flush_rows, self._look_after)
        self._closed = False
        # How long the last erasure took, in seconds.
        self._erasing_took = 0.0
        #: Whether something that only ``maintain()`` may remove holds what was deleted; then only
        #: that erases.
        self.erasing_waits: Callable[[], Awaitable[bool]] | None = None
        self._observer: Observer | None = None

    def observe(self, observer: Observer) -> None:
        """Let somebody measure and trace the commits, and the work in the background."""
        self._observer = self._background.observer = observer

    def _take(self, rows: RowIndex) -> None:
        self._rows = rows
        self._erases = capability(rows, Erases)
        # Looked up once: it is asked after each commit.
        self._compacts = capability(rows, Compacts)

    def _write_later(self, name: str, later: WritesBehind) -> None:
        later.writes_behind = True
        later.fell_behind = lambda error: self.behind({name: error})
        self._later.append(later)

    async def _write_waiting(self) -> None:
        for later in self._later:
            # Where that fails, they follow before the next write.
            while later.waits:
                await later.write_waiting()

    def begin_upkeep(self) -> None:
        """Begin the background work that an opening finds."""
        self._erase_later()
        self._background.start_later(_EXPIRY_FIRST, _EXPIRE, self._expire)
        self._background.start_later(_REST, _TIDY, self._tidy)
        self._mend_others_later()

    def _mend_others_later(self) -> None:
        sharing = [one for one in self._projections if isinstance(one, MendsOthers)]
        every = [one.mend_every for one in sharing if one.mend_every is not None]
        if every:
            self._background.start_later(min(every), _OTHERS, self._mend_others)

    async def _mend_others(self) -> None:
        try:
            async with self._committing:
                for projection in self._projections:
                    if isinstance(projection, MendsOthers):
                        await projection.mend_others(self._rows)
        except BackendUnavailable as error:
            # health() asks it itself, and it is tried again soon.
            _log.debug("others_not_mended", error=str(error))
        finally:
            self._mend_others_later()

    def do_later(self, seconds: float, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do work in the background after some seconds, unless work of this name waits already.

        Once the memory is being closed, nothing more begins. What fails is in :attr:`problems`.
        """
        self._background.start_later(seconds, name, work)

    def learn_rows(self) -> None:
        """Read in the background what is stored; until then, each change looks up its own.

        That are the ids, who has rows that go with others, and the names of conversations.
        """
        self._background.start("read who has what goes with a deletion", self._learn_dependants)
        self._background.start("read the ids that are stored", self._learn_ids)
        self._background.start("read the names of conversations", self._owners.learn_names)

    async def _learn_dependants(self) -> None:
        await self._dependants.learn(self._rows)

    async def _learn_ids(self) -> None:
        await self._known.learn(self._rows)

    @property
    def problems(self) -> dict[str, str]:
        """Failures of background work, by the name of the work. Empty is healthy."""
        return self._background.problems

    @contextmanager
    def tolerating(self, work: str) -> Iterator[None]:
        """Around writes without which a caller gets an answer: a failure is in :attr:`problems`.

        It is there until work of this name succeeds.
        """
        try:
            yield
        except EngineError as error:
            if work not in self.problems:
                _log.error("work_failed", work=work, error=str(error))
            self.problems[work] = str(error)
        else:
            self.problems.pop(work, None)

    def tolerating_old_words(self) -> AbstractContextManager[None]:
        """As :meth:`tolerating`, around the commit of the lexical index for a recall."""
        return self.tolerating(_INDEXING)

    def is_behind(self, projection: str) -> bool:
        """Whether a projection has missed a commit. It follows before the next write."""
        return f"{_FOLLOWING}{projection}" in self.problems

    def keep_problems(self, keep: Callable[[Mapping[str, str]], Awaitable[None]]) -> None:
        """Call ``keep`` with :attr:`problems` when they have changed, and at the end."""
        self._background.keep = keep

    @property
    def writes_alone(self) -> bool:
        """Whether no other process brings rows to the store."""
        return self._lease.exclusive

    @property
    def exclusive(self) -> LoopLock:
        """A lock that is held while rows change. Hold it to keep the rows from changing."""
        return self._committing

    def switch(self, rows: RowIndex, embedder: Embedder, schema: pa.Schema) -> None:
        """Use another index and embedder from now on. The caller holds :attr:`exclusive`."""
        self._embedder, self._schema = embedder, schema
        self._take(rows)
        self._ahead.switch(embedder)
        self._erase_later()

    async def write(
        self, rows: list[Row], *, named: bool = True, unchanged: Collection[int] = ()
    ) -> None:
        """Store rows as one commit; returns when they would survive a kill of the process.

        If the queue is full, the caller first waits for room.

        Args:
            rows: the rows, each with its user. All or none are stored.
            named: whether anything named that user. If not, all rows are of one conversation,
                and its owner's if it has one when they are committed.
            unchanged: the ``seq`` of rows that must still be stored when these are committed.

        Raises:
            RowsChanged: one of ``unchanged`` is not stored any more. Nothing of ``rows`` was.
            ForeignUserError: a conversation is another user's. Nothing of ``rows`` was stored.
            EmbeddingError, EngineError: nothing of ``rows`` was stored.
            StoreClosedError: the memory was closed.
        """
        if self._closed:
            raise StoreClosedError("the memory is closed", fix="Open it again.")
        if not rows:
            return
        with writing_here():
            done = asyncio.get_running_loop().create_future()
            unnamed = None if named else rows[0]["user_id"]
            required = frozenset(unchanged)
            request = await in_thread_if_many(
                len(rows), lambda: Request(rows, done, unnamed, required)
            )
            if self._observer is not None:
                request.asked_at = time.perf_counter_ns()
            await self._queue.put(request)
            self._ahead.start()
            if not runs(self._draining):
                self._draining = asyncio.create_task(self._drain(), name="bruno-memory-writer")
            await request.done

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Around work that writes much, and reads in between: the store is not at rest inside it.

        So nothing is prepared for recalls, which the next commit would drop.
        """
        self._works += 1
        try:
            yield
        finally:
            self._works -= 1
            self._written_at = time.monotonic()

    async def write_copies(self, table: pa.Table) -> None:
        """Store rows of another store as one commit: with their vectors, turns, times and uses.

        They get new ``seq``, in their order, and checksums that fit these. Those with the key of
        a stored row replace it. The caller has seen to it that their conversations are their
        users', and that no other row has one of their turns.

        Args:
            table: rows of the store's schema, each key once.

        Raises:
            EngineError: nothing was stored, or all of it, which the next write finds out.
            StoreClosedError: the memory was closed.
        """
        if self._closed:
            raise StoreClosedError("the memory is closed", fix="Open it again.")
        if not table.num_rows:
            return
        with writing_here():
            rows = await in_thread_if_many(
                table.num_rows, lambda: list(from_table(table.drop_columns(["vector"])))
            )
            async with self._committing:
                self._lease.check()
                if self._uncertain:
                    await self._follow()
                await self._write_copies(table, rows)
            if self._observer is not None:
                self._observer.copied(rows)

    async def _write_copies(
        self, table: pa.Table, rows: list[Row], *, rewritten: bool = False
    ) -> None:
        ids = [row["id"] for row in rows]
        hashes = await in_thread_if_many(len(rows), lambda: self._known.hashes(ids))
        stored: dict[Key, Stored] = {}
        if not self._lease.exclusive or self._known.any_hashed(hashes):
            stored = await self._stored({key_of(row): row for row in rows}, tuple(set(ids)))
        self._known.add_hashed(hashes)
        first_seq = await self._lease.next_seqs(len(rows))

        def place() -> pa.Table:
            for offset, row in enumerate(rows):
                row["seq"] = first_seq + offset
            return with_positions(table, rows)

        placed = await in_thread_if_many(len(rows), place)
        await self._store(placed, rows, stored, rewritten=rewritten)
        self._afterwards()

    async def rewrite(
        self,
        scope: Scope,
        where: RowFilter,
        change: Callable[[Row], Mapping[str, Any] | None],
        *,
        seqs: Sequence[int] | None = None,
        unchanged: Collection[int] = (),
        provided: Callable[[], Awaitable[bool]] | None = None,
        check: Callable[[pa.Table], None] | None = None,
    ) -> list[Row]:
        """Change columns of stored rows as one commit, without embedding them again.

        The rows are read and stored again under the lock of the writer, so no other change comes
        in between. They get new ``seq``, in their order, and every projection follows.

        Args:
            scope: whose rows.
            where: which of them.
            change: the new values of columns of a row (times in microseconds), or None to leave it
                as it is. It must change neither the content nor the key.
            seqs: only rows with these ``seq``.
            unchanged: the ``seq`` of rows that must still be stored when these are changed.
            provided: asked under the lock; where it answers False, nothing is changed.
            check: told the rows that were found, before any is changed. If it raises, none is.

        Returns:
            The rows as they are stored now; empty where none was changed.

        Raises:
            RowsChanged: one of ``unchanged`` is not stored any more. Nothing was changed.
            EngineError: nothing was changed, or all of it, which the next write finds out.
            StoreClosedError: the memory was closed.
        """
        if self._closed:
            raise StoreClosedError("the memory is closed", fix="Open it again.")
        # If the caller is cancelled, the change itself still completes.
        task = asyncio.ensure_future(
            self._rewrite(scope, where, change, seqs, unchanged, provided, check)
        )
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)

    async def _rewrite(
        self,
        scope: Scope,
        where: RowFilter,
        change: Callable[[Row], Mapping[str, Any] | None],
        seqs: Sequence[int] | None,
        unchanged: Collection[int],
        provided: Callable[[], Awaitable[bool]] | None,
        check: Callable[[pa.Table], None] | None,
    ) -> list[Row]:
        with writing_here():
            async with self._committing:
                self._lease.check()
                if self._uncertain:
                    await self._follow()
                await require_unchanged(self._rows, unchanged)
                if provided is not None and not await provided():
                    return []
                return await self._rewrite_here(scope, where, change, seqs, check)

    async def _rewrite_here(
        self,
        scope: Scope,
        where: RowFilter,
        change: Callable[[Row], Mapping[str, Any] | None],
        seqs: Sequence[int] | None,
        check: Callable[[pa.Table], None] | None = None,
    ) -> list[Row]:
        """As :meth:`rewrite`, for a caller that holds the lock."""
        found = await self._rows.read(scope, where, (*COLUMNS, "vector"), seqs=seqs)
        if check is not None:
            check(found)
        table, rows = await in_thread_if_many(found.num_rows, lambda: rewritten(found, change))
        if not rows:
            return []
        before = {key_of(row): Stored(row["seq"], row["turn"]) for row in rows}
        first_seq = await self._lease.next_seqs(len(rows))

        def place() -> pa.Table:
            for offset, row in enumerate(rows):
                row["seq"] = first_seq + offset
            return with_positions(table, rows)

        await self._store(await in_thread_if_many(len(rows), place), rows, before, rewritten=True)
        for row in rows:
            # A row goes on to have the uses that were not counted yet.
            uses = self._uses.pop(before[key_of(row)].seq, 0)
            if uses:
                self._uses[row["seq"]] += uses
        self._afterwards()
        return rows

    async def branch(
        self,
        scope: Scope,
        turns: Sequence[int],
        into: str,
        archived_with_it: int | None,
    ) -> int:
        """Store turns of a conversation once more, in another one that is new, as one commit.

        They keep their ids, turns, times and vectors; nothing is embedded. The rows are read and
        stored under the lock of the writer, so that none is deleted in between. What is archived
        because a summary stands for it, or with its conversation, is not archived in the new one,
        which has no summary. What is archived for itself is so there, too.

        Args:
            scope: whose rows, and of which conversation.
            turns: which; those that are not there any more are left out.
            into: the new conversation. It is the user's, and has no row yet.
            archived_with_it: when the conversation was archived, in microseconds; None for not.

        Returns:
            How many rows were stored.

        Raises:
            EngineError: nothing was stored, or all of it, which the next write finds out.
            StoreClosedError: the memory was closed.
        """
        if self._closed:
            raise StoreClosedError("the memory is closed", fix="Open it again.")
        # If the caller is cancelled, the copying itself still completes.
        task = asyncio.ensure_future(self._branch(scope, turns, into, archived_with_it))
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)

    async def _branch(
        self,
        scope: Scope,
        turns: Sequence[int],
        into: str,
        archived_with_it: int | None,
    ) -> int:
        assert scope.conversation_id is not None
        wanted = {scope.conversation_id: turns}
        with writing_here():
            async with self._committing:
                self._lease.check()
                if self._uncertain:
                    await self._follow()
                found = await self._rows.read(
                    scope, RowFilter(kinds=(MESSAGE,)), (*COLUMNS, "vector"), turns=wanted
                )
                times = await self._archived_for_summaries(scope, found)

                def copied(row: Row) -> Mapping[str, Any]:
                    at = row["archived_at"]
                    if at is not None and (at == archived_with_it or (row["id"], at) in times):
                        at = None
                    return {"conversation_id": into, "archived_at": at}

                table, rows = await in_thread_if_many(
                    found.num_rows, lambda: rewritten(found, copied)
                )
                if rows:
                    # Nobody has said it once more, so nobody is told so.
                    await self._write_copies(table, rows, rewritten=True)
        return len(rows)

    async def _archived_for_summaries(self, scope: Scope, found: pa.Table) -> set[tuple[str, int]]:
        """The ids of rows of one conversation that summaries stand for, with when that began."""
        if found.column("archived_at").null_count == found.num_rows:
            return set()
        users = set(found.column("user_id").to_pylist())
        summaries = await stored_summaries(self._rows, users, scope.conversation_id)
        return {
            (one, summary.archived_at)
            for summary in summaries
            if summary.level == "block" and summary.archived_at is not None
            for one in summary.sources
        }

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> int:
        """Delete rows, also from the projections. Returns how many were deleted.

        ``seqs``: only rows with one of these ``seq``: not one that was changed since.

        What was made of one of them goes with it (:mod:`.dependants`), and is not counted:
        summaries, facts that nothing else says, short-term memories that it stands for, titles that
        a model made.
        """
        if self._closed:
            raise StoreClosedError("the memory is closed", fix="Open it again.")
        # If the caller is cancelled, the deletion itself still completes.
        task = asyncio.ensure_future(self._delete(scope, where, seqs))
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)

    async def _delete(
        self, scope: Scope, where: RowFilter, seqs: Sequence[int] | None = None
    ) -> int:
        with writing_here():
            return await self._delete_here(scope, where, seqs)

    async def _delete_here(self, scope: Scope, where: RowFilter, seqs: Sequence[int] | None) -> int:
        async with self._committing:
            self._lease.check()
            found = await self._rows.read(scope, where, GOING_COLUMNS, seqs=seqs)
            if not found.num_rows and self._lease.exclusive:
                return 0
            along = await self._let_summaries_go(found)
            await self._let_facts_go(found)
            await self._let_titles_go(found)
            await self._let_sources_go(found)
            gone = await self._remove(scope, where, _deletion_of(found, scope, where), seqs)
            if along is not None and not self._lease.exclusive:
                # Another process may have archived some for it in between; what it archives from
                # now on, it finds without its summary.
                await self._recall_again(along)
        if len(gone):
            self._afterwards()
        return len(gone)

    async def forget_user(
        self, user_id: str, and_then: Callable[[Collection[str]], Awaitable[T]]
    ) -> tuple[int, T]:
        """Delete every row of a user, and do something before any other change.

        All goes that was made of these rows, since it is the user's, too; so nothing is recalled
        again, and no fact holds again.

        Args:
            user_id: whose rows.
            and_then: called under the lock, when the rows are gone, with their conversations.

        Returns:
            How many rows were deleted, and what ``and_then`` gave.

        Raises:
            EngineError: some are left, and what ``and_then`` does was not done.
            StoreClosedError: the memory was closed.
        """
        if self._closed:
            raise StoreClosedError("the memory is closed", fix="Open it again.")
        # If the caller is cancelled, this itself still completes.
        task = asyncio.ensure_future(self._forget_user(user_id, and_then))
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)

    async def _forget_user(
        self, user_id: str, and_then: Callable[[Collection[str]], Awaitable[T]]
    ) -> tuple[int, T]:
        scope, every = Scope.user(user_id), RowFilter()
        with writing_here():
            async with self._committing:
                self._lease.check()
                if self._uncertain:
                    await self._follow()
                found = await self._rows.read(scope, every, GOING_COLUMNS)
                if found.num_rows:
                    await self._remove(scope, every, _deletion_of(found, scope, every))
                if self._uncertain:
                    await self._follow()
                talks = set(found.column("conversation_id").to_pylist()) - {None}
                done = await and_then(talks)
                self._lease.forget_turns()
                if self._erases is not None:
                    # Also where the rows were deleted before: their files may not be erased yet.
                    await self._erases.mark_erasable()
        for seq in found.column("seq").to_pylist():
            self._uses.pop(seq, None)
        self._afterwards()
        return found.num_rows, done

    async def _remove(
        self, scope: Scope, where: RowFilter, change: Change, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        """Delete rows, and let the projections follow. Returns the ``seq`` of each.

        Args:
            scope: whose rows.
            where: which of them.
            change: the same rows as they were found just now, under the lock.
            seqs: only rows with these ``seq``.
        """
        if self._lease.exclusive and len(change.removed) <= _NAMED_ROWS:
            # Nobody else changes rows, so these are all, and nothing has to look for them again.
            scope, where, seqs = _place_of(change), RowFilter(), change.removed.tolist()
        uncertain, self._uncertain = self._uncertain, True
        failed = await self._projections.before(change)
        gone = await to_its_end(self._rows.delete(scope, where, seqs=seqs))
        self._lease.check()
        failed |= await self._projections.apply(replace(change, removed=gone))
        self._uncertain = uncertain
        self.behind(failed)
        if self._observer is not None:
            self._observer.deleted(current_watch(), len(gone))
        return gone

    async def _texts_change(self, latest: Mapping[Key, Row], stored: Mapping[Key, Stored]) -> bool:
        """Delete what was made of the texts of rows that are about to be stored with another text.

        That are facts and titles, and of archived rows summaries. Returns whether there were
        summaries; then the rows have another ``seq``, and are not archived.
        """
        changed = await in_thread_if_many(
            len(stored),
            lambda: {k: row for k, row in stored.items() if row.content != latest[k]["content"]},
        )
        if not changed:
            return False
        found = _stored_rows(latest, changed, self._schema)
        await self._let_facts_go(found)
        await self._let_titles_go(found)
        archived = [row.seq for row in changed.values() if row.kept.get("archived_at") is not None]
        if not archived:
            return False
        here = pc.is_in(found.column("seq"), pa.array(archived, pa.int64()))
        return await self._let_summaries_go(found.filter(here), stay=True) is not None

    async def _let_summaries_go(self, found: pa.Table, *, stay: bool = False) -> Along | None:
        """Delete the summaries of rows that are to go; returns them, None where there are none.

        What is left of their sources is recalled again, before they go.

        Args:
            found: the rows, with ``GOING_COLUMNS``.
            stay: they do not go, but their texts change.
        """
        found = self._dependants.summaries(found)
        along = await goes_along(self._rows, found, self._owners.archived_at, stay=stay)
        if along is None:
            return None
        if self._uncertain:
            await self._follow()
        await self._recall_again(along)
        if along.seqs:
            summaries = RowFilter(kinds=(MEMORY,))
            going = await self._rows.read(EVERYONE, summaries, GOING_COLUMNS, seqs=along.seqs)
            change = _deletion_of(going, EVERYONE, summaries)
            await self._remove(EVERYONE, summaries, change, along.seqs)
            if stay and not self._lease.exclusive:
                await self._recall_again(along)
        return along

    async def _recall_again(self, along: Along) -> None:
        for scope, where, times in along.restored:

            def restored(
                row: Row, times: Mapping[str, Mapping[int, int | None]] = times
            ) -> Row | None:
                instead = times[row["id"]]
                at = row["archived_at"]
                return {"archived_at": instead[at]} if at in instead else None

            await self._rewrite_here(scope, where, restored, None)

    async def _let_facts_go(self, found: pa.Table) -> None:
        """Delete the facts that only rows say which are to go, before they go.

        Args:
            found: the rows, with ``GOING_COLUMNS``.
        """
        along = await facts_along(self._rows, self._dependants.facts(found))
        if (along.seqs or along.changed) and self._uncertain:
            await self._follow()
        if along.changed:
            await self._rewrite_here(
                EVERYONE, FACTS, lambda row: along.changed[row["seq"]], list(along.changed)
            )
        if along.seqs:
            going = await self._rows.read(EVERYONE, FACTS, GOING_COLUMNS, seqs=along.seqs)
            await self._let_sources_go(going)
            change = _deletion_of(going, EVERYONE, FACTS)
            await self._remove(EVERYONE, FACTS, change, along.seqs)

    async def _let_titles_go(self, found: pa.Table) -> None:
        """Drop the titles that models made of rows that are to go, with ``GOING_COLUMNS``."""
        if self._titles is not None:
            await self._titles.let_go(found)

    async def _let_sources_go(self, found: pa.Table) -> None:
        """Delete the archived short-term memories that lasting ones stand for, before these go."""
        seqs = await sources_along(self._rows, self._dependants.sources(found))
        if not seqs:
            return
        if self._uncertain:
            await self._follow()
        memories = RowFilter(kinds=(MEMORY,))
        going = await self._rows.read(EVERYONE, memories, GOING_COLUMNS, seqs=seqs)
        await self._remove(EVERYONE, memories, _deletion_of(going, EVERYONE, memories), seqs)

    def use(self, seqs: Sequence[int]) -> None:
        """Count an access to rows. The counts are written later, since a recall never writes."""
        self._uses.update(seqs)
        if len(self._uses) >= _USES_BEFORE_FLUSH:
            self._background.start("count accesses", self._flush_and_compact)

    @property
    def sessions_wait(self) -> bool:
        """Whether something of what was stored waits to be written into the sessions."""
        return any(later.waits for later in self._later)

    @property
    def pending_uses(self) -> Mapping[int, int]:
        """Uses that are not written yet: by ``seq``, how many."""
        return self._uses

    def health(self) -> dict[str, Any]:
        """Figures about pending writes."""
        return {
            "queued_rows": self._queue.rows,
            "queue_bound": QUEUE_ROWS,
            "callers_waiting": self._queue.waiting,
            "uses_to_count": len(self._uses),
        }

    async def flush_uses(self) -> None:
        """Write the pending access counts."""
        uses, self._uses = self._uses, Counter()
        if uses:
            try:
                async with self._committing:
                    await to_its_end(count_uses(self._rows, uses, datetime.now(timezone.utc)))
            except BaseException:
                self._uses.update(uses)
                raise

    async def remove_expired(self) -> int:
        """Delete the memories that have expired by the clock. Returns how many."""
        where = RowFilter(
            kinds=(MEMORY,), expired_before=datetime.now(timezone.utc) - self._keep_expired
        )
        if not await self._rows.count(EVERYONE, where):
            return 0
        return await self._delete(EVERYONE, where)

    async def remove_left_over(self, scope: Scope = EVERYONE) -> int:
        """Delete summaries of what is not stored any more (:func:`left_over`). Returns how many."""
        found = await left_over(self._rows, scope)
        if not found:
            return 0
        # One that is made anew meanwhile has another seq, and stays.
        return await self.delete(scope, SUMMARIES, seqs=[one.seq for one in found])

    @property
    def has_erasable(self) -> bool:
        """Whether files may hold something of deleted or replaced rows."""
        return self._erasable_since() is not None

    def _erasable_since(self) -> float | None:
        return None if self._erases is None else self._erases.erasable_since

    async def maintain(self, *, erase: bool = True) -> None:
        """Bring the projections up to date, compact the rows, and erase what was deleted."""
        if self._uncertain:
            async with self._committing:
                await self._follow()
        await self.flush_uses()
        await self._projections.last_seq()  # with what waits in them committed
        if not erase or not self.has_erasable:
            await self._maintain_rows()
        if erase:
            await self._erase()
        keeps = capability(self._rows, KeepsUserFiles)
        if keeps is not None:
            await keeps.write_user_files()
        for name in [name for name in self.problems if not name.startswith(_FOLLOWING)]:
            del self.problems[name]

    async def erase(self) -> None:
        """Erase what was deleted, now.

        Raises:
            EngineError: something was not erased; it is tried again later.
        """
        if self._uncertain:
            async with self._committing:
                await self._follow()
        await self.flush_uses()
        await self._projections.last_seq()  # with what waits in them committed
        await self._erase()

    async def close(self) -> None:
        """Finish the queued writes, write what is pending, and accept nothing more."""
        self._closed = True
        self._background.refuse()
        tasks = (self._draining, *self._background.under_way, *self._changing)
        running = [task for task in tasks if task is not None and runs(task)]
        if running:
            await asyncio.wait(running)
        await self.flush_uses()
        for work in (_COMPACT, _ERASE, _EXPIRE):
            self.problems.pop(work, None)
        steps = (
            (FLUSH, self._flush_rows),
            (_EXPIRE, self.remove_expired),
            (_ERASE, self._erase_at_close),
            (_COMPACT, self._compact_at_close),
        )
        for work, step in steps:
            try:
                await step()
            except BrunoError as error:
                # It loses nothing: the next opening flushes, compacts and erases.
                self._background.failed(work, error)
                break
        await self._background.tell()

    async def _compact_at_close(self) -> None:
        if self._is_due(at_rest=True):
            await self._maintain_rows(keep_none=True)

    # Flush and upkeep, if the engine has these capabilities

    async def _flush_rows(self) -> None:
        flushes = capability(self._rows, Flushes)
        if flushes is not None:
            await flushes.flush()

    def _is_due(self, *, at_rest: bool = False) -> bool:
        return self._compacts is not None and self._compacts.due(at_rest=at_rest)

    async def _maintain_rows(self, *, keep_none: bool = False) -> Maintenance:
        if self._compacts is None:
            return Maintenance()
        return await self._compacts.maintain(keep_none=keep_none)

    # Erasing what was deleted, and deleting what has expired

    async def _erase(self) -> None:
        started = time.perf_counter()
        await erasure.erase(self._rows, self._projections, self._committing)
        self._erasing_took = time.perf_counter() - started

    async def _erase_at_close(self) -> None:
        if await self._is_erased_at_close():
            await self._erase()

    async def _is_erased_at_close(self) -> bool:
        since = self._erasable_since()
        if since is None:
            return await erasure.some_has_erasable(self._projections)
        if await self._erasing_waits():
            return False
        if time.monotonic() - since >= erasure.LONGEST:
            return True
        return await self._rows.count(EVERYONE, RowFilter()) <= _ROWS_ERASED_AT_CLOSE

    async def _erasing_waits(self) -> bool:
        return self.erasing_waits is not None and await self.erasing_waits()

    def _erase_later(self, least: float = _REST) -> None:
        """Erase in the background, a while after the first deletion."""
        since = self._erasable_since()
        if since is not None:
            waited = time.monotonic() - since
            left = erasure.delay(self._erasing_took, at_rest=True) - waited
            self._background.start_later(max(left, least), _ERASE, self._erase_when_due)

    async def _erase_when_due(self) -> None:
        since, now = self._erasable_since(), time.monotonic()
        if since is None:
            return
        if await self._erasing_waits():
            self._erase_later(_ERASE_AGAIN)
            return
        at_rest = now - self._written_at >= _REST
        if now - since < erasure.delay(self._erasing_took, at_rest=at_rest):
            self._erase_later()
            return
        try:
            await self._erase()
        except EngineError:
            self._erase_later(_ERASE_AGAIN)
            raise
        _log.debug("erased", seconds=self._erasing_took)
        self._erase_later()

    async def _expire(self) -> None:
        self._background.start_later(_EXPIRY_EVERY, _EXPIRE, self._expire)
        removed = await self.remove_expired()
        if removed:
            _log.info("expired_memories_removed", memories=removed)
        if not self.has_erasable and await erasure.some_has_erasable(self._projections):
            self._background.start(_ERASE, self._erase)

    # The task

    async def _drain(self) -> None:
        with writing_here():
            await self._drain_queue()

    async def _drain_queue(self) -> None:
        while self._queue:
            requests: list[Request] = []
            try:
                await self._queue.gather()
                requests = self._queue.take()
                if not requests and not self._queue:
                    return  # they were cancelled
                if not requests:
                    # Large ones are being prepared.
                    self._ahead.start()
                    await self._queue.changed()
                    continue
                await self._commit_all(requests)
            except BaseException as error:
                # The task ends, so every caller that still waits gets an error.
                for request in [*requests, *self._queue.give_up()]:
                    # A loop that was closed amid this has nobody who waits.
                    if not request.done.done() and not request.done.get_loop().is_closed():
                        request.done.set_exception(
                            StoreClosedError(
                                "the writer was stopped before this was stored",
                                fix="Store it again.",
                                cause=error if isinstance(error, Exception) else None,
                            )
                        )
                raise
            self._queue.finished(requests)

    async def _commit_all(self, requests: list[Request]) -> None:
        """Commit requests, as one batch as far as they agree on whose each conversation is."""
        while requests:
            requests = await self._commit_agreeing(requests)

    async def _commit_agreeing(self, requests: list[Request]) -> list[Request]:
        """Commit requests as one batch; if that fails, commit each one separately.

        Returns:
            Those that have to wait for its end, because it may begin a conversation for another
            user.
        """
        now, later = requests, list[Request]()
        try:
            async with self._committing:
                self._lease.check()
                if self._uncertain:
                    await self._follow()
                now, later, begun = await settle(requests, self._owners)
                if now:
                    required = [seq for request in now for seq in request.unchanged]
                    await require_unchanged(self._rows, required)
                    await self._commit(now, begun)
                    self._owners.remember(begun)
        except Exception as error:
            if len(now) > 1:
                for request in now:
                    await self._commit_all([request])
            elif isinstance(error, ForeignUserError) and now[0].unnamed is not None:
                # Another process has begun the conversation meanwhile. Nobody was named, so these
                # rows are its owner's.
                return [*now, *later]
            elif not now[0].done.done():
                now[0].done.set_exception(error)
            return later
        for number, request in enumerate(now):
            # The future is done if its caller was cancelled; the rows are stored all the same.
            if not request.done.done():
                request.done.set_result(None)
            if number % _ANSWERS_AT_ONCE == _ANSWERS_AT_ONCE - 1:
                # Each answer wakes a caller; a thousand at once would block the event loop.
                await asyncio.sleep(0)
        return later

    async def _commit(self, requests: Sequence[Request], begun: Collection[str]) -> None:
        """Commit requests; ``begun`` are the conversations that begin with them."""
        if self._observer is None:
            await self._commit_batch(requests, begun, None)
        else:
            with self._observer.commit(requests) as stages:
                await self._commit_batch(requests, begun, stages)

    async def _commit_batch(
        self, requests: Sequence[Request], begun: Collection[str], stages: Stages | None
    ) -> None:
        given, made = await self._given(requests)
        if stages is not None:
            stages.ended("embed")
        latest, batch = given.latest, given.rows
        perhaps_stored = given.perhaps_stored if self._lease.exclusive else tuple(given.ids)
        stored = await self._stored(latest, perhaps_stored) if perhaps_stored else {}
        if await self._texts_change(latest, stored):
            stored = await self._stored(latest, perhaps_stored)
        wanted = await in_thread_if_many(len(batch), lambda: wanted_turns(latest, stored))
        next_turns, first_seq = await self._numbers(wanted, len(batch), begun)

        def build() -> pa.Table:
            self._known.add_hashed(given.hashes)
            give_positions(latest, stored, next_turns, first_seq)
            if isinstance(made, pa.Table):
                return with_positions(made, batch)
            return to_table(batch, made, self._schema)

        table = await in_thread_if_many(len(batch), build)
        if stages is not None:
            stages.ended("place")
        calls = [(request.act, request.rows) for request in requests]
        if not await self._store(table, batch, stored, requests=calls, stages=stages):
            self._lease.record_turns(next_turns)
        self._afterwards()

    async def _store(
        self,
        table: pa.Table,
        rows: Sequence[Row],
        stored: Mapping[Key, Stored],
        *,
        rewritten: bool = False,
        requests: Sequence[tuple[Act | None, Sequence[Row]]] = (),
        stages: Stages | None = None,
    ) -> bool:
        """Commit rows that have their positions, and let the projections follow.

        Args:
            table: the rows, in the order of their ``seq``.
            rows: the same, as dicts.
            stored: those that are stored already, and are replaced.
            rewritten: whether only columns of them were changed.
            requests: the calls whose rows they are.
            stages: notes the parts of the commit; None where nobody observes.

        Returns:
            Whether a projection is behind.
        """
        replaced = np.array([row.seq for row in stored.values()], np.int64)
        again = _NONE
        if stored:
            again = await in_thread_if_many(
                len(rows), lambda: frozenset(row["seq"] for row in rows if key_of(row) in stored)
            )
        change = Change(
            rows[-1]["seq"],
            table,
            rows,
            replaced,
            again=again,
            rewritten=rewritten,
            requests=requests,
        )
        self._dependants.note(rows)
        failed = await self._projections.before(change)
        self._uncertain = True
        if stages is not None:
            stages.ended("announce")
        await to_its_end(self._rows.upsert(table, all_new=not stored))
        if stages is not None:
            stages.ended("rows")
        # Once more, before the callers are told: the rows have to be where the store is.
        self._lease.check()
        failed |= await self._projections.apply(change)
        if stages is not None:
            stages.ended("projections")
        self._uncertain = False
        # The rows are stored, and they are the truth: the callers are told so.
        self.behind(failed)
        return bool(failed)

    async def _numbers(
        self, wanted: Mapping[str, Wanted], count: int, begun: Collection[str]
    ) -> tuple[dict[str, int], int]:
        """The first turn of each conversation, and the first ``seq``."""
        # Other processes see what is reserved. If this commit fails, they have to see its end, too.
        before, self._uncertain = self._uncertain, True
        try:
            return await self._reserve(wanted, count, begun)
        except SessionsLost:
            await self._follow()
            self._uncertain = True
            return await self._reserve(wanted, count)
        except ForeignUserError:
            self._uncertain = before  # nothing is reserved
            raise

    async def _reserve(
        self, wanted: Mapping[str, Wanted], count: int, begun: Collection[str] = ()
    ) -> tuple[dict[str, int], int]:
        turns = await self._lease.next_turns(wanted, begun)
        return turns, await self._lease.next_seqs(count)

    async def _given(
        self, requests: Sequence[Request]
    ) -> tuple[Batch, NDArray[np.float32] | pa.Table]:
        """The rows of requests looked over, and their vectors, or their table if it is made."""
        ahead = requests[0].prepared if len(requests) == 1 else None
        if ahead is not None and ahead.embedder is self._embedder:
            again = await asyncio.to_thread(look_again, ahead.batch, self._known)
            return again, ahead.table
        rows = [row for request in requests for row in request.rows]
        given = await in_thread_if_many(len(rows), lambda: prepare(rows, self._known))
        return given, await embed(self._embedder, given.texts, self._embed_timeout)

    async def _follow(self) -> None:
        """Catch up after a write whose outcome is unknown."""
        self._lease.forget_turns()
        failed = await self._projections.catch_up(self._rows)
        self._uncertain = False
        for projection in self._projections:
            self.problems.pop(f"{_FOLLOWING}{projection.name}", None)
        self.behind(failed)

    def behind(self, failed: Mapping[str, Exception]) -> None:
        """What is derived has missed something: it follows before the next write."""
        for name, error in failed.items():
            self.problems[f"{_FOLLOWING}{name}"] = str(error)
        self._uncertain = self._uncertain or bool(failed)

    async def _stored(self, latest: Mapping[Key, Row], ids: tuple[str, ...]) -> dict[Key, Stored]:
        """The rows of a batch that are stored already."""
        columns = (*KEY_COLUMNS, "seq", "turn", "content", *KEPT)
        found = await self._rows.read(Scope.all_users(), RowFilter(ids=ids), columns)

        def read() -> dict[Key, Stored]:
            keyed = ((key_of(row), row) for row in from_table(found))
            return {
                key: Stored(
                    row["seq"], row["turn"], {name: row[name] for name in KEPT}, row["content"]
                )
                for key, row in keyed
                if key in latest
            }

        return await in_thread_if_many(found.num_rows, read)

    # Background work

    def _afterwards(self) -> None:
        self._written_at = time.monotonic()
        self._flushing.written()
        if any(one.many_wait for one in self._settling):
            self._background.start(_SETTLE, self._settle)
        else:
            self._background.start_later(LEXICAL_DELAY, _SETTLE, self._settle)
        if any(later.many_wait for later in self._later):
            self._background.start(_SESSIONS, self._write_waiting)
        elif self._later:
            self._background.start_later(_SESSIONS_DELAY, _SESSIONS, self._write_waiting)
        self._look_after()

    def _look_after(self) -> None:
        if self._is_due():
            self._background.start(_COMPACT, self._compact)
        else:
            self._background.start_later(_REST, _TIDY, self._tidy)
        self._erase_later()

    async def _settle(self) -> None:
        try:
            more = await self._settle_each()
        except EngineError:
            # No recall tries it, so what waits would wait for the next write.
            self._background.start_later(_SETTLE_AGAIN, _SETTLE, self._settle)
            raise
        finally:
            self._mend_damage()
        if more:
            # Rows that came during the commit need another one.
            self._background.start_later(LEXICAL_DELAY, _SETTLE, self._settle)

    async def settle(self) -> None:
        """Commit what waits in the projections, compare and mend them.

        Raises:
            EngineError: one of them does not work, and cannot be mended now.
        """
        failed: EngineError | None = None
        try:
            await self._settle_each()
        except EngineError as error:
            failed = error
        await self._check(later=False)
        damaged = any(projection.damaged for projection in self._damageable())
        await self.mend()
        if failed is not None and not damaged:
            raise failed

    async def _settle_each(self) -> bool:
        """Settle all projections; returns whether more came meanwhile."""
        more, failed = False, None
        for projection in self._projections:
            try:
                more = await projection.settle() or more
            except EngineError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return more

    def failed_to_find(self, error: EngineError) -> None:
        """Note that a recall met an index that does not work, and mend it in the background."""
        for projection in self._damageable():
            projection.failed(error)
        self._background.start(_CHECK, self._check)

    def look_for_damage(self) -> None:
        """Compare in the background what opening has not compared with its checksums."""
        if any(not projection.checked for projection in self._damageable()):
            self._background.start(_CHECK, self._check)

    async def _check(self, *, later: bool = True) -> None:
        for projection in self._damageable():
            await projection.check()
        if later:
            self._mend_damage()

    def _mend_damage(self) -> None:
        if any(projection.damaged for projection in self._damageable()):
            self._background.start(_MEND, self.mend)

    async def mend(self) -> None:
        """Fill the damaged projections anew from the rows. Only the end of it waits for a pause.

        Raises:
            EngineError: the rows cannot be read.
        """
        damaged = [projection for projection in self._damageable() if projection.damaged]
        for projection in damaged:
            await projection.fill_anew(self._rows)
        if damaged:
            async with self._committing:
                await self._follow()
            # The failures that told of the damage.
            for work in (_INDEXING, _SETTLE):
                self.problems.pop(work, None)

    def _damageable(self) -> list[FillsAnew]:
        return [one for one in self._projections if isinstance(one, FillsAnew)]

    async def _tidy(self) -> None:
        """Compact while nothing is written; less is enough for that than during writes."""
        if self._works or time.monotonic() - self._written_at < _REST:
            self._background.start_later(_REST, _TIDY, self._tidy)
        elif self._is_due(at_rest=True):
            self._background.start(_COMPACT, self._compact)
        else:
            self._background.start(_USER_FILES, self._write_user_files)

    async def _write_user_files(self) -> None:
        """Write what users' first recalls read, until something is written again."""
        keeps, began = capability(self._rows, KeepsUserFiles), self._written_at
        if keeps is not None:
            await keeps.write_user_files(
                at_rest=True,
                goes_on=lambda: not (self._closed or self._works) and self._written_at == began,
            )

    async def _flush_and_compact(self) -> None:
        await self.flush_uses()
        # Rewritten rows are in no scalar index until a compaction.
        await self._compact()

    async def _compact(self) -> None:
        started = time.perf_counter()
        done = await self._maintain_rows()
        _log.debug("compacted", seconds=time.perf_counter() - started, **done.details)
        if self._is_due(at_rest=True):
            # Some versions were too young to be removed, or rows were written meanwhile.
            self._background.start_later(_REST, _TIDY, self._tidy)


def _place_of(change: Change) -> Scope:
    """The user whose rows a deletion takes, or everyone where they are of several."""
    users = [] if change.gone is None else pc.unique(change.gone.column("user_id")).to_pylist()
    return Scope.user(users[0]) if len(users) == 1 else EVERYONE


def _stored_rows(
    latest: Mapping[Key, Row], stored: Mapping[Key, Stored], schema: pa.Schema
) -> pa.Table:
    """Stored rows that are about to be replaced by ``latest``, with ``GOING_COLUMNS``."""
    rows = [
        {**latest[key], "seq": row.seq, "turn": row.turn, "origin": row.kept["origin"]}
        for key, row in stored.items()
    ]
    fields = [schema.field(name) for name in GOING_COLUMNS]
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in fields]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _deletion_of(found: pa.Table, scope: Scope, where: RowFilter) -> Change:
    """The rows that are to go, and the conversations whose hot context may show some of them."""
    if MESSAGE not in (where.kinds or (MESSAGE,)):
        conversations = []
    elif scope.conversation_id is not None:
        conversations = [scope.conversation_id]
    else:
        said = found.filter(pc.equal(found.column("kind"), MESSAGE))
        conversations = pc.unique(said.column("conversation_id")).to_pylist()
    return Change(removed=found.column("seq").to_numpy(), conversations=conversations, gone=found)
