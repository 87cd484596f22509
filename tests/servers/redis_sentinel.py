"""A Redis master with a replica, watched by a Sentinel, on loopback."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis

from tests.servers.processes import LOOPBACK, free_port, launch, wait_until
from tests.servers.redis_server import RedisServer, redis_binary

SERVICE = "memory"


class RedisSentinel:
    """One master, one replica, one Sentinel. ``with`` starts and ends them.

    When the master is killed, the Sentinel makes the replica the master in some two seconds.
    """

    def __init__(self, folder: Path) -> None:
        self.master = RedisServer(folder / "master")
        follows = ("--replicaof", self.master.host, str(self.master.port))
        self.replica = RedisServer(folder / "replica", options=follows)
        self.port = free_port()
        self._folder = folder / "sentinel"
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """``redis+sentinel://`` with the name of the service."""
        return f"redis+sentinel://{LOOPBACK}:{self.port}/{SERVICE}"

    def master_port(self) -> int:
        """The port of the master, as the Sentinel knows it."""
        client = redis.Redis(port=self.port, decode_responses=True)
        try:
            address: Any = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        finally:
            client.close()
        return int(address[1])

    def __enter__(self) -> RedisSentinel:
        try:
            self._watch()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _watch(self) -> None:
        for server in (self.master, self.replica):
            self._stack.push(server)
            server.start(wait=False)
        self.master.wait()
        self.replica.wait()
        wait_until(self._is_replicated, "the replica", self.replica.log)
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = self._folder / "sentinel.conf"
        settings.write_text(
            f"bind {LOOPBACK}\nport {self.port}\ndir {self._folder}\n"
            f"sentinel monitor {SERVICE} {self.master.host} {self.master.port} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 500\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )
        log = self._folder / "redis.log"
        process = launch([str(redis_binary()), str(settings), "--sentinel"], log)
        self._stack.callback(_end, process)
        wait_until(self._knows_the_replica, "the Sentinel", log)

    def _is_replicated(self) -> bool:
        told: Any = self.replica.client.info("replication")
        return bool(told["master_link_status"] == "up")

    def _knows_the_replica(self) -> bool:
        client = redis.Redis(port=self.port, decode_responses=True)
        try:
            known: Any = client.info("sentinel")
        except redis.ConnectionError:
            return False
        finally:
            client.close()
        return bool(known["master0"]["slaves"] == 1 and known["master0"]["status"] == "ok")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
