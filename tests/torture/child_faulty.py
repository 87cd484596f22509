"""Does what it is told to a store, one line of JSON each, and answers with what came of it.

An error of the package is told by name, text and fix; any other comes with its traceback.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import traceback
from pathlib import Path
from typing import Any
from uuid import uuid4

from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec import ALL_USERS, open_memory
from tests.durability.support import message, rows_of

_NOBODY = 65534


class Faulty:
    def __init__(self) -> None:
        self.folder = Path()
        self.memory: Any = None

    async def open(self, folder: str, **settings: Any) -> None:
        self.folder = Path(folder)
        self.memory = await open_memory(str(self.folder), embedder="hash", **settings)

    async def close(self) -> None:
        memory, self.memory = self.memory, None
        if memory is not None:
            await memory.close()

    async def store(self, texts: list[str]) -> None:
        messages = [message(text) for text in texts]
        await self.memory.store_messages(messages, "talk", user_id="ana")

    async def forget(self) -> None:
        await self.memory.clear_history("talk", keep_system_messages=False)

    async def maintain(self) -> list[str]:
        return [str(problem) for problem in (await self.memory.maintain()).problems]

    async def recall(self, question: str) -> list[str]:
        return [hit.content for hit in await self.memory.recall(question, user_id=ALL_USERS, k=20)]

    async def context(self) -> list[str]:
        return [one.content for one in (await self.memory.get_context("ana", "talk")).messages]

    async def rows(self) -> list[str]:
        return sorted(row["content"] for row in await rows_of(self.memory))

    async def health(self) -> dict[str, str]:
        return dict((await self.memory.health())["problems"])

    async def limit(self, size: int | None) -> None:
        """No file may grow beyond this; Python has SIGXFSZ ignored, so that it is an error."""
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    async def descriptors(self, more: int | None) -> None:
        """So many more files may be opened than are open now; None for as many as at first."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        may = min(hard, 4096) if more is None else len(os.listdir("/proc/self/fd")) + more
        resource.setrlimit(resource.RLIMIT_NOFILE, (may, hard))

    async def statistics(self) -> int:
        return int((await self.memory.get_statistics("ana"))["total_messages"])

    async def begin(self) -> list[str]:
        """A context of a conversation that has not begun."""
        context = await self.memory.get_context("ana", str(uuid4()))
        return [one.content for one in context.messages]

    async def listed(self) -> list[str]:
        """Everything that can be listed, and what cannot raises."""
        pages = (
            await self.memory.list_conversations("ana"),
            await self.memory.list_memories("ana"),
            await self.memory.list_sessions("ana"),
            await self.memory.list_users(),
        )
        turns = await self.memory.read_turns("talk")
        assert all(page is not None for page in pages)
        return [turn.message.content for turn in turns]

    async def permit(self, may: bool) -> None:
        """Lose the right to write the folder, or get it back."""
        if os.getuid() == 0:
            # Modes do not bind root, and these files are root's.
            os.seteuid(0 if may else _NOBODY)
            return
        for path in (self.folder, *self.folder.rglob("*")):
            path.chmod((0o755 if may else 0o555) if path.is_dir() else (0o644 if may else 0o444))


async def main() -> None:
    faulty = Faulty()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        answer: dict[str, Any]
        try:
            answer = {"gave": await getattr(faulty, order.pop("do"))(**order)}
        except BrunoError as error:
            fix = getattr(error, "fix", None)
            answer = {"error": type(error).__name__, "text": str(error), "fix": fix}
        except BaseException:
            answer = {"error": "traceback", "text": traceback.format_exc(), "fix": None}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
