"""Snapshots: consistent copies of a store that may be open, and written to.

The files are copied into a temporary folder beside the target: the sessions first, then the log,
then the rows, so that a row that moves on meanwhile is there at least once. Files that are never
changed are linked while writes wait, and copied afterwards: what harms a file of the store must not
harm its snapshot. The copy is opened, so that what is derived follows, and verified: by the ledger
no acknowledged row may be missing. Only then it gets its name. A copy that a running writer has
spoiled is made again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.config import MemoryConfig, one_config
from bruno_memory_vec.errors import EngineError, InvalidInputError, StoreError
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.lance.recovery import ASIDE
from bruno_memory_vec.indexers.private import FILE, FOLDER, make_private_folder
from bruno_memory_vec.indexers.protocols import Flushes
from bruno_memory_vec.indexers.schema import LOG
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.sessions.database import connect, kinds
from bruno_memory_vec.store import manifest, moves
from bruno_memory_vec.store.copies import note_copy
from bruno_memory_vec.store.keys.keyring import Keyring
from bruno_memory_vec.store.keys.opening import keys_of
from bruno_memory_vec.store.manifest import Manifest, unwritable
from bruno_memory_vec.store.record import footprint, readable_size
from bruno_memory_vec.store.store import Store, open_store
from bruno_memory_vec.upkeep.losses import ledger_problems
from bruno_memory_vec.upkeep.reembedding.report import Unembedding
from bruno_memory_vec.upkeep.verification import verify
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.projections import Problem, Progress

_log = get_logger(__name__)

_TABLE = "rows.lance"
_LEXICAL = "lexical"
# A writer in another process may spoil a copy; in this process it waits.
_TRIES = 5
_BETWEEN_TRIES = 0.2
# Of the files beside the engines' folders: the writer's own, and those that are copied otherwise.
# A copy that had the store's name would write into its sessions.
_NOT_COPIED = (
    manifest.FILE,
    manifest.LOCK,
    manifest.HOLDER,
    manifest.NAME,
    moves.FILE,
    manifest.SESSIONS,
    manifest.SEALED_SESSIONS,
)


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    """What :meth:`VectorMemory.snapshot <bruno_memory_vec.VectorMemory.snapshot>` made.

    Attributes:
        folder: the new store.
        rows: how many messages and memories it has.
        bytes: the size of its files, of which it shares none with the store.
        problems: what is wrong with the store, and so with its copy; empty is sound.
    """

    folder: str
    rows: int
    bytes: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The fields and ``ok`` as plain values that JSON can hold."""
        problems = [{"part": one.part, "found": one.found, "fix": one.fix} for one in self.problems]
        return {
            "folder": self.folder,
            "rows": self.rows,
            "bytes": self.bytes,
            "ok": self.ok,
            "problems": problems,
        }

    def __str__(self) -> str:
        """A few lines for people."""
        lines = [
            f"{counted(self.rows, 'row')} in {self.folder}, {readable_size(self.bytes)}, verified"
        ]
        lines.extend(f"PROBLEM in {one.part}: {one.found}. {one.fix}" for one in self.problems)
        return "\n".join(lines)


async def snapshot_store(
    url: str | None = None,
    folder: str | Path = "",
    *,
    config: MemoryConfig | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> SnapshotReport:
    """Copy a store that is not open here, while another process may write to it.

    Args:
        url: the store's folder. Default: ``BRUNO_MEMORY_URL``, else ``./bruno-memory``.
        folder: where the copy is made: a new or empty folder.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings.
        progress: called with the progress of long work.
        settings: any other field of the config.

    Raises:
        NotAStoreError: there is no store.
        InvalidInputError: the store is not in a folder, or the copy cannot be made in ``folder``.
        StoreError: the store changes too fast to be copied.
        EngineError: it cannot be read, or the copy not be written.
    """
    named = {} if url is None else {"url": str(url)}
    config = manifest.of_one(one_config(config, {**named, **settings}), "a snapshot")
    return await _snapshot(config, None, folder, progress)


async def snapshot_of(
    store: Store, folder: str | Path, progress: Progress | None = None
) -> SnapshotReport:
    """Copy an open store. Writes wait while its files are linked or copied, and no longer.

    Args:
        store: the open store.
        folder: where the copy is made: a new or empty folder.
        progress: called with the progress of long work.

    Raises: as :func:`snapshot_store`.
    """
    return await _snapshot(store.config, store, folder, progress)


async def _snapshot(
    config: MemoryConfig, store: Store | None, folder: str | Path, progress: Progress | None
) -> SnapshotReport:
    source = manifest.folder_of(config.url)
    if source is None:
        raise InvalidInputError(
            "url",
            f"{masked(config.url)} is no folder, and has no files",
            fix="Copy a store in a folder.",
        )
    target = _target(source, folder)
    await asyncio.to_thread(_check, source, target)
    problem: BrunoError | None = None
    for _ in range(_TRIES):
        # Nobody takes it for a store, or for the copy.
        staging = target.with_name(f".{target.name}.{uuid4().hex}.part")
        try:
            await to_its_end(asyncio.to_thread(_make, staging))
            try:
                async with _standing_still(store):
                    found = await to_its_end(asyncio.to_thread(_copy, source, staging, config))
                await to_its_end(asyncio.to_thread(_copy_what_is_linked, staging))
                report = await _finish(config, found, staging, target, progress)
            except _Spoiled as spoiled:
                problem = spoiled.problem
            else:
                # It is short. In a thread it would go on after its caller was cancelled.
                _name(staging, target)
                await asyncio.to_thread(note_copy, source, "snapshot", target.absolute())
                return report
        finally:
            await to_its_end(asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True))
        await asyncio.sleep(_BETWEEN_TRIES)
    raise StoreError(
        f"no consistent copy of {source} could be made in {_TRIES} tries: {problem}",
        fix="If another process writes to it, try again, or take the snapshot there: "
        "memory.snapshot(folder). Else run: bruno-memory-vec doctor",
        cause=problem,
    )


