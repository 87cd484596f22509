"""A system with its store in this process, and rows that the store does not hold yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale.data import ASKED_SIZE, DIMENSION, Corpus, Question, make_corpus
from benchmarks.scale.layout import LARGE_USER
from benchmarks.scale.peers.base import Batch, Row, Vectors
from benchmarks.timing import Call
from benchmarks.turn.systems import make
from bruno_memory_vec.embedders import StaticEmbedder

#: How many ids are asked for, and how many turns of a conversation.
K, TURNS = 10, 20
_FRESH_ROWS, _FRESH_USERS = 30_000, 100
# Another user is one of at most this many times the rows of the user of 1,000.
_ABOUT = 2.0
#: Users whose turns are measured.
TALKING = 10
_NO_VECTOR: Vectors = np.zeros(DIMENSION, np.float32)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured of one store; as plain values, for another process.

    Attributes:
        rows: of its corpus.
        users: of its corpus.
        seed: of its corpus.
        corpora: the folder of the corpora.
        calls: measured calls of each kind in a round, for those that are fast.
        bulk: rows of the largest call.
        budget_s: seconds after which a slow system makes no further calls of a kind.
    """

    rows: int
    users: int
    seed: int
    corpora: str
    calls: int = 100
    bulk: int = 10_000
    budget_s: float = 4.0

    def corpus(self) -> Corpus:
        """What the store holds."""
        return make_corpus(self.rows, self.users, Path(self.corpora), self.seed)

    def fresh_corpus(self) -> Corpus:
        """Texts that the store does not hold."""
        rows = min(_FRESH_ROWS, 100 * self.calls)
        return make_corpus(rows, min(_FRESH_USERS, rows), Path(self.corpora), self.seed + 1)


class Fresh:
    """New rows without end: a corpus' texts, over and over; each row has an id of its own."""

    def __init__(self, corpus: Corpus, first_id: int) -> None:
        self._texts = cycle(corpus.texts(0, corpus.rows))
        self._questions = cycle(corpus.questions)
        self._next = first_id
        self.users = tuple(corpus.sizes)

    def row(self, user: str, conversation: str, role: str = "user", text: str = "") -> Row:
        """One row; of the given text, or of the next."""
        self._next += 1
        text = text or next(self._texts)
        return Row(self._next, text, _NO_VECTOR, user, conversation, role)

    def rows(self, count: int, user: str, conversation: str) -> list[Row]:
        """Turns of one conversation, the user's and the assistant's in turn."""
        roles = cycle(("user", "assistant"))
        return [self.row(user, conversation, next(roles)) for _ in range(count)]

    def question(self) -> str:
        """What a user says who asks."""
        return next(self._questions).text

    def name(self, what: str) -> str:
        """A name that nobody has yet, of a conversation or a user."""
        self._next += 1
        return f"{what}-{self._next}"


class Running:
    """One system, its store open.

    Every call embeds what it needs, as an application does: within the system where that embeds
    itself, else here.

    Args:
        name: one of `systems.systems`.
        folder: its store's.
        plan: what is measured.
    """

    def __init__(self, name: str, folder: Path, plan: Plan) -> None:
        self.plan = plan
        self.corpus = plan.corpus()
        self.fresh = Fresh(plan.fresh_corpus(), plan.rows)
        self.folder = folder
        self._name = name
        self.peer = make(name, self.corpus)
        # Only for those that do not embed themselves: its weights count as memory of the process.
        self._static = StaticEmbedder() if self.peer.takes_vectors else None
        if self._static is not None:
            self._static.embed(["loaded"])

    async def open(self) -> float:
        """Open the store: seconds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.peer.load(self.folder)
        began = time.perf_counter()
        await self.peer.open(self.folder)
        return time.perf_counter() - began

    async def reopen(self) -> float:
        """Close the store and open it again, nothing of it in the memory of this process."""
        await self.peer.close()
        self.peer = make(self._name, self.corpus)
        return await self.open()

    async def close(self) -> None:
        """Close the store."""
        await self.peer.close()

    # Calls

    async def store(self, row: Row) -> None:
        """Store one row."""
        if self.peer.takes_vectors:
            row = replace(row, vector=self._vector(row.text, "document"))
        await self.peer.add_one(row)

    async def store_many(self, rows: Sequence[Row]) -> None:
        """Store rows in one call, or in as many as the system's largest ones make it."""
        size = self.peer.batch_rows
        for start in range(0, len(rows), size):
            await self.peer.add_bulk(self._batch(rows[start : start + size]))

    async def store_memories(self, rows: Sequence[Row]) -> None:
        """Store memories, which can be deleted one by one."""
        await self.peer.add_memories(self._batch(rows))

    async def recall(self, text: str, user: str | None) -> list[int]:
        """The ten best of a user, or of all users."""
        vector = self._vector(text, "query") if self.peer.takes_vectors else _NO_VECTOR
        if user is None:
            return await self.peer.recall_all(text, vector, K)
        return await self.peer.recall(text, vector, user, K)

    async def context(self, user: str, conversation: str) -> None:
        """The last turns of a conversation."""
        await self.peer.context(user, conversation, TURNS)

    async def replace(self, row: Row) -> None:
        """Store a row again, with another text."""
        if self.peer.takes_vectors:
            row = replace(row, vector=self._vector(row.text, "document"))
        await self.peer.replace(row)

    def _vector(self, text: str, kind: Any) -> Vectors:
        assert self._static is not None, "it embeds itself"
        found: Vectors = self._static.embed([text], kind=kind)[0]
        return found

    def _batch(self, rows: Sequence[Row]) -> Batch:
        texts = [row.text for row in rows]
        without = np.zeros((len(rows), 0), np.float32)
        return Batch(
            [row.id for row in rows],
            texts,
            without if self._static is None else self._static.embed(texts),
            [row.user for row in rows],
            [row.conversation for row in rows],
            [row.role for row in rows],
        )

    # What is asked, and by whom

    def questions(self, count: int) -> list[Question]:
        """Questions about the user of 1,000 rows."""
        return list(islice(cycle(self.corpus.questions[:100]), count))

    @property
    def asked_user(self) -> str:
        """The user of 1,000 rows, or the nearest to that."""
        return self.corpus.asked_user

    @property
    def large_user(self) -> str | None:
        """The user of 100,000 rows, where there is one."""
        return LARGE_USER if LARGE_USER in self.corpus.sizes else None

    def other_users(self) -> list[str]:
        """Users who are nearest to 1,000 rows and not much larger, but for `asked_user`."""
        sizes, most = self.corpus.sizes, ASKED_SIZE * _ABOUT
        near = self.corpus.layout.nearest(ASKED_SIZE)
        return [one for one in near if one != self.asked_user and sizes[one] <= most] or near[:1]

    @asynccontextmanager
    async def background_writes(self, a_second: float) -> AsyncIterator[None]:
        """Messages of other users are stored meanwhile, so many a second where there is time."""
        users = cycle(f"background-{number}" for number in range(100))
        conversation = self.fresh.name("background")
        stopped = asyncio.Event()

        async def write() -> None:
            while not stopped.is_set():
                user = next(users)
                await self.store(self.fresh.row(user, f"{conversation}-{user}"))
                await asyncio.sleep(1 / a_second)

        task = asyncio.create_task(write())
        try:
            yield
        finally:
            stopped.set()
            await task

    def recalls(self, users: Sequence[str | None], count: int) -> list[Call]:
        """Recalls by these users in turn."""
        asked = self.questions(count)
        return [
            partial(self.recall, question.text, user)
            for question, user in zip(asked, cycle(users), strict=False)
        ]
