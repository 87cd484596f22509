"""A peer in a process of its own: its memory is its own, and its clock stands beside its calls."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from benchmarks.environment import quiet_logs
from benchmarks.peers.base import load
from benchmarks.scale.peers import make
from benchmarks.scale.peers.base import Batch, Row, Vectors

#: A call that is measured is repeated at least this often, however long it takes.
_LEAST = 10


class Ask(NamedTuple):
    """A question, and whose rows are to answer it."""

    text: str
    vector: Vectors
    user: str


class PeerError(Exception):
    """A peer failed in its process; the text is its traceback."""


class PeerProcess:
    """Runs one peer. Use it as a context manager; leaving it ends the process.

    Args:
        name: one of `benchmarks.scale.peers.names`.
        folder: the store's own, made where it is missing.
        dimension: of the vectors.
    """

    def __init__(self, name: str, folder: Path, dimension: int) -> None:
        # Spawned, not forked: neither memory nor locks of this process go along.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, name, str(folder), dimension), daemon=True
        )
        self._process.start()
        theirs.close()

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
        # Without a connection it ends by itself, unless it hangs in a call.
        self._process.join(timeout=10 if kind is None else 1)
        self._process.kill()
        self._process.join()

    def open(self) -> tuple[float, float]:
        """Open the store: seconds for it, and the MiB resident before any package of it."""
        answer: tuple[float, float] = self._call("open")
        return answer

    def add_bulk(self, batch: Batch) -> float:
        """Store the rows: seconds."""
        answer: float = self._call("add_bulk", batch)
        return answer

    def finish(self) -> float:
        """Make the indexes: seconds."""
        answer: float = self._call("finish")
        return answer

    def add_each(self, rows: Sequence[Row], budget_s: float) -> list[float]:
        """Store row after row: seconds of each, of fewer rows where `budget_s` is used up."""
        answer: list[float] = self._call("add_each", list(rows), budget_s)
        return answer

    def recall_each(self, asks: Sequence[Ask], k: int, budget_s: float) -> list[float]:
        """Ask one after the other: seconds of each, of fewer where `budget_s` is used up."""
        answer: list[float] = self._call("recall_each", list(asks), k, budget_s)
        return answer

    def nearest_each(self, asks: Sequence[Ask], k: int) -> list[list[int]] | None:
        """What the peer's vector search alone answers; None where it has none."""
        answer: list[list[int]] | None = self._call("nearest_each", list(asks), k)
        return answer

    def cpu_s(self) -> float:
        """Processor seconds of the process so far, of all its threads."""
        answer: float = self._call("cpu_s")
        return answer

    def resident_mib(self) -> float:
        """The process's resident memory now, in MiB."""
        answer: float = self._call("resident_mib")
        return answer

    def close(self) -> float:
        """Close the store: seconds."""
        answer: float = self._call("close")
        return answer

    def _call(self, method: str, *arguments: Any) -> Any:
        self._connection.send((method, arguments))
        try:
            failed, answer = self._connection.recv()
        except EOFError as error:
            self._process.join(timeout=5)
            raise PeerError(f"its process ended with {self._process.exitcode}") from error
        if failed:
            raise PeerError(answer)
        return answer


def _serve(connection: Connection, name: str, folder: str, dimension: int) -> None:
    quiet_logs()
    asyncio.run(_Served(name, Path(folder), dimension).answer(connection))


class _Served:
    """The other side of a `PeerProcess`: the same methods, on the peer itself."""

    def __init__(self, name: str, folder: Path, dimension: int) -> None:
        self._peer = make(name, dimension)
        self._folder = folder

    async def answer(self, connection: Connection) -> None:
        """Answer until the other side goes."""
        while True:
            try:
                # In a thread: what the peer does in the background goes on meanwhile.
                method, arguments = await asyncio.to_thread(connection.recv)
            except EOFError:
                return
            try:
                connection.send((False, await getattr(self, method)(*arguments)))
            except Exception:
                connection.send((True, traceback.format_exc()))

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


async def _each(calls: Sequence[Callable[[], Awaitable[Any]]], budget_s: float) -> list[float]:
    gc.collect()
    seconds: list[float] = []
    started = time.perf_counter()
    for call in calls:
        if len(seconds) >= _LEAST and time.perf_counter() - started > budget_s:
            break
        seconds.append(await _timed(call))
    return seconds
