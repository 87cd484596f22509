"""Writes of every kind into a store of some size, and deletes."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from itertools import islice
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from bruno_core.models.memory import MemoryEntry, MemoryType

from benchmarks.scale.data import Corpus
from benchmarks.scale.work import Tell, Work, messages, singles, store_rows
from benchmarks.timing import rate, rated, timed, together
from bruno_memory_vec import VectorMemory

_CALLERS = 100
_BULK = 20_000
_AT_ONCE = 10_000
# Each of the callers makes this part of the calls that one caller makes alone; likewise deletes.
_EACH, _DELETES = 6, 10
_STEPS = 5


async def writing(work: Work, tell: Tell) -> dict[str, Any]:
    """One caller, 100 callers, bulk, and deletes, in this order, on one store."""
    # The texts are not in the store, and they are ready before the clock runs.
    fresh = work.fresh_corpus()
    calls, bulk = work.calls, min(_BULK, fresh.rows)
    figures: dict[str, Any] = {}
    memory = await work.open(fresh)
    try:
        tell(0, _STEPS)
        figures["store_message"] = await _alone(memory, fresh, calls)
        tell(1, _STEPS)
        figures["store_message_100_callers"] = await _together(
            memory, fresh, max(1, calls // _EACH)
        )
        tell(2, _STEPS)
        figures["store_messages"] = rated(
            bulk, await store_rows(memory, fresh, bulk, lambda done, total: None, "bulk/")
        )
        tell(3, _STEPS)
        figures["store_messages_one_call"] = await _one_call(memory, fresh, min(_AT_ONCE, bulk))
        tell(4, _STEPS)
        figures.update(await _deletes(memory, fresh, max(1, min(calls // _DELETES, 100))))
    finally:
        await memory.close()
    return figures


async def _alone(memory: VectorMemory, fresh: Corpus, calls: int) -> dict[str, float]:
    stores = list(islice(singles(memory, fresh, "alone/"), calls + 1))
    await stores[0]()
    return (await timed(stores[1:])).figures()


async def _together(memory: VectorMemory, fresh: Corpus, each: int) -> dict[str, Any]:
    """Every caller stores its own conversation, a message after the other."""
    conversations = islice(messages(fresh, 0, fresh.rows, "together/"), _CALLERS)
    return await together(
        [
            [partial(memory.store_message, one, conversation, user_id=user) for one in own[:each]]
            for user, conversation, own in conversations
        ]
    )


async def _one_call(memory: VectorMemory, fresh: Corpus, rows: int) -> dict[str, Any]:
    everything = [one for _, _, some in messages(fresh, 0, rows, "once/") for one in some]
    work = partial(memory.store_messages, everything, "once/all", user_id=fresh.asked_user)
    return await rate(rows, work)


async def _deletes(memory: VectorMemory, fresh: Corpus, calls: int) -> dict[str, Any]:
    conversations = [
        one for user, one, _ in messages(fresh, 0, fresh.rows, "bulk/") if user == fresh.asked_user
    ]
    clears = [partial(memory.clear_history, one) for one in conversations[:calls]]
    now = datetime.now(timezone.utc)
    memories = [
        MemoryEntry(
            id=uuid5(NAMESPACE_URL, f"{fresh.key}/memory/{row}"),
            content=text,
            memory_type=MemoryType.SEMANTIC,
            user_id=fresh.asked_user,
            created_at=now,
            updated_at=now,
            last_accessed=now,
        )
        for row, text in enumerate(fresh.texts(0, calls))
    ]
    await memory.store_memories(memories)
    deletes = [partial(memory.delete_memory, str(one.id)) for one in memories]
    return {
        "delete_conversation": (await timed(clears)).figures(),
        "delete_memory": (await timed(deletes)).figures(),
    }
