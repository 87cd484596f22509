"""What is done to a store, and what is left of it afterwards."""

from __future__ import annotations

import json
import os
import queue
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.robustness.stores import index_files

ROOT = Path(__file__).resolve().parents[2]
# A store that does not open in so many seconds counts as one that does not open.
_OPENS_WITHIN = 120.0
# A writer that is killed writes for so many seconds, without an end of its own. Upkeep in the
# background falls within them.
_KILLED_WITHIN = (0.02, 2.5)
_ENDLESS = 1_000_000
# Rows of which a search is asked, at most.
_ASKED = 20


@dataclass(slots=True)
class Left:
    """What is left of a store, looked at by another process.

    Attributes:
        opens: whether it can be opened and read.
        acknowledged: rows of which the store has said that they are stored.
        lost: how many of those it does not hold.
        doubled: rows that it holds more than once.
        found: how many of some acknowledged rows a search finds...
        asked: ...of so many.
        problem: what a store said that did not open, or a search that failed.
    """

    opens: bool
    acknowledged: int
    lost: int = 0
    doubled: int = 0
    found: int = 0
    asked: int = 0
    problem: str | None = None


@dataclass(slots=True)
class Kills:
    """Of a store whose writer is killed again and again.

    Attributes:
        kills: how many writers were killed while they wrote.
        did_not_open: how many others could not open the store before.
    """

    kills: int
    did_not_open: int
    left: Left


@dataclass(slots=True)
class Contest:
    """Of a store that several processes write at once.

    Attributes:
        writers: how many processes.
        refused_to_open: how many of them the store refused when they opened it.
        rows: how many rows they would have written in all.
        failed: rows whose writing raised an error.
        said: the commonest words of refusals and errors.
    """

    writers: int
    refused_to_open: int
    rows: int
    failed: int
    said: str | None
    left: Left


@dataclass(slots=True)
class Truncation:
    """Of a store of which one file of an index at a time is cut in half.

    Attributes:
        files: how many files.
        opened: with how many of them the store could be opened and read.
        whole: with how many of them nothing was lost, nothing doubled, and every row asked for was
            found by a search.
        unreadable: the most rows that could not be read then.
        worst: for a file by its name, what was wrong.
    """

    files: int
    opened: int = 0
    whole: int = 0
    unreadable: int = 0
    worst: dict[str, str] = field(default_factory=dict)


def kill_while_writing(name: str, folder: Path, kills: int, seed: int) -> Kills:
    """Kill a process that writes row by row, open the store with the next one, and so on.

    Args:
        name: the store.
        folder: an empty one.
        kills: how often.
        seed: of the moments.
    """
    moments = random.Random(seed)
    stored: list[int] = []
    killed = did_not_open = 0
    for turn in range(kills):
        with child("write", name, folder, first=turn * _ENDLESS, rows=_ENDLESS) as process:
            if not process.opened():
                did_not_open += 1
                continue
            process.begin()
            first = process.next(_OPENS_WITHIN)
            stored += _numbers([first] if first else [])
            time.sleep(moments.uniform(*_KILLED_WITHIN))
            process.kill()
            killed += 1
            stored += _numbers(process.rest())
    return Kills(killed, did_not_open, look(name, folder, stored))


def write_at_once(name: str, folder: Path, writers: int, rows: int) -> Contest:
    """Let several processes write rows of their own at the same time.

    Args:
        name: the store.
        folder: an empty one.
        writers: how many processes.
        rows: how many rows each of them has.
    """
    # The store is made before, so that they meet in writing and not in making it.
    with child("fill", name, folder, first=0, rows=0) as process:
        process.opened()
        process.wait()
    children = [
        _Child("write", name, folder, first=number * _ENDLESS, rows=rows)
        for number in range(writers)
    ]
    said: Counter[str] = Counter()
    stored: list[int] = []
    failed = 0
    try:
        opened = [process for process in children if process.opened()]
        said.update(process.failed for process in children if process.failed)
        for process in opened:
            process.begin()
        for process in opened:
            lines = list(process.rest())
            stored += _numbers(lines)
            refused = [line["refused"] for line in lines if "refused" in line]
            failed += len(refused)
            said.update(refused)
    finally:
        for process in children:
            process.kill()
    commonest = said.most_common(1)
    return Contest(
        writers,
        writers - len(opened),
        writers * rows,
        failed,
        commonest[0][0] if commonest else None,
        look(name, folder, stored),
    )


