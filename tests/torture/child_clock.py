"""Writes to a store while its clock jumps, and tells at the end what it was told to keep.

``child_clock.py FOLDER OFFSET SEED JUMPS``: OFFSET is the file from which the shim of
``test_clock.py`` takes the seconds that the clock is wrong by.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import sys
import time
from pathlib import Path
from typing import Any

from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec import open_memory
from tests.durability.support import message

_YEAR = 365 * 86_400
# Something is erased while the clock is ahead, and when it is right again.
_FIRST = (_YEAR, 0)
_JUMPS = (1, 60, 3600, 86_400, _YEAR, 20 * _YEAR)


def word(number: int) -> str:
    """A word as ``tests.durability.on_disk`` looks for them."""
    return f"zq{number:014d}"


class Wrong:
    """What was acknowledged, and what was answered wrongly."""

    def __init__(self, folder: str, dice: random.Random) -> None:
        self.folder = folder
        self.dice = dice
        self.memory: Any = None
        self.told: dict[str, list[str]] = {}  # by conversation, in the order of their turns
        self.memories: list[str] = []
        self.gone: list[str] = []
        self.wrong: list[str] = []
        self.number = 0

    def expect(self, what: str, got: object, wanted: object) -> None:
        if got != wanted:
            self.wrong.append(f"{what}: {got!r}, not {wanted!r}")

    async def reopen(self) -> None:
        if self.memory is not None:
            await self.memory.close()
        self.memory = await open_memory(self.folder, embedder="hash", recall_in_context=False)

    async def store(self) -> None:
        talk = f"talk-{self.dice.randrange(3)}"
        said = [f"{word(self.number + step)} by the harbour" for step in range(3)]
        self.number += len(said)
        await self.memory.store_messages([message(text) for text in said], talk, user_id="ana")
        self.told.setdefault(talk, []).extend(said)
        context = await self.memory.get_context("ana", talk)
        told = self.told[talk][-len(context.messages) :]
        self.expect(f"the context of {talk}", [one.content for one in context.messages], told)
        hits = await self.memory.recall(said[0], user_id="ana", k=1)
        self.expect("recall", [hit.content for hit in hits], said[:1])

    async def remember(self) -> None:
        text = f"{word(self.number)} is kept"
        self.number += 1
        entry = MemoryEntry(content=text, user_id="ana", memory_type=MemoryType.LONG_TERM)
        await self.memory.store_memory(entry)
        self.memories.append(text)

    async def clear(self, share: float) -> None:
        if self.told and self.dice.random() < share:
            talk = self.dice.choice(sorted(self.told))
            await self.memory.clear_history(talk, keep_system_messages=False)
            self.gone += self.told.pop(talk)

    async def maintain(self) -> None:
        report = await self.memory.maintain()
        self.expect("what upkeep found", [str(one) for one in report.problems], [])

    async def check(self) -> None:
        for talk, told in self.told.items():
            held = await self.memory.retrieve_messages(talk, limit=len(told) + 10)
            self.expect(talk, sorted(one.content for one in held), sorted(told))
        held = await self.memory.list_memories(user_id="ana", limit=None)
        self.expect("memories", sorted(one.content for one in held), sorted(self.memories))
        self.expect("health", (await self.memory.health())["problems"], {})


def jump(offset: Path, seconds: int) -> None:
    """Let the clock be wrong by so many seconds from now on, and see that it is."""
    ((before,), at) = struct.unpack("=q", offset.read_bytes()), time.time()
    with offset.open("r+b") as file:  # in place: the shim has mapped it
        file.write(struct.pack("=q", seconds))
    assert abs(time.time() - at - (seconds - before)) < 5, "the clock does not jump"


async def main(folder: str, offset: str, seed: str, jumps: str) -> None:
    dice, wrong_by = random.Random(seed), Path(offset)
    work = Wrong(folder, dice)
    await work.reopen()
    for number in range(int(jumps)):
        if number < len(_FIRST):
            jump(wrong_by, _FIRST[number])
        else:
            jump(wrong_by, dice.choice((-1, 1)) * dice.choice(_JUMPS))
        await work.store()
        await work.remember()
        await work.clear(1.0 if number < len(_FIRST) else 0.2)
        await work.store()
        if number < len(_FIRST) or dice.random() < 0.5:
            await work.maintain()
        if dice.random() < 0.3:
            await work.reopen()
        await work.check()
    await work.memory.close()
    told = {"told": work.told, "memories": work.memories, "gone": work.gone}
    told["wrong"] = work.wrong
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
