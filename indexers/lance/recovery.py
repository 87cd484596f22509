"""Goes back to a LanceDB table's last readable version, where the newest one cannot be read.

A power cut may leave a newest version that is torn: an empty manifest, or one
that names files which never reached the disk. LanceDB then opens nothing at
all, though the version before is whole. With ``fsync`` on, what is torn was
never acknowledged (``sync``). Without it, or where a file was damaged or
deleted later, rows that were acknowledged may be lost by going back: so it is
done only when asked for, and what is put aside is kept.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..durable import sync_folder
from ..errors import BackendUnavailable, EngineError
from ..schema import KEY_COLUMNS
from .process import start_lancedb
from .table import NEWEST_NAME, errors

#: The folder, inside that of the rows, where :func:`step_back` keeps what it puts aside.
ASIDE = "set-aside"

_TABLE = "rows.lance"
_VERSIONS = "_versions"
# The folders of a table with the rows of its versions, and with the rows they have deleted.
_OF_ROWS = ("data", "_deletions")
_MAGIC = b"LANC"
# How many versions are tried: each may take a read of all rows, and damage that so many versions
# share is no torn commit.
_TRIES = 20
# A running append may have written its file before the whole version was committed.
_WRITTEN_BEFORE_NS = 60 * 10**9


@dataclass(frozen=True, slots=True)
class Whole:
    """A version whose rows can all be read.

    Attributes:
        version: its number.
        rows: how many it holds.
        unreadable: the manifests of the newer versions, newest first; empty if there are none.
    """

    version: int
    rows: int
    unreadable: tuple[Path, ...]

    @property
    def torn(self) -> tuple[int, ...]:
        """The numbers of the newer versions, the newest first."""
        return tuple(NEWEST_NAME - int(manifest.stem) for manifest in self.unreadable)


async def newest_whole(folder: Path) -> Whole | None:
    """The newest version whose rows can all be read; None where there is none.

    It changes nothing, and reads every value of every row once.

    Args:
        folder: the folder of the rows (``.../rows``).

    Raises:
        BackendUnavailable: the folder cannot be read.
    """
    tries = 0
    unreadable: list[Path] = []
    for manifest in _manifests(folder):
        if tries < _TRIES and _looks_whole(manifest):
            tries += 1
            rows = await _read_whole(folder, manifest)
            if rows is not None:
                return Whole(NEWEST_NAME - int(manifest.stem), rows, tuple(unreadable))
        unreadable.append(manifest)
    return None


def step_back(folder: Path, whole: Whole) -> Path:
    """Put all newer versions aside, so that ``whole`` is the newest.

    The caller holds the writer's lock and has no table open. Projections may still hold rows that
    are gone now: they have to catch up, and every hot context has to be marked stale.

    Returns:
        The folder that keeps them: their manifests, and the files of rows that were written
        after ``whole``.

    Raises:
        BackendUnavailable: the folder cannot be written.
    """
    with _os_errors("put a torn version aside", folder):
        aside = _new_folder(folder / ASIDE)
        _keep_rows(folder / _TABLE, aside, whole)
        # The newest first, so that a process killed halfway can do it again.
        for manifest in whole.unreadable:
            manifest.replace(aside / manifest.name)
        for changed in (aside, aside.parent, folder, folder / _TABLE / _VERSIONS):
            sync_folder(changed)
    return aside


def put_aside(folder: Path, paths: Sequence[Path]) -> Path | None:
    """Move files, such as damaged ones of the log, to where :func:`step_back` keeps its own.

    The caller holds the writer's lock.

    Returns:
        The folder that has them now; None where there are none.

    Raises:
        BackendUnavailable: the folder cannot be written.
    """
    if not paths:
        return None
    with _os_errors("put damaged files aside", folder):
        aside = _new_folder(folder / ASIDE)
        for path in paths:
            path.replace(aside / path.name)
        for changed in (aside, aside.parent, folder, *{path.parent for path in paths}):
            sync_folder(changed)
    return aside


def _new_folder(parent: Path) -> Path:
    """A new folder for each call, since LanceDB reuses the numbers of removed versions."""
    parent.mkdir(exist_ok=True)
    taken = [int(path.name) for path in parent.iterdir() if path.name.isdecimal()]
    fresh = parent / str(max(taken, default=0) + 1)
    fresh.mkdir()
    return fresh


def _keep_rows(table: Path, aside: Path, whole: Whole) -> None:
    """Keep the files of the newer versions, since LanceDB removes files that no version names.

    A torn manifest does not name its files, so they are chosen by their age. A few more may be
    kept.
    """
    manifest = table / _VERSIONS / f"{NEWEST_NAME - whole.version}.manifest"
    since = manifest.stat().st_mtime_ns - _WRITTEN_BEFORE_NS
    for name in _OF_ROWS:
        if not (table / name).is_dir():
            continue
        for path in (table / name).iterdir():
            if path.is_file() and path.stat().st_mtime_ns >= since:
                (aside / name).mkdir(exist_ok=True)
                _link(path, aside / name / path.name)
        if (aside / name).is_dir():
            sync_folder(aside / name)


def _link(path: Path, copy: Path) -> None:
    try:
        # A link takes no space, and LanceDB never changes a file.
        copy.hardlink_to(path)
    except OSError:
        # Not every file system supports hard links.
        shutil.copy2(path, copy)


def _manifests(folder: Path) -> list[Path]:
    """The manifests of a table, newest first."""
    with _os_errors("list its versions", folder):
        names = os.listdir(folder / _TABLE / _VERSIONS)
    stems = (name.removesuffix(".manifest") for name in names if name.endswith(".manifest"))
    numbers = sorted(stem for stem in stems if stem.isdecimal() and len(stem) == 20)
    return [folder / _TABLE / _VERSIONS / f"{number}.manifest" for number in numbers]


def _looks_whole(manifest: Path) -> bool:
    """Whether a manifest is complete. LanceDB reads one of zeros as a table without columns."""
    with _os_errors("read a version", manifest), manifest.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_MAGIC)))
        return file.read() == _MAGIC


async def _read_whole(folder: Path, manifest: Path) -> int | None:
    """How many rows a version has; None where one of them cannot be read."""
    import lancedb

    start_lancedb()
    with tempfile.TemporaryDirectory(prefix="bruno-memory-") as view:
        _show_one_version(folder, manifest, Path(view))
        try:
            with errors("read a version", str(folder)):
                database = await lancedb.connect_async(view)
                table = await database.open_table(_TABLE.removesuffix(".lance"))
                try:
                    return await _count(table)
                finally:
                    table.close()
        except BackendUnavailable:
            raise
        except EngineError:
            return None


async def _count(table: Any) -> int | None:
    if not set(KEY_COLUMNS) <= set((await table.schema()).names):
        return None
    rows = 0
    async for batch in await table.query().to_batches():
        rows += batch.num_rows
    return rows


def _show_one_version(folder: Path, manifest: Path, target: Path) -> None:
    """Make a folder with one version only, since LanceDB always reads the newest one first."""
    with _os_errors("look at a version", folder):
        table = target / _TABLE
        (table / _VERSIONS).mkdir(parents=True)
        (table / _VERSIONS / manifest.name).symlink_to(manifest.absolute())
        for part in (folder / _TABLE).iterdir():
            if part.name != _VERSIONS:
                (table / part.name).symlink_to(part.absolute())


@contextmanager
def _os_errors(operation: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackendUnavailable(
            "lancedb",
            operation,
            str(error),
            fix=f"Check that {path} may be read and written, and has free space.",
            cause=error,
        ) from error
