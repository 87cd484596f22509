"""What a commit works out about its rows: which count, their vectors, their positions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.run import embed_here, embed_texts, is_light
from bruno_memory_vec.indexers.aio import in_breaths
from bruno_memory_vec.indexers.schema import MESSAGE, Key, key_of
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.writing.known_ids import KnownIds, hash_texts

T = TypeVar("T")

# Below these, a thread costs more than the work it takes off the event loop. It is 5 ms at most,
# and three times that where the embedder has met none of the words.
_ROWS_ON_THE_LOOP = 128
_CHARACTERS_ON_THE_LOOP = 16_000


class Batch(NamedTuple):
    """What a commit needs to know of its rows."""

    latest: dict[Key, Row]
    rows: list[Row]
    texts: list[str]
    hashes: NDArray[np.uint64]
    conversations: set[str]
    ids: set[str]
    perhaps_stored: tuple[str, ...]


class Stored(NamedTuple):
    """Where a stored row stands; a memory has no turn."""

    seq: int
    turn: int | None


def prepare(rows: Sequence[Row], known: KnownIds) -> Batch:
    """Look rows over, before they are embedded."""
    # Of several with the same key, the last counts; it stands where the first stood.
    latest = {key_of(row): row for row in in_breaths(rows)}
    batch = list(latest.values())
    hashes = hash_texts([row["id"] for row in batch])
    talks = {row["conversation_id"] for row in batch if row["kind"] == MESSAGE}
    ids = {row["id"] for row in batch}
    perhaps = tuple(ids) if known.any_hashed(hashes) else ()
    return Batch(latest, batch, [row["content"] for row in batch], hashes, talks, ids, perhaps)


async def embed(
    embedder: Embedder, texts: Sequence[str], timeout: float | None
) -> NDArray[np.float32]:
    """The vectors of rows; made here and now where that takes less than a visit to a thread."""
    if is_light(embedder) and are_few(texts):
        return embed_here(embedder, texts, "document")
    return await embed_texts(embedder, texts, "document", timeout)


def give_positions(
    latest: Mapping[Key, Row],
    stored: Mapping[Key, Stored],
    next_turns: dict[str, int],
    first_seq: int,
) -> None:
    """Set ``seq`` and ``turn`` of each row; a message that is stored again keeps its turn.

    ``next_turns`` has the next free turns afterwards.
    """
    for offset, (key, row) in enumerate(in_breaths(latest.items())):
        row["seq"] = first_seq + offset
        if row["kind"] != MESSAGE:
            continue
        before = stored.get(key)
        if before is not None:
            row["turn"] = before.turn
        else:
            row["turn"] = next_turns[row["conversation_id"]]
            next_turns[row["conversation_id"]] += 1


def are_few(texts: Sequence[str]) -> bool:
    """Whether work on rows of these texts is for the event loop."""
    return len(texts) <= _ROWS_ON_THE_LOOP and sum(map(len, texts)) <= _CHARACTERS_ON_THE_LOOP


async def in_thread_if_many(rows: int, work: Callable[[], T]) -> T:
    """Do pure Python work, in a thread where it is about many rows."""
    return work() if rows <= _ROWS_ON_THE_LOOP else await asyncio.to_thread(work)
