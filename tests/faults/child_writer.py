"""A process that writes to a store together with others, and checks all that it is shown.

Its argument is JSON: ``url``, ``sessions``, ``paths`` (for Python's), ``log`` (the common
:class:`History`), ``name`` (its own), ``seed``. It says "open", and for each line "SECONDS" works
so long and answers with what it did and what was wrong. Where a server is away it tries again.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import BackendUnavailable, ForeignUserError, NotFoundError
from tests.durability.child_writer import word
from tests.faults.history import History, wrong_in_context

T = TypeVar("T")

USERS = ("ana", "bo")
CONVERSATIONS = 3
_AGAIN = 0.05  # seconds until a server that was away is tried again
_GIVES_UP = 60.0  # seconds; only a hang reaches it


class Load:
    """Random operations of one process."""

    def __init__(self, memory: VectorMemory, order: dict[str, Any]) -> None:
        self.memory = memory
        self.name = order["name"]
        self.random = random.Random(f"{order['seed']} {self.name}")
        self.history = History(Path(order["log"]))
        self.number = 0
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def work(self, seconds: float) -> dict[str, Any]:
        """Work for so long, and until each kind of operation was done."""
        end = time.monotonic() + seconds
        kinds: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self.store, 8),
            (self.store_at_once, 2),
            (self.begin_conversation, 1),
            (self.store_memory, 2),
            (self.context, 6),
            (self.recall, 6),
            (self.delete_memory, 1),
            (self.clear, 1),
        ]
        await self.store()
        await self.store_memory()
        operations, weights = zip(*kinds, strict=True)
        names = {operation.__name__ for operation in operations}
        while time.monotonic() < end or not names <= self.done.keys():
            operation = self.random.choices(operations, weights)[0]
            await operation()
            self.done[operation.__name__] += 1
        done, wrong = dict(self.done), self.wrong
        self.done, self.wrong = Counter(), []
        return {"done": done, "wrong": wrong[:10]}

    async def store(self) -> None:
        user = self.random.choice(USERS)
        await self._store(user, self._place(user), self.random.choice((1, 1, 1, 2, 5)))

    async def store_at_once(self) -> None:
        """Several calls that share a commit."""
        users = [self.random.choice(USERS) for _ in range(4)]
        await asyncio.gather(*(self._store(user, self._place(user), 1) for user in users))

    async def begin_conversation(self) -> None:
        """Store into a conversation that others, for another user, may begin just now."""
        place = f"begun-{self.history.now() // 60}"
        await self._store(self.random.choice(USERS), place, 1)

    async def store_memory(self) -> None:
        user, text = self.random.choice(USERS), self._text()
        entry = MemoryEntry(content=f"{user} {text}", memory_type=MemoryType.FACT, user_id=user)
        operation = self._begins("store", user, None, [(str(entry.id), entry.content)])
        await self._until_it_works(lambda: self.memory.store_memory(entry))
        self.history.end(operation)

    async def clear(self) -> None:
        """Delete the messages of a conversation."""
        place = self._place(self.random.choice(USERS))
        operation = uuid4().hex
        self.history.begin(operation, do="clear", place=place)
        await self._until_it_works(lambda: self.memory.clear_history(place))
        self.history.end(operation)

    async def delete_memory(self) -> None:
        now = self.history.now()
        stored = [
            item
            for item in self.history.items.values()
            if item.place is None and item.is_there(now, now)
        ]
        if not stored:
            return
        item = self.random.choice(stored)
        operation = uuid4().hex
        self.history.begin(operation, do="delete", id=item.id)
        try:
            await self._until_it_works(lambda: self.memory.delete_memory(item.id))
        except NotFoundError:
            # Another process, or an attempt whose answer was lost, has deleted it.
            self.done["deleted by others"] += 1
        self.history.end(operation)

    async def context(self) -> None:
        """A context shows the newest of what was acknowledged, and nothing that was deleted."""
        user = self.random.choice(USERS)
        place = self._place(user)
        since = self.history.now()
        try:
            context = await self.memory.get_context(user, place)
            told = await self.memory.retrieve_messages(place)
        except BackendUnavailable:
            self.done["away"] += 1
            return
        until = self.history.now()
        seen = [str(message.id) for message in context.messages]
        rows = [str(message.id) for message in reversed(told)]  # which come newest first
        self.wrong += wrong_in_context(self.history, place, seen, rows, since, until)
        self._only_of(user, [message.content for message in told], "the rows")

    async def recall(self) -> None:
        """What was acknowledged is found at once, and what was deleted is not."""
        user = self.random.choice(USERS)
        since = self.history.now()
        of_user = [item for item in self.history.items.values() if item.user == user]
        # Rather what has just come or gone.
        recent = sorted(of_user, key=_touched)[-40:]
        chosen = [item for item in recent if item.is_there(since, since) or item.is_gone(since)]
        if not chosen:
            return
        item = self.random.choice(chosen)
        profile = self.random.choice(("lexical", "semantic", "balanced"))
        query = item.text if profile == "semantic" else item.text.split()[-1]
        try:
            hits = await self.memory.recall(query, user_id=user, k=5, profile=profile)
        except BackendUnavailable:
            self.done["away"] += 1
            return
        until = self.history.now()
        self._only_of(user, [hit.content for hit in hits], f"a {profile} recall")
        found = {str(hit.id) for hit in hits}
        if item.is_there(since, until) and item.id not in found:
            self.wrong.append(f"{profile} recall does not find {item.text!r}, acknowledged")
        for other in self.history.items.values():
            if other.id in found and other.is_gone(since):
                self.wrong.append(f"{profile} recall finds {other.text!r}, which was deleted")

    async def _store(self, user: str, place: str, count: int) -> None:
        messages = [
            Message(role=MessageRole.USER, content=f"{user} {self._text()}") for _ in range(count)
        ]
        said = [(str(message.id), message.content) for message in messages]
        operation = self._begins("store", user, place, said)
        try:
            await self._until_it_works(
                lambda: self.memory.store_messages(messages, place, user_id=user)
            )
        except ForeignUserError:
            self.history.end(operation, refused=True)
            if not place.startswith("begun-"):
                self.wrong.append(f"{place} is refused to its owner")
        else:
            self.history.end(operation)

    async def _until_it_works(self, call: Callable[[], Awaitable[T]]) -> T:
        end = time.monotonic() + _GIVES_UP
        while True:
            try:
                return await call()
            except BackendUnavailable:
                self.done["away"] += 1
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(_AGAIN)

    def _begins(self, do: str, user: str, place: str | None, said: list[tuple[str, str]]) -> str:
        operation = uuid4().hex
        ids, texts = zip(*said, strict=True)
        self.history.begin(operation, do=do, user=user, place=place, ids=ids, texts=texts)
        return operation

    def _place(self, user: str) -> str:
        return f"{user}-{self.random.randrange(CONVERSATIONS)}"

    def _text(self) -> str:
        self.number += 1
        return f"says {self.name} {self.number} {word(self.random.randrange(10**9))}"

    def _only_of(self, user: str, texts: list[str], where: str) -> None:
        self.wrong += [f"{user} is shown {t!r} by {where}" for t in texts if t.split()[0] != user]


def _touched(item: Any) -> int:
    """When it was stored or deleted."""
    ends = [removal.ended for removal in item.removals if removal.ended is not None]
    return max([item.acknowledged or item.begun, *ends])


async def main() -> None:
    order = json.loads(sys.argv[1])
    sys.path[:0] = order["paths"]
    async with open_memory(order["url"], sessions=order["sessions"], embedder="hash") as memory:
        load = Load(memory, order)
        print("open", flush=True)
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            print(json.dumps(await load.work(float(line))), flush=True)
        load.history.close()


if __name__ == "__main__":
    asyncio.run(main())
