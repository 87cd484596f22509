"""What the peers share: their packages, their threads, and the run's embedder."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import metadata
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.datasets.base import Turn
from bruno_memory_vec.embedders import Embedder, EmbedKind, embed_texts
from bruno_memory_vec.errors import MissingDependencyError

Result = TypeVar("Result")

#: Texts embedded and written in one call, by the peers that take many at once.
BATCH = 2_000


def load(module: str, *, package: str, extra: str) -> Any:
    """A peer's module, imported now.

    Raises:
        MissingDependencyError: it cannot be imported; the message has the ``pip install`` line.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(package, extra, cause=error) from error


def versions(*packages: str) -> dict[str, str]:
    """The version of each of the distributions that is installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def batches(turns: Sequence[Turn], size: int = BATCH) -> Iterator[Sequence[Turn]]:
    """The turns in their order, at most `size` at a time."""
    for start in range(0, len(turns), size):
        yield turns[start : start + size]


class RunEmbedder:
    """The embedder that a run names, for a peer that is given vectors.

    Args:
        embedder: any `Embedder`. Its fingerprint is read here, which may load a model.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.dimension = embedder.fingerprint.dimension
        self.about = embedder.fingerprint.to_dict()

    async def documents(self, turns: Sequence[Turn]) -> NDArray[np.float32]:
        """Shape (len(turns), dimension), unit rows."""
        return await embed_texts(self._embedder, [turn.content for turn in turns], "document")

    async def query(self, text: str) -> NDArray[np.float32]:
        """Shape (dimension,), unit norm."""
        vectors: NDArray[np.float32] = (await embed_texts(self._embedder, [text], "query"))[0]
        return vectors

    def from_thread(self, loop: asyncio.AbstractEventLoop) -> Callable[[str, EmbedKind], Any]:
        """The embedder as a plain function, for a peer that calls it from its own thread.

        Args:
            loop: the running loop, which must not itself wait for that thread.
        """

        def embed(text: str, kind: EmbedKind) -> Any:
            work = embed_texts(self._embedder, [text], kind)
            return asyncio.run_coroutine_threadsafe(work, loop).result()[0]

        return embed


class OneThread:
    """Blocking calls of a package, all on one thread: SQLite connections belong to theirs."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1)

    async def run(self, call: Callable[..., Result], *args: Any, **options: Any) -> Result:
        """The call's result; the event loop goes on meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, partial(call, *args, **options)
        )

    async def close(self) -> None:
        """Let the thread end."""
        await asyncio.to_thread(self._pool.shutdown)
