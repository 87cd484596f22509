"""What a commit works out about its rows, and what the writer remembers between commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.run import embed_here, embed_texts, is_light
from bruno_memory_vec.indexers.aio import in_breaths
from bruno_memory_vec.indexers.schema import MESSAGE, Key, key_of
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.sessions.protocol import SessionStore
from bruno_memory_vec.writing.known_ids import KnownIds, hash_texts

T = TypeVar("T")

# Below these, a thread costs more than the work it takes off the event loop. It is 5 ms at most,
# and three times that where the embedder has met none of the words.
_ROWS_ON_THE_LOOP = 128
_CHARACTERS_ON_THE_LOOP = 16_000
_REMEMBERED_TURNS = 10_000


class Batch(NamedTuple):
    """What a commit needs to know of its rows."""

    latest: dict[Key, Row]
    rows: list[Row]
    texts: list[str]
    hashes: NDArray[np.uint64]
    conversations: set[str]
    perhaps_stored: tuple[str, ...]


class NextTurns:
    """The next free turn of the conversations that were written last.

    The writer is the only one to give turns, so what it gave need not be read again. It says
    :meth:`forget` where it does not know how a commit ended.
    """

    def __init__(self) -> None:
        self._turns: dict[str, int] = {}

    async def of(self, conversations: Iterable[str], sessions: SessionStore) -> dict[str, int]:
        """The next turn of each conversation; those not remembered are read."""
        turns: dict[str, int] = {}
        for conversation in conversations:
            turn = self._turns.get(conversation)
            if turn is None:
                known = await sessions.conversation(conversation)
                turn = 0 if known is None else known.next_turn
            turns[conversation] = turn
        return turns

    def remember(self, turns: Mapping[str, int]) -> None:
        """Take the next turns after a commit that the sessions have followed."""
        for conversation, turn in turns.items():
            # The newest stand last.
            self._turns.pop(conversation, None)
            self._turns[conversation] = turn
        while len(self._turns) > _REMEMBERED_TURNS:
            del self._turns[next(iter(self._turns))]

    def forget(self) -> None:
        """Read them again."""
        self._turns.clear()


def prepare(rows: Sequence[Row], known: KnownIds) -> Batch:
    """Look rows over, before they are embedded."""
    # Of several with the same key, the last counts; it stands where the first stood.
    latest = {key_of(row): row for row in in_breaths(rows)}
    batch = list(latest.values())
    hashes = hash_texts([row["id"] for row in batch])
    talks = {row["conversation_id"] for row in batch if row["kind"] == MESSAGE}
    perhaps = tuple({row["id"] for row in batch}) if known.any_hashed(hashes) else ()
    return Batch(latest, batch, [row["content"] for row in batch], hashes, talks, perhaps)


async def embed(
    embedder: Embedder, texts: Sequence[str], timeout: float | None
) -> NDArray[np.float32]:
    """The vectors of rows; made here and now where that takes less than a visit to a thread."""
    if is_light(embedder) and are_few(texts):
        return embed_here(embedder, texts, "document")
    return await embed_texts(embedder, texts, "document", timeout)


def are_few(texts: Sequence[str]) -> bool:
    """Whether work on rows of these texts is for the event loop."""
    return len(texts) <= _ROWS_ON_THE_LOOP and sum(map(len, texts)) <= _CHARACTERS_ON_THE_LOOP


async def off_loop(rows: int, work: Callable[[], T]) -> T:
    """Do pure Python work, in a thread where it is about many rows."""
    return work() if rows <= _ROWS_ON_THE_LOOP else await asyncio.to_thread(work)
