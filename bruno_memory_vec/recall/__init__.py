"""Recall: from a question to hits."""

from bruno_memory_vec.recall.request import RecallRequest
from bruno_memory_vec.recall.retriever import Retriever

__all__ = ["RecallRequest", "Retriever"]
