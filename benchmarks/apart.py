"""An object in a process of its own: its memory is its own, its clock stands beside its calls."""

from __future__ import annotations

import asyncio
import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from benchmarks.environment import quiet_logs


class ApartError(Exception):
    """A call failed in its process; the text is its traceback."""


class Apart:
    """Runs one object. Use it as a context manager; leaving it ends the process.

    Args:
        make: a function of a module, called in the new process: it gives the object, whose
            methods are coroutine functions.
        given: what ``make`` is given, picklable.
    """

    def __init__(self, make: Callable[..., Any], *given: Any) -> None:
        # Spawned, not forked: neither memory nor locks of this process go along.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, given), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Any:
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

    def call(self, method: str, *arguments: Any) -> Any:
        """What a method of the object returns.

        Raises:
            ApartError: it failed, or its process ended.
        """
        try:
            self._connection.send((method, arguments))
            failed, answer = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join(timeout=5)
            raise ApartError(f"its process ended with {self._process.exitcode}") from error
        if failed:
            raise ApartError(answer)
        return answer


def _serve(connection: Connection, make: Callable[..., Any], given: tuple[Any, ...]) -> None:
    quiet_logs()
    asyncio.run(_answer(connection, make(*given)))


async def _answer(connection: Connection, served: Any) -> None:
    """Answer until the other side goes."""
    while True:
        try:
            # In a thread: what the object does in the background goes on meanwhile.
            method, arguments = await asyncio.to_thread(connection.recv)
        except EOFError:
            return
        try:
            connection.send((False, await getattr(served, method)(*arguments)))
        except Exception:
            connection.send((True, traceback.format_exc()))
