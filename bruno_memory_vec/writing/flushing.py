"""When logged rows are brought to the engine: in a pause, or when they have waited long."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.writing.background import Background

#: The name of the work, as ``health()`` gives it.
FLUSH = "bring logged rows to the engine"

# In seconds: since the last write, since the first that the engine does not have, and after a
# failure.
PAUSE, LONGEST, AGAIN = 1.0, 2.0, 5.0


class Flushing:
    """Flushes an index in the background, some time after it was written to.

    Args:
        background: does the work.
        flush: brings what is logged to the engine.
        flushed: called after each flush that succeeded.
    """

    def __init__(
        self,
        background: Background,
        flush: Callable[[], Awaitable[None]],
        flushed: Callable[[], None],
    ) -> None:
        self._background = background
        self._flush = flush
        self._flushed = flushed
        self._newest = 0.0
        # When rows were first logged since the engine had all of them; 0 for none.
        self._oldest = 0.0

    def written(self) -> None:
        """Something was written now."""
        self._newest = time.monotonic()
        self._oldest = self._oldest or self._newest
        self._background.start_later(PAUSE, FLUSH, self._run)

    async def _run(self) -> None:
        now = time.monotonic()
        waited = now - self._oldest if self._oldest else 0.0
        left = min(PAUSE - (now - self._newest), LONGEST - waited)
        if left > 0:
            self._background.start_later(left, FLUSH, self._run)
            return
        self._oldest = 0.0
        try:
            await self._flush()
        except EngineError:
            self._background.start_later(AGAIN, FLUSH, self._run)
            raise
        if self._oldest:
            # It came while that ran, and its own timer may have found it running.
            self._background.start_later(PAUSE, FLUSH, self._run)
        self._flushed()
