"""A store in a folder: LanceDB, Tantivy and SQLite, and one process that writes."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.cache import close_cache
from bruno_memory_vec.embedders.protocol import Embedder, Fingerprint
from bruno_memory_vec.errors import (
    EngineError,
    IndexDamaged,
    InvalidInputError,
    NotAStoreError,
    StoreError,
    StoreLockedError,
    StoreVersionError,
)
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.cache import RowsVersion
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.private import make_private_folder, tighten
from bruno_memory_vec.indexers.protocols import LexicalIndex, RowIndex, Versioned, VersionedRowIndex
from bruno_memory_vec.indexers.schema import LOG, SCHEMA_VERSION, row_schema
from bruno_memory_vec.indexers.sealed.index import SealedIndex, SealedTextIndex
from bruno_memory_vec.indexers.sealed.rotation import Rotation
from bruno_memory_vec.indexers.text.analysis import Analyser
from bruno_memory_vec.indexers.user_files.files import Store, UserFiles
from bruno_memory_vec.indexers.user_files.files import remove as remove_user_files
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.sessions.choice import session_store_of
from bruno_memory_vec.sessions.protocol import SessionStore
from bruno_memory_vec.store import deployment, manifest, migrating, moves
from bruno_memory_vec.store.deployment import Made, Parts, analyser_for, close_all, language_of
from bruno_memory_vec.store.files import replace_file
from bruno_memory_vec.store.forgotten import all_closed
from bruno_memory_vec.store.keyed_index import switched
from bruno_memory_vec.store.keys.keyring import Keyring
from bruno_memory_vec.store.keys.master import master_of
from bruno_memory_vec.store.keys.opening import keys_of
from bruno_memory_vec.store.lease import LocalLease
from bruno_memory_vec.store.lock import WriterLock, is_held_here
from bruno_memory_vec.store.manifest import Manifest
from bruno_memory_vec.store.moves import Watch, remove, tidy, tidy_form
from bruno_memory_vec.store.new_ledger import note_new_ledger
from bruno_memory_vec.store.place import Place
from bruno_memory_vec.store.record import USERS, FolderRecord
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.lease import RunsAlone, WriterLease
from bruno_memory_vec.writing.projections import Progress

if TYPE_CHECKING:
    from bruno_memory_vec.indexers.lance.memtable import Gone
    from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex
    from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore

T = TypeVar("T")
Part = TypeVar("Part", bound=LexicalIndex)

_log = get_logger(__name__)

# Seconds that the old rows stay after a re-embedding, for calls that began before the switch.
_REPLACED_ROWS_STAY = 60.0


class LocalFolder:
    """Opens a folder, to write as its only writer, or to read beside the writer."""

    schemes = ("folder",)

    async def open(
        self, config: MemoryConfig, made_by: Fingerprint, progress: Progress | None
    ) -> Parts:
        """As of :class:`~bruno_memory_vec.store.deployment.Deployment`."""
        language = language_of(config)
        folder = manifest.folder_of(config.url)
        assert folder is not None
        if not config.read_only:
            await _end_migration(folder)
        found, keys = await asyncio.to_thread(manifest.read, folder), None
        if found is not None:
            # A wrong key is told before anything else is looked at.
            keys = await asyncio.to_thread(keys_of, folder, config, encrypted=found.encrypted)
            found.check(made_by, folder)
        elif config.read_only:
            raise manifest.no_store(folder)
        _refuse_plain_places(config)
        lock = None if config.read_only else await _locked(folder)
        place = Place(folder)
        try:
            if lock is not None:
                place.keep(lock.path)
            return await _open(config, made_by, folder, lock, place, language, keys)
        except BaseException:
            place.close()
            if lock is not None:
                lock.release()
            raise

    async def made(self, config: MemoryConfig) -> Made | None:
        """As of :class:`~bruno_memory_vec.store.deployment.TellsHowMade`."""
        folder = manifest.folder_of(config.url)
        assert folder is not None
        found = await asyncio.to_thread(manifest.read, folder)
        return None if found is None else Made(found.fingerprint, found.language or "none")


async def _open(
    config: MemoryConfig,
    made_by: Fingerprint,
    folder: Path,
    lock: WriterLock | None,
    place: Place,
    language: str | None,
    keys: Keyring | None,
) -> Parts:
    # Read again under the lock, because another process may have just made the store.
    found = await asyncio.to_thread(manifest.read, folder)
    stored_language = None if found is None else (found.language or "none")
    wanted = stored_language if language is None or config.read_only else language
    analyser = await asyncio.to_thread(analyser_for, wanted)
    if found is not None and await asyncio.to_thread(_lost_its_rows, folder, found):
        raise NotAStoreError(
            f"{folder} has no rows any more, though it had some",
            fix=f"Restore its `{found.rows}` folder from a snapshot or a backup, or begin anew "
            "in another folder.",
        )
    if found is None:
        key = await asyncio.to_thread(master_of, config)
        keys = None if key is None else await _to_its_end(Keyring.create, folder, key)
        found = Manifest(
            made_by,
            analyser.language,
            analysis=analyser.name,
            encrypted=key is not None,
            keyed=keys is not None and bool(config.keyed_index),
        )
        await _to_its_end(found.write, folder)
    else:
        if (keys is not None) != found.encrypted:
            # Another process has just made, encrypted or decrypted it.
            keys = await asyncio.to_thread(keys_of, folder, config, encrypted=found.encrypted)
        if keys is not None and not config.read_only:
            # Under the lock nobody else adds keys.
            keys = await _to_its_end(keys.to_write)
        found.check(made_by, folder)
    # Another language, or terms as an older version of this package made them.
    other_terms = analyser.name != found.analysis
    opened: list[Any] = []
    if not config.read_only:
        # What was copied or restored has the rights that the copy gave it.
        await asyncio.to_thread(_tighten, folder)
    try:
        rows = await _open_rows(
            folder, found, made_by.dimension, config, place, lock, analyser, keys
        )
        opened.append(rows)
        if keys is not None and not config.read_only:
            after = await switched(rows, folder, found, keys, config.keyed_index)
            if after != found:
                opened.clear()
                await rows.close()
                place.forget(table_of(folder / found.rows))
                found = after
                rows = await _open_rows(
                    folder, found, made_by.dimension, config, place, lock, analyser, keys
                )
                opened.append(rows)
        if not config.read_only:
            await _to_its_end(tidy, folder, found)
            await _to_its_end(tidy_form, folder, found, keys)
            await _to_its_end(migrating.roll_back, folder)
        lexical = None
        if keys is None or found.keyed:
            lexical = await _opened(
                _open_lexical,
                folder / moves.LEXICAL,
                analyser,
                config.read_only,
                other_terms,
                place.check,
                keys,
            )
            opened.append(lexical)
        if other_terms and not config.read_only:
            found = replace(found, language=analyser.language, analysis=analyser.name)
            await _to_its_end(found.write, folder)
        record = FolderRecord(folder, place.check, keys)
        if config.sessions is not None:
            sessions, lease = await _sessions_elsewhere(
                config.sessions, folder, config, lock, place
            )
            return Parts(rows, lexical, sessions, lease, record, place)
        path = folder / found.sessions
        has_sessions = await asyncio.to_thread(_has_bytes, path)
        own = await open_sessions(path, config, None if keys is None else keys.sessions_key)
        opened.append(own)
        if not config.read_only and (own.rebuilt or not has_sessions):
            reason = "; ".join(own.rebuilt) or f"{path.name} was missing"
            await note_new_ledger(reason, rows, lexical, record)
        if not config.read_only:
            own.watch = place.check
        place.keep(path)
    except BaseException:
        await close_all(opened)
        raise
    return Parts(
        rows, lexical, own, None if lock is None else LocalLease(own, lock, place), record, place
    )


async def _end_migration(folder: Path) -> None:
    """End a migration to this format that was killed in its last act."""
    found = await asyncio.to_thread(migrating.unfinished, folder)
    if found is None or found.to != SCHEMA_VERSION:
        return
    lock = await _locked(folder)
    try:
        again = await asyncio.to_thread(migrating.unfinished, folder)
        if again is not None:
            await _to_its_end(migrating.finish, folder, again)
    finally:
        lock.release()


async def _sessions_elsewhere(
    url: str, folder: Path, config: MemoryConfig, lock: WriterLock | None, place: Place
) -> tuple[SessionStore, WriterLease | None]:
    """Sessions that are not in the folder, under the name that the folder has for them."""
    name = await asyncio.to_thread(_name_of_sessions, folder, make=lock is not None)
    opened = await session_store_of(url).open(url, name, config)
    if lock is None:
        return opened.sessions, None
    lease = opened.lease or LocalLease(opened.sessions)

    def release() -> None:
        lock.release()
        place.close()

    if isinstance(lease, RunsAlone):
        lease.alone(place.check, release)
    return opened.sessions, lease


async def sessions_to_read(url: str, folder: Path, config: MemoryConfig) -> SessionStore:
    """The sessions of a folder's store that are elsewhere, to be read while others may write.

    Raises:
        NotAStoreError: the store has none elsewhere.
        BackendUnavailable: they cannot be reached or read.
        InvalidInputError: the URL is not usable.
    """
    config = config.model_copy(update={"read_only": True})
    sessions, _ = await _sessions_elsewhere(url, folder, config, None, Place(folder))
    return sessions


def _name_of_sessions(folder: Path, *, make: bool) -> str:
    """The name of this store where its sessions are; a copy of the folder gets one of its own.

    Raises:
        NotAStoreError: there is none, and none is to be made.
        BackendUnavailable: the folder cannot be read or written.
    """
    path = folder / manifest.NAME
    try:
        if path.exists():
            return path.read_text(encoding="utf-8").strip()
        if not make:
            raise NotAStoreError(
                f"{folder} has no sessions but its own",
                fix="Open it without sessions=..., or open it to write first.",
            )
        name = uuid4().hex
        replace_file(path, f"{name}\n".encode())
    except OSError as error:
        raise manifest.unwritable(folder, error) from error
    return name


def _tighten(folder: Path) -> None:
    """Take the rights of others from a store's files; the folder itself may be the user's own."""
    if not (folder / manifest.FILE).is_file():
        return
    tighten(folder)


async def _locked(folder: Path) -> WriterLock:
    """The folder's lock; waits for a memory of this process that was forgotten, not closed."""
    try:
        return await _to_its_end_or_released(folder)
    except StoreLockedError:
        if not is_held_here(folder):
            raise
    await all_closed()
    return await _to_its_end_or_released(folder)


