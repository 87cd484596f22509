"""For tests of your own: a deterministic embedder, and suites that an engine or a memory must pass.

====================================  ==========================================================
:class:`HashEmbedder`                 vectors without a model or a download
:class:`RowIndexConformance`          what a ``RowIndex`` has to do
:class:`SearchesTextConformance`      what one that ``SearchesText`` has to do
:class:`LexicalIndexConformance`      what a ``LexicalIndex`` has to do
:class:`SessionStoreConformance`      what a ``SessionStore`` has to do
:class:`MemoryConformance`            what bruno-core's ``MemoryInterface`` and its guide promise
:class:`RecallConformance`            what ``VectorMemory`` adds: recall, views, bulk writes
:class:`FindingConformance`           how it finds by a phrase, by time and by strategies' names
:class:`ListingConformance`           what it shows of what it holds; deleting by id
====================================  ==========================================================

The suites need pytest and pytest-asyncio: ``pip install "bruno-memory-vec[test]"``.
Hypothesis strategies are in :mod:`bruno_memory_vec.testing.strategies`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bruno_memory_vec.embedders.hashing import HashEmbedder
    from bruno_memory_vec.testing.conformance_engine import RowIndexConformance
    from bruno_memory_vec.testing.conformance_finding import FindingConformance
    from bruno_memory_vec.testing.conformance_lexical import LexicalIndexConformance
    from bruno_memory_vec.testing.conformance_listing import ListingConformance
    from bruno_memory_vec.testing.conformance_memory import MemoryConformance
    from bruno_memory_vec.testing.conformance_recall import RecallConformance
    from bruno_memory_vec.testing.conformance_sessions import SessionStoreConformance
    from bruno_memory_vec.testing.conformance_text import SearchesTextConformance

_PLACES = {
    "FindingConformance": "conformance_finding",
    "HashEmbedder": "bruno_memory_vec.embedders.hashing",
    "LexicalIndexConformance": "conformance_lexical",
    "ListingConformance": "conformance_listing",
    "MemoryConformance": "conformance_memory",
    "RecallConformance": "conformance_recall",
    "RowIndexConformance": "conformance_engine",
    "SearchesTextConformance": "conformance_text",
    "SessionStoreConformance": "conformance_sessions",
}

__all__ = [
    "FindingConformance",
    "HashEmbedder",
    "LexicalIndexConformance",
    "ListingConformance",
    "MemoryConformance",
    "RecallConformance",
    "RowIndexConformance",
    "SearchesTextConformance",
    "SessionStoreConformance",
]

if "pytest" in sys.modules:
    # Lets failing asserts in the suites show their values; it must be called before their import.
    _SUITES = "engine entries finding lexical listing memory recall sessions text".split()
    sys.modules["pytest"].register_assert_rewrite(
        *(f"{__name__}.conformance_{suite}" for suite in _SUITES),
        f"{__name__}.engine_suite",
    )


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(place if "." in place else f"{__name__}.{place}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
