"""With sessions in Redis many processes write to one store in PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bruno_memory_vec
from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.testing import MemoryConformance
from tests.extending.postgresql.stores import open_index

pytestmark = pytest.mark.slow

ROOT = Path(bruno_memory_vec.__file__).parent.parent
COUNT = 12


async def test_no_turn_is_lost_or_given_twice(plugin: Path, url: str, redis_url: str) -> None:
    names = ["cleo", "dora", "emil"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(plugin), str(ROOT)))}
    teller = [sys.executable, "-m", "tests.extending.postgresql.child_teller", url, redis_url]
    async with open_memory(url, embedder="hash", sessions=redis_url) as memory:
        children = [
            subprocess.Popen(  # noqa: ASYNC220 - they run beside each other
                [*teller, name, str(COUNT)],
                env=environment,
                cwd=ROOT,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name in names
        ]
        complaints = [child.communicate(timeout=120)[1] for child in children]
        assert [child.returncode for child in children] == [0, 0, 0], complaints
        turns = await memory.read_turns("shared", limit=1_000)
        assert [one.turn for one in turns] == list(range(len(names) * COUNT))
        told = [turn.message.content for turn in turns]
        for name in names:
            assert [text for text in told if text.startswith(name)] == [
                f"{name} says {number}" for number in range(COUNT)
            ]
            own = await memory.read_turns(f"of {name}", limit=1_000)
            assert [(one.turn, one.message.content) for one in own] == [
                (number, str(number)) for number in range(COUNT)
            ]
        assert (await memory.maintain()).ok
    index = await open_index(url, 256)
    seqs = (await index.read(EVERYONE, RowFilter(), ["seq"])).column("seq").to_pylist()
    assert len(set(seqs)) == len(seqs) == 2 * len(names) * COUNT
    await index.close()


class TestWithRedis(MemoryConformance):
    @pytest.fixture(autouse=True)
    def _give_store(self, url: str, redis_url: str) -> None:
        self.url, self.sessions = url, redis_url

    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await open_memory(self.url, embedder="hash", sessions=self.sessions, **settings)
