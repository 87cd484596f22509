"""The folders of a store's rows: the current one, the one being made, and old ones.

``store.json`` names the current folder, so writing it is the switch from one embedder to another.
``reembed.json`` names the folder of a move that has begun. A folder of rows that neither names is
left over from an earlier move.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from bruno_memory_vec.embedders.protocol import Fingerprint
from bruno_memory_vec.errors import (
    BackendUnavailable,
    FingerprintError,
    InvalidInputError,
    StoreError,
)
from bruno_memory_vec.indexers.schema import SCHEMA_VERSION
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.store import manifest
from bruno_memory_vec.store.keys.keyring import KEYRING, KEYS
from bruno_memory_vec.store.manifest import ROWS, Manifest, unwritable, write_whole
from bruno_memory_vec.store.record import SealsText, reseal

_log = get_logger(__name__)

FILE = "reembed.json"
#: The folder of the lexical index, which an encrypted store has only with ``keyed_index``.
LEXICAL = "lexical"
_NUMBERED = re.compile(rf"{ROWS}-([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Begun:
    """A move that has begun and can be continued.

    Attributes:
        rows: the folder of the rows with their new vectors.
        fingerprint: the embedder of these vectors.
        schema: the version of their row format.
    """

    rows: str
    fingerprint: Fingerprint
    schema: int = SCHEMA_VERSION


def begun(folder: Path, found: Manifest) -> Begun | None:
    """The move that has begun in a store; None where there is none, or it has ended.

    Raises:
        BackendUnavailable: the folder cannot be read.
    """
    try:
        data = json.loads((folder / FILE).read_text(encoding="utf-8"))
        move = Begun(data["rows"], Fingerprint.from_dict(data["embedder"]), data["schema"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BackendUnavailable(
            "folder", "read", str(error), fix=f"Check that {folder} may be read.", cause=error
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, InvalidInputError) as error:
        # The folder that it named then counts as left over; only time is lost.
        _log.warning("reembed_state_unreadable", file=str(folder / FILE), error=str(error))
        return None
    known = isinstance(move.rows, str) and _NUMBERED.fullmatch(move.rows)
    return move if known and move.rows != found.rows else None


def begin(folder: Path, found: Manifest, fingerprint: Fingerprint) -> Begun:
    """Record that a move begins, with a folder that does not exist yet.

    Raises:
        BackendUnavailable: the folder cannot be written.
    """
    move = Begun(next_folder(folder, found).name, fingerprint)
    state = {"rows": move.rows, "embedder": fingerprint.to_dict(), "schema": move.schema}
    write_whole(folder / FILE, json.dumps(state, indent=2))
    return move


def begun_name(folder: Path) -> str | None:
    """The folder of a move that has begun, in a store of any format; None where there is none."""
    try:
        name = json.loads((folder / FILE).read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) and (folder / name).is_dir() else None


def next_folder(folder: Path, found: Manifest) -> Path:
    """A folder for other rows, which does not exist yet."""
    return folder / unused_name(folder, found.rows)


def unused_name(folder: Path, *named: str) -> str:
    """A name for a folder of rows that none in the store has, and none of these."""
    names = [*named, *(path.name for path in folder.glob(f"{ROWS}-*"))]
    numbers = [int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name))]
    return f"{ROWS}-{max(numbers, default=1) + 1}"


def forget(folder: Path) -> None:
    """Remove the record of a move; its folder is left over then, or has become the current one."""
    try:
        (folder / FILE).unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def left_over(folder: Path, found: Manifest) -> list[Path]:
    """The folders of rows that nothing names any more."""
    move = begun(folder, found)
    named = {found.rows, None if move is None else move.rows}
    present = [folder / ROWS, *folder.glob(f"{ROWS}-*")]
    return sorted(
        path
        for path in present
        if (path.name == ROWS or _NUMBERED.fullmatch(path.name))
        and path.name not in named
        and path.is_dir()
    )


def tidy(folder: Path, found: Manifest) -> None:
    """Remove old folders. The caller holds the writer's lock, and has opened the current rows."""
    if begun(folder, found) is None:
        forget(folder)
    for path in left_over(folder, found):
        remove(path)


def tidy_form(folder: Path, found: Manifest, keys: SealsText | None) -> None:
    """Remove what the store's other form has left: of a plain store if it is encrypted now.

    The caller holds the writer's lock, and the rows that the manifest names are there.

    Args:
        folder: the store's.
        found: its manifest.
        keys: the keys of an encrypted store, which seal its records; None for a plain one.
    """
    other = manifest.SESSIONS if found.encrypted else manifest.SEALED_SESSIONS
    left = [folder / f"{other}{ending}" for ending in ("", "-wal", "-shm", "-journal", ".checksum")]
    left += folder.glob(f"{other}.damaged-*")
    if found.encrypted:
        if not found.keyed:
            left.append(folder / LEXICAL)
    else:
        left += [folder / KEYRING, folder / KEYS]
    try:
        present = [path for path in left if path.exists() or path.is_symlink()]
        if present:
            # The new store.json must be on the disk before what it does not name goes.
            _settle_names(folder)
        for path in present:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise unwritable(folder, error) from error
    if keys is not None:
        reseal(folder, None, keys)


def remove(path: Path) -> None:
    """Remove a folder of rows that is not needed; if that fails, the next opening tries again."""
    try:
        # The new store.json must be on the disk before the old rows are removed.
        _settle_names(path.parent)
        if path.exists():
            shutil.rmtree(path)
    except OSError as error:
        _log.warning("old_rows_remain", folder=str(path), error=str(error))


def settle(path: Path, settled: set[Path]) -> None:
    """Sync a folder's files to the disk, except those in ``settled``, to which it adds them.

    Usually a store's files are not synced, and a power cut may cost the newest writes. A move
    replaces all rows, so without a sync it could cost all of them.

    Raises:
        BackendUnavailable: the folder cannot be written.
    """
    try:
        inside = [entry for entry in path.rglob("*") if entry not in settled]
        for entry in inside:
            if entry.is_file():
                _sync(entry, os.O_RDWR)
        for entry in (path, path.parent, *(entry for entry in path.rglob("*") if entry.is_dir())):
            _settle_names(entry)
        settled.update(entry for entry in inside if entry.is_file())
    except OSError as error:
        raise unwritable(path, error) from error


def _settle_names(folder: Path) -> None:
    """Sync a folder's list of names to the disk; Windows does so by itself."""
    if os.name == "posix":
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Watch:
    """Raises an error where the store has other rows than those that a reader has open.

    It checks the time of ``store.json`` for each read.
    """

    def __init__(self, folder: Path, found: Manifest) -> None:
        self._folder = folder
        self._rows = found.rows
        self._form = found.encrypted, found.keyed
        self._seen: tuple[int, int, int] | None = None

    def __call__(self) -> None:
        """Return if nothing has changed.

        Raises:
            FingerprintError: another process has moved the store to another embedder.
            StoreError: another process has given it another form.
        """
        try:
            status = (self._folder / manifest.FILE).stat()
        except OSError:
            return  # reading the rows raises its own error
        seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen == self._seen:
            return
        now = manifest.read(self._folder)
        if now is not None and (now.encrypted, now.keyed) != self._form:
            raise StoreError(
                f"the store in {self._folder} was encrypted or decrypted, or its keyed index "
                "was switched, after it was opened here",
                fix="Open it again.",
            )
        if now is not None and now.rows != self._rows:
            raise FingerprintError(
                f"the store in {self._folder} was re-embedded by {now.fingerprint} after it was "
                "opened here",
                fix="Open it again, with that embedder.",
            )
        self._seen = seen