def truncate_indexes(name: str, folder: Path, rows: int, most: int | None) -> Truncation:
    """Cut one file of an index in half, look at the store, and take the next file of a new copy.

    Args:
        name: the store.
        folder: an empty one.
        rows: how many rows it gets before.
        most: how many files, the largest ones; None for all.
    """
    whole = folder / "whole"
    whole.mkdir()
    with child("fill", name, whole, first=0, rows=rows) as process:
        if not process.opened():
            raise RuntimeError(f"{name} does not open an empty folder: {process.failed}")
        process.wait()
    files = [path.relative_to(whole) for path in index_files(name, whole)][:most]
    result = Truncation(len(files))
    for file in files:
        copy = folder / "copy"
        shutil.copytree(whole, copy)
        os.truncate(copy / file, (copy / file).stat().st_size // 2)
        left = look(name, copy, range(rows))
        shutil.rmtree(copy)
        result.opened += left.opens
        result.unreadable = max(result.unreadable, left.lost)
        if left == Left(True, rows, found=left.asked, asked=left.asked):
            result.whole += 1
            continue
        missed = f"{left.lost} lost, {left.asked - left.found} of {left.asked} not found"
        result.worst[str(file)] = left.problem or missed
    return result


def look(name: str, folder: Path, stored: Sequence[int]) -> Left:
    """What another process finds in a store.

    Args:
        name: the store.
        folder: its folder.
        stored: the rows that it has acknowledged.
    """
    step = max(1, len(stored) // _ASKED)
    # The last ones are those that a kill is nearest to.
    asked = sorted({*stored[::step][: _ASKED // 2], *stored[-_ASKED // 2 :]})
    with child("look", name, folder, ask=asked) as process:
        told = [line for line in process.rest() if "held" in line or "failed" in line]
    if not told or "failed" in told[-1]:
        problem = told[-1]["failed"] if told else "its process ended without a word"
        return Left(False, len(stored), len(stored), asked=len(asked), problem=problem)
    held = Counter(told[-1]["held"])
    return Left(
        True,
        len(stored),
        lost=sum(number not in held for number in stored),
        doubled=sum(times > 1 for times in held.values()),
        found=told[-1]["found"],
        asked=len(asked),
        problem=told[-1]["search_failed"],
    )


def _numbers(lines: Iterable[dict[str, Any]]) -> list[int]:
    return [line["stored"] for line in lines if "stored" in line]


@contextmanager
def child(work: str, name: str, folder: Path, **options: Any) -> Iterator[_Child]:
    """A process on a store; it is killed at the end, where it still runs."""
    process = _Child(work, name, folder, **options)
    try:
        yield process
    finally:
        process.kill()


class _Child:
    """The other side of `benchmarks.robustness.child`."""

    def __init__(self, work: str, name: str, folder: Path, **options: Any) -> None:
        given = [part for key, value in options.items() for part in (f"--{key}", str(value))]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.robustness.child", work, name, str(folder), *given],
            cwd=ROOT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "ANONYMIZED_TELEMETRY": "False"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        #: Why it could not open the store; None where it could.
        self.failed: str | None = None

    def opened(self) -> bool:
        """Whether it has opened the store; waits for that."""
        told = self.next(_OPENS_WITHIN) or {"failed": "it did not open in time, or ended"}
        self.failed = told.get("failed")
        return self.failed is None

    def begin(self) -> None:
        """Let it write."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def next(self, within: float) -> dict[str, Any] | None:
        """Its next line; None where it has ended, or says nothing in so many seconds."""
        try:
            return self._lines.get(timeout=within)
        except queue.Empty:
            return None

    def rest(self) -> Iterator[dict[str, Any]]:
        """Its lines until it ends, or is silent for two minutes."""
        while (line := self.next(_OPENS_WITHIN)) is not None:
            yield line

    def wait(self) -> None:
        """Wait until it has done its work."""
        for line in self.rest():
            if "failed" in line:
                raise RuntimeError(line["failed"])

    def kill(self) -> None:
        """Kill it, as ``kill -9`` does, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                try:
                    self._lines.put(json.loads(line))
                except ValueError:  # a word of a peer's own, or a line cut by the kill
                    continue
        self._lines.put(None)
