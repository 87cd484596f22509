"""Forks at any moment of a store's life: the child touches nothing, the parent loses nothing."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from tests.durability.support import ROOT, environment, rows_of
from tests.torture.conftest import Torture, counts
from tests.torture.faults import doctor

HERE = Path(__file__).resolve().parent
# Far beyond what a busy machine needs: what has not ended by then hangs.
_HANGS = 1800


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_forks_amid_writes(tmp_path: Path, torture: Torture) -> None:
    folder, forks = tmp_path / "store", torture.choose(6, 100)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "ignore", str(HERE / "child_forks.py"), folder, "1", str(forks)],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_HANGS,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["wrong"] == []
    async with open_memory(str(folder), embedder="hash") as memory:
        held = sorted(row["content"] for row in await rows_of(memory))
        assert held == sorted(told["acknowledged"])
        assert (await memory.maintain()).ok
    # The command has an event loop of its own.
    assert (await asyncio.to_thread(doctor, folder))[0] == 0
    counts(forks=forks, refused=told["refused"], acknowledged=len(held), lost=0, doubled=0)
