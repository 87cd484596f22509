"""Prepares large requests before their commit, so that small ones are committed meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.run import embed_texts, is_light
from bruno_memory_vec.indexers.schema import row_schema
from bruno_memory_vec.observability.stages import Stage
from bruno_memory_vec.rows.models import to_table
from bruno_memory_vec.writing.background import runs
from bruno_memory_vec.writing.commit import Batch, prepare
from bruno_memory_vec.writing.known_ids import KnownIds
from bruno_memory_vec.writing.queue import Prepared, Request, WriteQueue

# How many texts and characters are embedded at once: a commit of small requests, which needs the
# embedder too, waits no longer than this takes. A slow embedder needs some tens of milliseconds a
# text.
_TEXTS_AT_ONCE = 1024
_TEXTS_AT_ONCE_SLOW = 64
_CHARACTERS_AT_ONCE = 2**18


@dataclass(slots=True)
class _Begun:
    """A request that is being prepared."""

    batch: Batch
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    done: int = 0


class PreparesAhead:
    """One task that looks over, embeds and lays out the large requests of a queue.

    Users take turns here, too: a part of each one's is embedded after the other's.

    Args:
        queue: the queue.
        embedder: makes the vectors.
        known: ids that may be stored already.
        timeout: how long the embedder may take, see :func:`embed_texts`.
    """

    def __init__(
        self, queue: WriteQueue, embedder: Embedder, known: KnownIds, timeout: float | None
    ) -> None:
        self._queue = queue
        self._embedder = embedder
        self._known = known
        self._timeout = timeout
        self._task: asyncio.Task[None] | None = None
        self._begun: dict[Request, _Begun] = {}

    def switch(self, embedder: Embedder) -> None:
        """Use another embedder from now on."""
        self._embedder = embedder
        self._begun.clear()

    def start(self) -> None:
        """Prepare what waits for it, if that is not going on."""
        if not runs(self._task) and self._queue.to_prepare():
            self._task = asyncio.create_task(self._run(), name="bruno-memory-prepares-ahead")

    async def _run(self) -> None:
        try:
            while requests := self._queue.to_prepare():
                for request in requests:
                    await self._go_on(request)
        finally:
            self._begun.clear()
            # Whoever waits for a request of this task looks again.
            self._queue.tell()

    async def _go_on(self, request: Request) -> None:
        """Do the next part of a request; if that fails, its caller gets the error."""
        failed: Exception | None = None
        if not request.done.done():
            try:
                await self._do_a_part(request)
            except Exception as error:
                failed = error
            else:
                return
        self._begun.pop(request, None)
        self._queue.drop(request)
        if failed is not None and not request.done.done():
            request.done.set_exception(failed)

    async def _do_a_part(self, request: Request) -> None:
        embedder, begun = self._embedder, self._begun.get(request)
        if begun is None:
            batch = await asyncio.to_thread(prepare, request.rows, self._known)
            begun = self._begun[request] = _Begun(batch)
        texts = _some_texts(begun.batch.texts, begun.done, embedder)
        asked_at = time.perf_counter_ns()
        watch = request.watch
        with nullcontext() if watch is None else watch.at_work():
            part = await embed_texts(embedder, texts, "document", self._timeout)
        if request.asked_at:
            request.ahead.append(Stage("embed", asked_at, time.perf_counter_ns()))
        if embedder is not self._embedder:
            return  # The store has moved to another one: from the beginning.
        begun.vectors.append(part)
        begun.done += len(part)
        if begun.done == len(begun.batch.rows):
            vectors, schema = np.concatenate(begun.vectors), row_schema(part.shape[1])
            table = await asyncio.to_thread(
                to_table, begun.batch.rows, vectors, schema, placed=False
            )
            self._begun.pop(request, None)
            self._queue.prepared(request, Prepared(begun.batch, table, embedder))


def _some_texts(texts: Sequence[str], begin: int, embedder: Embedder) -> Sequence[str]:
    """The next texts to embed, at least one."""
    end = begin + (_TEXTS_AT_ONCE if is_light(embedder) else _TEXTS_AT_ONCE_SLOW)
    characters = 0
    for number, text in enumerate(texts[begin:end]):
        characters += len(text)
        if number and characters > _CHARACTERS_AT_ONCE:
            return texts[begin : begin + number]
    return texts[begin:end]
