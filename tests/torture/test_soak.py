"""A thousand tasks of a hundred users at once, each checked against a model of its own rows."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest
from bruno_core.models.memory import MemoryEntry, MemoryQuery, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.recall.hits import Hits
from tests.durability.child_writer import word
from tests.durability.support import message, rows_of
from tests.torture.conftest import Torture, counts

_USERS = 100
_TASKS = 1000
_MAX_MESSAGES = 6
# A conversation this long is cleared, so that the store has a size that it keeps.
_LONGEST = 12
_MOST_MEMORIES = 4
# The store keeps its size, so what grows is not its rows. Arrow's and LanceDB's allocators keep
# freed pages and the test remembers every deleted word: some ten MiB together. A kilobyte lost by
# each of the long form's operations would be more than this.
_MORE_MEMORY = 64 * 2**20
# A compaction that ends between two measurements opens and closes some files.
_MORE_HANDLES = 16
# Thread pools are filled in the warm-up.
_MORE_THREADS = 4


@dataclass
class Ground:
    """What the tasks share: the store, a clock of acknowledged ends, and what each user deleted."""

    memory: VectorMemory
    clock: int = 0
    gone: dict[str, dict[str, int]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)

    def tick(self) -> int:
        self.clock += 1
        return self.clock


class Talker:
    """One task: its own two conversations and its own memories, so what is right is known."""

    def __init__(self, ground: Ground, number: int) -> None:
        self.ground = ground
        self.random = random.Random(number)
        self.user = f"user{number % _USERS}"
        self.owned = word(900_000_000 + number % _USERS)  # in every text of this user's
        self.view = ground.memory.for_user(self.user)
        #: conversation -> its messages in order
        self.said: dict[str, list[Message]] = {f"talk{number}a": [], f"talk{number}b": []}
        self.noted: dict[UUID, MemoryEntry] = {}
        #: The text that was stored last under an id: of copies of a message, recall shows that one.
        self.newest: dict[UUID, str] = {}
        self.gone = ground.gone.setdefault(self.user, {})
        self.lost: list[str] = []

    def text(self) -> str:
        return f"{word(self.ground.tick())} {self.owned} about the {self.random.choice(_TOPICS)}"

    def place(self) -> tuple[str, list[Message]]:
        return self.random.choice(list(self.said.items()))

    def forgotten(self, *texts: str) -> None:
        """These texts were deleted or replaced, and that was acknowledged just now."""
        now = self.ground.tick()
        for text in texts:
            self.gone[text.split()[0]] = now
        self.lost = [*self.lost, *texts][-8:]

    # Writing

    async def say(self) -> None:
        conversation, said = self.place()
        role = "system" if self.random.random() < 0.05 else "user"
        new = message(self.text(), role)
        await self.view.store_message(new, conversation)
        said.append(new)
        self.newest[new.id] = new.content

    async def say_much(self) -> None:
        conversation, said = self.place()
        new = [message(self.text(), role) for role in ("user", "assistant") * 2]
        await self.ground.memory.store_messages(new, conversation, user_id=self.user)
        said += new
        self.newest |= {one.id: one.content for one in new}

    async def say_again(self) -> None:
        """An id that is stored already: replaced in its place, or copied to the other one's end."""
        old = [(c, m) for c, said in self.said.items() for m in said]
        if not old:
            return
        before, m = self.random.choice(old)
        conversation = self.place()[0] if self.random.random() < 0.2 else before
        new = m.model_copy(update={"content": self.text()})
        await self.view.store_message(new, conversation)
        self.newest[new.id] = new.content
        held = self.said[conversation]
        old_one = next((one for one in held if one.id == m.id), None)
        if old_one is None:
            held.append(new)
        else:
            held[held.index(old_one)] = new
            self.forgotten(old_one.content)

    async def note(self) -> None:
        old = self.random.choice(list(self.noted.values())) if self.noted else None
        if len(self.noted) < _MOST_MEMORIES and self.random.random() < 0.6:
            old = None
        entry = MemoryEntry(
            id=uuid4() if old is None else old.id,
            content=self.text(),
            memory_type=MemoryType.FACT,
            user_id=self.user,
        )
        await self.ground.memory.store_memory(entry)
        self.noted[entry.id] = entry
        if old is not None:
            self.forgotten(old.content)

    async def forget(self) -> None:
        if self.noted:
            id_ = self.random.choice(list(self.noted))
            await self.view.delete_memory(str(id_))
            self.forgotten(self.noted.pop(id_).content)

    async def clear(self) -> None:
        conversation, said = max(self.said.items(), key=lambda item: len(item[1]))
        if len(said) < _LONGEST:
            return
        keep = self.random.random() < 0.5
        await self.view.clear_history(conversation, keep_system_messages=keep)
        self.forgotten(*(m.content for m in said if not kept(m, keep)))
        said[:] = [m for m in said if kept(m, keep)]

    # Reading

    async def recall(self) -> None:
        """A row of one's own is found by its own word, and a deleted one never again."""
        said = [m for messages in self.said.values() for m in messages]
        held = [m.content for m in said if self.newest[m.id] == m.content]
        held += [entry.content for entry in self.noted.values()]
        if held:
            text = self.random.choice(held)
            hits = await self.ask(text.split()[0])
            assert text in {hit.content for hit in hits}, f"{text!r} is not found by its own word"

    async def recall_lost(self) -> None:
        if self.lost:
            text = self.random.choice(self.lost)
            hits = await self.ask(text.split()[0])
            assert text not in {hit.content for hit in hits}

    async def ask(self, query: str) -> Hits:
        began = self.ground.tick()
        profile = self.random.choice(("balanced", "lexical"))
        hits = await self.ground.memory.recall(query, user_id=self.user, k=10, profile=profile)
        for hit in hits:
            own, owner = hit.content.split()[:2]
            assert owner == self.owned, f"{self.user} is shown another user's row"
            deleted = self.gone.get(own)
            assert deleted is None or deleted > began, f"{hit.content!r} was deleted before"
        return hits

    async def context(self) -> None:
        conversation, said = self.place()
        last = said[-_MAX_MESSAGES:]
        systems = [m for m in last if m.role is MessageRole.SYSTEM]
        dropped = systems[: -(_MAX_MESSAGES // 2)]
        context = await self.view.get_context(self.user, conversation)
        assert [m.content for m in context.messages] == [
            m.content for m in last if m not in dropped
        ]

    async def read(self) -> None:
        conversation, said = self.place()
        found = await self.view.retrieve_messages(conversation)
        assert [m.content for m in found] == [m.content for m in said[::-1]]
        entries = await self.view.retrieve_memories(MemoryQuery(user_id=self.user, limit=100))
        assert {entry.content for entry in entries} >= {e.content for e in self.noted.values()}

    async def run(self, until: float) -> None:
        works = [self.say, self.say_much, self.say_again, self.note, self.forget, self.clear]
        works += [self.recall, self.recall_lost, self.context, self.read]
        weights = [25, 5, 15, 12, 6, 12, 25, 8, 15, 5]
        while time.monotonic() < until:
            work = self.random.choices(works, weights)[0]
            await work()
            self.ground.done[work.__name__] += 1


_TOPICS = ("harbour", "violin", "recipe", "mountain", "invoice", "garden", "lecture", "ferry")


def kept(m: Message, keep_system_messages: bool) -> bool:
    return keep_system_messages and m.role is MessageRole.SYSTEM


@dataclass(frozen=True)
class Use:
    """What the process holds."""

    memory: int
    handles: int
    threads: int


async def use(memory: VectorMemory) -> Use:
    """Measured at rest: everything written, compacted, and what was let go collected."""
    await memory.maintain()
    gc.collect()
    await asyncio.sleep(0.5)
    process = psutil.Process()
    return Use(process.memory_info().rss, process.num_fds(), process.num_threads())


async def check_rows(memory: VectorMemory, talkers: list[Talker]) -> int:
    """The rows are the models' rows, no more, no less, each conversation in its order."""
    rows = await rows_of(memory)
    stored: dict[str, list[tuple[int, str, str, str]]] = {}
    entries: dict[str, tuple[str, str]] = {}
    for row in rows:
        if row["kind"] == "message":
            said = (row["turn"], row["user_id"], row["id"], row["content"])
            stored.setdefault(row["conversation_id"], []).append(said)
        else:
            assert row["id"] not in entries
            entries[row["id"]] = (row["user_id"], row["content"])
    for talker in talkers:
        for conversation, said in talker.said.items():
            found = sorted(stored.pop(conversation, []))
            assert len({turn for turn, *_ in found}) == len(found), "a turn was given twice"
            wanted = [(talker.user, str(m.id), m.content) for m in said]
            assert [tuple(rest) for _, *rest in found] == wanted
        for id_, entry in talker.noted.items():
            assert entries.pop(str(id_)) == (talker.user, entry.content)
    assert not stored
    assert not entries
    return len(rows)


async def a_while(talkers: list[Talker], seconds: float) -> None:
    until = time.monotonic() + seconds
    await asyncio.gather(*(talker.run(until) for talker in talkers))


async def warm_up(memory: VectorMemory, talkers: list[Talker], seconds: float) -> None:
    """Until the store has the size that it keeps: as much is cleared as is said."""
    before, after = 0, 1
    for _ in range(20):
        await a_while(talkers, seconds)
        before, after = after, (await memory.health())["rows"]["rows"]
        if after < before * 1.04:
            return


@pytest.mark.slow
async def test_a_thousand_tasks_of_a_hundred_users(tmp_path: Path, torture: Torture) -> None:
    rounds, seconds = torture.choose((2, 2.0), (5, 15.0))
    folder = str(tmp_path / "store")
    async with open_memory(folder, embedder="hash", max_messages=_MAX_MESSAGES) as memory:
        ground = Ground(memory)
        talkers = [Talker(ground, number) for number in range(_TASKS)]
        await asyncio.gather(*(talker.say_much() for talker in talkers))
        uses = []
        if torture.long:
            await warm_up(memory, talkers, seconds)
        for _ in range(rounds):  # the first is the warm-up
            await a_while(talkers, seconds)
            uses.append(await use(memory))
        health = await memory.health()
        assert health["status"] == "ok", health["problems"]
        rows = await check_rows(memory, talkers)
        first, last = uses[0], uses[-1]
        counts(tasks=_TASKS, users=_USERS, rows=rows, **dict(ground.done))
        counts(
            MiB=" ".join(f"{u.memory / 2**20:.0f}" for u in uses),
            handles=" ".join(str(u.handles) for u in uses),
            threads=" ".join(str(u.threads) for u in uses),
        )
        assert last.memory - first.memory < _MORE_MEMORY
        assert last.handles - first.handles <= _MORE_HANDLES
        # LanceDB's runtime makes threads as files wait to be read, and lets idle ones go in 10 s.
        process, patience = psutil.Process(), time.monotonic() + 120.0
        while (threads := process.num_threads()) - first.threads > _MORE_THREADS:
            assert time.monotonic() < patience, threads
            await asyncio.sleep(0.5)
    async with open_memory(folder, embedder="hash", max_messages=_MAX_MESSAGES) as memory:
        assert await check_rows(memory, talkers) == rows
