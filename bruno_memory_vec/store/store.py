"""An open store: opens its engines at first use, connects them, and closes them."""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.cache import close_cache
from bruno_memory_vec.embedders.protocol import Embedder, Fingerprint
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.embedders.run import fingerprint_of
from bruno_memory_vec.errors import (
    BackendUnavailable,
    EmbeddingError,
    EngineError,
    ReadOnlyError,
    StoreClosedError,
    StoreMovedError,
)
from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import (
    CountsLookups,
    HidesIds,
    LexicalIndex,
    RowIndex,
    SearchesText,
)
from bruno_memory_vec.indexers.schema import row_schema
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.observability.observer import Observer
from bruno_memory_vec.recall import Retriever
from bruno_memory_vec.sessions.arrivals import Announcer, Queue
from bruno_memory_vec.sessions.owners import Owners
from bruno_memory_vec.sessions.protocol import Listens, SessionStore, SharesChanges
from bruno_memory_vec.store import leftovers
from bruno_memory_vec.store.deployment import close_all, deployment_of
from bruno_memory_vec.store.fallback import Chosen, first_that_opens
from bruno_memory_vec.store.forgotten import close_if_forgotten
from bruno_memory_vec.store.manifest import folder_of, pinned
from bruno_memory_vec.store.place import Place
from bruno_memory_vec.store.record import UpkeepRecord
from bruno_memory_vec.store.trail.trail import AuditTrail
from bruno_memory_vec.writing.background import runs
from bruno_memory_vec.writing.dependants.titles import MadeTitles
from bruno_memory_vec.writing.known_ids import KnownIds
from bruno_memory_vec.writing.lease import WriterLease
from bruno_memory_vec.writing.projections import Progress, Projection, Projections
from bruno_memory_vec.writing.projections.guarded import Guarded
from bruno_memory_vec.writing.projections.lexical import LexicalProjection
from bruno_memory_vec.writing.projections.sessions import SessionsProjection
from bruno_memory_vec.writing.reconcile import look
from bruno_memory_vec.writing.visits import Visits
from bruno_memory_vec.writing.writer import Writer

if TYPE_CHECKING:
    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.embedders.protocol import Embedder
    from bruno_memory_vec.store.local import Replaced
    from bruno_memory_vec.writing.writer import Writer


_log = get_logger(__name__)


