"""A Redis that fails over to its replica, and a cluster that loses a node for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from tests.faults.load import Writers, impatient, right
from tests.servers.redis_cluster import RedisCluster
from tests.servers.redis_sentinel import RedisSentinel

pytestmark = pytest.mark.redis_server


async def test_the_replica_takes_over_under_load(
    redis_sentinel: RedisSentinel, tmp_path: Path
) -> None:
    """What it had not received from the master yet comes from the rows."""
    url = impatient(redis_sentinel.url)
    async with open_memory(str(tmp_path / "store"), sessions=url, embedder="hash") as memory:
        writers = Writers(memory)
        await writers.more()
        redis_sentinel.master.kill()
        await writers.refusals()
        await writers.more()
        assert redis_sentinel.master_port() == redis_sentinel.replica.port
        await writers.stop()
        await right(memory, writers)


@pytest.mark.slow
async def test_a_cluster_is_without_a_node_for_a_while(
    redis_cluster: RedisCluster, tmp_path: Path
) -> None:
    url = impatient(redis_cluster.url)
    async with open_memory(str(tmp_path / "store"), sessions=url, embedder="hash") as memory:
        writers = Writers(memory, 6)
        await writers.more()
        node = redis_cluster.nodes[1]
        node.kill()
        try:
            await writers.refusals()
        finally:
            node.start()
        await writers.more(20)
        await writers.stop()
        await right(memory, writers)
