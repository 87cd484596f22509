"""A new point of a backup.

What the point before has is known by ``seq`` and checksum, so only rows that are new or changed are
read, and what was deleted is simply not in the new point. While rows are read the store goes on;
in the end the writes of this process wait until the few rows are read that came meanwhile, and the
point is the store of that moment. A store that others write is read until what was read is what is
there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bruno_memory_vec.config import MemoryConfig, one_config
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.errors import InvalidInputError, NotAStoreError, StoreError
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.checked import readable, unchecked
from bruno_memory_vec.indexers.checksum import changed
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import SearchesPending, SearchesText
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import CHECKSUM, MESSAGE, SCHEMA_VERSION
from bruno_memory_vec.indexers.snapshot import LOADED
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.rows import checks
from bruno_memory_vec.store.copies import known_copies, note_copy
from bruno_memory_vec.store.deployment import TellsHowMade, deployment_of
from bruno_memory_vec.store.manifest import folder_of, of_one
from bruno_memory_vec.store.store import Store, close_whole, open_store
from bruno_memory_vec.upkeep.backup.chunks import list_of, packed, rows_to_parts
from bruno_memory_vec.upkeep.backup.contents import Contents, Integers
from bruno_memory_vec.upkeep.backup.keys import UnderKeys, copy_keys, refuse_place, sealing_of
from bruno_memory_vec.upkeep.backup.people import people_to_pieces, persons
from bruno_memory_vec.upkeep.backup.places import path_of, repository
from bruno_memory_vec.upkeep.backup.points import Held, Point, read_points
from bruno_memory_vec.upkeep.backup.report import BackupReport
from bruno_memory_vec.upkeep.backup.repository import CHUNKS, LISTS, PEOPLE, Repository
from bruno_memory_vec.upkeep.backup.sealing import Sealing
from bruno_memory_vec.upkeep.copying.people import people_of
from bruno_memory_vec.upkeep.losses import ledger_problems
from bruno_memory_vec.upkeep.reembedding.report import Unembedding
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.projections import Progress

_log = get_logger(__name__)

#: A chunk has so many rows at most.
ROWS_A_CHUNK = 4_096
_BYTES_A_CHUNK = 32 * 2**20
_ROWS_AT_ONCE = 2_048
# So few rows are read while writes wait.
_FEW = 1_000
_ROUNDS = 8
_BETWEEN_TRIES = 0.2
# Small chunks, and those of which most is dead, are read from the store again now and then, so that
# a backup that is made every hour does not end as thousands of pieces.
_SMALL, _MANY_SMALL = 512, 64
_NAMED = 3
_IDENTITY = ("seq", CHECKSUM)
_OUTLINED = (*_IDENTITY, "kind", "user_id")


async def backup_store(
    url: str | None = None,
    target: str | Path = "",
    *,
    embedder: str | Embedder | None = None,
    config: MemoryConfig | None = None,
    sealing: Sealing | None = None,
    full: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> BackupReport:
    """Add a point to a backup, of a store that is not open here; another process may write it.

    Args:
        url: the store. Default: ``BRUNO_MEMORY_URL``, else ``./bruno-memory``.
        target: the backup, a folder or a file; it is made if there is none.
        embedder: that of the store, for a kind of store that cannot tell it.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings.
        sealing: what every piece passes; None for the keys of an encrypted store, else nothing.
        full: read every row from the store, also those that the point before has; so damaged
            pieces of the backup are made anew.
        progress: called with the progress of long work.
        settings: any other field of the config.

    Raises:
        NotAStoreError: there is no store.
        InvalidInputError: ``target`` is something else, or inside the store.
        StoreLockedError: another backup to it is under way.
        StoreError: the store changes too fast, or the backup has another key.
        EngineError: the store cannot be read, or the backup not be written.
    """
    named = {} if url is None else {"url": str(url)}
    reading = of_one(one_config(config, {**named, **settings}), "a backup")
    reading = reading.model_copy(update={"read_only": True})
    path_of("target", target)
    async with opened_to_read(reading, embedder, progress) as store:
        return await backup_of(store, target, sealing=sealing, full=full, progress=progress)


async def backup_of(
    store: Store,
    target: str | Path,
    *,
    sealing: Sealing | None = None,
    full: bool = False,
    progress: Progress | None = None,
) -> BackupReport:
    """Add a point to a backup, of an open store, which may be written meanwhile.

    Args:
        store: the open store.
        target: the backup, a folder or a file; it is made if there is none.
        sealing: what every piece passes; None for the keys of an encrypted store, else nothing.
        full: read every row from the store, also those that the point before has; so damaged
            pieces of the backup are made anew.
        progress: called with the progress of long work.

    Raises: as :func:`backup_store`.
    """
    path = path_of("target", target)
    folder = folder_of(store.config.url)
    if folder is not None and folder.resolve() in (path.resolve(), *path.resolve().parents):
        raise InvalidInputError(
            "target", f"{path} is inside the store", fix="Name a place beside it."
        )
    async with repository("target", path, write=True) as place:
        if sealing is None:
            sealing = sealing_of(store)
        if isinstance(sealing, UnderKeys):
            refuse_place(place)
        report = await _Backup(store, place, sealing, full, progress).run()
    if folder is not None:
        await asyncio.to_thread(_note, folder, path)
    return report


def _note(folder: Path, path: Path) -> None:
    """Let the store know of its backup, for erasures; once, however many points it gets."""
    if not any(copy.place == str(path) for copy in known_copies(folder)):
        note_copy(folder, "backup", path)


@asynccontextmanager
async def opened_to_read(
    config: MemoryConfig, asked: Any, progress: Progress | None
) -> AsyncIterator[Store]:
    """A store that is opened to read; of an engine that cannot, as its only writer.

    Raises:
        NotAStoreError: there is none.
        StoreError, EngineError: it cannot be opened.
    """
    from bruno_memory_vec.embedders.resolve import resolve_embedder

    deployment = deployment_of(config.url)
    if isinstance(deployment, TellsHowMade):
        made = await deployment.made(config)
        if made is None:
            raise NotAStoreError(
                f"there is no store in {masked(config.url)}", fix="Name another one."
            )
        embedder: Embedder = Unembedding(made.fingerprint)
    else:
        chosen = config.embedder if asked is None else asked
        embedder = await asyncio.to_thread(resolve_embedder, chosen)
    try:
        store = await open_store(config, embedder, progress)
    except InvalidInputError as error:
        if error.field != "read_only":
            raise
        writing = config.model_copy(update={"read_only": False})
        store = await open_store(writing, embedder, progress)
    try:
        yield store
    finally:
        await close_whole(store)


def language_of_open(store: Store) -> str | None:
    """The stemmer of an open store's words, as the setting has it; None where nobody tells."""
    searches = capability(store.rows, SearchesText)
    if searches is not None:
        return searches.analyser.language or "none"
    if isinstance(store.lexical, SearchesPending):
        return store.lexical.analyser.language or "none"
    return store.config.language


