"""The files of users in a store's folder, and which of them are as the rows are now.

A file is valid as long as nothing of its user's rows was changed since, but by additions: these are
read from the rows and added (``through``, ``behind``). So :meth:`UserFiles.void` removes a file
before any other change of its user's rows begins. Access counts, which change oftener, are kept
beside the files (``uses``).

``state.json`` says how the last writer ended. Files that it left count only if it closed the store
and the rows are as it left them; or if it was killed, nobody has written since, and the machine was
not started anew, so that all it had written is there, in its order. A copy of the folder of a store
that was open is no such store: its rows may have been copied at another moment than its files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ..durable import sync_folder
from ..errors import BackendUnavailable
from ..private import FILE, NO_LINK, make_private_folder
from ..schema import SCHEMA_VERSION
from ..snapshot import HeldParts, HeldRows
from ..text.analysis import Analyser
from .layout import FORMAT, NotUsable, pack, unpack

#: More access counts than this are not kept beside the files: all are made anew.
MOST_USES = 200_000
#: More users than this whose rows were added to are not named at the end.
_MOST_BEHIND = 10_000
_STATE, _USES, _FRESH, _SUFFIX = "state.json", "uses", ".new", ".rows"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_BINARY: int = getattr(os, "O_BINARY", 0)
#: What is kept of a row's uses: its ``seq``, and the columns of ``USE_COLUMNS``.
_USE = np.dtype(
    [("seq", "<i8"), ("access_count", "<i8"), ("last_accessed", "<i8"), ("checksum", "<i8")]
)


@dataclass(frozen=True, slots=True)
class Store:
    """The rows that the files are made of.

    Attributes:
        made_by: what tells the store's vectors and format from others', as plain values for JSON.
        state: how the rows lie on the disk: it differs after any change of them.
        analyser: makes the words of rows, which are in the files, too.
        holder: who writes now, as it signs the store's lock.
        holder_before: whose signature a writer that was killed has left; None where there is none.
        check: raises where the folder's path does not lead to this store any more.
        folders: with the rows; in a copy they are others.
        seals: seals the files; None where they are plain.
    """

    made_by: Mapping[str, Any]
    state: Callable[[], str]
    analyser: Analyser
    holder: Mapping[str, Any]
    holder_before: Mapping[str, Any] | None
    check: Callable[[], None] = lambda: None
    folders: tuple[Path, ...] = ()
    seals: SealsFiles | None = None


class SealsFiles(Protocol):
    """Seals files for the disk."""

    #: What tells the store's keys from others'; it may be read by anybody.
    name: str

    def hashed(self, what: str, name: str) -> str:
        """A name as a file may be called: a keyed hash."""
        ...

    def seal_file(self, user_id: str | None, data: bytes) -> bytes:
        """Bytes sealed under a user's key; under one of the store for None."""
        ...

    def open_file(self, user_id: str | None, sealed: bytes) -> bytes:
        """The bytes of :meth:`seal_file`.

        Raises:
            ValueError: they were sealed with another key, or have changed.
        """
        ...