@dataclass(eq=False)
class Store:
    """The parts of an open memory. Open one with :func:`open_store`.

    ``lexical`` is the lexical index; of rows that search text themselves it has, in memory, the
    words of users whose rows are held. ``listen`` gives what is stored in a conversation from then
    on, by any process that writes, or by this one where only one can.
    """

    config: MemoryConfig
    embedder: Embedder
    rows: RowIndex
    lexical: LexicalIndex
    sessions: SessionStore
    projections: Projections
    lease: WriterLease | None
    writer: Writer | None
    retriever: Retriever
    owners: Owners
    listen: Callable[[str], AbstractAsyncContextManager[Queue]]
    record: UpkeepRecord | None = None
    place: Place | None = None
    #: Which of several URLs this is; None where only one was given.
    chosen: Chosen | None = None
    #: Stops a running re-embedding, and waits until it has ended.
    stop_move: Callable[[], Awaitable[None]] | None = None
    replaced: list[Replaced] = field(default_factory=list)
    #: Small texts of a store that is not kept, by their names.
    texts: dict[str, str] = field(default_factory=dict)
    #: Held while a user is forgotten: one after the other.
    forgetting: LoopLock = field(default_factory=LoopLock)
    #: Held while a note of a conversation is read and saved anew (:func:`.notes.change_note`).
    notes_lock: LoopLock = field(default_factory=LoopLock)
    #: What is known of groups, by its key (:mod:`.conversations.groups`), where only this process
    #: changes them.
    groups: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Measures and traces what this does; None where nobody wants that.
    observer: Observer | None = None

    def observe(self, observer: Observer) -> None:
        """Let somebody measure and trace writes, recalls and the work in the background."""
        self.observer = self.retriever.observer = observer
        if self.writer is not None:
            self.writer.observe(observer)

    def figures(self) -> Mapping[str, float]:
        """What changes from moment to moment, for a scrape; any thread may ask.

        Returns:
            The writer's figures (:meth:`.Writer.health`), and by "recall_hits", "recall_misses",
            "context_hits", and so on, how often the caches of rows, contexts and vectors had what
            was asked for.
        """
        found: dict[str, float] = {}
        if self.writer is not None:
            found.update(self.writer.health())
            found["sessions_behind"] = float(self.writer.sessions_wait)
        caches = {
            "recall": capability(self.rows, CountsLookups),
            "context": self.sessions,
            "embedding": self.embedder,
        }
        for name, cache in caches.items():
            if isinstance(cache, CountsLookups):
                found[f"{name}_hits"], found[f"{name}_misses"] = cache.lookups
        return found

    def check(self) -> None:
        """Refuse to use a store whose folder, process or event loop is another one now.

        Raises:
            StoreMovedError: its files are not where they were opened.
            StoreError: this is another process, or work that an earlier event loop left halfway.
        """
        if self.lease is not None:
            self.lease.check()
        elif self.place is not None:
            self.place.check()

    def switch(self, rows: RowIndex, embedder: Embedder, folder: Path, before: Path) -> None:
        """Use another copy of the rows from now on. The caller holds ``Writer.exclusive``.

        Args:
            rows: the same rows, with vectors that ``embedder`` made; sealed ones with what opens
                them in front.
            embedder: makes the vectors from now on.
            folder: the folder of ``rows``. It has no write-ahead log yet.
            before: the folder of the rows until now; removed in a minute, or at :meth:`close`.
        """
        from bruno_memory_vec.store.local import Replaced, logged_behind, table_of, with_a_cache

        assert self.writer is not None
        dimension = embedder.fingerprint.dimension
        if self.place is not None:
            self.place.keep(table_of(folder))
            self.place.forget(table_of(before))
        logged = logged_behind(rows, folder, dimension, self.config, self.check)
        fresh = with_a_cache(logged, self.config)
        replaced = Replaced(self.rows, self.embedder, before, self.check)
        self.replaced.append(replaced)
        replaced.remove_later()
        self.writer.switch(fresh, embedder, row_schema(dimension))
        self.rows, self.embedder = fresh, embedder
        if isinstance(self.sessions, SharesChanges):
            self.sessions.rebuild_from(fresh)
        # A new retriever, so that a running recall ends with the vectors that it began with.
        timeout = self.config.embed_timeout
        self.retriever = Retriever(fresh, self.lexical, embedder, self.writer, timeout)
        self.retriever.observer = self.observer

    async def close(self) -> None:
        """Finish, flush and close all parts, even if one of them fails.

        If the caller is cancelled, it holds its folder until this is called again.
        """
        if self.observer is not None:
            await self.observer.closing()
        if self.stop_move is not None:
            await self.stop_move()
        parts: list[Callable[[], Any]] = [
            *(projection.close for projection in self.projections),
            *(() if capability(self.rows, SearchesText) is None else (self.lexical.close,)),
            self.rows.close,
            *(replaced.remove for replaced in self.replaced),
        ]
        if self.writer is not None:
            parts.insert(0, self.writer.close)
        failed: Exception | None = None
        for close in parts:
            try:
                await close()
            except StoreMovedError as error:
                # What was acknowledged is in the folder, wherever that is now.
                _log.warning("closed_without_its_folder", reason=str(error))
            except Exception as error:
                _log.error("close_failed", error=str(error))
                failed = failed or error
        if self.lease is not None:
            self.lease.release()
        elif self.place is not None:
            self.place.close()
        if self.observer is not None:
            self.observer.closed()
        if failed is not None:
            raise failed


