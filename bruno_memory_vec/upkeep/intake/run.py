"""An ingest: everything is read and checked, then compared with the store, then stored.

No text is kept between the two readings, so an export may be larger than the memory. What the
second one reads has to be what the first one has read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

from bruno_memory_vec.indexers.allocator import give_back
from bruno_memory_vec.portability import read
from bruno_memory_vec.portability.records import BadLine
from bruno_memory_vec.store.deployment import is_there
from bruno_memory_vec.store.manifest import IN_MEMORY, folder_of
from bruno_memory_vec.store.record import footprint
from bruno_memory_vec.store.store import LazyStore
from bruno_memory_vec.upkeep.copying.incoming import save_people
from bruno_memory_vec.upkeep.intake.comparing import Comparing, Comparison
from bruno_memory_vec.upkeep.intake.order import put_in_order
from bruno_memory_vec.upkeep.intake.own import is_own, take_own
from bruno_memory_vec.upkeep.intake.reading import (
    ADDED,
    EDITED,
    SKIPPED,
    UNCHANGED,
    Chat,
    How,
    Reader,
    file_moment,
    row_of,
    text_of,
)
from bruno_memory_vec.upkeep.intake.report import KEPT_BAD, BadLinesError, IngestReport
from bruno_memory_vec.upkeep.intake.sources import Source

if TYPE_CHECKING:
    from bruno_memory_vec.rows.models import Row
    from bruno_memory_vec.store.store import Store
    from bruno_memory_vec.writing.projections import Progress

#: How many messages are stored as one commit.
BATCH: Final = 2_000
_READ_AT_ONCE = 500

T = TypeVar("T")
Stored = Callable[["Store", "Sequence[Row]"], Awaitable[None]]


async def ingest_into(
    lazy: LazyStore,
    sources: Sequence[Source],
    how: How,
    *,
    skip_bad: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    stored: Stored | None = None,
    batch: int = BATCH,
) -> IngestReport:
    """Take exports into a store, which is opened, or made, only once they were found to be good.

    Args:
        lazy: the store.
        sources: the exports, see :func:`.sources.opened`.
        how: how to read them.
        skip_bad: store the rest of an export in which something cannot be used.
        dry_run: say what would be stored; write nothing, and make no store.
        progress: called with the progress of each step.
        stored: told of the rows of each conversation that were stored.
        batch: how many messages are one commit.

    Raises:
        BadLinesError: something cannot be used, and ``skip_bad`` is not given. Nothing was stored.
        InvalidInputError: a source as a whole cannot be used, or has changed while it was read.
        ForeignUserError: a conversation has become another user's meanwhile.
        ReadOnlyError, EmbeddingError, EngineError: what was stored before is stored.
    """
    started = time.perf_counter()
    for source in sources:
        read(source.again(), format=_reader_of(how))  # checks format and path
    work = _Ingest(lazy, sources, how, progress, stored, batch)
    report = await work.run(skip_bad=skip_bad, dry_run=dry_run)
    return replace(report, seconds=time.perf_counter() - started)


class _Ingest:
    """One ingest."""

    def __init__(
        self,
        lazy: LazyStore,
        sources: Sequence[Source],
        how: How,
        progress: Progress | None,
        stored: Stored | None,
        batch: int,
    ) -> None:
        self._lazy = lazy
        self._named = tuple(source.name for source in sources)
        self._own = [source for source in sources if is_own(source)]
        self._sources = [source for source in sources if source not in self._own]
        self._how = how
        self._reader = Reader(self._sources, replace(how, bounds=lazy.config.bounds))
        self._progress = progress
        self._stored = stored
        self._batch = batch
        self._bad: list[BadLine] = []
        self._bad_count = 0
        self._what = ", ".join(source.name for source in sources[:3]) + (
            f" and {len(sources) - 3} more" if len(sources) > 3 else ""
        )

    async def run(self, *, skip_bad: bool, dry_run: bool) -> IngestReport:
        """Read, compare, store."""
        with ExitStack() as work:
            work.enter_context(self._lazy.at_work())
            return await self._run(work, skip_bad=skip_bad, dry_run=dry_run)

    async def _run(self, work: ExitStack, *, skip_bad: bool, dry_run: bool) -> IngestReport:
        await self._check()
        self._refuse_bad(skip_bad)
        chats = [chat for chat in self._reader.chats.values() if len(chat.given)]
        report = IngestReport(self._named, dry_run)
        folder = folder_of(self._lazy.config.url)
        before = None if folder is None else (await asyncio.to_thread(footprint, folder)).bytes
        people = bool(self._reader.sessions or self._reader.users)
        seconds = 0.0
        found = Comparison()
        if chats or people or self._own:
            store = await self._opened(dry_run)
            work.enter_context(self._lazy.at_work())
            comparing = Comparing(store, self._lazy.config.default_user)
            chats = await comparing.place(chats)
            found = comparing.found
            self._note(found)
            self._refuse_bad(skip_bad)
            await self._compare(comparing, chats)
            report = self._counted(report, chats, found)
            # What is wrong with exports of ours is told before anything is written.
            alone = not chats and len(self._own) == 1 and not dry_run
            own = report if alone else await self._take_own(store, report, dry_run=True)
            if store is not None and not dry_run:
                begun = time.perf_counter()
                await self._store(store, chats, report.added + report.edited)
                await self._order(store, found)
                await save_people(store, self._reader.sessions, self._reader.users)
                own = await self._take_own(store, report, dry_run=False)
                seconds = time.perf_counter() - begun
            report = own
        after = None if folder is None else (await asyncio.to_thread(footprint, folder)).bytes
        return replace(
            report,
            left_out=MappingProxyType(dict(self._reader.left_out)),
            renamed=MappingProxyType(found.renamed),
            bad=self._bad_count,
            first_bad=tuple(self._bad),
            bytes_before=before,
            bytes_after=after,
            storing_seconds=seconds,
        )

    async def _check(self) -> None:
        async with aclosing(self._parts(self._reader.first(), _READ_AT_ONCE)) as parts:
            async for part in parts:
                for item in part:
                    if isinstance(item, BadLine):
                        self._add_bad(item)
                self._tell("checking bytes", *self._reader.progress)

    async def _parts(
        self, items: Generator[T, None, None], count: int
    ) -> AsyncGenerator[list[T], None]:
        """What is read, in parts. All of it in one thread, as SQLite wants it."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "bruno-memory-ingest") as thread:
            try:
                while part := await loop.run_in_executor(thread, _next, items, count):
                    yield part
            finally:
                await loop.run_in_executor(thread, items.close)

    def _add_bad(self, bad: BadLine) -> None:
        self._bad_count += 1
        if len(self._bad) < KEPT_BAD:
            # The only file there is need not be named at each of its lines.
            alone = len(self._named) == 1 and bad.place == self._named[0]
            self._bad.append(replace(bad, place="") if alone else bad)

    def _note(self, found: Comparison) -> None:
        for bad in found.bad:
            self._add_bad(bad)
        self._bad_count += found.bad_messages - len(found.bad)

    def _refuse_bad(self, skip_bad: bool) -> None:
        if self._bad_count and not skip_bad:
            raise BadLinesError(self._what, self._bad_count, self._bad)

    async def _opened(self, dry_run: bool) -> Store | None:
        if not dry_run:
            await self._lazy.writer()
            return await self._lazy.get()
        return await self._lazy.get() if await is_there(self._lazy.config) else None

    async def _compare(self, comparing: Comparing, chats: Sequence[Chat]) -> None:
        wanted = await asyncio.to_thread(comparing.unsure, chats)
        if wanted:
            numbers = {id(chats[number]): number for number in wanted}
            places = {number: set(here) for number, here in wanted.items()}
            texts: dict[tuple[int, int], str] = {}
            async with aclosing(self._parts(self._reader.again(), _READ_AT_ONCE)) as parts:
                async for part in parts:
                    for said in part:
                        number = numbers.get(id(said.chat))
                        if number is not None and said.at in places[number]:
                            texts[number, said.at] = text_of(said)
            await comparing.learn_texts(chats, texts)
        moments = [file_moment(chat, self._sources[chat.source]) for chat in chats]
        await asyncio.to_thread(comparing.compare, chats, moments)
        await asyncio.to_thread(give_back)

    def _counted(
        self, report: IngestReport, chats: Sequence[Chat], found: Comparison
    ) -> IngestReport:
        counts = [0, 0, 0, 0]
        untimed = memories = 0
        first, last = None, None
        for chat in chats:
            if chat.is_memory:
                memories += len(chat.given) - chat.states.count(SKIPPED)
                continue
            for state in (ADDED, UNCHANGED, EDITED, SKIPPED):
                counts[state] += chat.states.count(state)
            untimed += chat.untimed
            times = chat.given.times
            if len(times):
                low, high = min(times), max(times)
                first = low if first is None else min(first, low)
                last = high if last is None else max(last, high)
        talks = {chat.target for chat in chats if not chat.is_memory}
        return replace(
            report,
            users=tuple(dict.fromkeys(chat.owner for chat in chats)),
            conversations=len(talks),
            added=counts[ADDED],
            unchanged=counts[UNCHANGED],
            edited=counts[EDITED],
            gone=sum(place.gone for target, place in found.places.items() if target[1] is not None),
            memories=memories,
            first=None if first is None else _moment(first),
            last=None if last is None else _moment(last),
            untimed=untimed,
        )

    async def _take_own(
        self, store: Store | None, report: IngestReport, *, dry_run: bool
    ) -> IngestReport:
        if not self._own:
            return report
        async with AsyncExitStack() as stack:
            if store is None:
                # None is there, so it is compared with one that is empty.
                plain = {"url": IN_MEMORY, "key": None, "key_file": None, "read_only": False}
                config = self._lazy.config.model_copy(update=plain)
                empty = LazyStore(config, self._lazy.embedder)
                stack.push_async_callback(empty.close)
                store = await empty.get()
            return await take_own(
                store, self._own, self._how, report, dry_run=dry_run, progress=self._progress
            )

    async def _store(self, store: Store, chats: Sequence[Chat], total: int) -> None:
        wanted = {
            id(chat) for chat in chats if any(state in chat.states for state in (ADDED, EDITED))
        }
        if not wanted:
            return
        assert store.writer is not None
        bounds, ttl = self._lazy.config.bounds, self._lazy.config.short_term_ttl
        rows = (
            row_of(said, bounds, ttl)
            for said in self._reader.again()
            if id(said.chat) in wanted and said.chat.states[said.at] in (ADDED, EDITED)
        )
        done = 0
        async with aclosing(self._parts(rows, self._batch)) as parts:
            async for part in parts:
                await store.writer.write(part)
                done += len(part)
                await self._tell_stored(store, part)
                self._tell("storing messages", min(done, total), total)
                # The next batch is in other memory than this one, unless it goes back.
                await asyncio.to_thread(give_back)

    async def _tell_stored(self, store: Store, rows: Sequence[Row]) -> None:
        if self._stored is None:
            return
        talks: dict[str, list[Row]] = {}
        for row in rows:
            if row["turn"] is not None:
                talks.setdefault(row["conversation_id"], []).append(row)
        for talk in talks.values():
            await self._stored(store, talk)

    async def _order(self, store: Store, found: Comparison) -> None:
        orders = {}
        for (user, talk), place in found.places.items():
            # Summaries name the turns that they are made of.
            if talk is not None and not place.in_order and not place.known.archived:
                known = place.known
                orders[user, talk] = [str(UUID(bytes=known.id(at))) for at in range(len(known))]
        if orders:
            self._tell("putting conversations in order", 0, len(orders))
            await put_in_order(store, orders, self._stored)
            self._tell("putting conversations in order", len(orders), len(orders))

    def _tell(self, work: str, done: int, total: int) -> None:
        if self._progress is not None and total:
            self._progress(work, done, total)


def _reader_of(how: How) -> str:
    return "auto" if how.format == "bruno-memory" else how.format


def _next(items: Iterator[T], count: int) -> list[T]:
    part = []
    for item in items:
        part.append(item)
        if len(part) == count:
            break
    return part


def _moment(micros: int) -> datetime:
    return datetime(1970, 1, 1) + timedelta(microseconds=micros)  # noqa: DTZ001 - naive UTC
