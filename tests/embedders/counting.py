"""Embedders that note what they are asked, for the tests of the cache."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders import EmbedKind, Fingerprint
from bruno_memory_vec.testing import HashEmbedder


class Counting:
    """A HashEmbedder whose queries are the documents' vectors turned round."""

    def __init__(self, dimension: int = 8, *, name: str = "counting", version: str = "1") -> None:
        self._hash = HashEmbedder(dimension)
        self.fingerprint = Fingerprint(name=name, version=version, dimension=dimension)
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> NDArray[np.float32]:
        self.asked.extend(texts)
        vectors = self._hash.embed(texts)
        return vectors if kind == "document" else np.ascontiguousarray(vectors[:, ::-1])


class Asynchronous(Counting):
    """The same, awaited."""

    async def embed(  # type: ignore[override]
        self, texts: Sequence[str], *, kind: EmbedKind = "document"
    ) -> NDArray[np.float32]:
        return super().embed(texts, kind=kind)


class Lazy(Counting):
    """A plain method that returns something to await."""

    def embed(  # type: ignore[override]
        self, texts: Sequence[str], *, kind: EmbedKind = "document"
    ) -> Awaitable[NDArray[np.float32]]:
        async def later() -> NDArray[np.float32]:
            return Counting.embed(self, texts, kind=kind)

        return later()