class Follower(Projection, Protocol):
    """A projection that uses the rest of the store, too: it is given it when that is open."""

    def opened(self, store: Store) -> None:
        """Called once, before the first call of the memory."""
        ...


async def open_store(
    config: MemoryConfig,
    embedder: Embedder,
    progress: Progress | None = None,
    projections: Sequence[Projection] = (),
    followers: Sequence[Follower] = (),
    trail: AuditTrail | None = None,
) -> Store:
    """Open the store that ``config.url`` names, or make it; of several ``urls`` the first one that
    can be reached (:mod:`bruno_memory_vec.store.fallback`).

    Args:
        config: the settings.
        embedder: makes the vectors.
        progress: called with the progress of long work.
        projections: further projections of the rows. A reader does not use them.
        followers: those of the memory itself, which are given the store.
        trail: the audit trail of a memory. Where the settings want one and none is given, the
            store has its own, which says which part of the library has opened it.

    Raises:
        StoreError: there is no store, it is locked, or was made by another embedder or version.
        EngineError: an engine cannot be opened.
        InvalidInputError: the URL or the language is not known.
    """
    config = pinned(config)
    opener = None
    if trail is None and config.audit:
        # Found and not given, so that no function that opens a store is missing.
        trail, opener = AuditTrail(config), _opener(sys._getframe(1))
    # Reading the fingerprint may load a model, so it is done in a thread.
    fingerprint = await fingerprint_of(embedder)

    async def open_one(one: MemoryConfig) -> Store:
        if trail is None:
            return await _open_one(one, embedder, fingerprint, progress, projections, followers)
        own = (*followers, trail)
        store = await _open_one(one, embedder, fingerprint, progress, projections, own)
        try:
            await asyncio.to_thread(trail.open, one, opener)
        except BaseException:
            await store.close()
            raise
        return store

    if not config.urls:
        return await open_one(config)
    store, chosen = await first_that_opens(config, open_one)
    store.chosen = chosen
    return store


def _opener(frame: FrameType) -> str:
    """The room or folder of the module that a frame is of, such as "copying"."""
    *_, folder, _module = ("", *str(frame.f_globals.get("__name__", "")).split("."))
    return folder if folder not in ("upkeep", "privacy") else _module


async def _open_one(
    config: MemoryConfig,
    embedder: Embedder,
    fingerprint: Fingerprint,
    progress: Progress | None,
    projections: Sequence[Projection],
    followers: Sequence[Follower],
) -> Store:
    parts = await deployment_of(config.url).open(config, fingerprint, progress)
    rows, sessions, lease = parts.rows, parts.sessions, parts.lease
    announcer = Announcer()
    listens = sessions if isinstance(sessions, Listens) else announcer
    # The one that has nobody to tell is told nothing.
    told = announcer if listens is announcer else None
    own: list[Projection] = [SessionsProjection(sessions, told), *followers]
    if parts.lexical is not None:
        own.insert(0, LexicalProjection(parts.lexical))
    all_projections = Projections(own, [Guarded(one) for one in projections])
    timeout, writer, notes_lock = config.embed_timeout, None, LoopLock()
    owners = Owners(sessions, config.default_user)
    if isinstance(sessions, SharesChanges):
        sessions.rebuild_from(rows)
    try:
        lexical = parts.lexical or await _words_in_memory(rows)
        if lease is None:
            if (await look(sessions, rows)).lost:
                sessions.distrust()
        else:
            behind = await _caught_up(config, rows, all_projections, lease, progress)
            schema = row_schema(fingerprint.dimension)
            known = KnownIds.unread(capability(rows, HidesIds))
            writer = Writer(
                rows,
                all_projections,
                lease,
                owners,
                embedder,
                known,
                schema,
                timeout,
                config.keep_expired,
                MadeTitles(sessions, notes_lock),
            )
            folder = folder_of(config.url)
            if folder is not None:
                writer.erasing_waits = lambda: asyncio.to_thread(leftovers.present, folder)
            if parts.record is not None:
                writer.keep_problems(parts.record.keep_problems)
            writer.behind(behind)
            if lease.exclusive:
                writer.learn_rows()
            writer.begin_upkeep()
            writer.look_for_damage()
    except BaseException:
        await close_all([rows, *all_projections])
        if lease is not None:
            lease.release()
        elif parts.place is not None:
            parts.place.close()
        raise
    store = Store(
        config=config,
        embedder=embedder,
        rows=rows,
        lexical=lexical,
        sessions=sessions,
        projections=all_projections,
        lease=lease,
        writer=writer,
        retriever=Retriever(rows, lexical, embedder, writer, timeout),
        owners=owners,
        listen=listens.listen,
        record=parts.record,
        place=parts.place,
        notes_lock=notes_lock,
    )
    for follower in followers:
        follower.opened(store)
    return store


