"""Erasing: after it, no file of a table holds anything of a deleted or replaced row.

LanceDB deletes a row by marking it. Its values stay in the data file until the file is rewritten,
which compaction does only where more than a tenth of it is deleted; in the scalar and vector
indexes until they are made anew; in old versions, in the transactions that name what to delete,
and in files that a killed process has left.

What there is to do is remembered in the table's folder: a marker is written before the first
commit that deletes or replaces rows, and removed when everything is erased. So a killed process
forgets nothing, and a table without deletions is not rewritten. Counting a use marks nothing: the
old copy says what the new one says, and it is erased with its row.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BackendUnavailable, EngineError
from ..private import make_private_file
from .sync import unfinished

if TYPE_CHECKING:
    from lancedb.table import AsyncTable

#: The file that says that something is to be erased.
MARKER = "to-erase"

_DELETIONS, _VERSIONS, _TRANSACTIONS = "_deletions", "_versions", "_transactions"
# A row's id is its fragment's number, and its place in the fragment.
_ROWS_OF_A_FRAGMENT = 2**32
# A column that no index has; it is set to itself.
_ANY_COLUMN = "access_count"


class Erasure:
    """Remembers whether a table has something to erase, and rewrites what holds it.

    Args:
        folder: the database's folder.
        table: the table's folder in it.
        fsync: the marker must survive a power cut.
    """

    def __init__(self, folder: Path, table: str, *, fsync: bool) -> None:
        self._marker = folder / MARKER
        self._table = folder / table
        self._fsync = fsync
        #: Counts the commits that delete or replace rows.
        self.deletions = 0
        #: Since when something is to be erased (``time.monotonic()``); None where nothing is.
        self.since: float | None = self._marked()

    def _marked(self) -> float | None:
        try:
            age = time.time() - self._marker.stat().st_mtime
        except FileNotFoundError:
            return None
        return time.monotonic() - max(0.0, age)

    def begin(self) -> None:
        """Call it before a commit that deletes or replaces rows. It may block.

        Raises:
            BackendUnavailable: the marker cannot be written.
        """
        self.deletions += 1
        if self.since is not None:
            return
        try:
            if self._marker.is_symlink():  # somebody has planted it
                self._marker.unlink()
            make_private_file(self._marker)
            self._settle(self._marker)
            self._settle(self._marker.parent)
        except OSError as error:
            raise _failed(self._marker, error) from error
        self.since = time.monotonic()

    def end(self) -> None:
        """Everything is erased. It blocks.

        Raises:
            BackendUnavailable: the marker cannot be removed.
            EngineError: some deletions are left in the files.
        """
        fragments, versions = len(self._with_deletions()), self.versions()
        if fragments or versions > 1:
            raise EngineError(
                "lancedb",
                "erase what was deleted",
                f"{fragments} fragments still hold deleted rows, in {versions} versions",
                fix="Run maintain again.",
            )
        try:
            self._marker.unlink(missing_ok=True)
            self._settle(self._marker.parent)
        except OSError as error:
            raise _failed(self._marker, error) from error
        self.since = None

    async def rewrite(self, table: AsyncTable) -> int:
        """Write the rows of every fragment with deleted rows anew. Returns how many rows."""
        fragments = sorted(self._with_deletions())
        if not fragments:
            return 0
        # Also of older versions: a fragment that is gone has no row.
        where = " OR ".join(map(_rows_of_fragment, fragments))
        if not await table.count_rows(where):
            return 0
        done = await table.update(updates_sql={_ANY_COLUMN: _ANY_COLUMN}, where=where)
        return int(done.rows_updated)

    def sweep(self) -> None:
        """Delete files that a killed process has begun and not named. It blocks.

        The caller lets nothing be written meanwhile.

        Raises:
            BackendUnavailable: one cannot be deleted.
        """
        for folder, _, names in os.walk(self._table):
            for name in filter(unfinished, names):
                path = Path(folder) / name
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise _failed(path, error) from error

    async def drop_orphans(self, table: AsyncTable) -> None:
        """Delete what belongs to no version: LanceDB looks for it in the versions that it removes.

        Such files are left where a version was removed by hand, or its manifest was damaged. The
        table has one version, and nothing is written meanwhile.

        Raises:
            BackendUnavailable: one cannot be deleted.
        """
        if self.versions() > 1:
            return
        gone = [
            number
            for number in sorted(self._with_deletions())
            if not await table.count_rows(_rows_of_fragment(number))
        ]
        await asyncio.to_thread(self._drop_orphans, gone)

    def _drop_orphans(self, fragments: list[int]) -> None:
        orphans = [
            self._table / _DELETIONS / name
            for name in _names(self._table / _DELETIONS, "")
            if name.partition("-")[0] in map(str, fragments)
        ]
        for manifest in _names(self._table / _VERSIONS, ".manifest"):
            named = (self._table / _VERSIONS / manifest).read_bytes()
            orphans += [
                self._table / _TRANSACTIONS / name
                for name in _names(self._table / _TRANSACTIONS, ".txn")
                if name.encode() not in named
            ]
        for path in orphans:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise _failed(path, error) from error

    def bring_to_the_present(self) -> None:
        """Let no file be of a time to come, as after a clock that was ahead. It blocks.

        LanceDB would keep it until then.

        Raises:
            BackendUnavailable: the time of one cannot be set.
        """
        now = time.time()
        for folder, _, names in os.walk(self._table):
            for name in names:
                path = Path(folder) / name
                try:
                    if path.stat().st_mtime > now:
                        os.utime(path, (now, now))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise _failed(path, error) from error

    def versions(self) -> int:
        """How many versions are kept. It blocks."""
        return len(_names(self._table / _VERSIONS, ".manifest"))

    def _with_deletions(self) -> set[int]:
        """The fragments that have deleted rows in some version.

        The name of such a file begins with the fragment's number: ``12-345-678.arrow``.
        """
        numbers = (name.partition("-")[0] for name in _names(self._table / _DELETIONS, ""))
        return {int(number) for number in numbers if number.isdecimal()}

    def _settle(self, path: Path) -> None:
        if self._fsync and os.name == "posix":
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _rows_of_fragment(number: int) -> str:
    first = number * _ROWS_OF_A_FRAGMENT
    return f"(_rowid >= {first} AND _rowid < {first + _ROWS_OF_A_FRAGMENT})"


def _names(folder: Path, ending: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.endswith(ending)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _failed(folder, error) from error


def _failed(path: Path, error: OSError) -> BackendUnavailable:
    return BackendUnavailable(
        "lancedb",
        "erase what was deleted",
        f"{path}: {error.strerror or error}",
        fix=f"Check that {path.parent} has free space and may be read and written.",
        cause=error,
    )
