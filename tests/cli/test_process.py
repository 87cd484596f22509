"""The command line as a process: exit codes, streams, signals, pipes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from bruno_memory_vec import __version__

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
# In seconds: far beyond what a busy machine needs.
_HANGS = 120.0


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bruno_memory_vec", *arguments],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def wait_until_idle(pid: int) -> None:
    """Until a process waits for something, and has computed nothing for half a second."""
    process, deadline = psutil.Process(pid), time.monotonic() + _HANGS
    looks: list[tuple[float, str]] = []
    while len(looks) < 10 or set(looks[-10:]) != {(looks[-1][0], psutil.STATUS_SLEEPING)}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        used = process.cpu_times()
        looks.append((used.user + used.system, process.status()))


def test_version_and_help(spawn: Run, run: Run) -> None:
    assert spawn("--version").out == f"bruno-memory-vec {__version__}\n"
    text = run("--help").out
    for name in ("demo", "ingest", "recall", "show", "stats", "doctor"):
        assert f"\n  {name} " in text
    assert "Exit codes: 0 all is well" in text
    assert "..." not in text.partition("Commands:")[2]  # each says something whole
    assert "Exit codes" in run("recall", "--help").out
    assert spawn("nonsense").code == 2
    assert run().code == 2


def test_nothing_heavy_for_help() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['bruno-memory-vec', 'recall', '--help']\n"
        "from bruno_memory_vec.surfaces.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'bruno_core', 'lancedb', 'pyarrow', 'tantivy', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_json_alone_is_on_stdout(store: list[str]) -> None:
    question = ["recall", "guesthouse", "--user", "ana", "--json"]
    with start(*question, *store) as right, start(*question, *store[:2]) as wrong:
        out, err = right.communicate(timeout=_HANGS)
        assert (right.returncode, err) == (0, "")
        assert json.loads(out)["hits"]
        out, err = wrong.communicate(timeout=_HANGS)
        assert wrong.returncode == 1
        assert json.loads(out)["error"]["type"] == "FingerprintError"
        assert err.startswith("error: ")
        assert "Traceback" not in err


def test_nothing_on_stderr_when_all_is_well(spawn: Run, tmp_path: Path) -> None:
    done = spawn("demo", "--store", str(tmp_path / "new"), "--embedder", "hash")
    assert (done.code, done.err) == (0, "")


def test_a_reader_that_goes_away(store: list[str]) -> None:
    processes = [start("show", "trip", *store[:2], *more) for more in ([], ["--json"])]
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()
    for process in processes:
        assert process.wait(_HANGS) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout(store: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bruno_memory_vec", "stats", *store[:2]],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_waiting_for_input(tmp_path: Path) -> None:
    with start(
        "ingest", "-", "--store", str(tmp_path / "s"), "--embedder", "hash", stdin=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        # More than a pipe holds: this returns when the command has begun to read. A signal that
        # comes between two reads of Python's own would wait for the next byte.
        process.stdin.write(" " * 200_000)
        process.stdin.flush()
        wait_until_idle(process.pid)
        process.send_signal(signal.SIGINT)
        process.wait(_HANGS)
        assert process.returncode == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert not (tmp_path / "s").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_while_storing(tmp_path: Path, lines: Run, run: Run) -> None:
    rows = (
        {"conversation_id": f"c{n // 20}", "role": "user", "content": f"number {n}", "user_id": "a"}
        for n in range(12_000)
    )
    store = tmp_path / "s"
    options = ["--store", str(store), "--embedder", "hash"]
    with start("ingest", str(lines(*rows)), "--batch", "200", *options) as process:
        deadline = time.monotonic() + _HANGS
        # Until its first commit is there.
        while not any((store / "rows").glob("rows.lance/data/*")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.wait(_HANGS)
        assert process.returncode == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert run("doctor", *options).code == 0


def test_a_second_writer(store: list[str], run: Run, lines: Run) -> None:
    code = (
        "import asyncio, sys\n"
        "from bruno_memory_vec import open_memory\n"
        "async def main():\n"
        f"    async with open_memory({store[1]!r}, embedder='hash'):\n"
        "        print('open', flush=True)\n"
        "        await asyncio.to_thread(sys.stdin.read)\n"
        "asyncio.run(main())\n"
    )
    row = {"conversation_id": "c", "role": "user", "content": "x", "user_id": "ana"}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as writer:  # fmt: skip
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        refused = run("ingest", str(lines(row)), *store)
        assert refused.code == 1
        assert f"process {writer.pid}" in refused.err
        assert run("recall", "guesthouse", "--user", "ana", *store).code == 0
        assert run("doctor", *store).code == 0
        writer.communicate("")
    assert run("ingest", str(lines(row)), *store).code == 0
