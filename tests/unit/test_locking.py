"""One writer a folder, and an error that names it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bruno_memory_vec.errors import BackendUnavailable, StoreLockedError
from bruno_memory_vec.locking import WriterLock

HOLD = (
    "import sys, pathlib; from bruno_memory_vec.locking import WriterLock; "
    "lock = WriterLock(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
)


def test_the_holder_is_named(tmp_path: Path) -> None:
    lock = WriterLock(tmp_path)
    with pytest.raises(StoreLockedError, match=f"process {os.getpid()} on .* since 20.*read_only"):
        WriterLock(tmp_path)
    lock.release()
    lock.release()
    WriterLock(tmp_path).release()
    assert not (tmp_path / "writer.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"pid": 1})])
def test_a_holder_without_a_name(tmp_path: Path, text: str) -> None:
    lock = WriterLock(tmp_path)
    (tmp_path / "writer.json").write_text(text, encoding="utf-8")
    with pytest.raises(StoreLockedError, match="another process"):
        WriterLock(tmp_path)
    lock.release()


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
