"""Where :mod:`bruno_memory_vec.sync.background` was before."""

from __future__ import annotations

from bruno_memory_vec.sync.background import BackgroundMemory

__all__ = ["BackgroundMemory"]