async def _to_its_end_or_released(folder: Path) -> WriterLock:
    taken: list[WriterLock] = []
    try:
        await _to_its_end(lambda: taken.append(_lock(folder)))
    except asyncio.CancelledError:
        for lock in taken:
            lock.release()
        raise
    return taken[0]


def _lock(folder: Path) -> WriterLock:
    try:
        make_private_folder(folder)
    except OSError as error:
        raise manifest.unwritable(folder, error) from error
    return WriterLock(folder)


async def _to_its_end(work: Callable[..., T], *arguments: Any) -> T:
    """Do work in a thread that changes the folder, and wait for its end even if cancelled.

    So the lock is not released while the folder still changes.
    """
    return await to_its_end(asyncio.to_thread(work, *arguments))


async def _opened(open_part: Callable[..., Part], *arguments: Any) -> Part:
    """Open a part of the store in a thread; if the caller is cancelled, close it again."""
    opened: list[Part] = []
    try:
        await _to_its_end(lambda: opened.append(open_part(*arguments)))
    except asyncio.CancelledError:
        for part in opened:
            await part.close()
        raise
    return opened[0]


async def open_sessions(
    path: Path, config: MemoryConfig, key: bytes | None = None
) -> SQLiteSessionStore:
    """Open the sessions; in place of a damaged file there is a new one, which follows the rows.

    Raises:
        BackendUnavailable: the file cannot be opened or made.
        StoreVersionError: another version of this package made its schema.
    """
    from bruno_memory_vec.sessions import damage
    from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore

    def look() -> tuple[str, damage.Kept] | None:
        problem = damage.problem_of(path, key)
        if problem is None:
            damage.unseal(path)
            return None
        aside = damage.put_aside(path)
        _log.error("sessions_damaged", problem=problem, kept_as=str(aside))
        if not aside.exists():
            return f"{path.name} was damaged: {problem}", damage.Kept((), ())
        kept = damage.salvage(aside, key)
        return f"{path.name} was damaged ({problem}), and is kept as {aside.name}", kept

    found = None
    if not config.read_only:
        try:
            found = await _to_its_end(look)
        except OSError as error:
            raise manifest.unwritable(path.parent, error) from error
    sessions = await SQLiteSessionStore.open(
        path, config.max_messages, read_only=config.read_only, fsync=config.fsync, key=key
    )
    if found is not None:
        problem, kept = found
        try:
            taken = await _to_its_end(damage.put_back, path, kept, key)
        except BaseException:
            await sessions.close()
            raise
        sessions.rebuilt.append(
            f"{problem}; {counted(taken[0], 'session')} and {counted(taken[1], 'user')} could be "
            "read and are there, all else follows from the rows"
        )
    return sessions


