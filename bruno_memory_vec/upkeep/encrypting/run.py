"""Encrypt a store in its place, or decrypt it; killed at any moment it is the one or the other.

The rows are written anew into another folder of rows, and the sessions into a file of another name.
Both are compared with what they were made of and synced to the disk. Then ``store.json`` is
written, which names them, and that is the switch. What the other form has left goes after it, or
when the store is next opened to write.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.config import MemoryConfig, masked, one_config
from bruno_memory_vec.errors import (
    BackendUnavailable,
    EncryptionError,
    InvalidInputError,
    StoreError,
)
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.checked import CheckedIndex
from bruno_memory_vec.indexers.checksum import changed
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import CHECKSUM, LOG, row_schema
from bruno_memory_vec.indexers.snapshot import LOADED
from bruno_memory_vec.indexers.user_files.files import remove as remove_user_files
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.store import manifest, moves
from bruno_memory_vec.store.deployment import analyser_for
from bruno_memory_vec.store.keys.keyring import Keyring
from bruno_memory_vec.store.keys.master import MasterKey, as_master, master_of
from bruno_memory_vec.store.keys.opening import keys_of
from bruno_memory_vec.store.local import in_the_clear
from bruno_memory_vec.store.lock import WriterLock
from bruno_memory_vec.store.manifest import Manifest
from bruno_memory_vec.store.record import USERS, reseal
from bruno_memory_vec.store.store import open_store
from bruno_memory_vec.upkeep.encrypting.files import copy_sessions
from bruno_memory_vec.upkeep.encrypting.report import EncryptionReport
from bruno_memory_vec.upkeep.reembedding.report import Unembedding
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.projections import Progress

_log = get_logger(__name__)

_ROWS_A_COMMIT = 4096
# Needed space as a multiple of the store: sealed rows take a third more, and are compacted once.
_ROOM = 3


async def encrypt_store(
    url: str | Path | None = None,
    *,
    key: Any = None,
    config: MemoryConfig | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> EncryptionReport:
    """Encrypt a plain store that nobody has open, in its place.

    Nothing is embedded. Deleted files may still be found on the medium, and snapshots and backups
    made before are plain; so the surest way is a store that was encrypted from the beginning.

    Args:
        url: the store's folder. Default: ``BRUNO_MEMORY_URL``, else ``./bruno-memory``.
        key: its key from now on, as of ``open_memory``; or ``key_file`` among the settings.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings.
        progress: called with the number of rows that are done.
        settings: any other field of the config.

    Raises:
        NotAStoreError: there is no store.
        StoreLockedError: another process writes to it.
        EncryptionError: it is encrypted already.
        StoreError: rows of it are damaged, so that not all can be taken over.
        BackendUnavailable: the folder cannot be written, or has too little space.
        InvalidInputError: no key is given, or the store is in no folder.
        MissingDependencyError: a package of the extra "encryption" is not installed.
    """
    config = _config(url, key, config, settings)
    master = await asyncio.to_thread(_needed, config)
    return await _convert(config, master, encrypt=True, progress=progress)


async def decrypt_store(
    url: str | Path | None = None,
    *,
    key: Any = None,
    config: MemoryConfig | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> EncryptionReport:
    """Make a plain store of an encrypted one that nobody has open, in its place.

    Args:
        url: the store's folder. Default: ``BRUNO_MEMORY_URL``, else ``./bruno-memory``.
        key: its key, as of ``open_memory``; or ``key_file`` among the settings.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings.
        progress: called with the number of rows that are done.
        settings: any other field of the config.

    Raises:
        WrongKeyError: the key is another one.
        EncryptionError: it is not encrypted.
        NotAStoreError, StoreLockedError: as of :func:`encrypt_store`.
        StoreError, BackendUnavailable: as of it.
        InvalidInputError, MissingDependencyError: as of it.
    """
    config = _config(url, key, config, settings)
    master = await asyncio.to_thread(_needed, config)
    return await _convert(config, master, encrypt=False, progress=progress)


async def rotate_key(
    url: str | Path | None = None,
    *,
    key: Any = None,
    new_key: Any,
    config: MemoryConfig | None = None,
    **settings: Any,
) -> None:
    """Give an encrypted store another master key. It may be open, and stays so; no row is written.

    The old key opens the store no more. It still opens copies of ``keys.json`` made before, such as
    in snapshots. The keys of users stay: for new ones, decrypt the store and encrypt it again.

    Args:
        url: the store's folder. Default: ``BRUNO_MEMORY_URL``, else ``./bruno-memory``.
        key: the one until now, as of ``open_memory``; or ``key_file`` among the settings.
        new_key: the one from now on.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings.
        settings: any other field of the config.

    Raises:
        NotAStoreError: there is no store.
        WrongKeyError: ``key`` is another one.
        EncryptionError: the store is not encrypted, or a key service does not answer.
        BackendUnavailable: the folder cannot be written.
        InvalidInputError: a key is none, or the store is in no folder.
    """
    config = _config(url, key, config, settings)
    fresh = as_master(new_key)
    await asyncio.to_thread(_needed, config)
    folder = _folder(config)

    def work() -> None:
        found = _manifest(folder)
        keys = keys_of(
            folder, config.model_copy(update={"read_only": True}), encrypted=found.encrypted
        )
        assert keys is not None
        keys.rotate(fresh)

    await to_its_end(asyncio.to_thread(work))


def _config(
    url: str | Path | None, key: Any, config: MemoryConfig | None, settings: dict[str, Any]
) -> MemoryConfig:
    given = dict(settings)
    if url is not None:
        given["url"] = str(url)
    if key is not None:
        given["key"] = key
    return manifest.of_one(one_config(config, given), "an encryption")


def _needed(config: MemoryConfig) -> MasterKey:
    master = master_of(config)
    if master is None:
        raise InvalidInputError(
            "key",
            "none is given",
            fix="Give key=... or key_file=...; on the command line --key-file FILE.",
        )
    return master


def _folder(config: MemoryConfig) -> Path:
    folder = manifest.folder_of(config.url)
    if folder is None:
        raise InvalidInputError(
            "url", f"{masked(config.url)} is no folder", fix="Name a store in a folder."
        )
    return folder


def _manifest(folder: Path) -> Manifest:
    found = manifest.read(folder)
    if found is None:
        raise manifest.no_store(folder)
    return found


async def _convert(
    config: MemoryConfig, master: MasterKey, *, encrypt: bool, progress: Progress | None
) -> EncryptionReport:
    started, folder = time.perf_counter(), _folder(config)
    found = await asyncio.to_thread(_manifest, folder)
    if found.encrypted == encrypt:
        raise EncryptionError(
            f"the store in {folder} is {'' if encrypt else 'not '}encrypted"
            f"{' already' if encrypt else ''}",
            fix="To give it another key: bruno-memory-vec rotate-key." if encrypt else "Leave it.",
        )
    own = config.model_copy(
        update={
            "read_only": False,
            "user_files": False,
            **({"key": None, "key_file": None} if encrypt else {}),
        }
    )
    # Opening it brings the log, the rows and the sessions together.
    store = await open_store(own, Unembedding(found.fingerprint))
    await store.close()
    lock = await to_its_end(asyncio.to_thread(WriterLock, folder))
    try:
        found = await asyncio.to_thread(_manifest, folder)
        if found.encrypted == encrypt:
            raise StoreError("another process has just changed the store", fix="Look at it again.")
        keys = await to_its_end(
            asyncio.to_thread(Keyring.create if encrypt else Keyring.open, folder, master)
        )
        rows = await _Conversion(folder, found, keys, own, encrypt=encrypt).run(progress)
        await to_its_end(asyncio.to_thread(_finish, folder, keys, encrypt=encrypt))
    finally:
        await to_its_end(asyncio.to_thread(lock.release))
    seconds = time.perf_counter() - started
    _log.info("store_encrypted" if encrypt else "store_decrypted", rows=rows, seconds=seconds)
    return EncryptionReport(str(folder), encrypt, rows, keys.users if encrypt else 0, seconds)


class _Conversion:
    """The work up to the switch, under the writer's lock."""

    def __init__(
        self, folder: Path, found: Manifest, keys: Keyring, config: MemoryConfig, *, encrypt: bool
    ) -> None:
        self._folder = folder
        self._found = found
        self._keys = keys
        self._config = config
        self._encrypt = encrypt
        # Opening it to write makes its index again, where one is wanted.
        self._after = replace(
            found, rows=moves.next_folder(folder, found).name, encrypted=encrypt, keyed=False
        )

    async def run(self, progress: Progress | None) -> int:
        """Make the other form, compare it, and switch; returns how many rows it has."""
        await asyncio.to_thread(self._check_room)
        source = await self._open(self._found, read_only=True)
        try:
            target = await self._open(self._after, read_only=False)
            try:
                made = await self._copy(source, target, progress)
                await self._compare(source, target, made)
            finally:
                await target.close()
        finally:
            await source.close()

        def settle() -> None:
            moves.settle(self._folder / self._after.rows, set())
            sessions = self._folder / self._found.sessions
            if sessions.exists():
                copy_sessions(
                    sessions,
                    self._folder / self._after.sessions,
                    self._keys.sessions_key,
                    encrypt=self._encrypt,
                )
            if not self._encrypt:
                # The records are read without the keys from now on.
                reseal(self._folder, self._keys, None)
            self._after.write(self._folder)

        await to_its_end(asyncio.to_thread(settle))
        return made

    async def _open(self, which: Manifest, *, read_only: bool) -> RowIndex:
        from bruno_memory_vec.indexers.lance.index import LanceIndex
        from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex

        path, dimension = self._folder / which.rows, which.stored_dimension
        rows: RowIndex = await LanceIndex.open(
            str(path), dimension, read_only=read_only, fsync=not read_only
        )
        if read_only:
            logged = WriteAheadLogIndex(rows, path / LOG, row_schema(dimension), read_only=True)  # type: ignore[arg-type]  # it is versioned
            rows = logged
        terms = await asyncio.to_thread(analyser_for, which.language or "none")
        keys = self._keys if which.encrypted else None
        config = self._config.model_copy(update={"read_only": read_only})
        return CheckedIndex(in_the_clear(rows, keys, which.fingerprint.dimension, terms, config))

    async def _copy(self, source: RowIndex, target: RowIndex, progress: Progress | None) -> int:
        total = await source.count(EVERYONE, RowFilter())
        done, waiting, count = 0, list[pa.RecordBatch](), 0

        async def store() -> None:
            if waiting:
                await to_its_end(target.upsert(pa.Table.from_batches(waiting), all_new=True))
                waiting.clear()

        async for batch in source.after(-1, LOADED):
            waiting.append(batch)
            count += batch.num_rows
            done += batch.num_rows
            if count >= _ROWS_A_COMMIT:
                await store()
                count = 0
                if progress is not None:
                    progress("encrypt" if self._encrypt else "decrypt", done, total)
        await store()
        if done != total:
            raise StoreError(
                f"{total - done:,} of {counted(total, 'row')} cannot be read: damaged, or without "
                "a key",
                fix="The store is as it was. Run: bruno-memory-vec doctor --repair",
            )
        return done

    async def _compare(self, source: RowIndex, target: RowIndex, rows: int) -> None:
        """Compare every row of both by its checksum, which is of all it has."""
        wanted = await _checksums(source, whole=False)
        found = await _checksums(target, whole=True)
        if len(found[0]) != rows or not all(
            np.array_equal(mine, theirs) for mine, theirs in zip(wanted, found, strict=True)
        ):
            raise StoreError(
                "the rows and their copy do not agree",
                fix="The store is as it was. Run: bruno-memory-vec doctor",
            )

    def _check_room(self) -> None:
        size = _size(self._folder / self._found.rows)
        free = shutil.disk_usage(self._folder).free
        if free < _ROOM * size:
            raise BackendUnavailable(
                "folder",
                "write the rows anew",
                f"it takes about {_ROOM * size / 2**20:,.0f} MiB for a while, and "
                f"{free / 2**20:,.0f} MiB are free",
                fix=f"Make room where {self._folder} is.",
            )


