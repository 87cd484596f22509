"""Fingerprints, the choice of embedders, and what importing them costs."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.embedders import (
    Embedder,
    Fingerprint,
    SentenceTransformerEmbedder,
    StaticEmbedder,
    resolve_embedder,
)
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import InvalidInputError

fingerprints = st.builds(
    Fingerprint,
    name=st.text(min_size=1),
    version=st.text(),
    dimension=st.integers(1, 10_000),
    normalized=st.booleans(),
    query_prompt=st.text(),
    document_prompt=st.text(),
)


@given(fingerprints)
def test_a_fingerprint_survives_json(fingerprint: Fingerprint) -> None:
    data = json.loads(json.dumps(fingerprint.to_dict()))
    assert Fingerprint.from_dict(data) == fingerprint


def test_a_fingerprint_from_a_newer_version_is_read() -> None:
    data = {"name": "a", "version": "1", "dimension": 3, "colour": "blue"}
    assert Fingerprint.from_dict(data) == Fingerprint("a", "1", 3)


def test_a_fingerprint_is_frozen_and_reads_as_one_line() -> None:
    fingerprint = Fingerprint("e5", "2", 384, normalized=False, query_prompt="query: ")
    assert str(fingerprint) == "e5 2, 384 dimensions, not normalized, query prompt 'query: '"
    with pytest.raises(dataclasses.FrozenInstanceError):
        fingerprint.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "data",
    [
        {"name": "a", "version": "1"},
        {"name": "a", "version": "1", "dimension": "3"},
        {"name": "a", "version": "1", "dimension": True},
        {"name": "a", "version": 1, "dimension": 3},
        {"name": "", "version": "1", "dimension": 3},
        {"name": "a", "version": "1", "dimension": 0},
        {"name": "a", "version": "1", "dimension": 10**30},
    ],
)
def test_a_wrong_fingerprint_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError, match="fingerprint"):
        Fingerprint.from_dict(data)


@pytest.mark.parametrize("embedder", [StaticEmbedder(), HashEmbedder(), HashEmbedder(7)])
def test_our_embedders_keep_the_protocol(embedder: Embedder) -> None:
    vectors = embedder.embed(["one text", "", "another"], kind="query")
    assert isinstance(vectors, np.ndarray)
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, embedder.fingerprint.dimension)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 1], abs=1e-6)
    assert embedder.fingerprint == embedder.fingerprint


def test_hash_embedder_puts_similar_texts_near() -> None:
    texts = ["We went camping in June", "when did they go camping?", "the invoice is overdue"]
    a, b, c = HashEmbedder(256).embed(texts)
    assert a @ b > a @ c + 0.1


def test_hash_embedder_gives_the_same_vectors_everywhere() -> None:
    vector = HashEmbedder(8).embed(["Camping 🏕 \ud800"])[0]
    # A changed number here breaks the tests of people who pinned results with it.
    assert vector.tolist() == pytest.approx(
        [-0.298142, -0.298142, 0.298142, 0, -0.298142, -0.745356, 0, 0.298142], abs=1e-6
    )


def test_resolve_by_name_and_by_object() -> None:
    assert isinstance(resolve_embedder("static"), StaticEmbedder)
    assert isinstance(resolve_embedder("hash"), HashEmbedder)
    named = resolve_embedder("sentence-transformers:org/model")
    assert isinstance(named, SentenceTransformerEmbedder)
    own = HashEmbedder(5)
    assert resolve_embedder(own) is own


@pytest.mark.parametrize(
    "spec", ["", "word2vec", "sentence-transformers", "hash:3", None, 3, HashEmbedder, object()]
)
def test_what_is_no_embedder_is_refused_with_the_choices(spec: object) -> None:
    with pytest.raises(InvalidInputError, match=r'"static".*sentence-transformers:') as caught:
        resolve_embedder(spec)
    assert caught.value.field == "embedder"


def test_importing_embedders_loads_no_tokenizer_model_or_engine() -> None:
    code = (
        "import sys, bruno_memory_vec.embedders as e\n"
        "e.resolve_embedder('static').fingerprint\n"
        "heavy = {'tokenizers', 'torch', 'sentence_transformers', 'lancedb', 'tantivy'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
