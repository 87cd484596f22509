"""The steps of a commit: which rows count, their vectors, their ``seq`` and turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.run import embed_here, embed_texts, is_light
from bruno_memory_vec.indexers.aio import yielding_gil
from bruno_memory_vec.indexers.schema import MESSAGE, Key, key_of
from bruno_memory_vec.rows.models import Row, from_table
from bruno_memory_vec.writing.known_ids import KnownIds
from bruno_memory_vec.writing.lease import Wanted

T = TypeVar("T")

NOTHING_KEPT: Final[Mapping[str, Any]] = MappingProxyType({})

# Below these, switching to a thread costs more than the work itself: at most 5 ms, and three times
# that where none of the words is in the embedder's memory.
_ROWS_ON_THE_LOOP = 128
_CHARACTERS_ON_THE_LOOP = 16_000


class Batch(NamedTuple):
    """The rows of a commit, and what it needs to know about them."""

    latest: dict[Key, Row]
    rows: list[Row]
    texts: list[str]
    hashes: NDArray[np.uint64]
    ids: set[str]
    perhaps_stored: tuple[str, ...]


class Stored(NamedTuple):
    """What is asked of a stored row when it is stored again.

    Attributes:
        seq: its ``seq``.
        turn: its turn; a memory has none.
        kept: its columns ``KEPT``.
        content: its text, where it was read.
    """

    seq: int
    turn: int | None
    kept: Mapping[str, Any] = NOTHING_KEPT
    content: str | None = None


def prepare(rows: Sequence[Row], known: KnownIds) -> Batch:
    """Find the rows that count, and their ids, before they are embedded."""
    # Of rows with the same key the last one counts, at the position of the first.
    latest = {key_of(row): row for row in yielding_gil(rows)}
    batch = list(latest.values())
    hashes = known.hashes([row["id"] for row in batch])
    ids = {row["id"] for row in batch}
    perhaps = tuple(ids) if known.any_hashed(hashes) else ()
    texts = [row["content"] for row in batch]
    return Batch(latest, batch, texts, hashes, ids, perhaps)


def look_again(batch: Batch, known: KnownIds) -> Batch:
    """A batch of one call that was prepared some time ago.

    Other rows may have been stored since, and its user, where the caller named none, is known now.
    """
    latest = batch.latest
    if key_of(batch.rows[0]) not in latest:
        latest = {key_of(row): row for row in yielding_gil(batch.rows)}
    perhaps = tuple(batch.ids) if known.any_hashed(batch.hashes) else ()
    return batch._replace(latest=latest, perhaps_stored=perhaps)


async def embed(
    embedder: Embedder, texts: Sequence[str], timeout: float | None
) -> NDArray[np.float32]:
    """The vectors of texts; on this thread where that is faster than switching to another."""
    if is_light(embedder) and are_few(texts):
        return embed_here(embedder, texts, "document")
    return await embed_texts(embedder, texts, "document", timeout)


def wanted_turns(latest: Mapping[Key, Row], stored: Mapping[Key, Stored]) -> dict[str, Wanted]:
    """How many new messages each conversation gets; one that only a memory names gets none."""
    users: dict[str, str] = {}
    counts: dict[str, int] = {}
    for key, row in yielding_gil(latest.items()):
        conversation = row["conversation_id"]
        if conversation is None:
            continue
        users[conversation] = row["user_id"]
        new = row["kind"] == MESSAGE and key not in stored
        counts[conversation] = counts.get(conversation, 0) + new
    return {name: Wanted(user, counts[name]) for name, user in users.items()}


def give_positions(
    latest: Mapping[Key, Row],
    stored: Mapping[Key, Stored],
    next_turns: dict[str, int],
    first_seq: int,
) -> None:
    """Set ``seq`` and ``turn`` of each row. One that is stored again keeps its turn and ``KEPT``.

    ``next_turns`` is updated to the next free turns.
    """
    for offset, (key, row) in enumerate(yielding_gil(latest.items())):
        row["seq"] = first_seq + offset
        before = stored.get(key) if stored else None
        if before is not None:
            row.update(before.kept)
        if row["kind"] != MESSAGE:
            continue
        if before is not None:
            row["turn"] = before.turn
        else:
            row["turn"] = next_turns[row["conversation_id"]]
            next_turns[row["conversation_id"]] += 1


def rewritten(
    table: pa.Table, change: Callable[[Row], Mapping[str, Any] | None]
) -> tuple[pa.Table, list[Row]]:
    """The rows of a table that are changed, in the order of their ``seq``, and as dicts.

    Args:
        table: rows with all columns and the vector.
        change: the new values of a row's columns; None or nothing to leave it as it is.

    Returns:
        The table has the new values, and the old ``seq`` and checksums.
    """
    order = np.argsort(table.column("seq").to_numpy(), kind="stable")
    table = table.take(pa.array(order))
    rows: list[Row] = []
    places: list[int] = []
    names: set[str] = set()
    for place, row in enumerate(yielding_gil(from_table(table.drop_columns(["vector"])))):
        changes = change(row)
        if changes:
            row.update(changes)
            names.update(changes)
            rows.append(row)
            places.append(place)
    table = table.take(pa.array(places, pa.int64()))
    for name in names:
        field = table.schema.field(name)
        values = pa.array([row[name] for row in rows], field.type)
        table = table.set_column(table.schema.get_field_index(name), field, values)
    return table, rows


def are_few(texts: Sequence[str]) -> bool:
    """Whether rows of these texts are few enough to work on in the event loop."""
    return len(texts) <= _ROWS_ON_THE_LOOP and sum(map(len, texts)) <= _CHARACTERS_ON_THE_LOOP


async def in_thread_if_many(rows: int, work: Callable[[], T]) -> T:
    """Do pure Python work; in a thread if it is for many rows."""
    return work() if rows <= _ROWS_ON_THE_LOOP else await asyncio.to_thread(work)
