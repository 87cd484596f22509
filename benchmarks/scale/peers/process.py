"""A peer in a process of its own: its memory is its own, and its clock stands beside its calls."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.apart import Apart
from benchmarks.peers.base import load
from benchmarks.scale.peers import make
from benchmarks.scale.peers.base import Batch, Row, Vectors
from benchmarks.timing import Call, timed


class Ask(NamedTuple):
    """A question, and whose rows are to answer it."""

    text: str
    vector: Vectors
    user: str


class PeerProcess(Apart):
    """Runs one peer. Use it as a context manager; leaving it ends the process.

    Args:
        name: one of `benchmarks.scale.peers.names`.
        folder: the store's own, made where it is missing.
        dimension: of the vectors.
    """

    def __init__(self, name: str, folder: Path, dimension: int) -> None:
        super().__init__(_Served, name, folder, dimension)

    def open(self) -> tuple[float, float]:
        """Open the store: seconds for it, and the MiB resident before any package of it."""
        answer: tuple[float, float] = self.call("open")
        return answer

    def add_bulk(self, batch: Batch) -> float:
        """Store the rows: seconds."""
        answer: float = self.call("add_bulk", batch)
        return answer

    def finish(self) -> float:
        """Make the indexes: seconds."""
        answer: float = self.call("finish")
        return answer

    def add_each(self, rows: Sequence[Row], budget_s: float) -> list[float]:
        """Store row after row: seconds of each, of fewer rows where `budget_s` is used up."""
        answer: list[float] = self.call("add_each", list(rows), budget_s)
        return answer

    def recall_each(self, asks: Sequence[Ask], k: int, budget_s: float) -> list[float]:
        """Ask one after the other: seconds of each, of fewer where `budget_s` is used up."""
        answer: list[float] = self.call("recall_each", list(asks), k, budget_s)
        return answer

    def nearest_each(self, asks: Sequence[Ask], k: int) -> list[list[int]] | None:
        """What the peer's vector search alone answers; None where it has none."""
        answer: list[list[int]] | None = self.call("nearest_each", list(asks), k)
        return answer

    def cpu_s(self) -> float:
        """Processor seconds of the process so far, of all its threads."""
        answer: float = self.call("cpu_s")
        return answer

    def resident_mib(self) -> float:
        """The process's resident memory now, in MiB."""
        answer: float = self.call("resident_mib")
        return answer

    def close(self) -> float:
        """Close the store: seconds."""
        answer: float = self.call("close")
        return answer


class _Served:
    """The other side of a `PeerProcess`: the same methods, on the peer itself."""

    def __init__(self, name: str, folder: Path, dimension: int) -> None:
        self._peer = make(name, dimension)
        self._folder = folder

    async def open(self) -> tuple[float, float]:
        self._folder.mkdir(parents=True, exist_ok=True)
        before = await self.resident_mib()
        self._peer.load(self._folder)
        return await _timed(self._peer.open, self._folder), before

    async def add_bulk(self, batch: Batch) -> float:
        return await _timed(self._peer.add_bulk, batch)

    async def finish(self) -> float:
        return await _timed(self._peer.finish)

    async def add_each(self, rows: list[Row], budget_s: float) -> list[float]:
        return await _each([partial(self._peer.add_one, row) for row in rows], budget_s)

    async def recall_each(self, asks: list[Ask], k: int, budget_s: float) -> list[float]:
        return await _each([partial(self._peer.recall, *ask, k) for ask in asks], budget_s)

    async def nearest_each(self, asks: list[Ask], k: int) -> list[list[int]] | None:
        found = [await self._peer.nearest(ask.vector, ask.user, k) for ask in asks]
        return None if None in found else [ids for ids in found if ids is not None]

    async def cpu_s(self) -> float:
        return time.process_time()

    async def resident_mib(self) -> float:
        psutil = load("psutil", package="psutil", extra="bench")
        resident: float = psutil.Process().memory_info().rss / 2**20
        return round(resident, 1)

    async def close(self) -> float:
        return await _timed(self._peer.close)


async def _timed(call: Callable[..., Awaitable[Any]], *arguments: Any) -> float:
    started = time.perf_counter()
    await call(*arguments)
    return time.perf_counter() - started


async def _each(calls: Sequence[Call], budget_s: float) -> list[float]:
    return (await timed(calls, budget_s=budget_s)).seconds
