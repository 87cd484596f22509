"""What a measuring process is asked to do, and what several of them share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from bruno_core.models.message import Message, MessageRole

from benchmarks.address import Address
from benchmarks.scale.data import CHUNK, Corpus, Embedding, make_corpus
from benchmarks.scale.given import GivenEmbedder
from benchmarks.scale.machine import disk
from bruno_memory_vec import VectorMemory
from bruno_memory_vec.embedders import Embedder, StaticEmbedder

#: Told how far something has come: how many are done, of how many.
Tell = Callable[[int, int], None]

#: Conversations written at the same time.
TOGETHER = 64
# Texts to write into a store that are not in it. One corpus of them serves stores of every size.
_FRESH_ROWS, _FRESH_FOR_A_CALL, _FRESH_USERS = 30_000, 100, 100
_FIRST = datetime(2025, 1, 1, tzinfo=timezone.utc)
_BETWEEN = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Work:
    """One measurement of one store; as plain values, for another process.

    Attributes:
        rows: rows of its corpus.
        users: users of its corpus.
        seed: of its corpus.
        embedder: "static" or "given".
        corpora: the folder of the corpora.
        store: the folder of the store, or its URL.
        sessions: the URL of its session store; None for the store's own choice.
        calls: measured calls of each kind, for those that are fast.
        settle: seconds after which old versions may go.
    """

    rows: int
    users: int
    seed: int
    embedder: Embedding
    corpora: str
    store: str
    sessions: str | None = None
    calls: int = 300
    settle: float = 61.0

    @property
    def address(self) -> Address:
        """Where the store is."""
        return Address(self.store, self.sessions)

    def disk(self) -> dict[str, float]:
        """Files and MiB of the store's folder; nothing where it has none."""
        folder = self.address.folder
        return {} if folder is None else disk(folder)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)

    def corpus(self) -> Corpus:
        """What the store holds."""
        return make_corpus(self.rows, self.users, Path(self.corpora), self.seed, self.embedder)

    def fresh_corpus(self) -> Corpus:
        """Texts that the store does not hold."""
        rows = min(_FRESH_ROWS, _FRESH_FOR_A_CALL * self.calls)
        seed = self.seed + 1
        return make_corpus(rows, _FRESH_USERS, Path(self.corpora), seed, self.embedder)

    def make_embedder(self, *corpora: Corpus) -> Embedder:
        """What the store is opened with; ``corpora`` are those whose texts will be stored."""
        if self.embedder == "static":
            return StaticEmbedder()
        return GivenEmbedder(corpora or [self.corpus()], documents=bool(corpora))

    async def open(self, *corpora: Corpus) -> VectorMemory:
        """The store, opened as a user opens it, with the shipped defaults."""
        return await self.address.open(embedder=self.make_embedder(*corpora))

    async def open_empty(self, *corpora: Corpus) -> VectorMemory:
        """A new store.

        Raises:
            InvalidInputError: there are rows in it already.
        """
        return await self.address.open_empty(embedder=self.make_embedder(*corpora))


def messages(
    corpus: Corpus, start: int, stop: int, name: str = ""
) -> Iterator[tuple[str, str, list[Message]]]:
    """(user, conversation, messages) of each conversation among the rows.

    ``name`` sets these apart from the same rows stored before.
    """
    texts, roles = corpus.texts(start, stop), corpus.roles(start, stop)
    owners = zip(corpus.users(start, stop), corpus.conversations(start, stop), strict=True)
    place = 0
    for (user, conversation), rows in groupby(owners):
        n = len(list(rows))
        yield (
            user,
            name + conversation,
            [
                Message(
                    id=_id(corpus, name, start + row),
                    role=MessageRole(roles[row]),
                    content=texts[row],
                    timestamp=_FIRST + _BETWEEN * (start + row),
                )
                for row in range(place, place + n)
            ],
        )
        place += n


def singles(
    memory: VectorMemory, corpus: Corpus, name: str = ""
) -> Iterator[Callable[[], Awaitable[None]]]:
    """A call of ``store_message`` for each of a corpus' rows, in their order."""
    for start in range(0, corpus.rows, CHUNK):
        stop = min(start + CHUNK, corpus.rows)
        for user, conversation, some in messages(corpus, start, stop, name):
            for message in some:
                yield partial(memory.store_message, message, conversation, user_id=user)


def _id(corpus: Corpus, name: str, row: int) -> UUID:
    return uuid5(NAMESPACE_URL, f"{corpus.key}/{name}/{row}")


async def store_rows(
    memory: VectorMemory, corpus: Corpus, stop: int, tell: Tell, name: str = ""
) -> float:
    """Store a corpus' first ``stop`` rows, `TOGETHER` conversations at a time.

    Returns:
        Seconds of storing; making the messages is not among them.
    """
    seconds = 0.0
    for first in range(0, stop, CHUNK):
        last = min(first + CHUNK, stop)
        waiting = list(messages(corpus, first, last, name))
        started = time.perf_counter()
        for place in range(0, len(waiting), TOGETHER):
            await asyncio.gather(
                *(
                    memory.store_messages(some, conversation, user_id=user)
                    for user, conversation, some in waiting[place : place + TOGETHER]
                )
            )
        seconds += time.perf_counter() - started
        tell(last, stop)
    return seconds
