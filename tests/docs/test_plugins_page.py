"""The plug-in of docs/plugins.md is built, installed and tested as it stands on the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
FILE = re.compile(r"<!-- ([\w.]+) -->\n```\w+\n(.*?)```", re.DOTALL)

USE = """
import asyncio, scratch
from bruno_core.models.message import Message
from bruno_memory_vec import open_memory

async def main():
    async with open_memory("scratch://a", embedder="hash") as memory:
        await memory.store_message(Message(role="user", content="a red boat"), "t", user_id="ana")
        print([hit.content for hit in await memory.recall("boat", user_id="ana")], scratch.searches)

asyncio.run(main())
"""


def run(*command: str, site: Path, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_its_files_make_a_plug_in_that_passes_its_suites(tmp_path: Path) -> None:
    sources, site = tmp_path / "sources", tmp_path / "site"
    sources.mkdir()
    for name, text in FILE.findall(PAGE):
        (sources / name).write_text(text, encoding="utf-8")
    assert len(list(sources.iterdir())) == 3
    options = "install --quiet --no-deps --no-build-isolation --no-index --target"
    run("-m", "pip", *options.split(), str(site), str(sources), site=site, cwd=tmp_path)
    assert "['a red boat'] Counter({'a': 1})" in run("-c", USE, site=site, cwd=tmp_path)
    suites = tmp_path / "test_scratch.py"
    suites.write_text((sources / "test_scratch.py").read_text(encoding="utf-8"), encoding="utf-8")
    options = "-q -p no:cacheprovider -o asyncio_mode=auto --import-mode=importlib"
    said = run("-m", "pytest", *options.split(), str(suites), site=site, cwd=tmp_path)
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) > 120
    assert "skipped" not in said


def test_it_names_every_group_and_suite() -> None:
    from bruno_memory_vec import plugins, testing

    groups = re.findall(r"``(bruno_memory_vec\.\w+)``", plugins.__doc__ or "")
    assert len(groups) == 6
    assert [group for group in groups if f"`{group}`" not in PAGE] == []
    suites = [name for name in testing.__all__ if name.endswith("Conformance")]
    assert [suite for suite in suites if f"`{suite}`" not in PAGE] == []


def test_it_names_every_capability_of_an_engine_of_rows() -> None:
    from bruno_memory_vec.indexers import protocols

    told = set(re.findall(r"^\| `(\w+)` \| .* \| .* \|$", PAGE, re.MULTILINE))
    named = set(re.findall(r":class:`(\w+)`", (protocols.__doc__ or "").replace("\n", " ")))
    of_words = {"Refreshes", "DropsRemoved", "BeginsAnew"}  # of a lexical index
    assert len(named) > 8
    assert named - of_words - told == set()
