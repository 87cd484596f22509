"""A store that was written one message at a time, against the same store freshly compacted."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.scale.machine import disk, peak_mib, resident_mib
from benchmarks.scale.work import Tell, Work, singles
from benchmarks.timing import Timed, spread, timed
from bruno_memory_vec import VectorMemory

# How often files are counted meanwhile.
_EVERY = 1_000


async def endurance(work: Work, tell: Tell) -> dict[str, Any]:
    """Write a corpus message by message into an empty store; recall, compact, recall.

    Old versions of rows may only be dropped once nobody can be reading them. So that both are
    measured in the same state, `Work.settle` seconds pass before the last compaction.
    """
    corpus = work.corpus()
    memory = await work.open(corpus)
    folder = Path(work.store)
    latencies = Timed()
    most: dict[str, float] = {}
    try:
        for call in singles(memory, corpus):
            await latencies.add(call)
            if len(latencies.seconds) % _EVERY == 0:
                now = disk(folder)
                most = {name: max(value, most.get(name, 0)) for name, value in now.items()}
                tell(len(latencies.seconds), corpus.rows)
        written = {**await _recall(memory, work), **disk(folder)}
        started = time.perf_counter()
        await memory.maintain()
        compacting = time.perf_counter() - started
        await asyncio.sleep(work.settle)
        await memory.maintain()
        compacted = {**await _recall(memory, work), **disk(folder)}
    finally:
        await memory.close()
    seconds = latencies.seconds
    tenth = max(1, len(seconds) // 10)
    return {
        "writes": len(seconds),
        "store_message": latencies.figures(),
        "store_message_first_tenth": spread(seconds[:tenth]),
        "store_message_last_tenth": spread(seconds[-tenth:]),
        "most_files": most.get("files", written["files"]),
        "most_disk_mib": most.get("disk_mib", written["disk_mib"]),
        "written": written,
        "maintain_s": round(compacting, 2),
        "compacted": compacted,
        "recall_ratio": round(written["p50_ms"] / compacted["p50_ms"], 3),
        "disk_ratio": round(written["disk_mib"] / compacted["disk_mib"], 3),
        "resident_mib": resident_mib(),
        "peak_mib": peak_mib(),
    }


async def _recall(memory: VectorMemory, work: Work) -> dict[str, float]:
    corpus = work.corpus()
    asked = islice(cycle(corpus.questions), work.calls)
    calls = [partial(memory.recall, one.text, user_id=corpus.asked_user) for one in asked]
    await calls[0]()
    return (await timed(calls)).figures()
