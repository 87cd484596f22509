"""The stores under treatment: peers of the scale benchmark that can also say what they hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from benchmarks.scale.peers import make as make_peer
from benchmarks.scale.peers.base import Peer, Row

#: Of the vectors. Small, because no figure here is about search quality.
DIMENSION = 64
USER = "ana"
# A conversation has so many rows.
_CONVERSATION = 50
# More than any treatment writes.
_ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """A store under treatment.

    Attributes:
        indexes: glob patterns, relative to its folder, of the files of its indexes: what is made
            from the rows and is no row itself. Empty where the indexes are no files of their own.
        note: what to know about its figures.
    """

    indexes: Sequence[str]
    note: str


TARGETS = {
    "ours": Target(
        ("lexical/*", "rows/rows.lance/_indices/*/*"),
        "one process writes; another is refused when it opens the store, by an error that names "
        "the writer, so its rows are never acknowledged",
    ),
    "lancedb": Target(
        ("rows.lance/_indices/*/*",),
        "its async API, one `add` a row; FTS and bitmap indexes",
    ),
    "chroma": Target(
        ("*/*.bin", "*/*.pickle"),
        "`PersistentClient`; its cookbook says that it is not process-safe, and names its server",
    ),
    "mem0": Target(
        (),
        "`infer=False`, Qdrant in local mode, which locks its folder; it searches without an index",
    ),
    "bruno_memory": Target((), "SQLite in WAL mode; its index is within the database's file"),
}


def names() -> tuple[str, ...]:
    """Every store, ours first."""
    return tuple(TARGETS)


def make(name: str) -> Peer:
    """A store, not yet opened.

    Raises:
        InvalidInputError: there is none of this name.
    """
    return make_peer(name, DIMENSION)


def row(number: int) -> Row:
    """The row of a number: words and a vector that no other row has, the same in any process."""
    vector = np.random.default_rng(number).standard_normal(DIMENSION).astype(np.float32)
    return Row(
        id=number,
        text=f"{word(number)} told the others about the weather",
        vector=vector / np.linalg.norm(vector),
        user=USER,
        conversation=f"talk-{number // _CONVERSATION}",
        role="user",
    )


def word(number: int) -> str:
    """The word that only this row has."""
    return f"zebra{number}"


def index_files(name: str, folder: Path) -> list[Path]:
    """The files of a store's indexes, the largest first."""
    found = {
        path
        for pattern in TARGETS[name].indexes
        for path in folder.glob(pattern)
        if path.is_file() and path.stat().st_size > 1
    }
    return sorted(found, key=lambda path: (-path.stat().st_size, str(path)))


async def held(name: str, peer: Any) -> list[int]:
    """The numbers of all rows that an open store holds; one that is there twice comes twice."""
    return await _HELD[name](peer)


async def _of_ours(peer: Any) -> list[int]:
    from bruno_memory_vec import ALL_USERS

    found = []
    for conversation in await peer.memory.list_conversations(ALL_USERS, limit=None):
        messages = await peer.memory.retrieve_messages(conversation.conversation_id)
        found += [UUID(str(message.id)).int for message in messages]
    return found


async def _of_lancedb(peer: Any) -> list[int]:
    found: list[int] = (await peer._table.query().select(["id"]).to_arrow())["id"].to_pylist()
    return found


async def _of_chroma(peer: Any) -> list[int]:
    return [int(number) for number in peer._collection.get(include=[])["ids"]]


async def _of_mem0(peer: Any) -> list[int]:
    found = peer._memory.get_all(filters={"user_id": USER}, top_k=_ALL)
    return [int(entry["metadata"]["row"]) for entry in found["results"]]


async def _of_bruno_memory(peer: Any) -> list[int]:
    # Its own list of a user's entries is bounded.
    connection = peer._system._backend._connection
    async with connection.execute("SELECT metadata FROM memory_entries") as cursor:
        return [int(json.loads(json.loads(line[0])["source"])) async for line in cursor]


_HELD = {
    "ours": _of_ours,
    "lancedb": _of_lancedb,
    "chroma": _of_chroma,
    "mem0": _of_mem0,
    "bruno_memory": _of_bruno_memory,
}
