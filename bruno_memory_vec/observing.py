"""From the settings of a memory to what observes it: metrics, spans, a line an operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.observability.observer import Observer
from bruno_memory_vec.observability.operation_log import OperationLog
from bruno_memory_vec.observability.recorder import Recorder
from bruno_memory_vec.observability.tracing import Tracing
from bruno_memory_vec.prompts.hidden_characters import escaped
from bruno_memory_vec.store.trail.trail import chain_of

if TYPE_CHECKING:
    from bruno_memory_vec.config import MemoryConfig

_IN_MEMORY: Final = "memory://"


def observer_of(config: MemoryConfig) -> Observer | None:
    """What observes a memory of these settings; None where nothing was asked for.

    Raises:
        MissingDependencyError: the package is not installed that metrics or spans need.
    """
    measured, traced = config.metrics is not False, config.tracing is not False
    if not (measured or traced or config.operation_log != "off"):
        return None
    name = _name_of(config)
    tracing = log = expose = None
    if traced:
        provider = None if config.tracing is True else config.tracing
        tracing = Tracing(provider, name, content=config.trace_content)
    if config.operation_log != "off":
        log = OperationLog(config.operation_log, _naming(config), name)
    if measured and config.metrics != "process":
        from bruno_memory_vec.observability.prometheus import exposing

        expose = exposing(None if config.metrics is True else config.metrics)
    return Observer(name, Recorder() if measured else None, tracing, log, expose)


def _name_of(config: MemoryConfig) -> str:
    """What names the store: the last part of its URL, which has no password."""
    if config.observed_as is not None:
        return escaped(config.observed_as)
    url = masked(config.url)
    last = url.partition("?")[0].rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    return escaped(url if url == _IN_MEMORY or not last else last)


def _naming(config: MemoryConfig) -> Callable[[str], str] | None:
    """How a line names a user; None where it names nobody."""
    if config.operation_log_users == "none":
        return None
    if config.operation_log_users == "given":
        return escaped
    return chain_of(config).named
