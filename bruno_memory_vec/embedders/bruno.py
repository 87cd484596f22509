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
from bruno_memory_vec.logs import get_logger

_log = get_logger(__name__)

# For a provider without a limit of its own; it keeps an HTTP request below a few MB.
_DEFAULT_BATCH = 256


class BrunoEmbedder:
    """Embeds through a provider's `embed_texts`, or `embed_text` where it has no batches.

    Batches are at most the provider's `get_max_batch_size()`. Vectors are normalised here. A blank
    text is not sent; its vector is zeros. Retries are left to the provider.

    Args:
        provider: any `bruno_core` `EmbeddingInterface`.
        query_prompt: text put before queries, for a model that wants one (such as
            nomic-embed-text's "search_query: "); the interface itself knows none.
        document_prompt: text put before documents.
        dim: the dimension, in place of `get_dimension()`, which some providers guess for models
            they do not know. Longer vectors are cut to it and normalised again, as Matryoshka
            models are trained for.
        owned: whether :meth:`close` closes the provider. A provider that somebody else made is not
            closed.

    Raises:
        InvalidInputError: an argument is not usable, or without `dim` the provider's
            `get_dimension()` is not a positive number.
    """

    def __init__(
        self,
        provider: EmbeddingInterface,
        *,
        query_prompt: str = "",
        document_prompt: str = "",
        dim: int | None = None,
        owned: bool = False,
    ) -> None:
        self._provider = provider
        self._owned = owned
        self._cut = dim is not None
        self._fingerprint = Fingerprint(
            name=str(provider.get_model_name()),
            version=type(provider).__name__,
            dimension=_stated(provider) if dim is None else _checked(dim),
            query_prompt=query_prompt,
            document_prompt=document_prompt,
        )
        # The length of the vectors before they are cut; constant for a model.
        self._length: int | None = None if self._cut else self._fingerprint.dimension

    @property
    def provider(self) -> EmbeddingInterface:
        """What makes the vectors."""
        return self._provider

    @property
    def fingerprint(self) -> Fingerprint:
        """Name and dimension as the provider states them; its class's name as version.

        A provider does not report which version of a model its server runs. If that changes, a
        store has to be embedded again, and a cache cleared.
        """
        return self._fingerprint

    async def embed(
        self, texts: Sequence[str], *, kind: EmbedKind = "document"
    ) -> NDArray[np.float32]:
        """One unit vector a text; a provider's zero vector stays zero.

        Returns:
            Shape (len(texts), dimension), float32.

        Raises:
            EmbeddingError: the provider gave an empty vector, the wrong dimension, the wrong
                number of vectors, or values that are not finite; the message names the text.
                What the provider itself raises passes through.
        """
        asked = [index for index, text in enumerate(texts) if text.strip()]
        vectors = np.zeros((len(texts), self._fingerprint.dimension), dtype=np.float32)
        prompt = (
            self._fingerprint.query_prompt if kind == "query" else self._fingerprint.document_prompt
        )
        size = self._batch_size()
        for start in range(0, len(asked), size):
            indices = asked[start : start + size]
            # A request is UTF-8, which cannot have lone surrogates.
            batch = [_sendable(prompt + texts[index]) for index in indices]
            if self._provider.supports_batch():
                given: Any = await self._provider.embed_texts(batch)
            else:
                given = [await self._provider.embed_text(text) for text in batch]
            vectors[indices] = await asyncio.to_thread(self._check, given, indices)
        return vectors

    async def close(self) -> None:
        """Close the connections of a provider that this embedder owns."""
        if not self._owned:
            return
        for part in (self._provider, getattr(self._provider, "client", None)):
            close = getattr(part, "close", None)
            if close is not None:
                try:
                    await close()
                except Exception as error:  # whatever a provider raises; nothing is lost with it
                    _log.warning("provider_not_closed", error=str(error))
                return

    def __repr__(self) -> str:
        return f"BrunoEmbedder({type(self._provider).__name__}, {self._fingerprint.name!r})"

    def _batch_size(self) -> int:
        size = _int(self._provider.get_max_batch_size())
        return _DEFAULT_BATCH if size is None or size < 1 else size

    def _check(self, given: Any, indices: list[int]) -> NDArray[np.float32]:
        """Unit vectors for the texts `indices`, cut where that was asked for."""
        given = [] if given is None else given
        dimension = self._fingerprint.dimension
        cut = []
        for index, vector in zip(indices, given, strict=False):
            length = 0 if vector is None else len(vector)
            if length == 0:
                raise self._empty(index)
            if self._length is None and length >= dimension:
                self._length = length
            if length != self._length:
                raise self._wrong(index, length)
            cut.append(vector[:dimension])
        # If the number of vectors is wrong, checked_vectors reports it.
        return checked_vectors(
            cut if len(given) == len(indices) else given, len(indices), self._fingerprint
        )

    def _empty(self, index: int) -> EmbeddingError:
        name, provider = self._fingerprint.name, type(self._provider).__name__
        return EmbeddingError(
            f"{provider} gave an empty vector for text {index} with the model {name!r}",
            fix="Check that the server has this model and that the provider calls the address "
            "the server expects (a current Ollama answers /api/embed, not /api/embeddings, and "
            "bruno-llm:ollama/MODEL as the embedder's name asks there).",
            details={"embedder": name, "text": index},
        )

    def _wrong(self, index: int, length: int) -> EmbeddingError:
        name, dimension = self._fingerprint.name, self._fingerprint.dimension
        provider = type(self._provider).__name__
        if not self._cut:
            expected = f"its get_dimension() says {dimension} for the model {name!r}"
            fix = (
                "Set the provider's dimension to the model's, or name it here: "
                f"BrunoEmbedder(provider, dim={length}), or ?dimension={length} behind its name."
            )
        elif self._length is None:
            expected = f"{dimension} were asked for from the model {name!r}"
            fix = f"Give a dim of at most {length}, or leave it out."
        else:
            expected = f"the model {name!r} gave {self._length} before"
            fix = "Check that the provider's server still runs the same model."
        return EmbeddingError(
            f"{provider} gave a vector of dimension {length} for text {index}; {expected}",
            fix=fix,
            details={"embedder": name, "text": index, "dimension": length},
        )


def _stated(provider: EmbeddingInterface) -> int:
    # int(): bruno-llm's create_from_env leaves numbers from the environment as strings.
    dimension = _int(provider.get_dimension())
    if dimension is None or dimension < 1:
        raise InvalidInputError(
            "embedder",
            f"{type(provider).__name__}.get_dimension() gave {provider.get_dimension()!r}",
            fix="Configure the provider's dimension as a positive whole number, or name it: "
            "BrunoEmbedder(provider, dim=...).",
        )
    return dimension


def _checked(dim: int) -> int:
    if not isinstance(dim, int) or isinstance(dim, bool) or dim < 1:
        raise InvalidInputError("dim", f"is {dim!r}", fix="Give a whole number of at least 1.")
    return dim


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _int(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
