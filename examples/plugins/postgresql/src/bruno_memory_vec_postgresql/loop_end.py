"""Closing what belongs to an event loop when the loop ends.

A memory may be used in one ``asyncio.run`` after another, and a connection works only in the loop
that made it. A loop that ends closes the async generators that were begun in it, so one of these is
told of the end while the loop can still close a connection in order.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable


async def closing_at_loop_end(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    """Call ``close`` when the running event loop ends.

    Returns:
        What the caller has to keep until then, or to ``aclose()``, which calls ``close`` now.
    """
    waiting = _until_closed(close)
    await anext(waiting)
    return waiting


async def _until_closed(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close()