def _size(folder: Path) -> int:
    """How many bytes a folder of rows has."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def _checksums(rows: RowIndex, *, whole: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ``seq`` of every row, ascending, and the checksums; with ``whole`` of those that fit."""
    seqs, sums = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    async for batch in rows.after(-1, LOADED if whole else ["seq", CHECKSUM]):
        table = pa.Table.from_batches([batch])
        if whole and (await asyncio.to_thread(changed, table)).any():
            continue  # it is missed then
        seqs.append(table.column("seq").to_numpy())
        sums.append(table.column(CHECKSUM).to_numpy())
    seq, checksum = np.concatenate(seqs), np.concatenate(sums)
    order = np.argsort(seq, kind="stable")
    return seq[order], checksum[order]


def _finish(folder: Path, keys: Keyring, *, encrypt: bool) -> None:
    """Remove what the other form has left; the switch is made."""
    found = _manifest(folder)
    moves.tidy(folder, found)
    lexical = folder / moves.LEXICAL
    moves.tidy_form(folder, found, keys if encrypt else None)
    try:
        if lexical.is_dir():
            shutil.rmtree(lexical)
        # Those of the other form would go when the store is opened to write.
        remove_user_files(folder / USERS)
    except OSError as error:
        raise manifest.unwritable(folder, error) from error
