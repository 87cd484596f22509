"""Assistants over a memory: two memories as one (``hybrid``)."""

from bruno_memory_vec.assistant.hybrid import HybridMemory

__all__ = ["HybridMemory"]
