"""``open_memory``: one call from a folder to a memory."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bruno_memory_vec.memory import VectorMemory

if TYPE_CHECKING:
    from bruno_core.interfaces.embedding import EmbeddingInterface

    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.embedders.protocol import Embedder
    from bruno_memory_vec.rankers import Profile
    from bruno_memory_vec.writing.projections import Progress


class Opening:
    """A memory about to be opened: ``await`` it, or enter it with ``async with``."""

    def __init__(self, memory: VectorMemory) -> None:
        self._memory = memory

    def __await__(self) -> Generator[Any, None, VectorMemory]:
        return self._memory.connect().__await__()

    async def __aenter__(self) -> VectorMemory:
        return await self._memory.connect()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._memory.close()


def open_memory(
    url: str | None = None,
    *,
    embedder: str | Embedder | EmbeddingInterface | None = None,
    profile: str | Profile | None = None,
    read_only: bool | None = None,
    config: MemoryConfig | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Opening:
    """Open a memory, or make it where there is none.

    Use it as ``memory = await open_memory("./memory")`` and close it yourself,
    or as ``async with open_memory("./memory") as memory``. The arguments are
    those of :class:`~bruno_memory_vec.VectorMemory`.

    Raises (when awaited or entered):
        InvalidInputError: a setting is not usable.
        StoreError: the folder is no store, is locked, or has another embedder or version.
        EngineError: an engine cannot be opened.
    """
    return Opening(
        VectorMemory(
            url,
            embedder=embedder,
            profile=profile,
            read_only=read_only,
            config=config,
            progress=progress,
            **settings,
        )
    )
