"""An assistant with a context built for each question; two memories as one (``hybrid``)."""

from bruno_memory_vec.assistant.assistant import BuildsContexts, MemoryAssistant, Turn
from bruno_memory_vec.assistant.hybrid import HybridMemory

__all__ = ["BuildsContexts", "HybridMemory", "MemoryAssistant", "Turn"]
