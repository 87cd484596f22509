"""One writer a folder, and an error that names it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bruno_memory_vec.errors import BackendUnavailable, StoreLockedError
from bruno_memory_vec.store import lock as locking
from bruno_memory_vec.store.lock import WriterLock

# Far beyond what a busy machine needs: who holds the lock will sign.
_PATIENCE = 120.0

HOLD = (
    "import sys, pathlib; from bruno_memory_vec.store.lock import WriterLock; "
    "lock = WriterLock(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
)

# At a moment that it is told, tries to take the lock; lets go of it when it is told the next.
RACE = """
import os, pathlib, sys, time
from bruno_memory_vec.store import lock as locking
from bruno_memory_vec.errors import StoreLockedError
from bruno_memory_vec.store.lock import WriterLock
locking._SIGNED_WITHIN = 120.0
print("ready", flush=True)
lock = None
for line in sys.stdin:
    if lock is not None:
        lock.release()
        lock = None
    if line.strip() == "free":
        print("free", flush=True)
        continue
    while time.time() < float(line):
        pass
    try:
        lock = WriterLock(pathlib.Path(sys.argv[1]))
        print(f"held by {os.getpid()}", flush=True)
    except StoreLockedError as error:
        print(error, flush=True)
"""


def taken_elsewhere(folder: Path) -> int:
    """Take a folder's lock as another process does; it ends with the handle."""
    handle = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def test_the_holder_is_named(tmp_path: Path) -> None:
    lock = WriterLock(tmp_path)
    with pytest.raises(StoreLockedError, match=f"process {os.getpid()} on .* since 20.*read_only"):
        WriterLock(tmp_path)
    lock.release()
    lock.release()
    WriterLock(tmp_path).release()
    assert not (tmp_path / "writer.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"pid": 1})])
def test_a_holder_without_a_name(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "_SIGNED_WITHIN", 0.05)
    lock = taken_elsewhere(tmp_path)
    (tmp_path / "writer.json").write_text(text, encoding="utf-8")
    with pytest.raises(StoreLockedError, match="another process"):
        WriterLock(tmp_path)
    os.close(lock)


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StoreLockedError, match=f"process {other.pid}"):
            WriterLock(tmp_path)
        other.kill()
        other.wait()
    WriterLock(tmp_path).release()


def test_a_holder_that_has_not_signed_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the name of a process that was killed earlier given for it."""
    monkeypatch.setattr(locking, "_SIGNED_WITHIN", _PATIENCE)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    name = {"host": locking.socket.gethostname(), "since": "2026-01-01"}
    (tmp_path / "writer.json").write_text(json.dumps({"pid": gone.pid, **name}))
    lock = taken_elsewhere(tmp_path)

    def sign() -> None:
        time.sleep(0.2)
        (tmp_path / "writer.json").write_text(json.dumps({"pid": os.getpid(), **name}))

    signing = threading.Thread(target=sign)
    signing.start()
    with pytest.raises(StoreLockedError, match=f"process {os.getpid()} on"):
        WriterLock(tmp_path)
    signing.join()
    os.close(lock)


def test_a_lock_that_is_let_go_while_its_holder_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "_SIGNED_WITHIN", _PATIENCE)
    lock = taken_elsewhere(tmp_path)
    timer = threading.Timer(0.1, os.close, (lock,))
    timer.start()
    WriterLock(tmp_path).release()
    timer.join()


def test_racing_processes_are_told_who_has_won(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]

    def say(line: str) -> list[str]:
        for racer in racers:
            assert racer.stdin is not None
            print(line, file=racer.stdin, flush=True)
        return hear()

    def hear() -> list[str]:
        return [racer.stdout.readline() for racer in racers if racer.stdout is not None]

    try:
        assert set(hear()) == {"ready\n"}
        for _ in range(60):
            told = say(str(time.time() + 0.01))
            (winner,) = [line for line in told if line.startswith("held by")]
            pid = winner.split()[-1]
            losers = [line for line in told if line != winner]
            assert len(losers) == 3
            for line in losers:
                assert re.search(rf"is being written by process {pid} on ", line), told
            say("free")
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


def test_where_no_lock_can_be(tmp_path: Path) -> None:
    (tmp_path / "writer.lock").mkdir()
    with pytest.raises(BackendUnavailable, match="permissions"):
        WriterLock(tmp_path)


def test_where_the_holder_cannot_sign(tmp_path: Path) -> None:
    (tmp_path / "writer.json").mkdir()
    with pytest.raises(BackendUnavailable):
        WriterLock(tmp_path)
    (tmp_path / "writer.json").rmdir()
    WriterLock(tmp_path).release()