async def _caught_up(
    config: MemoryConfig,
    rows: RowIndex,
    projections: Projections,
    lease: WriterLease,
    progress: Progress | None,
) -> dict[str, Exception]:
    """Let all projections know of every row; returns which have to follow before the next write."""
    try:
        behind = await projections.catch_up(rows, progress)
        # A number that was given is never given again, even if its row is gone.
        lease.start_after(await projections.last_seq())
    except BackendUnavailable as error:
        if config.without_sessions != "rows" or error.engine == rows.name:
            raise
        # The rows answer alone, until the server of the sessions does.
        lease.start_after(await rows.last_seq())
        return {SessionsProjection.name: error}
    return behind


async def _words_in_memory(rows: RowIndex) -> LexicalIndex:
    """An empty lexical index in memory, which reads texts as rows do that search text themselves.

    Raises:
        EngineError: they do not.
    """
    text = capability(rows, SearchesText)
    if text is None:
        raise EngineError(
            rows.name,
            "search text",
            "it does not, and its deployment gave no lexical index",
            fix="Let the deployment give one in Parts.lexical, or the engine be a SearchesText.",
        )
    from bruno_memory_vec.indexers.tantivy.index import TantivyIndex

    return await asyncio.to_thread(TantivyIndex, None, text.analyser)


