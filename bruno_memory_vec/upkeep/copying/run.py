"""Copy a store into another one: open both, move what is missing, verify, report."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.cache import close_cache
from bruno_memory_vec.embedders.protocol import Embedder, Fingerprint
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.embedders.run import fingerprint_of
from bruno_memory_vec.errors import (
    FingerprintError,
    InvalidInputError,
    NotAStoreError,
    ReadOnlyError,
    StoreError,
)
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import KEY_COLUMNS, MESSAGE
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.portability.bruno_memory import SCHEME
from bruno_memory_vec.rows import checks
from bruno_memory_vec.store import manifest, unfinished
from bruno_memory_vec.store.deployment import Made, TellsHowMade, deployment_of
from bruno_memory_vec.store.manifest import IN_MEMORY, folder_of, pinned
from bruno_memory_vec.store.store import Store, close_whole, open_store
from bruno_memory_vec.upkeep.copying.comparison import Comparison, Outline, compare, outline
from bruno_memory_vec.upkeep.copying.incoming import import_bruno_memory
from bruno_memory_vec.upkeep.copying.moving import move, unlike
from bruno_memory_vec.upkeep.copying.people import (
    People,
    begin,
    carry,
    differing,
    drop_others,
    people_of,
    refuse_foreign,
)
from bruno_memory_vec.upkeep.copying.report import CopyReport
from bruno_memory_vec.upkeep.losses import ledger_problems
from bruno_memory_vec.upkeep.reembedding.report import Unembedding
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.projections import Progress

if TYPE_CHECKING:
    from bruno_core.interfaces.embedding import EmbeddingInterface

    from bruno_memory_vec.sessions.protocol import SessionStore
    from bruno_memory_vec.writing.writer import Writer

#: What is done with rows of the target that the source does not have.
Others = Literal["refuse", "keep", "remove"]

_NOTHING: Final = np.empty(0, np.int64)
# A source that is written to all the time is never copied whole; what is left is reported.
_ROUNDS = 6
_NAMED = 3


async def copy_store(
    source: str | Path,
    target: str | Path,
    *,
    embedder: str | Embedder | EmbeddingInterface | None = None,
    user_id: str | None = None,
    others: Others = "refuse",
    dry_run: bool = False,
    skip_bad: bool = False,
    source_sessions: str | None = None,
    source_key: Any = None,
    progress: Progress | None = None,
    **settings: Any,
) -> CopyReport:
    """Copy a store that is not open here into another one: a folder, or what any URL names.

    Rows are copied with their vectors, turns, times, metadata and uses, in their order; so are
    sessions, profiles, current conversations and owners. Afterwards every row is read from both
    stores and compared by its checksum. A copy that was killed is continued by the same call. The
    source may be written to meanwhile; what its last round has not seen is a problem of the report.

    Args:
        source: the store to copy, opened read-only where its engine can; or
            ``bruno-memory:FILE``, see :func:`~.incoming.import_bruno_memory`.
        target: where to; it is made if there is none.
        embedder: makes the vectors anew, where the target is not to have the source's.
        user_id: copy only this user.
        others: of rows of the target that the source does not have: "refuse" the copy, "keep" or
            "remove" them, and what is noted of conversations that the source does not have. With
            ``user_id`` only that user's count.
        dry_run: say what would be copied; write nothing, and make no store.
        skip_bad: of a bruno-memory file, leave out what cannot be stored.
        source_sessions: where the source keeps its sessions; default: where such a store does.
        source_key: the key of an encrypted source; default: that of the settings, which is the
            target's, too.
        progress: called with the number of rows that are done.
        settings: any other field of :class:`~bruno_memory_vec.MemoryConfig`, for the target.

    Raises:
        NotAStoreError: the source is none.
        FingerprintError: the target's vectors are another embedder's, and ``embedder`` is not it.
        StoreError: the target has other rows, or one of the two is locked.
        ForeignUserError: a conversation is another user's in the target.
        EmbeddingError: the embedder failed. What is copied stays, and the next call goes on.
        EngineError: an engine failed, or a row of the source is damaged.
        InvalidInputError: a setting is not usable, or both are one store.
    """
    if str(source).startswith(SCHEME):
        if others == "remove":
            raise InvalidInputError(
                "others", "a bruno-memory file is stored beside what is there", fix="Leave it out."
            )
        return await import_bruno_memory(
            str(source).removeprefix(SCHEME),
            target,
            embedder=embedder,
            user_id=user_id,
            skip_bad=skip_bad,
            dry_run=dry_run,
            progress=progress,
            **settings,
        )
    reading = pinned(reading_of(source, source_sessions, source_key, settings))
    writing = pinned(MemoryConfig.build(**{**settings, "url": str(target), "read_only": dry_run}))
    _refuse_one_store(reading.url, writing.url)
    async with opened_source(reading, embedder, writing, progress) as (store, made):
        work = _Copy(store, embedder, user_id, others, dry_run, progress)
        return await work.into(writing, made)


async def copy_of(
    store: Store,
    target: str | Path | Store,
    *,
    embedder: str | Embedder | EmbeddingInterface | None = None,
    user_id: str | None = None,
    others: Others = "refuse",
    dry_run: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> CopyReport:
    """Copy an open store, which may be written to meanwhile, as :func:`copy_store`.

    Args:
        store: the open store.
        target: where to; an open store, or the URL of one.
        embedder, user_id, others, dry_run, progress, settings: as for :func:`copy_store`.

    Raises: as :func:`copy_store`.
    """
    work = _Copy(store, embedder, user_id, others, dry_run, progress)
    if isinstance(target, Store):
        if settings:
            raise InvalidInputError(
                next(iter(settings)), "the target is open", fix="Give it where that is opened."
            )
        if target is store:
            raise _one_store(store.config.url)
        return await work.into_open(target)
    if not isinstance(target, (str, os.PathLike)):
        raise InvalidInputError(
            "target", f"is a {type(target).__name__}", fix="Give a folder, a URL or an open memory."
        )
    writing = pinned(MemoryConfig.build(**{**settings, "url": str(target), "read_only": dry_run}))
    _refuse_one_store(store.config.url, writing.url)
    return await work.into(writing, await _made(store.config))


def reading_of(
    source: str | Path, sessions: str | None, key: Any, settings: Mapping[str, Any]
) -> MemoryConfig:
    """How the source is opened: with a key only where it is encrypted."""
    keys = {name: settings[name] for name in ("key", "key_file") if name in settings}
    given = keys if key is None else {"key": key}
    config = MemoryConfig.build(url=str(source), sessions=sessions, read_only=True, **given)
    folder = folder_of(config.url)
    found = None if folder is None else manifest.read(folder)
    if key is None and (found is None or not found.encrypted):
        return config.model_copy(update={"key": None, "key_file": None})
    return config


class CopySource(Protocol):
    """What is copied: an open store, or what holds the rows of one, such as a backup's point."""

    @property
    def config(self) -> MemoryConfig:
        """Its ``url`` is what reports and errors call it."""
        ...

    @property
    def embedder(self) -> Embedder | Unembedding:
        """Its fingerprint is that of the rows' vectors."""
        ...

    @property
    def rows(self) -> RowIndex:
        """The rows: read by ``seq``, and all after one."""
        ...

    @property
    def sessions(self) -> SessionStore:
        """Sessions, profiles, owners and notes."""
        ...

    @property
    def writer(self) -> Writer | None:
        """Who has counted uses that are not in the rows yet; None for nobody."""
        ...


