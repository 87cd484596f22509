"""Other people's retrieval, as systems of the same harness.

Each peer is one file, and its package an extra of its own. The package is imported when the
peer is opened; where it is missing, the error names the ``pip install`` line. Every peer
stores the same texts (``turn.content`` as it is) and answers within one user, with the
embedder of the run where it takes one. Nothing here calls a model hub, a language model or
a telemetry service.

    names()                              # ("bm25", "vectors", "rrf", ...)
    system = make("chroma", embedder)    # a benchmarks.retrieval.systems.System
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bruno_memory_vec.embedders import Embedder
from bruno_memory_vec.errors import InvalidInputError

if TYPE_CHECKING:
    from benchmarks.retrieval.systems import System

__all__ = ["make", "names", "uses_embedder"]


@dataclass(frozen=True, slots=True)
class _Peer:
    module: str
    factory: str
    embeds: bool = True


# The factories of those that embed take the run's embedder, the others nothing.
_PEERS = {
    "bm25": _Peer("baselines", "BM25", embeds=False),
    "bm25_cjk": _Peer("baselines", "bm25_cjk", embeds=False),
    "vectors": _Peer("baselines", "Vectors"),
    "rrf": _Peer("baselines", "RRF"),
    "rrf_cjk": _Peer("baselines", "rrf_cjk"),
    "lancedb_hybrid": _Peer("lancedb_hybrid", "LanceDBHybrid"),
    "lancedb_hybrid_icu": _Peer("lancedb_hybrid", "icu"),
    "chroma": _Peer("chroma", "Chroma"),
    "mem0": _Peer("mem0", "Mem0"),
    "mem0_hybrid": _Peer("mem0", "hybrid"),
    "mempalace": _Peer("mempalace", "MemPalace"),
    "mempalace_raw": _Peer("mempalace", "raw"),
    "bruno_memory": _Peer("bruno_memory", "BrunoMemory", embeds=False),
    "bruno_memory_words": _Peer("bruno_memory", "words", embeds=False),
}


def names() -> tuple[str, ...]:
    """Every peer, installed or not."""
    return tuple(_PEERS)


def uses_embedder(name: str) -> bool:
    """Whether the peer's figures depend on the run's embedder; if not, one run is enough.

    Raises:
        InvalidInputError: there is no such peer.
    """
    return _peer(name).embeds


def make(name: str, embedder: Embedder) -> System:
    """A peer, not yet opened. Its package is not imported yet.

    Args:
        name: one of `names`.
        embedder: the run's embedder. Its fingerprint is read, which may load a model.

    Raises:
        InvalidInputError: there is no such peer.
    """
    peer = _peer(name)
    factory: Any = getattr(importlib.import_module(f"{__name__}.{peer.module}"), peer.factory)
    system: System = factory(embedder) if peer.embeds else factory()
    return system


def _peer(name: str) -> _Peer:
    try:
        return _PEERS[name]
    except KeyError:
        raise InvalidInputError(
            "peer", f"{name!r} is not known", fix=f"Use one of {', '.join(_PEERS)}."
        ) from None