def _has_bytes(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _lost_its_rows(folder: Path, found: Manifest) -> bool:
    # The sessions are made last, so if they exist, the rows once did.
    made = (folder / found.sessions).exists() or (folder / manifest.NAME).exists()
    return made and not table_of(folder / found.rows).exists()


async def _open_rows(
    folder: Path,
    found: Manifest,
    dimension: int,
    config: MemoryConfig,
    place: Place,
    lock: WriterLock | None,
    analyser: Analyser,
    keys: Keyring | None,
) -> RowIndex:
    from bruno_memory_vec.indexers.lance.index import LanceIndex

    watch = Watch(folder, found)
    try:
        rows = await LanceIndex.open(
            str(folder / found.rows),
            found.stored_dimension,
            read_only=config.read_only,
            fsync=config.fsync,
            approximate=config.approximate_search and (keys is None or found.keyed),
        )
    except EngineError:
        # Raises FingerprintError if another process has just moved the store.
        watch()
        raise
    if config.read_only:
        # Its error is the better one where both apply.
        place.explain = watch
    try:
        place.keep(table_of(folder / found.rows))
    except StoreError:
        await rows.close()
        raise
    if config.read_only:

        def look() -> None:
            watch()
            place.check()

        rows.watch = look
    else:
        rows.watch = place.check
    logged = behind_a_log(rows, folder / found.rows, found.stored_dimension, config, place.check)
    try:
        session_key = None if keys is None else keys.sessions_key
        path = folder / found.sessions
        await logged.replay(await _known_gone(path, folder / found.rows / LOG, config, session_key))
        files = None
        if lock is not None:
            files = await _to_its_end(
                _user_files, folder, found, config, place, lock, analyser, keys
            )
        last_seq = -1
        if files is not None:
            last_seq = await logged.last_seq()
            await _to_its_end(files.open, last_seq)
    except BaseException:
        await rows.close()
        raise
    clear = in_the_clear(logged, keys, dimension, analyser, config, keyed=found.keyed)
    sealing = capability(clear, SealedIndex)
    try:
        if sealing is not None:
            await sealing.learn_lengths()
    except BaseException:
        await rows.close()
        raise
    return with_a_cache(clear, config, files, last_seq)


def in_the_clear(
    rows: RowIndex,
    keys: Keyring | None,
    dimension: int,
    analyser: Analyser,
    config: MemoryConfig,
    *,
    keyed: bool = False,
) -> RowIndex:
    """Rows as they were before they were sealed; the same index where there are no keys.

    With ``keyed`` the engine has codes of the vectors, and another index finds the words.
    """
    if keys is None:
        return rows
    if not keyed:
        return SealedTextIndex(rows, keys, dimension, analyser, read_only=config.read_only)
    rotation = Rotation(keys.rotation_key, dimension)
    return SealedIndex(
        rows, keys, dimension, analyser, read_only=config.read_only, rotation=rotation
    )


def _refuse_plain_places(config: MemoryConfig) -> None:
    """Refuse what would keep in the clear what the store encrypts.

    Raises:
        InvalidInputError: sessions that are elsewhere, or a cache of embeddings on a disk.
    """
    if master_of(config) is None:
        return
    if config.audit and config.audit_ids != "hashed":
        raise InvalidInputError(
            "audit_ids",
            "the trail would name users, and the store is encrypted",
            fix='Give audit_ids="hashed" and an audit_key, or open it without a trail.',
        )
    for name, what in (
        ("sessions", "sessions that are elsewhere"),
        ("embedding_cache", "its file"),
    ):
        if getattr(config, name) is not None:
            raise InvalidInputError(
                name,
                f"{what} would not be encrypted, and the store is",
                fix=f"Open an encrypted store without {name}.",
            )


def _user_files(
    folder: Path,
    found: Manifest,
    config: MemoryConfig,
    place: Place,
    lock: WriterLock,
    analyser: Analyser,
    keys: Keyring | None,
) -> UserFiles | None:
    """The files of users; None where they are not to be used, and then there are none any more."""
    if config.user_files and config.recall_cache_mb:
        rows = folder / found.rows
        made_by = {"embedder": found.fingerprint.to_dict(), "rows": found.rows}
        state = partial(state_of_rows, rows)
        folders = (rows, table_of(rows) / "_versions")
        store = Store(
            made_by, state, analyser, lock.holder, lock.before, place.check, folders, keys
        )
        return UserFiles(folder / USERS, store)
    try:
        # Nobody would void them.
        remove_user_files(folder / USERS)
    except OSError as error:
        raise manifest.unwritable(folder, error) from error
    return None


def state_of_rows(rows: Path) -> str:
    """How a folder of rows lies on the disk: it differs after every change of the rows.

    Raises:
        OSError: it cannot be read.
    """
    versions = table_of(rows) / "_versions"
    logged = rows / LOG
    entries = [*os.scandir(versions), *(os.scandir(logged) if logged.is_dir() else ())]
    said = sorted((one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in entries)
    return hashlib.sha256(repr(said).encode()).hexdigest()


def table_of(rows: Path) -> Path:
    """The folder of LanceDB's table in a folder of rows."""
    return rows / "rows.lance"


async def _known_gone(
    path: Path, log: Path, config: MemoryConfig, key: bytes | None
) -> Gone | None:
    """Tells which logged rows the ledger knows to be deleted; None where it may not be asked."""
    from bruno_memory_vec.indexers.lance.write_ahead_log import segments
    from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore

    if config.read_only or not await asyncio.to_thread(lambda: segments(log) and path.exists()):
        return None
    try:
        sessions = await SQLiteSessionStore.open(path, config.max_messages, read_only=True, key=key)
        try:
            known, count = await sessions.ledger.read(), await sessions.ledger.count()
        finally:
            await sessions.close()
    except (EngineError, StoreVersionError):
        return None  # opening it to write says what is wrong
    if count != len(known.alive):
        return None

    def gone(seqs: NDArray[np.int64]) -> NDArray[np.bool_]:
        kept = np.concatenate([known.alive, known.given_up, [row.seq for row in known.lost]])
        return np.asarray((seqs <= known.last_seq) & ~np.isin(seqs, kept), np.bool_)

    return gone


def behind_a_log(
    rows: VersionedRowIndex,
    folder: Path,
    dimension: int,
    config: MemoryConfig,
    check: Callable[[], None],
) -> WriteAheadLogIndex:
    """The index of a folder with the write-ahead log in front of it.

    ``check`` raises where the folder's path does not lead to this store any more.
    """
    from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex

    schema = row_schema(dimension)
    return WriteAheadLogIndex(
        rows,
        folder / LOG,
        schema,
        read_only=config.read_only,
        fsync=config.fsync,
        check=check,
    )


def logged_behind(
    rows: RowIndex,
    folder: Path,
    dimension: int,
    config: MemoryConfig,
    check: Callable[[], None],
) -> RowIndex:
    """An index of a folder without a log, as :func:`behind_a_log`; what seals stays in front."""
    if not isinstance(rows, SealedIndex):
        engine = cast("VersionedRowIndex", rows)
        return behind_a_log(engine, folder, dimension, config, check)
    engine = cast("VersionedRowIndex", rows.inner)
    return rows.in_front_of(behind_a_log(engine, folder, rows.stored_dimension, config, check))


def with_a_cache(
    rows: RowIndex,
    config: MemoryConfig,
    files: UserFiles | None = None,
    last_seq: int = -1,
) -> RowIndex:
    """The index with checks of its rows, and with the cache in front of it, unless that is off."""
    versioned = capability(rows, Versioned) if config.read_only else None
    versions = None if versioned is None else RowsVersion(versioned)
    return deployment.with_a_cache(rows, config, versions, files, last_seq)


def _open_lexical(
    folder: Path,
    analyser: Analyser,
    read_only: bool,
    anew: bool,
    check: Callable[[], None],
    keys: Keyring | None,
) -> LexicalIndex:
    """Open the lexical index; an empty one replaces a damaged one, or with ``anew`` any.

    With ``keys`` it is a keyed one.

    Where the folder cannot be used, the index is in memory: it is derived, and never in the way.
    """
    from bruno_memory_vec.indexers.tantivy.files import clear
    from bruno_memory_vec.indexers.tantivy.index import TantivyIndex, TantivyReader

    def make(path: Path) -> TantivyIndex:
        if keys is None:
            return TantivyReader(path, analyser) if read_only else TantivyIndex(path, analyser)
        from bruno_memory_vec.indexers.tantivy.keyed import KeyedTantivyIndex, KeyedTantivyReader

        return (KeyedTantivyReader if read_only else KeyedTantivyIndex)(path, analyser, keys)

    try:
        if read_only:
            if anew:  # which a reader may not do
                return TantivyIndex(None, analyser)
            # Tantivy makes a lock file even to read. Where it cannot, Retriever indexes the rows in
            # memory; where the index is damaged, too, since a reader may not mend it.
            return make(folder)
        _remove_links(folder)
        if anew or not folder.is_dir():
            clear(folder)
        try:
            index = make(folder)
        except IndexDamaged as error:
            _log.warning("lexical_index_rebuilt", reason=str(error))
            reason = str(error)
        else:
            index.watch = check
            return index
        clear(folder)
        index = make(folder)
        index.watch = check
    except (EngineError, OSError) as error:
        _log.warning("lexical_index_in_memory", reason=str(error))
        reason = str(error)
        index = TantivyIndex(None, analyser)
        index.displaced = reason
    index.rebuilt.append(reason)
    return index


def _remove_links(folder: Path) -> None:
    """Remove links in a folder that is derived, and the folder itself if it is one."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.is_dir():
        for path in folder.iterdir():
            if path.is_symlink():
                path.unlink()


@dataclass(slots=True)
class Replaced:
    """The rows and embedder of a store before a re-embedding; running calls may still use them."""

    rows: RowIndex
    embedder: Embedder
    folder: Path
    check: Callable[[], None]
    _removing: asyncio.Future[None] | None = None

    def remove_later(self) -> None:
        """Remove them when the calls that may use them have ended."""
        loop = asyncio.get_running_loop()

        def begin() -> None:
            self._removing = loop.create_task(self.remove())

        loop.call_later(_REPLACED_ROWS_STAY, begin)

    async def remove(self) -> None:
        """Close them, and remove the folder. Removing twice does nothing."""
        await self.rows.close()
        await close_cache(self.embedder)
        self.check()
        await asyncio.to_thread(remove, self.folder)