class _Backup:
    """One call: from an open store to the report."""

    def __init__(
        self,
        store: Store,
        place: Repository,
        sealing: Sealing,
        full: bool,
        progress: Progress | None,
    ) -> None:
        self._store = store
        self._rows = unchecked(store.rows)
        self._place = place
        self._sealing = sealing
        self._full = checks.flag("full", full)
        self._progress = progress
        self._started = time.perf_counter()
        self._known = Contents()
        self._written = 0
        # What is damaged in the store: its (seq, checksum).
        self._damaged: set[tuple[int, int]] = set()
        self._waited = 0.0

    async def run(self) -> BackupReport:
        """Add a point.

        Raises: as :func:`backup_store`.
        """
        place = self._place
        before = await asyncio.to_thread(place.size)
        points = await asyncio.to_thread(read_points, place)
        last = points.last
        if last is not None and last.sealing != self._sealing.name:
            raise StoreError(
                f"the backup is sealed as {last.sealing!r}, not as {self._sealing.name!r}",
                fix="Name another place for this store's backup.",
            )
        if last is not None and last.fingerprint == self._store.embedder.fingerprint:
            chunks = [] if self._full else _kept(last.chunks)
            self._known = await asyncio.to_thread(
                Contents.read, place, self._sealing, chunks, only_whole=True
            )
        if self._store.writer is not None:
            await self._store.writer.flush_uses()
        seq, checksum, kinds, at = await self._moment()
        point = await self._point(last, seq, checksum, kinds, at)
        folder = folder_of(self._store.config.url)
        if isinstance(self._sealing, UnderKeys) and folder is not None:
            await to_its_end(asyncio.to_thread(copy_keys, folder, place))
        written = await to_its_end(asyncio.to_thread(points.with_point, place, point))
        if place.sweeps:
            await to_its_end(asyncio.to_thread(place.keep_only, points.pieces()))
        size = await asyncio.to_thread(place.size)
        _log.info("backup_made", target=place.path, point=written.number, rows=written.rows)
        return BackupReport(
            target=place.path,
            point=written,
            points=len(points.points),
            written=self._written,
            bytes_written=max(0, size - before),
            bytes=size,
            seconds=time.perf_counter() - self._started,
            waited=self._waited,
        )

    async def _moment(self) -> tuple[Integers, Integers, _Kinds, datetime]:
        """Bring every row of one moment into the repository; returns which these are, and when."""
        writer = self._store.writer
        for _ in range(_ROUNDS):
            at = datetime.now(timezone.utc)
            seq, checksum, kinds = await self._outline()
            missing = self._missing(seq, checksum)
            if len(missing) <= _FEW and writer is not None and writer.writes_alone:
                break
            await self._keep(seq[missing], checksum[missing])
            if writer is not None and writer.writes_alone:
                continue
            again = await self._outline(_IDENTITY)
            # What is there still, and as it was, was there at one moment; what came is later.
            stayed = len(np.setdiff1d(_both(seq, checksum), _both(*again[:2]))) == 0
            if stayed and not len(self._missing(seq, checksum)):
                return seq, checksum, kinds, at
            await asyncio.sleep(_BETWEEN_TRIES)
        if writer is None or not writer.writes_alone:
            raise StoreError(
                "the store changes too fast to be read as of one moment",
                fix="Make the backup in the process that writes: memory.backup(target). Or try "
                "again at a quieter time.",
            )
        # Few rows are left: nothing is written until they are read.
        async with writer.exclusive:
            began = time.perf_counter()
            # Whose the others are is known from the last outline.
            seq, checksum, _ = await self._outline(_IDENTITY)
            missing = self._missing(seq, checksum)
            tables = [table async for table in self._read(seq[missing], checksum[missing])]
            at = datetime.now(timezone.utc)
            self._waited = time.perf_counter() - began
        for table in tables:
            kinds.add(table)
        for chunk in _chunks(tables):
            await self._write(chunk)
        if len(self._missing(seq, checksum)):
            raise StoreError("rows of the store cannot be read", fix="Run: bruno-memory-vec doctor")
        return seq, checksum, kinds, at

    async def _outline(
        self, columns: tuple[str, ...] = _OUTLINED
    ) -> tuple[Integers, Integers, _Kinds]:
        """The ``seq`` and checksum of each row, ascending; with :data:`_OUTLINED` kind and user."""
        seqs, checksums, kinds = [np.empty(0, np.int64)], [np.empty(0, np.int64)], _Kinds()
        async for batch in self._rows.after(-1, columns, EVERYONE):
            if not batch.num_rows:
                continue
            table = readable(pa.Table.from_batches([batch]))
            seqs.append(table.column("seq").to_numpy())
            checksums.append(table.column(CHECKSUM).to_numpy())
            if columns == _OUTLINED:
                kinds.add(table)
        seq, first = np.unique(np.concatenate(seqs), return_index=True)
        return seq, np.concatenate(checksums)[first], kinds

    def _missing(self, seq: Integers, checksum: Integers) -> Integers:
        found = np.flatnonzero(self._known.find(seq, checksum) < 0)
        if self._damaged:
            pairs = zip(seq[found].tolist(), checksum[found].tolist(), strict=True)
            found = found[[pair not in self._damaged for pair in pairs]]
        return found

    async def _keep(self, seq: Integers, checksum: Integers) -> None:
        """Read these rows, and write them as chunks. What has gone meanwhile is left out."""
        waiting: list[pa.Table] = []
        done = 0
        async for table in self._read(seq, checksum):
            waiting.append(table)
            done += table.num_rows
            if sum(one.num_rows for one in waiting) >= ROWS_A_CHUNK or (
                sum(one.nbytes for one in waiting) >= _BYTES_A_CHUNK
            ):
                for chunk in _chunks(waiting):
                    await self._write(chunk)
                waiting = []
            self._tell("backing up rows", done, len(seq))
        for chunk in _chunks(waiting):
            await self._write(chunk)

    async def _read(self, seq: Integers, checksum: Integers) -> AsyncIterator[pa.Table]:
        for start in range(0, len(seq), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            found = await self._rows.read(EVERYONE, RowFilter(), LOADED, seqs=seq[part].tolist())
            table = await asyncio.to_thread(_sound, found, seq[part], checksum[part], self._damaged)
            if table.num_rows:
                yield table

    async def _write(self, rows: pa.Table) -> None:
        def write() -> tuple[Held, Integers, Integers]:
            parts, ordered = rows_to_parts(rows, self._sealing)
            chunk = self._place.write(CHUNKS, packed(parts))
            listed = self._place.write(LISTS, self._sealing.seal(list_of(ordered), None))
            seq, checksum = (ordered.column(name).to_numpy() for name in ("seq", CHECKSUM))
            return Held(chunk, listed, rows.num_rows), seq, checksum

        held, seq, checksum = await to_its_end(asyncio.to_thread(write))
        self._known.add(held, seq, checksum)
        self._written += rows.num_rows

    async def _point(
        self, last: Point | None, seq: Integers, checksum: Integers, kinds: _Kinds, at: datetime
    ) -> Point:
        store, place = self._store, self._place
        self._tell("backing up sessions", 0, 1)
        people = await people_of(store.sessions, {}, kinds.users(), None)
        pieces = await people_to_pieces(self._sealing, await persons(store.sessions, people))
        names = [
            await to_its_end(asyncio.to_thread(place.write, PEOPLE, piece)) for piece in pieces
        ]
        self._tell("backing up sessions", 1, 1)
        kept = Contents()
        if last is not None and last.fingerprint == store.embedder.fingerprint:
            kept = await asyncio.to_thread(
                Contents.read, place, self._sealing, last.chunks, only_whole=True
            )
        found = self._known.find(seq, checksum)
        chunks = await asyncio.to_thread(self._known.held, found[found >= 0])
        # What the store cannot give any more, the point before may have.
        older = np.where(found < 0, kept.find(seq, checksum), -1)
        chunks += kept.held(older[older >= 0])
        there = (found >= 0) | (older >= 0)
        problems = [one.found for one in ledger_problems(await store.sessions.ledger.read())]
        if not there.all():
            gone = seq[~there].tolist()
            named = ", ".join(map(str, gone[:_NAMED]))
            problems.append(
                f"{counted(len(gone), 'row is', 'rows are')} damaged in the store and not in this "
                f"point, such as seq {named}: run bruno-memory-vec doctor"
            )
        now = _both(seq[there], checksum[there])
        shared = len(np.intersect1d(now, _both(kept.seq, kept.checksum)))
        before = 0 if last is None else max(last.rows, shared)
        return Point(
            number=1 if last is None else last.number + 1,
            # A clock that was set back makes no point that is older than the one before.
            at=at if last is None else max(at, last.at),
            store=masked(store.config.url),
            fingerprint=store.embedder.fingerprint,
            language=language_of_open(store),
            schema=SCHEMA_VERSION,
            sealing=self._sealing.name,
            previous=None,
            rows=int(there.sum()),
            messages=kinds.messages(seq[there]),
            users=len(kinds.users()),
            added=len(now) - shared,
            removed=before - shared,
            chunks=chunks,
            people=tuple(names),
            problems=tuple(problems),
        )

    def _tell(self, work: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(work, done, total)


class _Kinds:
    """Whose rows there are, and which are messages."""

    def __init__(self) -> None:
        self._messages: list[Integers] = [np.empty(0, np.int64)]
        self._users: dict[str, None] = {}

    def add(self, table: pa.Table) -> None:
        said = pc.equal(table.column("kind"), MESSAGE)
        self._messages.append(table.column("seq").filter(said).to_numpy())
        self._users.update(dict.fromkeys(pc.unique(table.column("user_id")).to_pylist()))

    def users(self) -> list[str]:
        return list(self._users)

    def messages(self, seq: Integers) -> int:
        return len(np.intersect1d(np.concatenate(self._messages), seq))


def _kept(chunks: tuple[Held, ...]) -> list[Held]:
    """The chunks of the point before whose rows are not to be read again."""
    dense = [held for held in chunks if 2 * held.alive > held.rows]
    if sum(held.rows < _SMALL for held in dense) > _MANY_SMALL:
        dense = [held for held in dense if held.rows >= _SMALL]
    return dense


def _sound(
    found: pa.Table, seq: Integers, checksum: Integers, damaged: set[tuple[int, int]]
) -> pa.Table:
    """Of the rows that were read, those that are the wanted ones, and as they were stored."""
    found = readable(found).sort_by("seq")
    seqs, sums = (found.column(name).to_numpy() for name in ("seq", CHECKSUM))
    wanted = np.isin(_both(seqs, sums), _both(seq, checksum))
    unlike = changed(found)
    for at in np.flatnonzero(wanted & unlike).tolist():
        damaged.add((int(seqs[at]), int(sums[at])))
    return found.filter(pa.array(wanted & ~unlike))


def _both(seq: Integers, checksum: Integers) -> np.ndarray[Any, Any]:
    """Pairs that can be compared as one, (n,)."""
    pairs = np.empty(len(seq), np.dtype([("seq", np.int64), ("checksum", np.int64)]))
    pairs["seq"], pairs["checksum"] = seq, checksum
    return pairs


def _chunks(tables: list[pa.Table]) -> Iterator[pa.Table]:
    if not tables:
        return
    whole = pa.concat_tables(tables)
    if whole.num_rows > 1 and (
        whole.num_rows > 2 * ROWS_A_CHUNK or whole.nbytes > 2 * _BYTES_A_CHUNK
    ):
        half = whole.num_rows // 2
        yield from _chunks([whole.slice(0, half)])
        yield from _chunks([whole.slice(half)])
    else:
        yield whole
