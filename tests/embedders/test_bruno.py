"""BrunoEmbedder, over a real subclass of bruno-core's EmbeddingInterface."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bruno_core.interfaces import EmbeddingInterface
from bruno_core.models.message import Message

from bruno_memory_vec.embedders import BrunoEmbedder, embed_texts, resolve_embedder
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError


class Provider(EmbeddingInterface):
    """Gives [length of the text, 1, 0], unless told what to give."""

    def __init__(
        self,
        *,
        dimension: Any = 3,
        batch: bool = True,
        limit: Any = None,
        gives: Any = None,
        error: Exception | None = None,
    ) -> None:
        self.dimension, self.batch, self.limit = dimension, batch, limit
        self.gives, self.error = gives, error
        self.calls: list[list[str]] = []

    async def embed_text(self, text: str) -> list[float]:
        assert not self.batch, "one by one, though the provider has batches"
        self.calls.append([text])
        return [float(len(text)), 1.0, 0.0]

    async def embed_texts(self, texts: list[str]) -> list[list[float]]:
        assert self.batch, "a batch, though the provider has none"
        self.calls.append(texts)
        if self.error:
            raise self.error
        if self.gives is not None:
            return self.gives  # type: ignore[no-any-return]
        return [[float(len(text)), 1.0, 0.0] if text else [0.0] * 3 for text in texts]

    async def embed_message(self, message: Message) -> list[float]:
        return await self.embed_text(message.content)

    def get_dimension(self) -> int:
        return self.dimension  # type: ignore[no-any-return]

    def get_model_name(self) -> str:
        return "lengths"

    def calculate_similarity(self, embedding1: list[float], embedding2: list[float]) -> float:
        return float(np.dot(embedding1, embedding2))

    async def check_connection(self) -> bool:
        return True

    def supports_batch(self) -> bool:
        return self.batch

    def get_max_batch_size(self) -> int | None:
        return self.limit  # type: ignore[no-any-return]


def test_the_fingerprint_comes_from_the_provider() -> None:
    fingerprint = BrunoEmbedder(Provider(dimension="3")).fingerprint
    assert (fingerprint.name, fingerprint.version, fingerprint.dimension) == (
        "lengths",
        "Provider",
        3,
    )


@pytest.mark.parametrize("dimension", [None, 0, -1, "many"])
def test_a_dimension_that_is_none_is_refused(dimension: Any) -> None:
    with pytest.raises(InvalidInputError, match="get_dimension"):
        BrunoEmbedder(Provider(dimension=dimension))


def test_resolve_wraps_a_provider() -> None:
    assert isinstance(resolve_embedder(Provider()), BrunoEmbedder)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("provider", "sizes"),
    [
        (Provider(), [5]),
        (Provider(limit=2), [2, 2, 1]),
        (Provider(limit="2"), [2, 2, 1]),
        (Provider(limit=0), [5]),
        (Provider(batch=False), [1, 1, 1, 1, 1]),
    ],
    ids=["no limit", "limit", "limit as text", "limit of nothing", "no batches"],
)
async def test_batches_keep_to_the_providers_limit(provider: Provider, sizes: list[int]) -> None:
    texts = ["a", "bb", "ccc", "dddd", "eeeee"]
    vectors = await embed_texts(BrunoEmbedder(provider), texts)
    assert [len(call) for call in provider.calls] == sizes
    assert [text for call in provider.calls for text in call] == texts
    assert vectors[:, 0] / vectors[:, 1] == pytest.approx([1, 2, 3, 4, 5])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1] * 5)


@pytest.mark.asyncio
async def test_a_zero_vector_is_allowed() -> None:
    vectors = await BrunoEmbedder(Provider()).embed(["", "a"])
    assert vectors[0].tolist() == [0, 0, 0]
    assert np.linalg.norm(vectors[1]) == pytest.approx(1)


@pytest.mark.asyncio
async def test_no_texts() -> None:
    assert (await BrunoEmbedder(Provider()).embed([])).shape == (0, 3)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("gives", "says"),
    [
        ([[], []], "empty vector for text 0 .*/api/embed"),
        ([[1, 0, 0], None], "empty vector for text 1"),
        ([[1, 0, 0], [1, 0]], "dimension 2 for text 1; its get_dimension.. says 3"),
        ([[1, 0, 0]], "1 vectors for 2 texts"),
        ([], "gave list"),
        ([[1, 0, 0], [1, 0, float("nan")]], "NaN"),
        (5, "int"),
    ],
)
async def test_what_a_provider_gives_wrong_is_named(gives: Any, says: str) -> None:
    with pytest.raises(EmbeddingError, match=says):
        await embed_texts(BrunoEmbedder(Provider(gives=gives)), ["a", "b"])


@pytest.mark.asyncio
async def test_what_a_provider_raises_becomes_the_cause() -> None:
    error = ConnectionError("no route")
    with pytest.raises(EmbeddingError, match="'lengths' raised ConnectionError") as caught:
        await embed_texts(BrunoEmbedder(Provider(error=error)), ["a"])
    assert caught.value.cause is error
