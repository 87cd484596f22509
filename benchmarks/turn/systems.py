"""The systems that are measured: ours as it ships, the peers of `benchmarks.scale`, the limit."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.scale import limit
from benchmarks.scale.data import DIMENSION, Corpus
from benchmarks.scale.peers import OURS, kind, names
from benchmarks.scale.peers.base import Batch, Lacks, Peer, Row, Vectors
from benchmarks.scale.peers.ours import Ours
from bruno_memory_vec.embedders import Embedder, StaticEmbedder

__all__ = ["LIMIT", "OURS", "kind_of", "make", "systems"]

#: What no exact search can be faster than.
LIMIT = "limit"
_READS = "it only reads"


class Shipped(Ours):
    """One folder, default settings, default embedder."""

    about = "defaults: profile `balanced`, the static embedder"
    takes_vectors = False

    @property
    def embedder(self) -> Embedder:
        return StaticEmbedder()


class Limit(Peer):
    """Reads only: one product with the vectors, one Tantivy query of the question's terms."""

    name = LIMIT
    about = (
        "one product with the vectors in memory and the 100 nearest, one Tantivy query and the 100 "
        "best: what exact search cannot be faster than; nothing is ranked, nothing is read"
    )
    packages = ("numpy", "tantivy")

    def __init__(self, corpus: Corpus) -> None:
        super().__init__(DIMENSION)
        self._corpus = corpus
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._everyone: NDArray[np.float32] | None = None
        self._words: limit.Words | None = None
        self._filled = False

    async def open(self, folder: Path) -> None:
        self._filled = bool(os.listdir(folder))
        self._words = limit.Words(folder)

    async def add_bulk(self, batch: Batch) -> None:
        if self._filled:
            raise Lacks(_READS)
        self._index.add(batch.ids, batch.texts, batch.users)

    async def finish(self) -> None:
        self._index.commit()

    async def add_one(self, row: Row) -> None:
        raise Lacks(_READS)

    async def recall(self, text: str, vector: Vectors, user: str, k: int) -> list[int]:
        if user not in self._vectors:
            self._vectors[user] = limit.vectors_of(self._corpus, user)
        limit.nearest(self._vectors[user], vector)
        return self._index.best(text, user)[:k]

    async def recall_all(self, text: str, vector: Vectors, k: int) -> list[int]:
        if self._everyone is None:
            self._everyone = self._corpus.vectors(0, self._corpus.rows)
        limit.nearest(self._everyone, vector)
        return self._index.best(text, None)[:k]

    async def close(self) -> None:
        self._words = None

    @property
    def _index(self) -> limit.Words:
        assert self._words is not None, "not opened"
        return self._words


def systems() -> tuple[str, ...]:
    """Every system, ours first, the limit last."""
    return (*names(), LIMIT)


def kind_of(name: str) -> type[Peer]:
    """The class of a system. Its package is not imported yet.

    Raises:
        InvalidInputError: there is no such system.
    """
    own: dict[str, type[Peer]] = {OURS: Shipped, LIMIT: Limit}
    return own[name] if name in own else kind(name)


def make(name: str, corpus: Corpus) -> Peer:
    """A system, not yet opened.

    Raises:
        InvalidInputError: there is no such system.
    """
    if name == LIMIT:
        return Limit(corpus)
    return kind_of(name)(DIMENSION)
