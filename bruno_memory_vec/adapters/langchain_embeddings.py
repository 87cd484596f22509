"""An embedding model of LangChain as an embedder of ours: ``open_memory(embedder=...)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import EmbedKind, Fingerprint
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError
from bruno_memory_vec.rows import checks

try:
    from langchain_core.embeddings import Embeddings
except ImportError as error:
    raise MissingDependencyError("langchain-core", "langchain", cause=error) from error

# Under which a model is named by the classes of LangChain's packages.
_NAMES = ("model", "model_name", "model_id")


class LangChainEmbedder:
    """Embeds with an ``Embeddings`` of LangChain, through its coroutines.

    Args:
        embeddings: such as ``OpenAIEmbeddings(model="text-embedding-3-small")``.
        dimension: how long its vectors are.
        name: of the model. A store is kept with one model, which it knows by this name and by
            ``dimension``. Default: the class and its model.

    Raises:
        InvalidInputError: an argument is not usable.
    """

    def __init__(self, embeddings: Any, *, dimension: int | None, name: str | None = None) -> None:
        if not isinstance(embeddings, Embeddings):
            raise InvalidInputError(
                "embeddings",
                f"is a {type(embeddings).__name__}",
                fix="Give an Embeddings of LangChain.",
            )
        if dimension is None:
            raise InvalidInputError(
                "dims", "is missing", fix="Say how long the vectors of the model are."
            )
        self._embeddings = embeddings
        known = (getattr(embeddings, attribute, None) for attribute in _NAMES)
        model = next((one for one in known if isinstance(one, str) and one), None)
        kind = type(embeddings).__name__
        self._fingerprint = Fingerprint(
            name=name or (f"langchain:{kind}" if model is None else f"langchain:{kind}/{model}"),
            version="1",
            dimension=checks.limit("dims", dimension, largest=1_000_000),
        )

    @property
    def fingerprint(self) -> Fingerprint:
        """The name of the model and the length of its vectors."""
        return self._fingerprint

    async def embed(
        self, texts: Sequence[str], *, kind: EmbedKind = "document"
    ) -> NDArray[np.float32]:
        """One vector a text, float32 (n, dimension); the memory makes them of unit length."""
        if kind == "query":
            vectors = [await self._embeddings.aembed_query(text) for text in texts]
        else:
            vectors = await self._embeddings.aembed_documents(list(texts))
        return np.asarray(vectors, np.float32)
