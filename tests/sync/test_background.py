"""A memory in a thread of its own: from many threads, closed, forked, and at the program's end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.errors import StoreClosedError, StoreError
from bruno_memory_vec.sync.background import BackgroundMemory


def made(folder: Path) -> BackgroundMemory:
    return BackgroundMemory(lambda: VectorMemory(str(folder), embedder="hash"))


def store(memory: BackgroundMemory, text: str) -> None:
    message = Message(role=MessageRole.USER, content=text)
    memory.run(lambda held: held.store_message(message, "talk"))


def count(memory: BackgroundMemory) -> int:
    return len(memory.run(lambda held: held.retrieve_messages("talk")))


def test_many_threads_write_at_the_same_time(tmp_path: Path) -> None:
    memory = made(tmp_path / "a")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store(memory, f"message {n}"), range(40)))
    assert count(memory) == 40
    memory.close()


def test_closed_it_refuses_and_its_thread_has_ended(tmp_path: Path) -> None:
    memory = made(tmp_path / "a")
    store(memory, "kept")
    memory.close()
    memory.close()
    with pytest.raises(StoreClosedError, match="closed"):
        count(memory)
    assert "bruno-memory-vec" not in {thread.name for thread in threading.enumerate()}
    again = made(tmp_path / "a")
    assert count(again) == 1
    again.close()


def test_an_error_of_the_memory_reaches_the_caller(tmp_path: Path) -> None:
    memory = made(tmp_path / "a")
    with pytest.raises(ValueError, match="no"):
        memory.run(_fails)
    memory.close()


async def _fails(held: VectorMemory) -> None:
    raise ValueError("no")


@pytest.mark.slow  # test_facade.py forks in make test
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_is_refused_and_the_parent_goes_on(tmp_path: Path) -> None:
    program = """
import os, sys, warnings
from tests.sync.test_background import *
warnings.simplefilter("ignore")
memory = made(Path(sys.argv[1]))
store(memory, "before")
child = os.fork()
if child == 0:
    try:
        count(memory)
    except StoreError as error:
        memory.close()
        os._exit(0 if "forked" in str(error) else 2)
    os._exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
store(memory, "after")
assert count(memory) == 2
"""
    run(program, tmp_path / "a")


def test_what_nobody_closed_is_written_at_the_programs_end(tmp_path: Path) -> None:
    program = """
import sys
from tests.sync.test_background import *
memory = made(Path(sys.argv[1]))
store(memory, "kept")
"""
    assert run(program, tmp_path / "a") == ""  # and nothing is said of it
    memory = made(tmp_path / "a")
    assert count(memory) == 1
    memory.close()


def test_its_own_thread_is_refused_instead_of_waiting_for_itself(tmp_path: Path) -> None:
    memory = made(tmp_path / "a")

    async def calls_back(held: VectorMemory) -> int:
        return count(memory)

    with pytest.raises(StoreError, match="own thread"):
        memory.run(calls_back)
    memory.close()


def run(program: str, folder: Path) -> str:
    """Run a program with a folder's path; what it says."""
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
