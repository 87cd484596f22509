"""The blocking memory, its managers, and the functions for whole stores; types are in ``api.pyi``.

``api.pyi`` is written by ``scripts/sync_types.py`` from the asynchronous classes. What is made here
is made from them when it is imported, so it cannot lack a method.
"""

from __future__ import annotations

import inspect
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from bruno_core.models.config import MemoryConfig as BrunoMemoryConfig

import bruno_memory_vec
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.memory import open_memory as open_asynchronous
from bruno_memory_vec.rows.method_names import no_such_method
from bruno_memory_vec.sync.background import BackgroundMemory, Stream
from bruno_memory_vec.sync.blocking import (
    Blocking,
    blocking,
    blocking_function,
    blocks,
    has_coroutines,
    public,
)

__all__ = ["Memory", "Stream", "open_memory"]


@blocks(VectorMemory)
class Memory(Blocking):
    """An assistant's memory for programs without asyncio: every method waits for its answer.

    It has the methods, properties and managers of :class:`~bruno_memory_vec.VectorMemory`, with the
    same parameters. Any thread of the process may call it. It connects at first use;
    :func:`open_memory` connects at once. Close it, or use it as ``with``.

    The arguments are those of :class:`~bruno_memory_vec.VectorMemory`. What they hold that is
    called back (an LLM, an embedder, ``progress``) is called in the background thread, and cannot
    call this memory.

    Raises:
        InvalidInputError: a setting is not usable.
    """

    def __init__(self, url: str | None = None, **settings: Any) -> None:
        self._begin(VectorMemory(url, **settings))

    def _begin(self, memory: VectorMemory) -> None:
        self._background, self._asynchronous = BackgroundMemory(lambda: memory), memory

    @classmethod
    def from_config(cls, config: BrunoMemoryConfig) -> Memory:
        """A memory from ``bruno_core.models.config.MemoryConfig``."""
        made = object.__new__(cls)
        made._begin(VectorMemory.from_config(config))
        return made

    def close(self) -> None:
        """Write what is pending and release the folder. Closing twice does nothing.

        Calls that other threads have under way end first. Closing a user's view (:meth:`for_user`)
        does nothing: the memory is others', too.
        """
        if self._asynchronous._caller.is_whole:
            self._background.close()

    def shutdown(self) -> None:
        """As :meth:`close`."""
        self.close()

    def __enter__(self) -> Memory:
        return self.connect()  # type: ignore[attr-defined,no-any-return]  # made by `blocks`

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Type-checkers know what is not there.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            no_such_method(self, name)


def open_memory(url: str | None = None, **settings: Any) -> Memory:
    """Open a memory, or create it if there is none.

    Use it as ``memory = open_memory("./memory")`` and close it yourself, or as
    ``with open_memory("./memory") as memory``. The arguments are those of
    :class:`~bruno_memory_vec.VectorMemory`.

    Raises:
        InvalidInputError: a setting is not usable.
        StoreError: the folder is no store, is locked, or has another embedder or version.
        EngineError: an engine cannot be opened.
    """
    memory = Memory(url, **settings)
    try:
        memory.connect()  # type: ignore[attr-defined]  # made by `blocks`
    except BaseException:
        memory.close()
        raise
    return memory


def _managers() -> None:
    """Make the classes of the managers, so that they can be named where a type is."""
    for _, member in public(VectorMemory):
        if isinstance(member, property) and member.fget is not None:
            named = str(member.fget.__annotations__["return"])
            kind = getattr(sys.modules[VectorMemory.__module__], named, None)
            if isinstance(kind, type) and has_coroutines(kind):
                globals()[kind.__name__] = blocking(kind)
                __all__.append(kind.__name__)


def _functions() -> None:
    """Make the functions for whole stores, such as ``backup_store``."""
    for name in bruno_memory_vec.__all__:
        found = getattr(bruno_memory_vec, name)
        if inspect.iscoroutinefunction(found):
            globals()[name] = blocking_function(found)
            __all__.append(name)


def _like(made: Any, asynchronous: Any, given: str) -> None:
    made.__signature__ = inspect.signature(asynchronous).replace(return_annotation=given)


_like(open_memory, open_asynchronous, "Memory")
_like(Memory.__init__, VectorMemory.__init__, "None")
_managers()
_functions()
