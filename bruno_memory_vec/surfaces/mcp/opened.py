"""The store behind the server: opened beside the protocol, and read-only where it is locked.

A client gives its servers a few seconds to answer, and a large store that has something to rebuild
may take longer. So the protocol is served at once, and the first call waits for the store, telling
how far it is.

A folder has one writer. A second server on it, as of a second window of an editor, reads beside it,
and what it would write the first one does (:mod:`.sharing`). A program that is no such server does
not: then ``remember`` and ``forget`` are refused until it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from bruno_memory_vec.config import MemoryConfig, masked
from bruno_memory_vec.errors import StoreLockedError, problem_and_fix
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.store.manifest import folder_of
from bruno_memory_vec.surfaces.mcp.sharing import Answer, Host, Passed, pass_on

_LOG: Final = logging.getLogger(__name__)
# Seconds between two words on how far the opening is.
_BETWEEN: Final = 0.25

#: Tells a caller how far the opening is: a count that grows, and words.
Report = Callable[[int, str], Awaitable[None]]


class Opened:
    """An open memory, or one that is being opened.

    Args:
        config: how to open it; with ``read_only`` there is only a reader.
    """

    def __init__(self, config: MemoryConfig) -> None:
        self.config = config
        self._steps, self._step = 0, ""
        self._main = VectorMemory(config=config, progress=self._note)
        self._beside: VectorMemory | None = None
        self._folder = folder_of(config.url)
        self._host: Host | None = None
        #: Answers what other servers pass on; None while there is nothing that could.
        self.answer: Answer | None = None
        self._opening: asyncio.Task[VectorMemory] | None = None
        self._closed = False

    def begin(self) -> None:
        """Begin to open it. What goes wrong is told to whoever asks for it."""
        task = self._begun()
        task.add_done_callback(_tell)

    async def reading(self, report: Report) -> VectorMemory:
        """A memory to read from.

        Raises:
            StoreError, EngineError: it cannot be opened.
        """
        if self._beside is not None and not self._is_open:
            return self._beside
        try:
            return await self._wait(report)
        except StoreLockedError:
            return await self._read_beside()

    async def writing(self, report: Report) -> VectorMemory:
        """A memory to write to.

        Raises:
            StoreLockedError: another process writes to it. Tried anew at each call.
            ReadOnlyError: when it is written to, where there is only a reader.
            StoreError, EngineError: it cannot be opened.
        """
        memory = await self._wait(report)
        if self._beside is not None:
            beside, self._beside = self._beside, None
            await beside.close()
        return memory

    async def pass_on(self, call: Passed) -> dict[str, Any] | None:
        """Let the server that has the folder open to write answer a call.

        Returns: the result of the tool; None where there is no such server, or it is this one.

        Raises:
            AnswerLost: it ended before it said what became of the call.
        """
        if self._folder is None or self._is_open:
            return None
        return await pass_on(self._folder, call)

    async def close(self) -> None:
        """Write what is pending, and release the store."""
        self._closed = True
        if self._opening is not None:
            with contextlib.suppress(Exception):
                await asyncio.shield(self._opening)
        if self._host is not None:
            await self._host.close()
        for memory in (self._main, self._beside):
            if memory is not None:
                await memory.close()

    @property
    def _is_open(self) -> bool:
        task = self._opening
        return task is not None and task.done() and not task.cancelled() and not task.exception()

    def _begun(self) -> asyncio.Task[VectorMemory]:
        task = self._opening
        if task is None or (task.done() and not self._is_open):
            self._steps, self._step = 0, ""
            task = self._opening = asyncio.ensure_future(self._open())
            # Also where everybody who waited for it was cancelled.
            task.add_done_callback(_seen)
        return task

    async def _open(self) -> VectorMemory:
        memory = await self._main.connect()
        if self._folder is not None and not self.config.read_only:
            self._host = Host(self._folder, self._answered)
            await self._host.start()
        return memory

    async def _answered(self, call: Passed) -> dict[str, Any]:
        assert self.answer is not None
        return await self.answer(call)

    async def _wait(self, report: Report) -> VectorMemory:
        task, told = self._begun(), 0
        while not task.done():
            # A call that is cancelled leaves the opening to the others.
            await asyncio.wait([task], timeout=_BETWEEN)
            if self._steps > told:
                told = self._steps
                await report(told, self._step)
        return task.result()

    async def _read_beside(self) -> VectorMemory:
        if self._beside is None:
            config = self.config.model_copy(update={"read_only": True})
            reader = VectorMemory(config=config)
            _LOG.warning("another process writes to %s: it is read beside that", masked(config.url))
            self._beside = reader
        return self._beside

    def _note(self, work: str, done: int, total: int) -> None:
        self._steps += 1
        self._step = f"{work}: {done} of {total}"


def _seen(task: asyncio.Task[VectorMemory]) -> None:
    if not task.cancelled():
        task.exception()


def _tell(task: asyncio.Task[VectorMemory]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.warning("the store is not open: %s. %s", *problem_and_fix_of(error))


def problem_and_fix_of(error: BaseException) -> tuple[str, str]:
    """What happened, without secrets, and what to do about it."""
    problem, fix = problem_and_fix(error if isinstance(error, Exception) else Exception(str(error)))
    return masked(problem), masked(fix)