class UserFiles:
    """The files of one store. One process uses them, the one that writes.

    Its methods block; each says which threads may call it.

    Args:
        folder: where they are; made when the first one is written.
        store: of whose rows.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store = store
        self._about = {
            "format": FORMAT,
            "schema": SCHEMA_VERSION,
            "made_by": json.loads(json.dumps(dict(store.made_by))),
            "analyser": store.analyser.name,
        }
        self._seals = store.seals
        if store.seals is not None:
            self._about["sealed"] = store.seals.name
        # Which files are there, and those that lack rows which were added to their user's.
        self._present: set[str] = set()
        self._behind: set[str] = set()
        # The last seq at the opening. Files lack no row up to _through but of users in _behind.
        # None where each says itself up to which, as after a writer was killed.
        self._opened = -1
        self._through: int | None = -1
        # Those that were written since the opening.
        self._saved: set[str] = set()
        self._uses = np.empty(0, _USE)
        # Files that are being written; False once they are void.
        self._writing: dict[str, bool] = {}
        self._lock = threading.Lock()
        self._begun = self._ended = False
        #: What last failed, or was wrong with a file; None where all is well.
        self.problem: str | None = None
        #: Whether, at the opening, every user had a file who is to have one.
        self.complete = False
        #: How many files were read since opening, and how many were written.
        self.read = self.written = 0

    # Beginning and end

    def open(self, last_seq: int) -> None:
        """Look for files that an earlier writer has left, and remove those that do not count.

        What cannot be read or removed is in :attr:`problem`, and not used.

        Args:
            last_seq: the largest ``seq`` of the rows.
        """
        self._opened = self._through = last_seq
        if self._folder.is_symlink():
            # What users said would be written to where it leads.
            self.problem = f"files of users' rows are not used: {self._folder} is a link"
            self._ended = self._begun = True
            return
        if not self._folder.is_dir():
            return
        try:
            state = self._usable_state()
            if state is None:
                self._remove_folder()
                return
            for name in os.listdir(self._folder):
                if name.endswith(_SUFFIX):
                    self._present.add(name.removesuffix(_SUFFIX))
                elif name.endswith(_FRESH):
                    (self._folder / name).unlink()
            self._uses = self._read_uses()
            self._through, self._behind = state["through"], set(state["behind"])
            self.complete = state["complete"] is True
            self._begin()
        except (OSError, ValueError, KeyError, TypeError, NotUsable) as error:
            self._give_up(error)

    def _usable_state(self) -> dict[str, Any] | None:
        try:
            state = json.loads((self._folder / _STATE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        if not isinstance(state, dict) or state.get("about") != self._about:
            return None
        before = self._store.holder_before
        if state.get("ended") is not None:
            same = before is None and state["ended"] == self._store.state()
            return state if same else None
        boot = _boot()
        killed = before is not None and state.get("holder") == before
        same = killed and state.get("folders") == self._folders()
        return state if same and boot is not None and state.get("boot") == boot else None

    def _folders(self) -> list[list[int]]:
        """What tells the folders from copies of them."""
        found = [folder.stat() for folder in (self._folder, *self._store.folders)]
        return [[one.st_dev, one.st_ino] for one in found]

    def _begin(self) -> None:
        """Say that the files are in use, before the first of them changes."""
        self._write_state(
            {
                "ended": None,
                "holder": dict(self._store.holder),
                "boot": _boot(),
                "folders": self._folders(),
                # Of files that are not as new as the rows, nobody knows if this process is killed.
                "through": None,
                "behind": [],
                "complete": False,
            }
        )
        self._begun = True

    def end(self, through: int, *, complete: bool = False) -> None:
        """Say that no more changes come, so that the files count at the next opening.

        The rows are closed. Any thread may call it, once.

        Args:
            through: the last ``seq`` of the rows.
            complete: every user has a file who is to have one.
        """
        if not self._begun or self._ended:
            return
        self._ended = True
        behind = sorted(self._behind & self._present)
        known = self._through is not None and len(behind) <= _MOST_BEHIND
        try:
            self._store.check()
            sync_folder(self._folder)
            self._write_state(
                {
                    "ended": self._store.state(),
                    "holder": dict(self._store.holder),
                    "boot": _boot(),
                    "through": through if known else None,
                    "behind": behind if known else [],
                    "complete": complete and known,
                }
            )
        except Exception as error:  # they are made anew, then
            self.problem = str(error)

    def _write_state(self, state: Mapping[str, Any]) -> None:
        said = json.dumps({"about": self._about, **state}).encode()
        self._replace(self._folder / _STATE, [said], sync=True)

    # Reading

    def has(self, user_id: str) -> bool:
        """Whether a user has a file. Any thread may call it."""
        return self._name(user_id) in self._present

    def is_behind(self, user_id: str, through: int) -> bool:
        """Whether rows may have been added that a user's file lacks.

        Args:
            user_id: whose.
            through: up to which ``seq`` the file says that it lacks none.
        """
        unknown = self._through is None and through < self._opened
        return unknown or self._name(user_id) in self._behind

    def is_current(self, user_id: str) -> bool:
        """Whether a user has a file that is known to lack nothing, without reading it."""
        name = self._name(user_id)
        known = self._through is not None or name in self._saved
        return known and name in self._present and name not in self._behind

    def all_current(self) -> None:
        """Say that every file was written anew since the opening, or found to lack nothing."""
        self._through = self._opened

    def size(self, user_id: str) -> int:
        """The bytes of a user's file, 0 where there is none."""
        name = self._name(user_id)
        if name not in self._present:
            return 0
        try:
            return (self._folder / f"{name}{_SUFFIX}").stat().st_size
        except OSError:
            return 0

    def load(self, user_id: str) -> tuple[HeldRows, int] | None:
        """A user's rows as they were stored up to a ``seq``, and that; None where there is no file.

        A file that is damaged, or another user's, is removed, and :attr:`problem` says so. Any
        thread may call it.
        """
        name = self._name(user_id)
        if name not in self._present:
            return None
        path = self._folder / f"{name}{_SUFFIX}"
        try:
            self._store.check()
            with open(os.open(path, os.O_RDONLY | NO_LINK | _BINARY), "rb") as file:
                rows, said = unpack(self._opened_file(user_id, file), self._about_of(user_id))
            through = self._known_through(name, rows, said["through"])
        except (OSError, NotUsable, ValueError, KeyError, TypeError) as error:
            if name in self._present:  # else it was voided meanwhile
                self.problem = f"the file of a user's rows ({path.name}) is not used: {error}"
                self.void([user_id])
            return None
        self._set_uses(rows)
        self.read += 1
        return rows, through

    def _about_of(self, user_id: str) -> dict[str, Any]:
        return {**self._about, "user": user_id}

    def _name(self, user_id: str) -> str:
        return _name(user_id) if self._seals is None else self._seals.hashed("file", user_id)

    def _sealed(
        self, user_id: str | None, pieces: Iterable[bytes | memoryview]
    ) -> Iterable[bytes | memoryview]:
        """Pieces of a file as they are written."""
        return pieces if self._seals is None else [self._seals.seal_file(user_id, b"".join(pieces))]

    def _opened_file(self, user_id: str, file: BinaryIO) -> BinaryIO:
        """A file as it was before it was sealed."""
        return file if self._seals is None else BytesIO(self._seals.open_file(user_id, file.read()))

    def _known_through(self, name: str, rows: HeldRows, through: int) -> int:
        """Up to which ``seq`` a file lacks no row.

        Of a file from before the opening, not beyond the rows as they were then: where the newest
        were deleted or are lost, their numbers may have been given again.

        Raises:
            NotUsable: it has rows that were not there at the opening, as after older rows were put
                in place.
        """
        if name in self._saved:
            return through
        last = int(rows.snapshot().columns["seq"].max(initial=-1))
        if last > self._opened:
            raise NotUsable("it has rows that the store does not have")
        return min(through, self._opened)

    def _set_uses(self, rows: HeldRows) -> None:
        uses = self._uses
        if len(uses):
            rows.set_use_values(
                uses["seq"], {name: uses[name] for name in _USE.names or () if name != "seq"}
            )

    # Writing

    def begin_save(self, user_id: str) -> bool:
        """Say that a user's file is about to be written, of rows that are as they are now.

        :meth:`void` and :meth:`added` count from here on.

        Returns:
            Whether it may be: not while another thread is writing it, nor once files are given up.
        """
        name = self._name(user_id)
        with self._lock:
            if name in self._writing or self._ended:
                return False
            self._writing[name] = True
            self._behind.discard(name)
        return True

    def save(self, user_id: str, parts: HeldParts, through: int) -> bool:
        """Write a user's file, which :meth:`begin_save` announced. Any thread may call it.

        Args:
            user_id: whose.
            parts: the rows.
            through: no row of the user with a ``seq`` up to this is missing.

        Returns:
            Whether it is there now: not if the rows have changed since, or it cannot be written.
        """
        name = self._name(user_id)
        path = self._folder / f"{name}{_SUFFIX}"
        fresh = path.with_name(f"{name}{_FRESH}")
        done = False
        try:
            self._store.check()
            with self._lock:
                if not self._begun:
                    make_private_folder(self._folder)
                    self._begin()
            texts = parts.table.column("content")
            parts.words.of(
                len(texts),
                lambda first, end: texts.slice(first, end - first).to_pylist(),
                self._store.analyser,
            )
            pieces = pack(parts, {**self._about_of(user_id), "through": through})
            _write(fresh, self._sealed(user_id, pieces))
            with self._lock:
                if self._writing.get(name):
                    os.replace(fresh, path)
                    self._present.add(name)
                    self._saved.add(name)
                    done = True
            self.written += done
            self.problem = None if done else self.problem
        except Exception as error:  # a full disk, rights, a folder that was moved
            self.problem = f"a user's rows could not be written to {self._folder}: {error}"
        finally:
            with self._lock:
                self._writing.pop(name, None)
                if not done:
                    # As before: an older file may be there.
                    self._behind.add(name)
            if not done:
                with suppress(OSError):
                    fresh.unlink(missing_ok=True)
        return done

    # What changes the rows

    def added(self, users: Iterable[str]) -> None:
        """Note that rows of these users were added."""
        with self._lock:
            for name in map(self._name, users):
                if name in self._present or name in self._writing:
                    self._behind.add(name)

    def void(self, users: Iterable[str]) -> None:
        """Remove the files of users, before their rows are changed.

        It takes some 30 microseconds a file.

        Raises:
            BackendUnavailable: one cannot be removed, and would be taken for valid.
        """
        for user in users:
            name = self._name(user)
            with self._lock:
                writing = name in self._writing
                if writing:
                    self._writing[name] = False
                self._behind.discard(name)
                if not writing and name not in self._present:
                    continue
                self._present.discard(name)
                self._unlink([f"{name}{_SUFFIX}", *([f"{name}{_FRESH}"] if writing else [])])

    def void_all(self) -> None:
        """Remove all files, before rows of any users are changed, or as nobody knows which were.

        Raises:
            BackendUnavailable: one cannot be removed, and would be taken for valid.
        """
        with self._lock:
            for name in self._writing:
                self._writing[name] = False
            gone = [f"{name}{_SUFFIX}" for name in self._present]
            gone += [f"{name}{_FRESH}" for name in self._writing]
            self._present.clear()
            self._behind.clear()
            if len(self._uses):
                self._uses = np.empty(0, _USE)
                gone.append(_USES)
            self._unlink(gone)

    def _unlink(self, names: Collection[str]) -> None:
        if not names:
            return
        self._store.check()
        try:
            for name in names:
                (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            try:
                # Without it, no file counts at the next opening; here none of these is used.
                (self._folder / _STATE).unlink(missing_ok=True)
            except OSError:
                raise BackendUnavailable(
                    "folder",
                    "remove what is derived from rows that are about to change",
                    str(error),
                    fix=f"Check that {self._folder} may be written, or delete it.",
                    cause=error,
                ) from error
            self._ended = True
            self.problem = f"files of users' rows could not be removed: {error}"

    # Access counts

    def begin_uses(self, seqs: NDArray[np.int64], values: Mapping[str, NDArray[Any]]) -> bool:
        """Keep the access counts of rows, which are about to be set in the rows.

        Args:
            seqs: of which rows, int64 (n,).
            values: by column of ``USE_COLUMNS``, int64 (n,); times in microseconds.

        Returns:
            Whether they are kept; if not, no file may stay.
        """
        if not self._present and not self._writing:
            self.void_all()  # older counts must not come back into files that are written later
            return True
        fresh = np.empty(len(seqs), _USE)
        fresh["seq"] = seqs
        for name in _USE.names or ():
            if name != "seq":
                fresh[name] = values[name]
        kept = self._uses[~np.isin(self._uses["seq"], seqs)]
        joined = np.concatenate([kept, fresh])
        if len(joined) > MOST_USES:
            return False
        self._uses = joined[np.argsort(joined["seq"], kind="stable")]
        return self._keep_uses(done=False)

    def end_uses(self) -> None:
        """Say that the rows have the access counts, too."""
        if len(self._uses) and not self._keep_uses(done=True):
            self.void_all()

    def forget_uses(self, seqs: NDArray[np.int64]) -> None:
        """Keep nothing of rows that are gone."""
        kept = self._uses[~np.isin(self._uses["seq"], seqs)]
        if len(kept) < len(self._uses):
            self._uses = kept
            if not self._keep_uses(done=True):
                self.void_all()

    def _keep_uses(self, *, done: bool) -> bool:
        data = self._uses.tobytes()
        head = json.dumps({"done": done, "crc": zlib.crc32(data)}).encode()
        try:
            self._store.check()
            self._replace(self._folder / _USES, self._sealed(None, [head, b"\n", data]))
        except OSError as error:
            self.problem = f"access counts could not be kept beside users' rows: {error}"
            return False
        return True

    def _read_uses(self) -> NDArray[Any]:
        try:
            kept = (self._folder / _USES).read_bytes()
            if self._seals is not None:
                kept = self._seals.open_file(None, kept)
            head, data = kept.split(b"\n", 1)
        except FileNotFoundError:
            return np.empty(0, _USE)
        said = json.loads(head)
        if not said["done"] or said["crc"] != zlib.crc32(data):
            raise NotUsable("access counts were being set")
        return np.frombuffer(data, _USE)

    # Figures, and the disk

    def figures(self) -> dict[str, Any]:
        """Figures for ``health()``. Any thread may call it."""
        size = 0
        with suppress(OSError):
            for entry in os.scandir(self._folder):
                with suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_size
        return {"users": len(self._present), "bytes": size, "problem": self.problem}

    def _give_up(self, error: Exception) -> None:
        self.problem = f"files of users' rows are not used: {error}"
        self._present.clear()
        self._behind.clear()
        self._through, self.complete = self._opened, False
        self._uses = np.empty(0, _USE)
        self._remove_folder()

    def _remove_folder(self) -> None:
        try:
            remove(self._folder)
        except OSError as error:
            self.problem = f"{self._folder} could not be removed: {error}"
            # It is not used, and nothing is written to it.
            self._ended = self._begun = True

    def _replace(
        self, path: Path, pieces: Iterable[bytes | memoryview], *, sync: bool = False
    ) -> None:
        fresh = path.with_name(f"{path.name}{_FRESH}")
        try:
            _write(fresh, pieces, sync=sync)
            os.replace(fresh, path)
        except BaseException:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise


def remove(folder: Path) -> None:
    """Remove the files of all users, of a store that is not open.

    Raises:
        OSError: they cannot be removed.
    """
    if folder.is_symlink():
        folder.unlink()
    elif folder.is_dir():
        # Without its state no file counts, should this be broken off.
        (folder / _STATE).unlink(missing_ok=True)
        shutil.rmtree(folder)


def _name(user_id: str) -> str:
    return hashlib.blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _boot() -> str | None:
    """What tells this run of the machine from others; None where the system does not say."""
    try:
        return _BOOT.read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def _write(path: Path, pieces: Iterable[bytes | memoryview], *, sync: bool = False) -> None:
    path.unlink(missing_ok=True)  # what a killed process has left, or a link
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | _BINARY, FILE)
    with os.fdopen(handle, "wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        if sync:
            os.fsync(file.fileno())
