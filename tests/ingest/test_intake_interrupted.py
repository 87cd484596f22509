"""An ingest that is ended in its midst: the next one doubles nothing, and has everything."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from tests.ingest.intake_support import contents, export, said

# Ends itself at the first progress of a step.
_INGEST = """
import asyncio, os, sys
from bruno_memory_vec import open_memory

store, file, step, number = sys.argv[1:]

def progress(work, done, total):
    if work == step:
        os.kill(os.getpid(), int(number))

async def main():
    async with open_memory(store, embedder="hash") as memory:
        await memory.ingest(file, batch=10, progress=progress)

asyncio.run(main())
"""

TALKS = [f"talk {number}" for number in range(4)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("step", ["storing messages", "putting conversations in order"])
async def test_the_next_one_goes_on(tmp_path: Path, step: str, number: signal.Signals) -> None:
    rows = [
        said(f"{talk}, message {at}", talk, timestamp=f"2025-03-01T10:{at:02}:00Z")
        for talk in TALKS
        for at in range(12)
    ]
    file, store = tmp_path / "talks.jsonl", tmp_path / "store"
    before = [row for at, row in enumerate(rows) if at % 3]
    async with open_memory(store, embedder="hash") as memory:
        await memory.ingest(export(file, before))
    command = [sys.executable, "-c", _INGEST, str(store), str(export(file, rows)), step]
    command.append(str(int(number)))
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=120)
    assert ended.returncode, ended.stderr
    async with open_memory(store, embedder="hash") as memory:
        report = await memory.ingest(file)
        assert report.added + report.unchanged == len(rows)
        assert report.added < len(rows) - len(before)  # a part was stored
        for talk in TALKS:
            assert await contents(memory, talk) == [
                row["content"] for row in rows if row["conversation_id"] == talk
            ]
        again = await memory.ingest(file)
        assert (again.added, again.edited, again.gone) == (0, 0, 0)
