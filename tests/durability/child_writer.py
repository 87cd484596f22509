"""A process that writes to a store and logs what was acknowledged, until it is killed.

Its order is a line of JSON: the folder, the log, a seed and what the store holds. Each line of the
log is one operation that begins or was acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn
from uuid import UUID, uuid4

_LETTERS = "bcdfghjklm"


def word(number: int) -> str:
    """A word of its own for a number, which no stemmer changes."""
    return "q" + "".join(_LETTERS[int(digit)] for digit in f"{number:09d}") + "q"


class Load:
    """Random operations, one after the other or several at once."""

    def __init__(self, memory: Any, log: int, order: dict[str, Any]) -> None:
        self.memory = memory
        self.log = log
        self.random = random.Random(order["seed"])
        self.number = order["number"]
        self.messages: dict[str, tuple[str, str]] = {
            id_: (user, conversation) for id_, user, conversation in order["messages"]
        }
        self.memories: dict[str, str] = dict(order["memories"])
        self.users = order["users"]

    def write(self, line: dict[str, Any]) -> None:
        os.write(self.log, (json.dumps(line) + "\n").encode())

    def next(self) -> int:
        self.number += 1
        return int(self.number)

    def message(self, id_: str | None = None, role: str = "user") -> Any:
        from bruno_core.models.message import Message, MessageRole

        text = f"{word(self.next())} was said about the {self.random.choice(_TOPICS)}"
        return Message(id=UUID(id_) if id_ else uuid4(), role=MessageRole(role), content=text)

    def place(self) -> tuple[str, str]:
        user = self.random.choice(self.users)
        return user, f"{user}-{self.random.randrange(3)}"

    async def put(self, messages: list[Any], user: str, conversation: str, single: bool) -> None:
        """Store messages as one call, between its two lines in the log."""
        op = self.next()
        rows = [[str(m.id), m.content, m.role.value] for m in messages]
        self.write({"op": op, "put": rows, "user": user, "conversation": conversation})
        if single:
            await self.memory.store_message(messages[0], conversation, user_id=user)
        else:
            await self.memory.store_messages(messages, conversation, user_id=user)
        self.write({"ack": op})
        for m in messages:
            self.messages[str(m.id)] = (user, conversation)

    async def one(self) -> None:
        role = "system" if self.random.random() < 0.03 else "user"
        await self.put([self.message(role=role)], *self.place(), single=True)

    async def several(self) -> None:
        count = self.random.choice((3, 8, 30))
        await asyncio.gather(
            *(self.put([self.message()], *self.place(), single=True) for _ in range(count))
        )

    async def bulk(self) -> None:
        count = self.random.choice((5, 30, 200))
        user, conversation = self.place()
        known = [id_ for id_, where in self.messages.items() if where == (user, conversation)]
        messages = [self.message() for _ in range(count)]
        if self.random.random() < 0.3:
            messages += [
                self.message(id_) for id_ in self.random.sample(known, min(25, len(known)))
            ]
        await self.put(messages, user, conversation, single=False)

    async def again(self) -> None:
        if not self.messages:
            return
        id_ = self.random.choice(list(self.messages))
        user, conversation = self.messages[id_]
        if self.random.random() < 0.1:
            conversation = f"{user}-{self.random.randrange(3)}"
        await self.put([self.message(id_)], user, conversation, single=True)

    async def memory_(self) -> None:
        from bruno_core.models.memory import MemoryEntry, MemoryType

        old = self.memories and self.random.random() < 0.4
        id_ = self.random.choice(list(self.memories)) if old else str(uuid4())
        user = self.memories.get(id_) or self.random.choice(self.users)
        op, text = self.next(), f"{word(self.next())} is a fact"
        self.write({"op": op, "remember": id_, "content": text, "user": user})
        await self.memory.store_memory(
            MemoryEntry(id=UUID(id_), content=text, memory_type=MemoryType.FACT, user_id=user)
        )
        self.write({"ack": op})
        self.memories[id_] = user

    async def forget(self) -> None:
        if self.memories:
            op, id_ = self.next(), self.random.choice(list(self.memories))
            self.write({"op": op, "forget": id_})
            await self.memory.delete_memory(id_)
            self.write({"ack": op})
            del self.memories[id_]

    async def clear(self) -> None:
        await self.clear_one(*self.place(), keep=self.random.random() < 0.5)

    async def clear_one(self, user: str, conversation: str, keep: bool) -> None:
        op = self.next()
        self.write({"op": op, "clear": conversation, "keep": keep})
        # A context read at the same time fills the hot messages again.
        await asyncio.gather(
            self.memory.clear_history(conversation, keep_system_messages=keep),
            self.memory.get_context(user, conversation),
        )
        self.write({"ack": op})
        if not keep:
            gone = [id_ for id_, where in self.messages.items() if where[1] == conversation]
            for id_ in gone:
                del self.messages[id_]
        else:
            # System messages are few; not knowing them only means that they are not replaced.
            self.messages = {i: w for i, w in self.messages.items() if w[1] != conversation}

    async def recall(self) -> None:
        op, user = self.next(), self.random.choice(self.users)
        self.write({"op": op, "recall": user})
        topic = self.random.choice(_TOPICS)
        hits = await self.memory.recall(f"what about the {topic}", user_id=user, k=5)
        names = [
            f"{hit.conversation_id}/{hit.id}" if hit.kind == "message" else hit.id for hit in hits
        ]
        self.write({"ack": op, "hits": names})

    async def context(self) -> None:
        await self.memory.get_context(*self.place())

    async def maintain(self) -> None:
        op = self.next()
        self.write({"op": op, "maintain": True})
        await self.memory.maintain()
        self.write({"ack": op})

    async def run(self) -> None:
        works = [self.one, self.several, self.bulk, self.again, self.memory_, self.forget]
        works += [self.clear, self.recall, self.context, self.maintain]
        weights = [30, 14, 10, 15, 10, 4, 2, 8, 5, 2]
        while True:
            await self.random.choices(works, weights)[0]()


_TOPICS = ("harbour", "violin", "recipe", "mountain", "invoice", "garden", "lecture", "ferry")


async def open_load(order: dict[str, Any]) -> Load:
    """Open the store that an order names, and say so."""
    from bruno_memory_vec import open_memory

    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    memory = await open_memory(order["folder"], embedder="hash")
    print("open", flush=True)
    return Load(memory, log, order)


async def main(order: dict[str, Any]) -> None:
    await (await open_load(order)).run()


def bear_children(work: Callable[[dict[str, Any]], Coroutine[Any, Any, None]]) -> None:
    """Import everything, say "ready", and do each order that comes in a process of its own.

    Forking spares each child the imports, which take far longer than it lives. The process that
    forks has only imported, so no other thread of it holds anything.
    """
    import lancedb
    import lancedb.index
    import lancedb.query  # noqa: F401
    import tantivy  # noqa: F401

    # lancedb and Python 3.12 warn of forking beside other threads.
    warnings.filterwarnings("ignore", module=__name__)
    print("ready", flush=True)
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            _live(work, json.loads(line))
        print(f"gone {os.waitstatus_to_exitcode(_wait_for(child))}", flush=True)


def _wait_for(child: int) -> int:
    """Wait until a child is gone, and let it go where nobody listens any more."""
    while (gone := os.waitpid(child, os.WNOHANG))[0] == 0:
        # No order comes meanwhile: what can be read is the end.
        if select.select([sys.stdin], [], [], 0.01)[0]:
            os.kill(child, signal.SIGKILL)
            sys.exit("the test has ended")
    return gone[1]


def _live(work: Callable[[dict[str, Any]], Coroutine[Any, Any, None]], order: Any) -> NoReturn:
    try:
        print(f"born {os.getpid()}", flush=True)
        asyncio.run(work(order))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    bear_children(main)
