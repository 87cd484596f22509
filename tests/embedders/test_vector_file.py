"""The cache's file: bounded, damaged, locked, shared, killed."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import bruno_memory_vec
from bruno_memory_vec.embedders import CachedEmbedder
from bruno_memory_vec.embedders import vector_file as module
from bruno_memory_vec.embedders.vector_file import VectorFile
from tests.amounts import amount
from tests.embedders.counting import Counting

MB = 2**20
SIZE = 384


def vectors(numbers: range, size: int = SIZE) -> dict[bytes, NDArray[np.float32]]:
    """Each decided by its key, so that a wrong one is seen."""
    return {number.to_bytes(32, "big"): vector(number, size) for number in numbers}


def vector(number: int, size: int = SIZE) -> NDArray[np.float32]:
    return np.random.default_rng(number).standard_normal(size).astype(np.float32)


def check(found: dict[bytes, NDArray[np.float32]], size: int = SIZE) -> None:
    for key, value in found.items():
        assert np.array_equal(value, vector(int.from_bytes(key, "big"), size))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[VectorFile]:
    opened = VectorFile(tmp_path, 4 * MB)
    yield opened
    opened.close()


def path_of(folder: Path, number: int = 1) -> Path:
    return folder / f"embeddings-{number}.sqlite"


def test_what_is_put_is_got(file: VectorFile) -> None:
    given_ = vectors(range(700))
    file.put(given_)
    found = file.get([*given_, b"unknown"], SIZE)
    assert found.keys() == given_.keys()
    check(found)
    assert file.get(list(given_)[:3], SIZE - 1) == {}, "another dimension"


def test_it_stays_within_its_bound_and_forgets_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = MB
    file = VectorFile(tmp_path, bound)
    now = 1_000_000
    monkeypatch.setattr(time, "time", lambda: now)
    file.put(vectors(range(20)))
    for round_ in range(1, 31):
        now += 10_000
        assert len(file.get(list(vectors(range(20))), SIZE)) == 20, "used, so not the oldest"
        file.put(vectors(range(100 * round_, 100 * round_ + 100)))
        assert file.health()["bytes"] <= bound
        assert path_of(tmp_path).stat().st_size <= bound
    held = file.get(list(vectors(range(100, 3100))), SIZE)
    check(held)
    newest = set(vectors(range(2700, 3100)))
    assert newest <= held.keys()
    assert len(held) + 20 == file.health()["vectors"]
    assert 0.7 * bound < file.health()["bytes"]
    file.close()


def test_a_bound_that_was_lowered(tmp_path: Path) -> None:
    file = VectorFile(tmp_path, 8 * MB)
    file.put(vectors(range(3000)))
    file.close()
    file = VectorFile(tmp_path, MB)
    file.put(vectors(range(9000, 9010)))
    assert file.health()["bytes"] <= MB
    assert len(file.get(list(vectors(range(9000, 9010))), SIZE)) == 10
    file.close()


def test_one_call_larger_than_the_bound(tmp_path: Path) -> None:
    file = VectorFile(tmp_path, MB)
    file.put(vectors(range(3000)))
    assert file.health()["bytes"] <= MB
    check(file.get(list(vectors(range(3000))), SIZE))
    file.close()


# Places in SQLite's header (https://sqlite.org/fileformat.html) and what is written there.
_HEADER = {"newer format": (18, b"\x09"), "newer schema": (44, b"\0\0\0\x09")}


@pytest.mark.parametrize(
    "what", ["rubbish", "truncated", "foreign", "other columns", "zeros", "no text", *_HEADER]
)
def test_a_damaged_file_is_put_aside_and_begun_anew(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = VectorFile(tmp_path, 4 * MB)
    file.put(vectors(range(300)))
    file.close()
    path = path_of(tmp_path)
    if what == "rubbish":
        path.write_bytes(random.Random(1).randbytes(50_000))
    elif what == "truncated":
        path.write_bytes(path.read_bytes()[:100_000])
    elif what == "zeros":
        path.write_bytes(b"\0" * 50_000)
    elif what == "no text":
        path.write_bytes(path.read_bytes().replace(b"CREATE TABLE v", b"CREATE \xff\xfe\xfd v"))
    elif what in _HEADER:
        place, written = _HEADER[what]
        content = bytearray(path.read_bytes())
        content[place : place + len(written)] = written
        path.write_bytes(content)
    else:
        path.unlink()
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE vectors (mine TEXT)")
            if what == "other columns":
                other.execute(f"PRAGMA application_id = {module._APPLICATION_ID}")
    before = path.read_bytes()
    file = VectorFile(tmp_path, 4 * MB)
    with caplog.at_level(logging.WARNING):
        check(file.get(list(vectors(range(300))), SIZE))
        file.put(vectors(range(300)))
        found = file.get(list(vectors(range(300))), SIZE)
    assert len(found) == 300
    check(found)
    health = file.health()
    assert (health["problem"], health["damaged"]) == (None, 1)
    assert "embedding_cache_begun_anew" in caplog.text
    assert path.read_bytes() == before, "what is put aside is left as it was"
    file.close()
    again = VectorFile(tmp_path, 4 * MB)
    assert len(again.get(list(vectors(range(300))), SIZE)) == 300
    assert again.health()["damaged"] == 0
    again.close()


def test_damaged_files_do_not_pile_up(tmp_path: Path) -> None:
    for number in range(1, 6):
        path_of(tmp_path, number).write_bytes(b"rubbish" * 1000)
        file = VectorFile(tmp_path, 4 * MB)
        file.put(vectors(range(3)))
        file.close()
        left = sorted(path.name for path in tmp_path.iterdir())
        assert left == [path_of(tmp_path, which).name for which in (number, number + 1)]


_WHOLE: dict[int, bytes] = {}


def whole(size: int) -> bytes:
    """A sound file of 60 vectors, made once."""
    if size not in _WHOLE:
        with tempfile.TemporaryDirectory() as folder:
            file = VectorFile(Path(folder), 4 * MB)
            file.put(vectors(range(60), size))
            file.close()
            _WHOLE[size] = path_of(Path(folder)).read_bytes()
    return _WHOLE[size]


@settings(max_examples=amount(40, 500))
@given(data=st.data())
def test_no_damage_gives_a_wrong_vector_or_an_error(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([3, 64]))
    content = bytearray(whole(size))
    places = st.tuples(st.integers(0, len(content) - 1), st.binary(min_size=1, max_size=64))
    for place, rubbish in data.draw(st.lists(places, min_size=1, max_size=12)):
        content[place : place + len(rubbish)] = rubbish
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    with tempfile.TemporaryDirectory() as folder:
        path_of(Path(folder)).write_bytes(content)
        file = VectorFile(Path(folder), 4 * MB)
        keys = list(vectors(range(90), size))
        check(file.get(keys, size), size)
        file.put(vectors(range(30, 90), size))
        found = file.get(keys, size)
        check(found, size)
        assert file.health()["problem"] is None
        file.close()


def test_rows_that_changed_places_are_not_believed(file: VectorFile, tmp_path: Path) -> None:
    file.put(vectors(range(10)))
    file.close()
    with contextlib.closing(sqlite3.connect(path_of(tmp_path))) as other, other:
        first, second = (list(vectors(range(10)))[index] for index in (3, 4))
        rows = dict(other.execute("SELECT key, vector FROM vectors"))
        other.execute("UPDATE vectors SET vector = ? WHERE key = ?", (rows[second], first))
    found = file.get(list(vectors(range(10))), SIZE)
    assert len(found) == 9
    check(found)


def test_a_locked_file_is_done_without(
    file: VectorFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.05)
    file.put(vectors(range(5)))
    file.close()
    with contextlib.closing(sqlite3.connect(path_of(tmp_path), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with caplog.at_level(logging.WARNING):
            file.put(vectors(range(5, 10)))
            file.put(vectors(range(5, 10)))
        assert "locked" in file.health()["problem"]
        assert caplog.text.count("embedding_cache_unusable") == 1
        assert len(file.get(list(vectors(range(10))), SIZE)) == 5, "reading goes on"
    file.put(vectors(range(5, 10)))
    assert file.health()["problem"] is None
    assert len(file.get(list(vectors(range(10))), SIZE)) == 10


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inner = Counting()
    cached = CachedEmbedder(inner, tmp_path / "later")
    (tmp_path / "later").touch()
    for _ in range(2):
        assert np.array_equal(cached.embed(["a"]), Counting().embed(["a"]))
    assert inner.asked == ["a", "a"]
    assert "later" in cached.health()["problem"]


def test_nobody_has_to_close_it(tmp_path: Path) -> None:
    file = VectorFile(tmp_path, 4 * MB)
    file.put(vectors(range(3)))
    assert path_of(tmp_path).with_name("embeddings-1.sqlite-wal").exists()
    del file
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["embeddings-1.sqlite"]


# Other processes

_WORKER = """
import sys
import numpy as np
from pathlib import Path
from bruno_memory_vec.embedders.vector_file import VectorFile

