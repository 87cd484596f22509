"""Embeds large requests before their commit, so that small ones are committed meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.run import embed_texts, is_light
from bruno_memory_vec.writing.background import runs
from bruno_memory_vec.writing.commit import Batch
from bruno_memory_vec.writing.queue import Embedded, Request, WriteQueue

# How many texts and characters are embedded at once: a commit of small requests, which needs the
# embedder too, waits no longer than this takes. A slow embedder needs some tens of milliseconds a
# text.
_TEXTS_AT_ONCE = 1024
_TEXTS_AT_ONCE_SLOW = 64
_CHARACTERS_AT_ONCE = 2**18


class EmbedsAhead:
    """One task that embeds the large requests of a queue, a part of each in turn.

    Args:
        queue: the queue.
        embedder: makes the vectors.
        timeout: how long it may take, see :func:`embed_texts`.
    """

    def __init__(self, queue: WriteQueue, embedder: Embedder, timeout: float | None) -> None:
        self._queue = queue
        self._embedder = embedder
        self._timeout = timeout
        self._task: asyncio.Task[None] | None = None
        self._parts: dict[Request, list[NDArray[np.float32]]] = {}

    def switch(self, embedder: Embedder) -> None:
        """Use another embedder from now on."""
        self._embedder = embedder
        self._parts.clear()

    def start(self) -> None:
        """Embed what waits for it, if that is not going on."""
        if not runs(self._task) and self._queue.to_embed():
            self._task = asyncio.create_task(self._run(), name="bruno-memory-embeds-ahead")

    async def _run(self) -> None:
        try:
            while requests := self._queue.to_embed():
                for request in requests:
                    await self._embed_a_part(request)
        finally:
            self._parts.clear()
            # Whoever waits for a request of this task looks again.
            self._queue.tell()

    async def _embed_a_part(self, request: Request) -> None:
        if request.done.done():
            self._end(request)
            return
        embedder = self._embedder
        parts = self._parts.setdefault(request, [])
        try:
            begin = sum(map(len, parts))
            texts = _some_texts(request, begin, embedder)
            part = await embed_texts(embedder, texts, "document", self._timeout)
        except Exception as error:
            if not request.done.done():
                request.done.set_exception(error)
            self._end(request)
            return
        if embedder is not self._embedder:
            return  # the store has moved to another one: from the beginning
        parts.append(part)
        if begin + len(part) == len(request.rows):
            del self._parts[request]
            self._queue.embedded(request, Embedded(np.concatenate(parts), embedder))

    def _end(self, request: Request) -> None:
        self._parts.pop(request, None)
        self._queue.drop(request)


def _some_texts(request: Request, begin: int, embedder: Embedder) -> list[str]:
    """The next texts of a request, at least one."""
    most = _TEXTS_AT_ONCE if is_light(embedder) else _TEXTS_AT_ONCE_SLOW
    texts: list[str] = []
    characters = 0
    for row in request.rows[begin : begin + most]:
        characters += len(row["content"])
        if texts and characters > _CHARACTERS_AT_ONCE:
            break
        texts.append(row["content"])
    return texts


def vectors_of(
    requests: Sequence[Request], given: Batch, embedder: Embedder
) -> NDArray[np.float32] | None:
    """The vectors of a batch that was embedded before; None where it was not, or by another one.

    Args:
        requests: the requests of the batch, in its order.
        given: the batch, which lacks rows that a later one of the same key replaces.
        embedder: the store's embedder.
    """
    parts = []
    for request in requests:
        if request.embedded is None or request.embedded.embedder is not embedder:
            return None
        parts.append(request.embedded.vectors)
    vectors = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return vectors if len(vectors) == len(given.kept) else vectors[given.kept]
