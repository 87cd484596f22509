"""The memory for programs without asyncio: every method waits for its answer.

::

    from bruno_memory_vec.sync import open_memory

    with open_memory("./memory") as memory:
        memory.store_message(message, "trip-planning", user_id="ana")
        hits = memory.recall("where did we stay in Lisbon?", user_id="ana", k=5)

Made from :class:`~bruno_memory_vec.VectorMemory` and its managers, with the same methods and
parameters; docs/sync.md tells what is different.
"""

from __future__ import annotations

from bruno_memory_vec.sync import api
from bruno_memory_vec.sync.api import *  # noqa: F403  # what api makes of the asynchronous ones

__all__ = api.__all__
