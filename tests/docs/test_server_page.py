"""The shell examples of ``docs/server.md`` run against a server, and answer what the page shows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")
# An example, and the answer that stands below it.
EXAMPLE = re.compile(r"(<!-- not run -->\n)?```sh\n(.*?)```(?:\n\n```json\n(.*?)```)?", re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("server")
    with subprocess.Popen(
        [sys.executable, "-m", "bruno_memory_vec", "serve", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        cwd=folder,
        text=True,
    ) as running:
        assert running.stdout is not None
        lines = []
        for line in running.stdout:
            lines.append(line)
            if line == "}\n":
                break
        yield {**json.loads("".join(lines)), "folder": folder}
        running.terminate()
        assert running.wait(60) == 0


def test_each_example_answers_as_the_page_says(server: dict[str, Any]) -> None:
    assert shutil.which("curl"), "these examples need curl"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    port = server["url"].rpartition(":")[2]
    ran = 0
    for skipped, code, answer in EXAMPLE.findall(PAGE):
        if skipped:
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code.replace("8420", port)],
            capture_output=True,
            text=True,
            check=False,
            cwd=server["folder"],
            env={**os.environ, "PATH": path},
            timeout=120,
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        ran += 1
        if answer:
            # "…" stands for whatever it is.
            pattern = ".*".join(re.escape(part) for part in answer.strip().split("…"))
            assert re.fullmatch(pattern, done.stdout.strip(), re.DOTALL), done.stdout
    assert ran >= 6
    assert (server["folder"] / "ana.jsonl").stat().st_size
