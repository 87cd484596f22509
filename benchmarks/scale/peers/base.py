"""What a peer of the scale benchmark is: rows in, row numbers out, vectors given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

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
    """

    name: ClassVar[str]
    about: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    extra: ClassVar[str] = ""
    batch_rows: ClassVar[int] = 10_000

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def load(self, folder: Path) -> None:  # noqa: B027 (a peer may have nothing to import)
        """Import the packages, so that `open` does not.

        Args:
            folder: the one that `open` will be given.

        Raises:
            MissingDependencyError: one is missing; the message has the ``pip install`` line.
        """

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

    @abstractmethod
    async def close(self) -> None:
        """Close the store. It may be called after a failed `open`."""


def vector_array(vectors: Vectors) -> Any:
    """A float32 matrix as an Arrow array of fixed-size lists."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(vectors).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
