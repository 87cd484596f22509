"""What a peer of the scale benchmark is: rows in, row numbers out, vectors given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.scale.data import Corpus

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Row:
    """One message of the corpus.

    Attributes:
        id: its number in the corpus, from 0. Every peer answers with these.
        text: what was said.
        vector: shape (dimension,), float32, unit norm.
        user: whose it is.
        conversation: where it was said; a conversation belongs to one user.
        role: "user" or "assistant".
    """

    id: int
    text: str
    vector: Vectors
    user: str
    conversation: str
    role: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that follow each other in the corpus, by columns of equal length.

    Attributes:
        vectors: shape (rows, dimension), float32, unit rows.
        others: as in `Row`.
    """

    ids: Sequence[int]
    texts: Sequence[str]
    vectors: Vectors
    users: Sequence[str]
    conversations: Sequence[str]
    roles: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self) -> Iterator[Row]:
        """The rows, one by one."""
        for row in zip(
            self.ids,
            self.texts,
            self.vectors,
            self.users,
            self.conversations,
            self.roles,
            strict=True,
        ):
            yield Row(*row)


class Lacks(Exception):
    """The engine has nothing for this; the text is the reason."""


class Peer(ABC):
    """A store of messages, empty or filled, in a folder of its own.

    All peers are given the vectors of texts and questions, and none embeds anything. What a
    peer makes of plain texts and a float32 matrix before it stores them is part of its time.
    An engine whose calls block is called on the caller's own thread: a hop to another one would
    be counted against it.

    Attributes:
        name: how it is called in tables.
        about: how it is set up, and what it does not do; printed below the table.
        packages: the distributions whose versions are printed.
        extra: the extra that brings them; empty where the library itself does.
        batch_rows: how many rows it is given at a time.
        takes_vectors: whether it is given vectors; else it makes its own, or has no use for any.
        by_meaning: whether a row is found by its vector.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    extra: ClassVar[str] = ""
    batch_rows: ClassVar[int] = 10_000
    takes_vectors: ClassVar[bool] = True
    by_meaning: ClassVar[bool] = True

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def load(self, folder: Path) -> None:  # noqa: B027 (a peer may have nothing to import)
        """Import the packages, so that `open` does not.

        Args:
            folder: the one that `open` will be given.

        Raises:
            MissingDependencyError: one is missing; the message has the ``pip install`` line.
        """

    def ready(self, rows: Sequence[Row]) -> None:  # noqa: B027 (or nothing to make)
        """Make what an application has in hand before it stores these rows; it is not measured."""

    @abstractmethod
    async def open(self, folder: Path) -> None:
        """Open the store in an existing folder, or make it there."""

    @abstractmethod
    async def add_bulk(self, batch: Batch) -> None:
        """Store new rows in the fastest way that the engine documents."""

    async def finish(self) -> None:  # noqa: B027 (or nothing to finish)
        """Make the indexes and bring the store in order, once all rows are in."""

    @abstractmethod
    async def add_one(self, row: Row) -> None:
        """Store a new row as an application does while it runs; it may be recalled at once."""

    @abstractmethod
    async def recall(self, text: str, vector: Vectors, user: str, k: int) -> list[int]:
        """The ids of at most `k` of the user's rows, best first."""

    async def nearest(self, vector: Vectors, user: str, k: int) -> list[int] | None:
        """The user's `k` rows that the engine holds for the nearest; None: it has no vectors."""
        return None

    async def recall_all(self, text: str, vector: Vectors, k: int) -> list[int]:
        """The ids of at most `k` rows of any user, best first."""
        raise Lacks("no search over all users")

    async def nearest_all(self, vector: Vectors, k: int) -> list[int]:
        """The `k` rows of any user that the engine holds for the nearest."""
        raise Lacks("no search by vectors over all users")

    async def context(self, user: str, conversation: str, count: int) -> int:
        """The last turns of a conversation, at most `count`: how many there are."""
        raise Lacks("no conversations")

    async def new_session(self, user: str) -> None:
        """Begin a conversation."""
        raise Lacks("no sessions")

    async def add_memories(self, batch: Batch) -> None:
        """Store rows that `delete` and `replace` will be given: memories, where it has them."""
        await self.add_bulk(batch)

    async def delete(self, row: Row) -> None:
        """Delete one row."""
        raise Lacks("no deletion of one row")

    async def replace(self, row: Row) -> None:
        """Store a row whose id is there already."""
        raise Lacks("no replacement of a row")

    async def compact(self) -> None:
        """Bring the store in order while others ask it."""
        raise Lacks("no compaction beside calls")

    @abstractmethod
    async def close(self) -> None:
        """Close the store. It may be called after a failed `open`."""


def batch_of(corpus: Corpus, start: int, stop: int) -> Batch:
    """Rows of a corpus from ``start`` to before ``stop``, with their vectors."""
    return Batch(
        list(range(start, stop)),
        corpus.texts(start, stop),
        corpus.vectors(start, stop),
        corpus.users(start, stop),
        corpus.conversations(start, stop),
        corpus.roles(start, stop),
    )


def vector_array(vectors: Vectors) -> Any:
    """A float32 matrix as an Arrow array of fixed-size lists."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(vectors).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
