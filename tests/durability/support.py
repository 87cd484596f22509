"""What the durability tests share: child processes, the rows as they are, small models."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from bruno_core.models.message import Message, MessageRole

import bruno_memory_vec
from bruno_memory_vec import VectorMemory
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.rows.models import from_table

HERE = Path(__file__).resolve().parent
# The folder that holds the package under test: a child must not import another copy.
ROOT = Path(bruno_memory_vec.__file__).parent.parent


def message(text: str, role: str = "user", **fields: Any) -> Message:
    return Message(role=MessageRole(role), content=text, **fields)


async def rows_of(memory: VectorMemory) -> list[dict[str, Any]]:
    """Every row of the store but its vector, straight from the engine."""
    store = await memory._lazy.get()
    return list(from_table(await store.rows.read(Scope.all_users(), RowFilter(), COLUMNS)))


async def sessions_written(memory: VectorMemory) -> None:
    """Let the file of the sessions have all that is acknowledged, as a moment later it has."""
    sessions: Any = (await memory._lazy.get()).sessions
    await sessions.write_waiting()


async def words_committed(memory: VectorMemory) -> None:
    """Let the lexical index commit what waits, as half a second later it has."""
    await (await memory._lazy.writer()).settle()


async def turns_of(memory: VectorMemory, conversation_id: str) -> list[tuple[int, str]]:
    """(turn, content) of a conversation, in order."""
    rows = [row for row in await rows_of(memory) if row["conversation_id"] == conversation_id]
    return sorted((row["turn"], row["content"]) for row in rows if row["turn"] is not None)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


class Child:
    """A Python process that this one talks to in lines."""

    def __init__(self, *arguments: str | Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
            cwd=ROOT,
        )

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self, seconds: float = 120.0) -> str:
        """Its next line; "" when it has ended. One that says nothing in time is killed."""
        assert self.process.stdout is not None
        watchdog = threading.Timer(seconds, self._stop)
        watchdog.start()
        try:
            return self.process.stdout.readline().strip()
        finally:
            watchdog.cancel()

    def _stop(self) -> None:
        self.process.kill()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.end()

    def end(self) -> int:
        code = self.process.wait(120)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return code


class Nursery(Child):
    """A process that imports everything once, and bears a child for each order.

    Its script calls :func:`tests.durability.child_writer.bear_children`. One child
    lives at a time. What it says comes through the same pipe.
    """

    def __init__(self, script: Path = HERE / "child_writer.py") -> None:
        super().__init__(script)
        self._child: int | None = None
        assert self.hear() == "ready"

    def start(self, order: str) -> None:
        """Let a child do what a line of JSON asks for."""
        assert self._child is None, "the last one still lives"
        self.say(order)
        self._child = int(self.hear().removeprefix("born "))

    def kill_child(self) -> list[str]:
        """SIGKILL it, and wait until it is gone; returns what it had said and nobody had heard."""
        child, self._child = self._child, None
        assert child is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        said = []
        while not (line := self.hear()).startswith("gone "):
            assert line, "the nursery has ended"
            said.append(line)
        assert line == f"gone {-signal.SIGKILL}", f"the child ended by itself: {[*said, line]}"
        return said

    def close(self) -> None:
        """End it, and the child that lives."""
        self._stop()
        self.kill()

    def _stop(self) -> None:
        # The child holds the same pipe: without its end, nobody would see that of the nursery.
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
        else:
            self.process.kill()
