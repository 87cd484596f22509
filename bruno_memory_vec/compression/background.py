"""Compression by itself, while a memory is open, as the setting ``compression`` says.

One pass at a time looks at all conversations, and compresses those that the policy means. Between
two passes it rests. A store or a recall never waits for it: summaries are made outside of the
writer, and each is one small commit. What a pass leaves, because the memory is closed or the
process ends, the next one takes up, also after another opening.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Final

from bruno_memory_vec.access import ALL_USERS, Caller
from bruno_memory_vec.compression.compressor import CompressionLocks, Compressor
from bruno_memory_vec.compression_policy import CompressionPolicy
from bruno_memory_vec.errors import EngineError, StoreClosedError
from bruno_memory_vec.events import Events
from bruno_memory_vec.store.handle import Handle
from bruno_memory_vec.store.store import LazyStore
from bruno_memory_vec.writing.background import Background
from bruno_memory_vec.writing.throttle import Throttle

if TYPE_CHECKING:
    from bruno_core.interfaces.llm import LLMInterface

    from bruno_memory_vec.rankers import Profile

#: The name of the work, as ``health()`` gives it.
COMPRESS: Final = "compress conversations"

# Seconds after the opening until the first pass: what came with the opening goes first.
_FIRST: Final = 1.0
#: How long closing waits for a pass that was told to stop, in seconds.
LONGEST_STOP: Final = 5.0


class BackgroundCompression:
    """Compresses a memory in the background; it does nothing without a policy that asks for it.

    It holds the store weakly, so that a memory that is forgotten is collected, and closed.

    Args:
        locks: shared with the compressions that callers ask for.
        profile: of the memory, as of :class:`Handle`.
        throttle: of the memory.
        llm: of the memory.
        events: of the memory.
    """

    def __init__(
        self,
        locks: CompressionLocks,
        profile: Profile,
        throttle: Throttle,
        llm: LLMInterface | None,
        events: Events,
    ) -> None:
        self._locks = locks
        self._profile = profile
        self._throttle = throttle
        self._llm = llm
        self._events = events
        self._background = Background()
        # The event loop that has a timer; a timer of one that has ended never rings.
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._seen = -1
        self._stopped = False

    @property
    def problems(self) -> dict[str, str]:
        """Why the last pass failed, by the name of the work; empty where it did not."""
        return self._background.problems

    def begin(self, lazy: LazyStore) -> None:
        """Begin, if the policy of the memory wants it; of a loop only the first call counts."""
        policy = lazy.config.compression
        if self._stopped or policy is None or not policy.background or lazy.config.read_only:
            return
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop() is loop:
            return
        self._loop = weakref.ref(loop)
        held = weakref.ref(lazy)
        first = min(_FIRST, policy.every.total_seconds())
        self._background.start_later(first, COMPRESS, lambda: self._pass(held, policy))

    async def _pass(self, held: weakref.ref[LazyStore], policy: CompressionPolicy) -> None:
        lazy = held()
        if lazy is None or self._stopped:
            return
        handle = Handle(lazy, Caller(), self._profile, self._throttle, self._llm, self._events)
        try:
            await self._compress(handle, policy)
        except StoreClosedError:
            return
        finally:
            del lazy, handle
            if not self._stopped:
                rest = policy.every.total_seconds()
                self._background.start_later(rest, COMPRESS, lambda: self._pass(held, policy))

    async def _compress(self, handle: Handle, policy: CompressionPolicy) -> None:
        store = await handle.store()
        newest = await store.rows.last_seq()
        by_age = policy.older_than is not None or policy.conversations != "all" or policy.period
        if newest == self._seen and not by_age and not self.problems:
            return
        compressor = Compressor(handle, self._locks)
        report = await compressor.compress(policy, user_id=ALL_USERS, why="policy")
        if report.failures:
            first = report.failures[0]
            raise EngineError(
                "compression",
                f"compress {first.what} of {first.conversation_id}",
                f"{first.problem} ({len(report.failures)} in all)",
                fix="Nothing is lost. It is tried again with the next pass.",
            )
        # As it was before: what came meanwhile is looked at by the next pass, which finds nothing
        # to do where that was this one's own.
        self._seen = newest

    async def stop(self) -> None:
        """Begin no more, and end what is under way, within some seconds."""
        self._stopped = True
        self._background.refuse()
        running = self._background.under_way
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=LONGEST_STOP)
