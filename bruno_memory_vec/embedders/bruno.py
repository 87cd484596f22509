"""An embedder made of a bruno-core `EmbeddingInterface`, such as bruno-llm's providers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from bruno_core.interfaces import EmbeddingInterface
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import EmbedKind, Fingerprint
from bruno_memory_vec.embedders.run import checked_vectors
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError

# For a provider that states no limit of its own: one HTTP request stays below a few MB.
_DEFAULT_BATCH = 256


class BrunoEmbedder:
    """Embeds through a provider's `embed_texts`, or `embed_text` where it has no batches.

    Vectors are normalised here. The interface makes no difference between queries
    and documents, so `kind` is ignored.

    Args:
        provider: any `bruno_core` `EmbeddingInterface`.

    Raises:
        InvalidInputError: the provider's `get_dimension()` is not a positive number.
    """

    def __init__(self, provider: EmbeddingInterface) -> None:
        self._provider = provider
        # int(): bruno-llm's create_from_env leaves numbers from the environment as strings.
        dimension = _int(provider.get_dimension())
        if dimension is None or dimension < 1:
            raise InvalidInputError(
                "embedder",
                f"{type(provider).__name__}.get_dimension() gave {provider.get_dimension()!r}",
                fix="Configure the provider's dimension as a positive whole number.",
            )
        self._fingerprint = Fingerprint(
            name=str(provider.get_model_name()),
            version=type(provider).__name__,
            dimension=dimension,
        )

    @property
    def fingerprint(self) -> Fingerprint:
        """Name and dimension as the provider states them; its class's name as version."""
        return self._fingerprint

    async def embed(
        self, texts: Sequence[str], *, kind: EmbedKind = "document"
    ) -> NDArray[np.float32]:
        """One unit vector a text; a provider's zero vector stays zero.

        Returns:
            Shape (len(texts), dimension), float32.

        Raises:
            EmbeddingError: the provider gave an empty vector, the wrong dimension, or the
                wrong number of vectors. What the provider itself raises passes through.
        """
        parts = [np.zeros((0, self._fingerprint.dimension), dtype=np.float32)]
        for start, size in self._batches(len(texts)):
            batch = list(texts[start : start + size])
            if self._provider.supports_batch():
                vectors = await self._provider.embed_texts(batch)
            else:
                vectors = [await self._provider.embed_text(text) for text in batch]
            parts.append(await asyncio.to_thread(self._check, vectors, start, len(batch)))
        return np.concatenate(parts)

    def _batches(self, count: int) -> list[tuple[int, int]]:
        size = _int(self._provider.get_max_batch_size())
        if size is None or size < 1:
            size = _DEFAULT_BATCH
        return [(start, size) for start in range(0, count, size)]

    def _check(self, vectors: Any, first: int, count: int) -> NDArray[np.float32]:
        if vectors is None:
            vectors = []
        for index, vector in enumerate(vectors):
            if vector is None or len(vector) != self._fingerprint.dimension:
                raise self._wrong(first + index, 0 if vector is None else len(vector))
        return checked_vectors(vectors, count, self._fingerprint)

    def _wrong(self, index: int, length: int) -> EmbeddingError:
        name, dimension = self._fingerprint.name, self._fingerprint.dimension
        provider = type(self._provider).__name__
        if length == 0:
            return EmbeddingError(
                f"{provider} gave an empty vector for text {index} with the model {name!r}",
                fix="Check that the server has this model and that the provider calls the address "
                "the server expects (a current Ollama answers /api/embed, not /api/embeddings).",
                details={"embedder": name, "text": index},
            )
        return EmbeddingError(
            f"{provider} gave a vector of dimension {length} for text {index}; "
            f"its get_dimension() says {dimension} for the model {name!r}",
            fix="Set the provider's dimension to the model's.",
            details={"embedder": name, "text": index, "dimension": length},
        )


def _int(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