async def copy_from(
    source: CopySource,
    target: MemoryConfig | Store,
    made_like: Made,
    *,
    embedder: str | Embedder | EmbeddingInterface | None = None,
    user_id: str | None = None,
    others: Others = "refuse",
    dry_run: bool = False,
    progress: Progress | None = None,
) -> CopyReport:
    """Copy what holds the rows of a store, into a store.

    Args:
        source: what is copied.
        target: an open store, whose own embedder makes vectors that are another one's; or the
            settings of one.
        made_like: how a new store is to be made.
        embedder, user_id, others, dry_run, progress: as for :func:`copy_store`.

    Raises: as :func:`copy_store`.
    """
    work = _Copy(source, embedder, user_id, others, dry_run, progress)
    if isinstance(target, Store):
        return await work.embedding_into(target)
    return await work.into(target, made_like)


class _Copy:
    """One call: from an open source to the report."""

    def __init__(
        self,
        source: CopySource,
        embedder: Any,
        user_id: str | None,
        others: Others,
        dry_run: bool,
        progress: Progress | None,
    ) -> None:
        checks.names("others", [others], ("refuse", "keep", "remove"))
        checks.flag("dry_run", dry_run)
        self._source = source
        self._asked = embedder
        self._user_id = user_id
        self._scope = Scope.all_users() if user_id is None else Scope.user(user_id)
        self._others = others
        self._dry_run = dry_run
        self._progress = progress
        self._started = time.perf_counter()
        # Makes the vectors anew; None where they are copied.
        self._embedder: Embedder | None = None
        self._copied = self._removed = 0
        # The keys of all rows that the source has, or had while this was under way.
        self._seen = np.empty(0, np.uint64)
        self._begun: set[str] = set()

    async def into(self, config: MemoryConfig, made_like: Made | None) -> CopyReport:
        """Copy into the store that a config names; it is opened here."""
        embedder = None if self._asked is None else await _resolved(self._asked, config)
        try:
            made, tells = await _made(config), isinstance(deployment_of(config.url), TellsHowMade)
            mine = self._source.embedder.fingerprint
            wanted = mine if embedder is None else await fingerprint_of(embedder)
            if made is not None and made.fingerprint != wanted:
                raise _other_vectors(
                    config.url, made.fingerprint, wanted, named=embedder is not None
                )
            if config.language is None and made_like is not None:
                config = config.model_copy(update={"language": made_like.language})
            if self._dry_run and made is None and tells:
                return await self._run(None, config.url, wanted, embedder)
            opening = Unembedding(wanted) if embedder is None else embedder
            store = await self._open(config, opening, tells)
            if store is None:
                return await self._run(None, config.url, wanted, embedder)
            try:
                return await self._run(store, config.url, wanted, embedder)
            finally:
                await store.close()
        finally:
            if embedder is not None:
                await close_cache(embedder)

    async def into_open(self, target: Store) -> CopyReport:
        """Copy into a store that is open."""
        url = target.config.url
        if target.writer is None and not self._dry_run:
            raise ReadOnlyError(
                "the target was opened with read_only=True", fix="Open it without, to copy to it."
            )
        embedder = None if self._asked is None else await _resolved(self._asked, target.config)
        try:
            theirs = target.embedder.fingerprint
            mine = self._source.embedder.fingerprint
            wanted = mine if embedder is None else await fingerprint_of(embedder)
            if theirs != wanted:
                raise _other_vectors(url, theirs, wanted, named=embedder is not None)
            return await self._run(target, url, wanted, embedder)
        finally:
            if embedder is not None:
                await close_cache(embedder)

    async def embedding_into(self, target: Store) -> CopyReport:
        """Copy into a store that is open, whose own embedder makes vectors that are not its."""
        if target.writer is None and not self._dry_run:
            raise ReadOnlyError(
                "the target was opened with read_only=True", fix="Open it without, to copy to it."
            )
        wanted = target.embedder.fingerprint
        return await self._run(target, target.config.url, wanted, target.embedder)

    async def _open(self, config: MemoryConfig, embedder: Embedder, tells: bool) -> Store | None:
        try:
            return await _open(config, embedder, self._progress)
        except FingerprintError as error:
            if self._asked is not None:
                raise
            raise FingerprintError(
                str(error.message).removesuffix(error.fix).strip().rstrip("."),
                fix=_ANEW,
                cause=error,
            ) from error
        except NotAStoreError:
            # To read, a store that does not exist is not made.
            if self._dry_run and not tells:
                return None
            raise

    async def _run(
        self, target: Store | None, url: str, wanted: Fingerprint, embedder: Embedder | None
    ) -> CopyReport:
        source = self._source
        if wanted != source.embedder.fingerprint:
            self._embedder = embedder
        if source.writer is not None:
            await source.writer.flush_uses()
        mine, theirs = await self._outlines(target)
        found = compare(mine, theirs)
        people = await self._people(mine)
        report = CopyReport(
            masked(source.config.url), masked(url), self._dry_run, len(mine), _counts(mine)
        )
        if target is not None:
            await self._refuse(target, people, found)
        if self._dry_run or target is None:
            lost = await self._lost()
            removes = self._others == "remove"
            to_copy = len(found.to_copy)
            return self._finished(
                replace(
                    report,
                    copied=to_copy,
                    embedded=to_copy if self._embedder is not None else 0,
                    others=0 if removes else len(found.others),
                    removed=len(found.others) if removes else 0,
                ),
                len(mine) - to_copy,
                people,
                lost,
            )
        present = len(mine) - len(found.to_copy)
        folder = folder_of(target.config.url)
        if folder is not None:
            await asyncio.to_thread(unfinished.begin, folder)
        mine, found, unverified = await self._rounds(target, mine, found, people)
        people = await self._people(mine)
        self._tell("copying sessions", 0, 1)
        await begin(target, people.conversations)
        await carry(source.sessions, target.sessions, people)
        if self._others == "remove":
            await drop_others(source.sessions, target.sessions, people, self._user_id)
        self._tell("copying sessions", 1, 1)
        if folder is not None:
            await asyncio.to_thread(unfinished.end, folder)
        return self._finished(
            replace(
                report,
                rows=len(mine),
                rows_by_user=_counts(mine),
                copied=self._copied,
                embedded=self._copied if self._embedder is not None else 0,
                others=len(found.others),
                removed=self._removed,
                verified=len(found.here) - len(np.intersect1d(found.here, unverified)),
            ),
            present,
            people,
            [
                *await self._lost(),
                *await self._left(target, found, unverified),
                *_some(await differing(source.sessions, target.sessions, people), "differ"),
            ],
        )

    async def _rounds(
        self, target: Store, mine: Outline, found: Comparison, people: People
    ) -> tuple[Outline, Comparison, NDArray[np.int64]]:
        """Copy and verify until nothing is left.

        Returns:
            The last outline of the source, the last comparison, and the ``seq`` in the source of
            rows that are in the target and differ.
        """
        assert target.writer is not None
        source, timeout = self._source, target.config.embed_timeout
        verified, suspects = _NOTHING, _NOTHING
        gone = self._gone(mine, found, first=True)
        for _ in range(_ROUNDS):
            await self._begin(target, mine, people)
            await self._remove(target, gone)
            to_copy = np.union1d(found.to_copy, suspects)
            self._copied += await move(
                source.rows,
                to_copy,
                target.writer,
                self._embedder,
                timeout,
                self._telling("copying rows", len(to_copy)),
            )
            verified = np.setdiff1d(verified, to_copy)
            mine, theirs = await self._outlines(target)
            found = compare(mine, theirs)
            gone = self._gone(mine, found)
            new = ~np.isin(found.here, verified)
            here, there = found.here[new], found.there[new]
            suspects = await unlike(
                source.rows,
                target.rows,
                self._scope,
                here,
                there,
                embedded=self._embedder is not None,
                whole=2 * len(here) > max(len(mine), len(theirs)),
                told=self._telling("verifying rows", 2 * len(here)),
            )
            verified = np.setdiff1d(np.union1d(verified, here), suspects)
            if not (len(found.to_copy) or len(suspects) or len(gone)):
                break
        return mine, found, np.union1d(suspects, found.unlike)

    async def _outlines(self, target: Store | None) -> tuple[Outline, Outline]:
        embedded = self._embedder is not None
        self._tell("comparing the stores", 0, 2)
        mine = await outline(self._source.rows, self._scope, embedded=embedded)
        self._tell("comparing the stores", 1, 2)
        theirs = Outline.empty()
        if target is not None:
            theirs = await outline(target.rows, self._scope, embedded=embedded)
        self._tell("comparing the stores", 2, 2)
        return mine, theirs

    def _gone(self, mine: Outline, found: Comparison, *, first: bool = False) -> NDArray[np.int64]:
        """The rows of the target to remove: those that the source does not have any more."""
        gone = found.others
        if self._others != "remove":
            # Only what this copy may have written: rows that the source has lost since it began.
            gone = gone[np.isin(found.other_keys, self._seen)] if not first else _NOTHING
        self._seen = np.union1d(self._seen, mine.key)
        return gone

    async def _people(self, mine: Outline) -> People:
        users = list(dict.fromkeys(user for user, _ in mine.users))
        return await people_of(self._source.sessions, mine.conversations, users, self._user_id)

    async def _begin(self, target: Store, mine: Outline, people: People) -> None:
        """Give the conversations that are to come their owners."""
        if not self._begun:
            fresh = people.conversations
        elif mine.conversations.keys() - self._begun:
            now = await self._people(mine)
            fresh = [one for one in now.conversations if one[0] not in self._begun]
        else:
            return
        await begin(target, fresh)
        self._begun.update(talk for talk, _, _ in fresh)

    async def _refuse(self, target: Store, people: People, found: Comparison) -> None:
        """Refuse what cannot be copied, before anything is written."""
        await refuse_foreign(target.sessions, people)
        if len(found.others) and self._others == "refuse":
            named = await _described(target.rows, found.others[:_NAMED])
            raise StoreError(
                f"{masked(target.config.url)} has {counted(len(found.others), 'row')} that the "
                f"source does not have, such as {named}",
                fix='Name a new target, or say what becomes of them: others="keep" or "remove"; '
                "--merge keeps them, --mirror removes them.",
            )
        if len(found.taken) and self._others != "remove":
            named = await _described(target.rows, found.taken[:_NAMED])
            raise StoreError(
                f"{counted(len(found.taken), 'message')} of the target in conversations of the "
                f"source where that has others, such as {named}",
                fix="Copy into another store, or delete these conversations in one of the two.",
            )

    async def _remove(self, target: Store, seqs: NDArray[np.int64]) -> None:
        assert target.writer is not None
        if not len(seqs):
            return
        found = await target.rows.read(EVERYONE, RowFilter(), KEY_COLUMNS, seqs=seqs.tolist())
        groups: dict[tuple[str, str, str | None], list[str]] = {}
        for row in found.to_pylist():
            talk = row["conversation_id"] if row["kind"] == MESSAGE else None
            groups.setdefault((row["kind"], row["user_id"], talk), []).append(row["id"])
        for (kind, user, talk), ids in groups.items():
            where = RowFilter(kinds=(kind,), ids=tuple(ids))
            self._removed += await target.writer.delete(Scope.user(user).within(talk), where)

    async def _left(
        self, target: Store, found: Comparison, unverified: NDArray[np.int64]
    ) -> list[str]:
        """What the last round has not brought over."""
        problems = []
        if len(found.missing) or len(unverified):
            problems.append(
                f"{counted(len(found.missing), 'row is', 'rows are')} missing in the target, and "
                f"{counted(len(unverified), 'differs', 'differ')}: the source was written to all "
                "the time. Copy again, to go on"
            )
        count = await target.rows.count(self._scope, RowFilter())
        if count != len(found.here) + len(found.others):
            problems.append(
                f"the target counts {counted(count, 'row')}, and has {len(found.here):,} of the "
                f"source and {len(found.others):,} others: it was written to meanwhile, or holds "
                "rows twice"
            )
        return problems

    async def _lost(self) -> list[str]:
        """What the source itself misses, and so its copy."""
        known = await self._source.sessions.ledger.read()
        return [f"in the source, {one.found}" for one in ledger_problems(known)]

    def _finished(
        self, report: CopyReport, present: int, people: People, problems: list[str]
    ) -> CopyReport:
        return replace(
            report,
            present=present,
            conversations=len(people.conversations),
            sessions=len(people.sessions),
            users=people.profiles,
            problems=tuple(problems),
            seconds=time.perf_counter() - self._started,
        )

    def _telling(self, work: str, total: int) -> Callable[[int], None]:
        return lambda done: self._tell(work, done, total)

    def _tell(self, work: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(work, done, total)


_ANEW = (
    "Name the target's embedder (embedder=..., or --embedder NAME): the vectors are made anew with "
    "it. Or copy into a new store, and nothing is embedded."
)


def _other_vectors(
    url: str, theirs: Fingerprint, wanted: Fingerprint, *, named: bool
) -> FingerprintError:
    return FingerprintError(
        f"the vectors in {masked(url)} were made by {theirs}, not by {wanted}",
        fix="Name the target's own embedder, or copy into a new store." if named else _ANEW,
    )


async def _resolved(asked: Any, config: MemoryConfig) -> Embedder:
    return await asyncio.to_thread(
        resolve_embedder,
        asked,
        cache=config.embedding_cache,
        cache_bytes=config.embedding_cache_mb * 2**20,
    )


async def _made(config: MemoryConfig) -> Made | None:
    deployment = deployment_of(config.url)
    return await deployment.made(config) if isinstance(deployment, TellsHowMade) else None


@asynccontextmanager
async def opened_source(
    config: MemoryConfig, asked: Any, target: MemoryConfig, progress: Progress | None
) -> AsyncIterator[tuple[Store, Made | None]]:
    """The source, opened to read; of an engine that cannot, as its only writer."""
    made = await _made(config)
    if made is not None:
        embedder: Embedder = Unembedding(made.fingerprint)
    elif isinstance(deployment_of(config.url), TellsHowMade):
        raise NotAStoreError(
            f"there is no store in {masked(config.url)}", fix="Name the store to copy."
        )
    else:
        embedder = await _resolved(config.embedder if asked is None else asked, target)
    await asyncio.to_thread(_refuse_without_sessions, config)
    store = await _open(config, embedder, progress)
    try:
        yield store, made
    finally:
        await close_whole(store)


async def _open(config: MemoryConfig, embedder: Embedder, progress: Progress | None) -> Store:
    try:
        return await open_store(config, embedder, progress)
    except InvalidInputError as error:
        if not config.read_only or error.field != "read_only":
            raise
    return await open_store(config.model_copy(update={"read_only": False}), embedder, progress)


def _refuse_without_sessions(config: MemoryConfig) -> None:
    folder = folder_of(config.url)
    if folder is None or config.sessions is not None:
        return
    found = manifest.read(folder)
    name = manifest.SESSIONS if found is None else found.sessions
    if (folder / name).exists():
        return
    raise StoreError(
        f"{folder} has no {name}: its sessions are elsewhere, or lost",
        fix="Say where they are: source_sessions=..., or --source-sessions URL. If they are lost, "
        "open the store once to write: they begin anew from the rows.",
    )


def _refuse_one_store(source: str, target: str) -> None:
    mine, theirs = folder_of(source), folder_of(target)
    if mine is not None and theirs is not None:
        mine, theirs = mine.resolve(), theirs.resolve()
        if mine == theirs:
            raise _one_store(source)
        if mine in theirs.parents or theirs in mine.parents:
            raise InvalidInputError(
                "target", f"{theirs} and {mine} are inside each other", fix="Name another folder."
            )
    elif source == target != IN_MEMORY:
        raise _one_store(source)


def _one_store(url: str) -> InvalidInputError:
    return InvalidInputError(
        "target", f"{masked(url)} is the source itself", fix="Name another store."
    )


def _counts(mine: Outline) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for (user, kind), number in sorted(mine.users.items()):
        counts.setdefault(user, {})[kind] = number
    return counts


async def _described(rows: RowIndex, seqs: NDArray[np.int64]) -> str:
    found = await rows.read(EVERYONE, RowFilter(), KEY_COLUMNS, seqs=seqs.tolist())
    return ", ".join(
        f"the {row['kind']} {row['id']} of {row['user_id']!r}" for row in found.to_pylist()
    )


def _some(names: list[str], what: str) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return [f"{', '.join(names[:_NAMED])}{more} {what} in the target"]
