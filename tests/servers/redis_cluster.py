"""A Redis Cluster of three masters on loopback."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import redis

from tests.servers.processes import wait_until
from tests.servers.redis_server import RedisServer

SLOTS = 16_384


class RedisCluster:
    """Three masters that share the slots, without replicas. ``with`` starts and ends them.

    It takes two seconds, for which a new master waits before it takes writes.
    """

    def __init__(self, folder: Path, *, masters: int = 3) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
        # A master that is gone is noticed in a second, and without it the others go on.
        options += ("--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
        self.nodes = [
            RedisServer(folder / f"node-{number}", options=options) for number in range(masters)
        ]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """``redis+cluster://``, with all nodes."""
        return "redis+cluster://" + ",".join(f"{node.host}:{node.port}" for node in self.nodes)

    def node_of(self, key: str) -> RedisServer:
        """The master that has a key."""
        slot: Any = self.nodes[0].client.execute_command("CLUSTER", "KEYSLOT", key)
        return self.nodes[int(slot) * len(self.nodes) // SLOTS]

    def __enter__(self) -> RedisCluster:
        try:
            self._join()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _join(self) -> None:
        for node in self.nodes:
            self._stack.push(node)
            node.start(wait=False)
        for node in self.nodes:
            node.wait()
        first, *others = self.nodes
        for number, node in enumerate(self.nodes):
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            low, high = _ceil(number, len(self.nodes)), _ceil(number + 1, len(self.nodes))
            node.client.execute_command("CLUSTER", "ADDSLOTS", *range(low, high))
        for node in others:
            first.client.execute_command("CLUSTER", "MEET", node.host, node.port)
        for node in self.nodes:
            wait_until(partial(self._is_joined, node), "the nodes of the cluster", node.log)

    def _is_joined(self, node: RedisServer) -> bool:
        try:
            told: Any = node.client.execute_command("CLUSTER", "INFO")
        except redis.ConnectionError:
            return False
        said = dict(told) if isinstance(told, dict) else _pairs(str(told))
        return said["cluster_state"] == "ok" and int(said["cluster_slots_assigned"]) == SLOTS


def _ceil(number: int, of: int) -> int:
    """The first slot of a node, such that slot * of // SLOTS is its number."""
    return -(-number * SLOTS // of)


def _pairs(text: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
