"""What another process has logged, looked at anew at each call."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from ..aio import LoopLock
from ..errors import BackendUnavailable
from .log_records import Header
from .memtable import Part
from .write_ahead_log import Segment, read_segment, segments, unavailable

# A segment goes when the engine has its rows, at most about once in a second.
_TRIES = 20


@dataclass(slots=True)
class _Followed:
    """A segment, as far as it was read."""

    part: Part
    header: Header | None
    end: int
    damaged: int
    status: tuple[str, int, int, int]


class LogReader:
    """The tail of a store that another process writes.

    A look costs a listing of the log's folder. A segment that has grown is read whole, and only
    what is new of it is parsed.

    Args:
        folder: the log's; it need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._followed: dict[str, _Followed] = {}
        self._seen: tuple[tuple[str, int, int, int], ...] = ()
        self._reading = LoopLock()
        #: Another number whenever rows have left the tail.
        self.epoch = 0

    @property
    def state(self) -> object:
        """Differs where the log differed."""
        return self._seen

    @property
    def parts(self) -> list[Part]:
        """What was read, oldest first; only parts with rows."""
        return [one.part for one in self._followed.values() if one.part.rows]

    @property
    def segments(self) -> int:
        """How many files hold them."""
        return len(self._followed)

    @property
    def problem(self) -> str | None:
        """What could not be read, and should be."""
        named = [name for name, one in self._followed.items() if one.damaged]
        if not named:
            return None
        return f"part of the row log cannot be read: {', '.join(named)} in {self._folder}"

    async def look(self) -> None:
        """See what is in the log now.

        Raises:
            BackendUnavailable: it cannot be read.
        """
        if self._listing() == self._seen:
            return
        async with self._reading:
            for _ in range(_TRIES):
                now = self._listing()
                if now == self._seen:
                    return
                try:
                    read = await asyncio.to_thread(self._read, now)
                except FileNotFoundError:
                    # Its rows are in the engine by now, which is read after this.
                    continue
                self._take(now, read)
                return
        raise BackendUnavailable(
            "row log",
            "read",
            f"{self._folder} changes faster than it can be read",
            fix="Try again.",
        )

    def _listing(self) -> tuple[tuple[str, int, int, int], ...]:
        found = []
        for path in segments(self._folder):
            try:
                status = os.stat(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise unavailable("read", path, error) from error
            found.append((path.name, status.st_size, status.st_mtime_ns, status.st_ino))
        return tuple(found)

    def _read(self, now: tuple[tuple[str, int, int, int], ...]) -> dict[str, Segment]:
        read = {}
        for status in now:
            known = self._followed.get(status[0])
            if known is None:
                read[status[0]] = read_segment(self._folder / status[0])
            elif known.status != status:
                # One that is shorter than what was read of it was cut back, and is read anew.
                goes_on = known.header is not None and status[1] >= known.end
                read[status[0]] = read_segment(
                    self._folder / status[0], known.header, known.end if goes_on else 0
                )
        return read

    def _take(self, now: tuple[tuple[str, int, int, int], ...], read: dict[str, Segment]) -> None:
        followed: dict[str, _Followed] = {}
        for status in now:
            name = status[0]
            known, found = self._followed.pop(name, None), read.get(name)
            if found is not None:
                if known is None or not found.begin or found.begin != known.end:
                    self.epoch += known is not None
                    known = _Followed(Part(), None, 0, 0, status)
                for rows in found.rows:
                    known.part.add(rows, found.path, rows.nbytes)
                known.header, known.end = found.header, found.end
                known.damaged, known.status = known.damaged + found.damaged, status
            assert known is not None
            followed[name] = known
        # What is left went.
        self.epoch += bool(self._followed)
        self._followed, self._seen = followed, now
