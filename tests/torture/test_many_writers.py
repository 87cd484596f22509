"""Random operations by four processes over one store, each of them checked by all others.

Its rows are in a real server and its sessions in Redis. No turn may be lost and no number given
twice, no context or recall may be stale after a write has returned, and no row another user's.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.amounts import amount
from tests.faults.load import impatient
from tests.faults.processes import Processes
from tests.servers.fixtures import SharedRows, SharedStore
from tests.servers.redis_cluster import RedisCluster
from tests.servers.redis_server import RedisServer
from tests.torture.conftest import counts

pytestmark = [pytest.mark.redis_server, pytest.mark.slow]

_PROCESSES = 4
_SECONDS = amount(1.0, 40.0)


def _seed() -> int:
    """Another one in every run; ``BRUNO_SEED`` repeats one."""
    return int(os.environ.get("BRUNO_SEED", random.SystemRandom().randrange(10**6)))


async def test_four_processes_write_to_one_store(shared_store: SharedStore, tmp_path: Path) -> None:
    with Processes(
        shared_store.rows, shared_store.sessions, tmp_path / "log", _seed()
    ) as processes:
        processes.start(_PROCESSES)
        await processes.work(_SECONDS)
        processes.end()
        counts(seed=processes.seed, **await processes.check())


async def test_four_processes_write_to_one_store_over_a_cluster(
    shared_rows: SharedRows, redis_cluster: RedisCluster, tmp_path: Path
) -> None:
    with Processes(shared_rows, redis_cluster.url, tmp_path / "log", _seed()) as processes:
        processes.start(_PROCESSES)
        await processes.work(_SECONDS)
        processes.end()
        counts(seed=processes.seed, **await processes.check())


async def test_processes_and_redis_die_while_four_write(
    shared_rows: SharedRows, redis_server: RedisServer, tmp_path: Path
) -> None:
    """A process is killed, Redis is killed, restarted and flushed; in the long form many times."""
    seed = _seed()
    dice = random.Random(seed)
    with Processes(shared_rows, impatient(redis_server.url), tmp_path / "log", seed) as processes:
        processes.start(_PROCESSES - 1)
        for fault in amount(["redis", "kill", "flush"], ["redis", "kill", "flush"] * 8):
            working = asyncio.create_task(processes.work(amount(1.0, 4.0)))
            await asyncio.sleep(dice.uniform(0.2, 0.6))
            if fault == "redis":
                redis_server.kill()
                await asyncio.sleep(dice.uniform(0.0, 0.2))
                redis_server.start()
            elif fault == "kill":
                processes.kill(dice.choice(processes.children))
            else:
                redis_server.client.flushall()
            await working
            if fault == "kill":
                processes.start(1)
        processes.end()
        counts(seed=seed, **await processes.check())
