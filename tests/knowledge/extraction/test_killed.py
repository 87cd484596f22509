"""A process that is killed right after a turn was acknowledged: the next one extracts its facts."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from bruno_memory_vec import open_memory

ROOT = Path(__file__).parents[3]
# It ends at once, as a killed one does: nothing is closed, and no work in the background is begun.
STORES = """
import asyncio, os, sys
from bruno_memory_vec import open_memory
from tests.knowledge.extraction.support import message

async def main():
    memory = await open_memory(sys.argv[1], embedder="hash", extract="patterns")
    await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
    await memory.facts.wait()
    await memory.store_message(message("I love tea", 1), "talk", user_id="ana")
    await memory.store_message(message("I hate rain", 2), "another", user_id="ana")
    os._exit(9)

asyncio.run(main())
"""


def ended(folder: str) -> subprocess.CompletedProcess[bytes]:
    """The process after its end."""
    return subprocess.run(
        [sys.executable, "-c", STORES, folder],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        timeout=120,
        check=False,
    )


async def test_nothing_is_missed(tmp_path: Path) -> None:
    folder = str(tmp_path / "memory")
    done = await asyncio.to_thread(ended, folder)
    assert done.returncode == 9
    async with open_memory(folder, embedder="hash", extract="patterns") as memory:
        assert {fact.value for fact in await memory.facts.list("ana")} == {"Lisbon"}
        await memory.facts.wait()
        found = {fact.value: fact.times_seen for fact in await memory.facts.list("ana")}
        assert found == {"Lisbon": 1, "tea": 1, "rain": 1}