folder, first, count, rounds = sys.argv[1], *map(int, sys.argv[2:5])
size = 384
file = VectorFile(Path(folder), 64 * 2**20)

def vector(number):
    return np.random.default_rng(number).standard_normal(size).astype(np.float32)

numbers = list(range(first, first + count))
for round_ in range(rounds):
    for start in range(0, count, 50):
        some = numbers[start : start + 50]
        file.put({n.to_bytes(32, "big"): vector(n) for n in some})
        found = file.get([n.to_bytes(32, "big") for n in some], size)
        assert len(found) == len(some), (len(found), file.health())
        for key, value in found.items():
            assert np.array_equal(value, vector(int.from_bytes(key, "big")))
        print(start, flush=True)
health = file.health()
assert health["problem"] is None and health["damaged"] == 0, health
"""


def worker(folder: Path, first: int, count: int, rounds: int = 1) -> subprocess.Popen[str]:
    root = Path(bruno_memory_vec.__file__).parent.parent
    return subprocess.Popen(
        [sys.executable, "-c", _WORKER, *map(str, (folder, first, count, rounds))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def test_several_processes_share_one_file(tmp_path: Path) -> None:
    # Overlapping ranges: some texts are put by two at once.
    workers = [worker(tmp_path, first, 600) for first in (0, 300, 600)]
    for process in workers:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    file = VectorFile(tmp_path, 64 * MB)
    found = file.get(list(vectors(range(1200))), SIZE)
    assert len(found) == 1200
    check(found)
    assert file.health()["vectors"] == 1200
    file.close()


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_process_leaves_a_sound_file(tmp_path: Path, seed: int) -> None:
    process = worker(tmp_path, 0, 1000, rounds=1000)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.3))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    file = VectorFile(tmp_path, 64 * MB)
    found = file.get(list(vectors(range(1000))), SIZE)
    assert len(found) >= 50, "what was committed before the kill"
    assert len(found) % 50 == 0, "a commit is whole or not there"
    check(found)
    file.put(vectors(range(1000, 1010)))
    health = file.health()
    assert (health["damaged"], health["problem"]) == (0, None)
    file.close()
    with contextlib.closing(sqlite3.connect(path_of(tmp_path))) as other:
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_file_damaged_while_others_use_it(tmp_path: Path) -> None:
    """Each goes on with a fresh file once it meets the damage; none gives a wrong vector."""
    files = [VectorFile(tmp_path, 4 * MB) for _ in range(3)]
    for file in files:
        file.put(vectors(range(200)))
    for file in files:
        file.close()
    path_of(tmp_path).write_bytes(b"rubbish" * 10_000)
    for file in files:
        check(file.get(list(vectors(range(200))), SIZE))
        file.put(vectors(range(200)))
    for file in files:
        assert len(file.get(list(vectors(range(200))), SIZE)) == 200
        assert file.health()["problem"] is None
        file.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "embeddings-1.sqlite",
        "embeddings-2.sqlite",
    ]
