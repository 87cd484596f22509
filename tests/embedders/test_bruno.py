"""BrunoEmbedder, over a real subclass of bruno-core's EmbeddingInterface."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


@pytest.mark.asyncio
async def test_prompts_go_before_the_text_and_into_the_fingerprint() -> None:
    provider = Provider()
    embedder = BrunoEmbedder(provider, query_prompt="search_query: ", document_prompt="doc: ")
    await embed_texts(embedder, ["a", " ", "b"])
    await embed_texts(embedder, ["a"], "query")
    assert provider.calls == [["doc: a", "doc: b"], ["search_query: a"]]
    fingerprint = embedder.fingerprint
    assert (fingerprint.query_prompt, fingerprint.document_prompt) == ("search_query: ", "doc: ")
    assert fingerprint != BrunoEmbedder(provider).fingerprint


@pytest.mark.asyncio
async def test_blank_texts_are_not_sent() -> None:
    provider = Provider(limit=2)
    vectors = await embed_texts(BrunoEmbedder(provider), ["", "a", "\n ", "b", "c"])
    assert provider.calls == [["a", "b"], ["c"]]
    assert vectors.any(axis=1).tolist() == [False, True, False, True, True]


@pytest.mark.asyncio
async def test_lone_surrogates_can_be_sent() -> None:
    provider = Provider()
    await embed_texts(BrunoEmbedder(provider), ["a \ud800 b"])
    assert provider.calls[0][0].encode("utf-8") == b"a ? b"


@pytest.mark.asyncio
async def test_vectors_are_cut_and_normalised_again() -> None:
    embedder = BrunoEmbedder(Provider(gives=[[3.0, 4.0, 12.0]]), dim=2)
    assert embedder.fingerprint.dimension == 2
    assert (await embed_texts(embedder, ["a"]))[0].tolist() == pytest.approx([0.6, 0.8])


@pytest.mark.asyncio
async def test_a_dimension_that_the_provider_does_not_know() -> None:
    provider = Provider(dimension=None, gives=[[1.0, 0.0, 0.0, 0.0]])
    assert (await embed_texts(BrunoEmbedder(provider, dim=4), ["a"])).shape == (1, 4)


@pytest.mark.asyncio
async def test_lengths_that_do_not_fit_are_named() -> None:
    provider = Provider(gives=[[1.0, 0.0]])
    with pytest.raises(
        EmbeddingError, match=r"dimension 2 for text 0; 3 were asked for .* at most 2"
    ):
        await embed_texts(BrunoEmbedder(provider, dim=3), ["a"])
    with pytest.raises(EmbeddingError, match=r"BrunoEmbedder\(provider, dim=2\)"):
        await embed_texts(BrunoEmbedder(provider), ["a"])
    embedder = BrunoEmbedder(provider, dim=2)
    await embed_texts(embedder, ["a"])
    provider.gives = [[1.0, 0.0, 0.0]]
    with pytest.raises(EmbeddingError, match=r"dimension 3 for text 1; .* gave 2 before"):
        await embed_texts(embedder, ["", "a"])


@pytest.mark.parametrize("dim", [0, -3, True, 2.0, "2"])
def test_a_dim_that_is_none(dim: Any) -> None:
    with pytest.raises(InvalidInputError, match="dim: is"):
        BrunoEmbedder(Provider(), dim=dim)


@pytest.mark.parametrize("prompt", [None, 3])
def test_a_prompt_that_is_none(prompt: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"fingerprint\.query_prompt"):
        BrunoEmbedder(Provider(), query_prompt=prompt)


def test_the_fingerprint_of_stores_that_exist() -> None:
    assert BrunoEmbedder(Provider()).fingerprint.to_dict() == {
        "name": "lengths",
        "version": "Provider",
        "dimension": 3,
        "normalized": True,
        "query_prompt": "",
        "document_prompt": "",
    }


# bruno-llm's own provider, and a server that answers as Ollama does.


class Ollama(BaseHTTPRequestHandler):
    """`/api/embeddings`, by the model's name."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        answer: dict[str, Any] = {"embeddings": [[float(len(text)), 1.0] for text in texts]}
        if asked["model"] == "current":
            answer = {"embedding": []}
        if asked["model"] == "not-finite":
            answer = {"embeddings": [[math.nan, 1.0] for _ in texts]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    pytest.importorskip("bruno_llm", reason='needs pip install "bruno-memory-vec[bruno-llm]"')
    with ThreadingHTTPServer(("127.0.0.1", 0), Ollama) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


@asynccontextmanager
async def ollama(server: str, model: str) -> AsyncIterator[EmbeddingInterface]:
    from bruno_llm.providers.ollama import OllamaEmbeddingProvider

    provider = OllamaEmbeddingProvider(base_url=server, model=model, batch_size=2)
    yield provider
    await provider.client.aclose()


@pytest.mark.asyncio
async def test_bruno_llm_with_a_model_it_does_not_know(server: str) -> None:
    texts = ["a", "", "bbb", "cc", "dddd"]
    async with ollama(server, "unknown") as provider:
        assert provider.get_dimension() == 768, "a guess"
        with pytest.raises(EmbeddingError, match=r"dimension 2 .*768 .* dim=2\)"):
            await embed_texts(BrunoEmbedder(provider), texts)
        embedder = BrunoEmbedder(provider, dim=2)
        vectors = await embed_texts(embedder, texts)
    assert not vectors[1].any()
    lengths = vectors[[0, 2, 3, 4], 0] / vectors[[0, 2, 3, 4], 1]
    assert lengths == pytest.approx([1, 3, 2, 4])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("model", "says"), [("current", "empty|Expected 2 embeddings, got 1"), ("not-finite", "NaN")]
)
async def test_bruno_llm_with_a_server_that_gives_no_vectors(
    server: str, model: str, says: str
) -> None:
    async with ollama(server, model) as provider:
        for texts in (["a"], ["a", "b"]):
            with pytest.raises(EmbeddingError, match=says) as caught:
                await embed_texts(BrunoEmbedder(provider, dim=2), texts)
            assert model in str(caught.value)
