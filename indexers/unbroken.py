"""Work that a caller's cancellation must not cut in two."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_its_end(write: Coroutine[Any, Any, T]) -> T:
    """Await an engine's write; where that is cancelled, the write is let finish first.

    Else its rows could land after the next batch has looked for them, and a turn
    be given twice.
    """
    task = asyncio.ensure_future(write)
    # Who cancels asyncio.all_tasks() would cut the write itself, and LanceDB may commit all the
    # same, some milliseconds later.
    asyncio._unregister_task(task)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from task.exception()
    return task.result()
