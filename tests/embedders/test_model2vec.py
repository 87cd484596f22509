"""Models of the library model2vec, made here by the library itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import open_memory
from bruno_memory_vec.embedders import Model2VecEmbedder, fingerprint_of, resolve_embedder
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError, MissingDependencyError

WORDS = ["[PAD]", "[UNK]", "ana", "owns", "a", "saxophone", "it", "rains", "who", "plays", "violin"]


def save(folder: Path, seed: int = 0) -> Path:
    """A model of a few words with vectors that are drawn."""
    model2vec: Any = pytest.importorskip("model2vec")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = np.random.default_rng(seed).normal(size=(len(WORDS), 12)).astype(np.float32)
    model2vec.StaticModel(vectors, tokenizer).save_pretrained(str(folder))
    return folder


async def test_a_folder_is_named_by_its_path(tmp_path: Path) -> None:
    embedder = resolve_embedder(f"model2vec:{save(tmp_path / 'mine')}")
    assert isinstance(embedder, Model2VecEmbedder)
    fingerprint = await fingerprint_of(embedder)
    assert (fingerprint.name, fingerprint.dimension) == ("mine", 12)
    vectors = embedder.embed(["Ana owns a saxophone", "ana owns a violin", "", "\ud800 rains"])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 0, 1], abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[3]
    assert embedder.embed([]).shape == (0, 12)


async def test_other_vectors_are_another_version(tmp_path: Path) -> None:
    one, same, other = (
        Model2VecEmbedder(save(tmp_path / name / "model", seed)).fingerprint
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == same != other


async def test_a_memory_uses_it(tmp_path: Path) -> None:
    spec = f"model2vec:{save(tmp_path / 'model')}"
    async with open_memory(str(tmp_path / "store"), embedder=spec) as memory:
        texts = ["Ana owns a saxophone", "it rains"]
        messages = [Message(role="user", content=text) for text in texts]
        await memory.store_messages(messages, "talk", user_id="ana")
        hits = await memory.recall("saxophone", user_id="ana", profile="semantic")
        assert hits[0].content == texts[0]


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    pytest.importorskip("model2vec")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmbeddingError, match=r"model2vec cannot load .*empty"):
        _ = Model2VecEmbedder(tmp_path / "empty").fingerprint
    with pytest.raises(InvalidInputError, match="model2vec:NAME_OR_PATH"):
        resolve_embedder("model2vec:")


def test_without_the_library_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "model2vec", None)
    with pytest.raises(MissingDependencyError, match=r"bruno-memory-vec\[model2vec\]"):
        Model2VecEmbedder("some-model").embed(["hello"])