@dataclass(eq=False)
class LazyStore:
    """A store that is opened at first use, shared by a memory and its views.

    Attributes:
        config: how to open it; once it is open, ``url`` is the one of ``urls`` that was chosen.
        embedder: an embedder, or an argument of :func:`resolve_embedder`.
        progress: called with the progress of long work while opening.
        projections: further projections of the rows.
        followers: projections of the memory itself, which are given the store.
        opened: called once, when it was opened; it must hold neither this nor the memory.
        trail: keeps what public methods do; None where nobody wants that.
        first: awaited once with the open store, before any call gets it.
        observer: measures, traces and logs calls; None where nobody wants that.
        health: gives an open store's sizes and problems to the observer.
    """

    config: MemoryConfig
    embedder: Any
    progress: Progress | None = None
    projections: Sequence[Projection] = ()
    followers: Sequence[Follower] = ()
    opened: Callable[[LazyStore], None] | None = None
    trail: AuditTrail | None = None
    first: Callable[[Store], Awaitable[None]] | None = None
    observer: Observer | None = None
    health: Callable[[Store], Awaitable[Mapping[str, Any]]] | None = None
    _store: Store | None = None
    _visits: Visits = field(default_factory=Visits)
    _opening: LoopLock = field(default_factory=LoopLock)
    _closed: bool = False
    _closing: asyncio.Future[None] | None = None
    _forgotten: weakref.finalize[Any, Any] | None = None

    def enter(self) -> None:
        """Let a call in. Every call comes through here, before it does anything.

        Raises:
            StoreClosedError: the memory was closed.
            StoreError: it was opened in another process, or another event loop uses it now.
        """
        self._refuse_if_closed()
        self._visits.enter()

    async def get(self, *, checked: bool = True) -> Store:
        """The open store; opened now if this is its first use.

        Args:
            checked: refuse a store whose folder was moved, deleted or replaced.

        Raises:
            StoreClosedError: it was closed.
            StoreMovedError: its folder was moved, deleted or replaced.
            StoreError, EngineError, EmbeddingError: it cannot be opened, or not be used here.
        """
        # Before the lock, too: whoever closes holds it until all is written.
        self.enter()
        if self._store is None:
            async with self._opening:
                self.enter()
                if self._store is None:
                    embedder = await self._resolve_embedder()
                    store = await open_store(
                        self.config,
                        embedder,
                        self.progress,
                        self.projections,
                        self.followers,
                        self.trail,
                    )
                    if self.first is not None:
                        try:
                            await self.first(store)
                        except BaseException:
                            await close_whole(store)
                            raise
                    # Only now: other calls get it without waiting for the lock.
                    self._store = store
                    self.config = store.config
                    self._forgotten = close_if_forgotten(
                        self, self._visits, lambda: close_whole(store)
                    )
                    if self.observer is not None:
                        self._observe(store, self.observer)
                    if self.opened is not None:
                        self.opened(self)
        if checked:
            self._store.check()
        return self._store

    def _observe(self, store: Store, observer: Observer) -> None:
        store.observe(observer)
        health, known = self.health, weakref.ref(store)

        async def look() -> Mapping[str, Any]:
            found = known()
            return {} if found is None or health is None else await health(found)

        observer.opened(store, look)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreClosedError("the memory is closed", fix="Open it again.")

    @property
    def open_store(self) -> Store:
        """The store, in a call that has opened or checked it already."""
        assert self._store is not None
        return self._store

    @property
    def owners(self) -> Owners:
        """The owners of conversations in the open store."""
        return self.open_store.owners

    def at_work(self) -> AbstractContextManager[None]:
        """Around work that writes much, see :meth:`Writer.at_work`; nothing if it is not open."""
        writer = None if self._store is None else self._store.writer
        return nullcontext() if writer is None else writer.at_work()

    async def writer(self) -> Writer:
        """The writer of the open store.

        Raises:
            ReadOnlyError: the store was opened read-only.
        """
        writer = (await self.get()).writer
        if writer is None:
            raise ReadOnlyError(
                "the memory was opened with read_only=True", fix="Open it without, to write."
            )
        return writer

    async def _resolve_embedder(self) -> Embedder:
        try:
            cache, limit = self.config.embedding_cache, self.config.embedding_cache_mb * 2**20
            return await asyncio.to_thread(
                resolve_embedder, self.embedder, cache=cache, cache_bytes=limit
            )
        except BrunoError:
            raise
        except Exception as error:  # whatever a user's provider raises
            raise EmbeddingError(
                f"the embedder {self.embedder!r} cannot be used: {error}",
                fix="Check that its provider answers.",
                cause=error,
            ) from error

    async def close(self) -> None:
        """Close the store, if it was opened. It cannot be opened again.

        If the caller is cancelled, the closing itself completes; calling again waits for it. In a
        forked child it does nothing: files, lock and what waits are the parent's.

        Raises:
            StoreError: another event loop uses the memory now. It is not closed.
        """
        if self._visits.elsewhere:
            self._closed = True
            return
        closing = self._closing
        if closing is not None and closing.done() and not closing.cancelled():
            closing.result()  # raises again what it has raised
            return
        self._visits.enter()
        if closing is None or closing.done() or not runs(closing):
            # It may have been stopped with its event loop, and goes on here.
            closing = self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(closing)

    async def _close(self) -> None:
        self._closed = True
        async with self._opening:
            store = self._store
            if store is None:
                return
            try:
                await close_whole(store)
            except Exception:
                self._let_go()
                raise
            # Not if this was cancelled: then the next call goes on, or else the collector.
            self._let_go()

    def _let_go(self) -> None:
        self._store = None
        if self._forgotten is not None:
            self._forgotten.detach()


async def close_whole(store: Store) -> None:
    """Close a store, and the cache of its embedder."""
    await store.close()
    await close_cache(store.embedder)
