"""The server's image and its compose file: without rights, kept, closed to others.

Docker is not here: what the recipe runs is looked at, its health check runs against a server of the
same answers, and `.ci/run` lints it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STAGES = re.split(r"^FROM .*$", RECIPE, flags=re.MULTILINE)[1:]
SERVER: dict[str, Any] = yaml.safe_load(
    (ROOT / "docker-compose.server.yml").read_text(encoding="utf-8")
)["services"]["memory"]


def listed(instruction: str) -> list[str]:
    """The words of an instruction of the last stage, in JSON form."""
    found = re.search(rf"^{instruction} (\[.*\])$", STAGES[-1], re.MULTILINE)
    assert found is not None, instruction
    return list(json.loads(found[1]))


def test_the_server_runs_without_rights_in_its_volume() -> None:
    assert re.search(r"^USER 10001$", STAGES[-1], re.MULTILINE)
    assert re.search(r"^VOLUME /data$", STAGES[-1], re.MULTILINE)
    # Nothing of the build, a compiler or the source, is in the image that runs.
    assert "COPY --from=build /opt/memory /opt/memory" in STAGES[-1]
    assert STAGES[-1].count("COPY") == 1
    assert SERVER["cap_drop"] == ["ALL"]
    assert SERVER["read_only"] is True
    assert SERVER["ports"] == ["127.0.0.1:8420:8420"]


def test_it_starts_a_command_that_there_is() -> None:
    from bruno_memory_vec.surfaces.cli.app import app

    assert listed("ENTRYPOINT") == ["bruno-memory-vec"]
    command = listed("CMD")
    assert command[0] == "serve"
    options = CliRunner().invoke(app, [command[0], "--help"]).stdout
    for one in command:
        assert not one.startswith("--") or one in options
    assert "--tokens" in command


def test_what_is_copied_is_what_the_wheel_is_made_of() -> None:
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert all((ROOT / name).exists() for name in kept)
    assert kept >= {"bruno_memory_vec", "indexers", "rankers", "pyproject.toml", "README.md"}


class Answers(BaseHTTPRequestHandler):
    """Answers ``/readyz`` with a status."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_its_health_check_reads_readyz(
    status: int, code: int, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "status", status)
    found = re.search(r"CMD (\[\"python\".*\])$", STAGES[-1], re.MULTILINE)
    assert found is not None
    python, flag, script = json.loads(found[1])
    assert (python, flag) == ("python", "-c")
    done = subprocess.run(
        [sys.executable, "-c", script.replace("8420", str(port))],
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == code
