"""From text to vectors: a one-method Protocol, the default embedder, and adapters.

Importing this loads no model and no engine: each embedder imports what it needs at
its first use.
"""

from __future__ import annotations

from bruno_memory_vec.embedders.bruno import BrunoEmbedder
from bruno_memory_vec.embedders.cache import CachedEmbedder
from bruno_memory_vec.embedders.model2vec import Model2VecEmbedder
from bruno_memory_vec.embedders.protocol import Embedder, EmbedKind, Fingerprint
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.embedders.run import embed_texts, fingerprint_of
from bruno_memory_vec.embedders.sentence_transformers import SentenceTransformerEmbedder
from bruno_memory_vec.embedders.static import StaticEmbedder

__all__ = [
    "BrunoEmbedder",
    "CachedEmbedder",
    "EmbedKind",
    "Embedder",
    "Fingerprint",
    "Model2VecEmbedder",
    "SentenceTransformerEmbedder",
    "StaticEmbedder",
    "embed_texts",
    "fingerprint_of",
    "resolve_embedder",
]
