"""The default embedder, with the weights the package carries."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.embedders import StaticEmbedder, embed_texts, resolve_embedder, static
from bruno_memory_vec.errors import EmbeddingError

WEIGHTS = Path(str(importlib.resources.files("bruno_memory_vec.embedders"))) / "weights"
TEXTS = [
    "Where did we stay in Lisbon?",
    "",
    "We slept in a small hotel by the harbour in Portugal.",
    "🏕️ emoji, naïve café, 東京, привет",
    "The quarterly tax return is due on Friday.",
    "word " * 3_000,
]


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder()


def test_rows_are_unit_or_zero(embedder: StaticEmbedder) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), embedder.fingerprint.dimension)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 1, 1, 1, 1], abs=1e-5)


def test_meaning_beats_chance(embedder: StaticEmbedder) -> None:
    question, _, hotel, _, tax, _ = embedder.embed(TEXTS)
    assert question @ hotel > question @ tax + 0.1


def test_the_same_every_time_and_for_both_kinds(embedder: StaticEmbedder) -> None:
    first = embedder.embed(TEXTS)
    assert np.array_equal(first, embedder.embed(TEXTS))
    assert np.array_equal(first, StaticEmbedder().embed(TEXTS, kind="query"))


def test_a_batch_gives_what_single_texts_give(embedder: StaticEmbedder) -> None:
    texts = [f"{text} {i}" if text else "" for i in range(300) for text in TEXTS[:5]]
    assert len(texts) > static._TEXTS_PER_BLOCK
    batch = embedder.embed(texts)
    single = np.concatenate([embedder.embed([text]) for text in texts])
    np.testing.assert_allclose(batch, single, atol=1e-6)


@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=40), max_size=6))
def test_any_text_gives_finite_unit_or_zero_rows(texts: list[str]) -> None:
    vectors = StaticEmbedder().embed(texts)
    assert vectors.shape == (len(texts), 256)
    norms = np.linalg.norm(vectors, axis=1)
    assert np.all((np.abs(norms - 1) < 1e-5) | (norms == 0))


def test_surrogates(embedder: StaticEmbedder) -> None:
    plain, lone, pair, joined = embedder.embed(
        ["camping trip", "camping \ud83d trip", "\ud83c\udf0a sea", "🌊 sea"]
    )
    assert plain @ lone > 0.99
    assert np.array_equal(pair, joined)


def test_special_tokens_in_text_are_text(embedder: StaticEmbedder) -> None:
    assert not np.allclose(*embedder.embed(["[UNK] [PAD]", "[CLS]"]))
    assert np.linalg.norm(embedder.embed(["[UNK]"])) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("text", ["a tale of two cities ", "x", "東", "😀", "\n"], ids=ascii)
def test_a_megabyte_takes_bounded_time(embedder: StaticEmbedder, text: str) -> None:
    long = text * (1_000_000 // len(text))
    # Processor time: the clock would blame the text for a busy machine.
    started = time.process_time()
    vectors = embedder.embed([long, "short"])
    assert time.process_time() - started < 2.0  # some hundredths of a second
    assert np.isfinite(vectors).all()


def test_the_end_of_a_long_text_counts(embedder: StaticEmbedder) -> None:
    start, end = "the garden is full of tomatoes ", "the invoice for the bank is overdue "
    repeats = static.MAX_CHARS // len(start)
    only_start, mixed, target = embedder.embed(
        [start * repeats * 2, (start + "") * repeats + end * repeats, end]
    )
    assert mixed @ target > only_start @ target + 0.2


def test_threads_share_one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    static._load.cache_clear()
    seen: list[object] = []
    threads = [
        threading.Thread(target=lambda: seen.append(static._weights(None))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len({id(weights) for weights in seen}) == 1


def test_the_files_are_those_weights_json_describes() -> None:
    about = json.loads((WEIGHTS / "weights.json").read_text(encoding="utf-8"))
    for name, facts in about["files"].items():
        data = (WEIGHTS / name).read_bytes()
        assert len(data) == facts["bytes"]
        assert hashlib.sha256(data).hexdigest() == facts["sha256"]
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 20 * 2**20


def test_the_fingerprint_names_the_weights(embedder: StaticEmbedder) -> None:
    about = json.loads((WEIGHTS / "weights.json").read_text(encoding="utf-8"))
    fingerprint = embedder.fingerprint
    assert fingerprint.name == about["name"]
    assert fingerprint.dimension == about["dimension"]
    assert fingerprint.version.endswith(about["files"]["rows.npy"]["sha256"][:8])


def test_a_folder_of_ones_own(tmp_path: Path, embedder: StaticEmbedder) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(WEIGHTS, folder)
    about = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
    (folder / "weights.json").write_text(json.dumps({**about, "name": "mine"}), encoding="utf-8")
    own = resolve_embedder(f"static:{folder}")
    assert own.fingerprint.name == "mine"
    np.testing.assert_array_equal(own.embed(TEXTS), embedder.embed(TEXTS))


def test_missing_or_damaged_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match=r"weights in .* cannot be read.*distill_static"):
        _ = StaticEmbedder(tmp_path).fingerprint
    folder = tmp_path / "damaged"
    shutil.copytree(WEIGHTS, folder)
    (folder / "rows.npy").write_bytes((WEIGHTS / "rows.npy").read_bytes()[:5_000])
    with pytest.raises(EmbeddingError, match="cannot be read"):
        StaticEmbedder(folder).embed(["a"])


@pytest.mark.asyncio
async def test_through_embed_texts(embedder: StaticEmbedder) -> None:
    np.testing.assert_array_equal(await embed_texts(embedder, TEXTS), embedder.embed(TEXTS))
