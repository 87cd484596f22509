"""A memory that was opened before a fork: the child is told, and the parent's rows are whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.durability.support import ROOT, environment

SCRIPT = """
import asyncio, os, sys
from bruno_core.models.message import Message
from bruno_memory_vec import VectorMemory

memory = VectorMemory(sys.argv[1], embedder="hash")
loop = asyncio.new_event_loop()
said = lambda text: Message(role="user", content=text)
loop.run_until_complete(memory.store_message(said("before"), "talk", "ana"))
child = os.fork()
if child == 0:
    for call in (
        lambda: memory.store_message(said("in the child"), "talk", "ana"),
        lambda: memory.recall("before", user_id="ana"),
        lambda: memory.delete_messages([]),
    ):
        try:
            asyncio.new_event_loop().run_until_complete(asyncio.wait_for(call(), 20))
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
        else:
            print("no error", flush=True)
    os._exit(0)
os.waitpid(child, 0)
loop.run_until_complete(memory.store_message(said("after"), "talk", "ana"))
print([one.content for one in loop.run_until_complete(memory.retrieve_messages("talk"))])
loop.run_until_complete(memory.close())
"""


def test_a_child_is_told_and_changes_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path / "store")],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    *child, parent = done.stdout.splitlines()
    assert len(child) == 3, done.stderr
    for line in child:
        assert line.startswith("StoreError the store was opened in process"), line
        assert "after the fork" in line
    assert parent == "['after', 'before']"
