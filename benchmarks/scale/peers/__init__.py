"""Stores that a user could pick instead, at the sizes of the scale benchmark.

Each peer is one file, and its package an extra of its own, as in `benchmarks.peers`, whose
parts they use. All of them, ours too, are given the same rows and the same vectors.

    names()                         # ("ours", "lancedb", ...)
    peer = make("chroma", 256)      # a Peer, not yet opened
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from bruno_memory_vec.errors import InvalidInputError

if TYPE_CHECKING:
    from benchmarks.scale.peers.base import Peer

__all__ = ["OURS", "kind", "make", "names"]

#: What all others are compared with.
OURS = "ours"

_PEERS = {
    OURS: ("ours", "Ours"),
    "lancedb": ("lancedb_hybrid", "LanceDB"),
    "chroma": ("chroma", "Chroma"),
    "mem0": ("mem0", "Mem0"),
    "bruno_memory": ("bruno_memory", "BrunoMemory"),
    "sqlite_vec": ("sqlite_vec", "SqliteVec"),
}


def names() -> tuple[str, ...]:
    """Every peer, ours first, installed or not."""
    return tuple(_PEERS)


def kind(name: str) -> type[Peer]:
    """The class of a peer. Its package is not imported yet.

    Raises:
        InvalidInputError: there is no such peer.
    """
    if name not in _PEERS:
        raise InvalidInputError(
            "peer", f"there is none called {name!r}", fix=f"Choose of {', '.join(_PEERS)}."
        )
    module, cls = _PEERS[name]
    found: type[Peer] = getattr(importlib.import_module(f"{__name__}.{module}"), cls)
    return found


def make(name: str, dimension: int) -> Peer:
    """A peer, not yet opened.

    Raises:
        InvalidInputError: there is no such peer.
    """
    return kind(name)(dimension)