class _Spoiled(Exception):
    """The store changed while it was copied, or its rows cannot be read."""

    def __init__(self, problem: BrunoError) -> None:
        super().__init__(str(problem))
        self.problem = problem


def _target(source: Path, folder: str | Path) -> Path:
    target = manifest.folder_of(str(folder))
    if target is None:
        raise InvalidInputError("folder", f"{str(folder)!r} is no folder", fix="Name a folder.")
    if source.resolve() in (target.resolve(), *target.resolve().parents):
        raise InvalidInputError(
            "folder", f"{target} is inside the store", fix="Name a folder beside it."
        )
    return target


def _check(source: Path, target: Path) -> None:
    if manifest.read(source) is None:
        raise manifest.no_store(source)
    try:
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise InvalidInputError("folder", f"{target} is a file", fix="Name a new folder.")
        if target.exists() and any(target.iterdir()):
            raise InvalidInputError(
                "folder", f"{target} is not empty", fix="Name a new or empty folder."
            )
    except OSError as error:
        raise unwritable(target, error) from error


def _make(staging: Path) -> None:
    try:
        make_private_folder(staging)
    except OSError as error:
        raise unwritable(staging.parent, error) from error


@asynccontextmanager
async def _standing_still(store: Store | None) -> AsyncIterator[None]:
    """Inside it nothing is written by this process, and the log is short."""
    if store is None or store.writer is None:
        yield
        return
    flushes = capability(store.rows, Flushes)
    if flushes is not None:
        await flushes.flush()
    async with store.writer.exclusive:
        yield


def _copy(source: Path, staging: Path, config: MemoryConfig) -> Manifest:
    """Copy the files; the manifest comes last, at :func:`_finish`.

    Raises:
        _Spoiled: a file has gone meanwhile.
        BackendUnavailable: a file cannot be read or written.
    """
    found = manifest.read(source)
    if found is None:
        raise manifest.no_store(source)
    keys = keys_of(source, config, encrypted=found.encrypted)
    try:
        for entry in source.iterdir():
            if (
                entry.is_file()
                and not entry.name.startswith(_NOT_COPIED)
                and entry.suffix != ".new"
            ):
                shutil.copyfile(entry, staging / entry.name)
        sessions = found.sessions
        if (source / sessions).exists():
            _copy_database(source / sessions, staging / sessions, _key(keys))
        rows = source / found.rows
        (staging / found.rows).mkdir()
        if (rows / LOG).is_dir():
            shutil.copytree(rows / LOG, staging / found.rows / LOG)
        for entry in rows.iterdir():
            if entry.is_file():
                shutil.copyfile(entry, staging / found.rows / entry.name)
            elif entry.name == _TABLE:
                # The versions first: a commit that comes meanwhile is not there at all then.
                (staging / found.rows / _TABLE).mkdir()
                folders = sorted(entry.iterdir(), key=lambda one: one.name != "_versions")
                for part in folders:
                    _link_tree(part, staging / found.rows / _TABLE / part.name)
            elif entry.name not in (ASIDE, LOG):
                shutil.copytree(entry, staging / found.rows / entry.name)
        if keys is None or found.keyed:
            _copy_lexical(source / _LEXICAL, staging / _LEXICAL)
    except FileNotFoundError as error:
        gone = EngineError("folder", "copy", str(error), fix="Try again.", cause=error)
        raise _Spoiled(gone) from error
    except (OSError, shutil.Error) as error:
        if isinstance(error, shutil.Error):
            gone = EngineError("folder", "copy", str(error)[:500], fix="Try again.", cause=error)
            raise _Spoiled(gone) from error
        raise unwritable(staging, error) from error
    return found


def _link_tree(source: Path, target: Path) -> None:
    """Link files that are never changed; copy them where links are not possible."""
    if not source.is_dir():
        _link(source, target)
        return
    target.mkdir()
    for entry in source.iterdir():
        _link_tree(entry, target / entry.name)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _copy_what_is_linked(staging: Path) -> None:
    """Give the copy files of its own.

    Raises:
        BackendUnavailable: a file cannot be written.
    """
    try:
        for path, _, names in os.walk(staging):
            for name in names:
                linked = Path(path, name)
                if linked.stat().st_nlink > 1:
                    own = linked.with_name(f"{name}.own")
                    shutil.copyfile(linked, own)
                    own.replace(linked)
    except OSError as error:
        raise unwritable(staging, error) from error


def _key(keys: Keyring | None) -> bytes | None:
    return None if keys is None else keys.sessions_key


def _copy_database(source: Path, target: Path, key: bytes | None) -> None:
    try:
        uri = f"{source.absolute().as_uri()}?mode=ro"
        with (
            closing(connect(uri, key, uri=True)) as database,
            closing(connect(str(target), key)) as copy,
        ):
            database.backup(copy)
    except kinds() as error:
        problem = EngineError(
            "sqlite", "copy", str(error), fix="Run: bruno-memory-vec doctor", cause=error
        )
        raise _Spoiled(problem) from error


def _copy_lexical(source: Path, target: Path) -> None:
    """Copy the lexical index, if it stands still; else it is made anew from the rows."""
    if not source.is_dir():
        return
    try:
        shutil.copytree(source, target)
    except (shutil.Error, FileNotFoundError):
        shutil.rmtree(target, ignore_errors=True)


async def _finish(
    config: MemoryConfig, found: Manifest, staging: Path, target: Path, progress: Progress | None
) -> SnapshotReport:
    """Open the copy, so that it is whole, and verify it."""
    await asyncio.to_thread(found.write, staging)
    left_out = {"url", "sessions", "embedder", "read_only", "language", "keyed_index"}
    left_out |= {name for name in MemoryConfig.model_fields if name.startswith("audit")}
    settings = config.model_dump(exclude=left_out)
    # The copy has no audit trail of its own: what is done to it here is the snapshot.
    own = MemoryConfig(**{**settings, "audit": False}, url=str(staging), key=config.key)
    try:
        keys = await asyncio.to_thread(keys_of, staging, own, encrypted=found.encrypted)
        known_before = await asyncio.to_thread(_missed, staging / found.sessions, _key(keys))
        store = await open_store(own, Unembedding(found.fingerprint), progress)
        try:
            problems = await verify(store, progress)
            known = await store.sessions.ledger.read()
            rows = int((await store.rows.health())["rows"])
        finally:
            await store.close()
    except BrunoError as error:
        raise _Spoiled(error) from error
    fresh = [row for row in known.lost if row.seq not in known_before]
    if fresh:
        about = ledger_problems(known)[0].found
        raise _Spoiled(StoreError(about, fix="Run: bruno-memory-vec doctor"))
    await asyncio.to_thread(_clean, staging)
    return SnapshotReport(str(target), rows, footprint(staging).bytes, tuple(problems))


def _missed(sessions: Path, key: bytes | None) -> set[int]:
    """The rows that the store itself misses: the copy has to miss them, too."""
    if not sessions.exists():
        return set()
    try:
        with closing(connect(str(sessions), key)) as database:
            found = database.execute("SELECT seq FROM ledger_marks WHERE mark = 'lost'")
            return {seq for (seq,) in found}
    except kinds():
        return set()


def _clean(staging: Path) -> None:
    for name in (manifest.LOCK, manifest.HOLDER):
        (staging / name).unlink(missing_ok=True)
    for path, folders, names in os.walk(staging):
        for name in folders:
            os.chmod(os.path.join(path, name), FOLDER)
        for name in names:
            os.chmod(os.path.join(path, name), FILE)
    moves.settle(staging, set())


def _name(staging: Path, target: Path) -> None:
    try:
        if target.is_dir():
            target.rmdir()
        staging.rename(target)
    except OSError as error:
        raise unwritable(target, error) from error
    _log.info("snapshot_made", folder=str(target))
