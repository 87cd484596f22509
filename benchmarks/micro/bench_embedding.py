"""The default embedder, alone and as the store calls it, and the embedding cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.micro import data
from benchmarks.micro.conftest import Run
from bruno_memory_vec.embedders import CachedEmbedder, StaticEmbedder, embed_texts
from bruno_memory_vec.embedders.hashing import HashEmbedder


def test_one_question(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "static embedder"
    vectors = benchmark(StaticEmbedder().embed, [data.QUESTION], kind="query")
    assert vectors.any()


def test_a_thousand_short_texts(benchmark: BenchmarkFixture, texts: list[str]) -> None:
    benchmark.group = "static embedder"
    vectors = benchmark(StaticEmbedder().embed, texts[:1000])
    assert len(vectors) == 1000


def test_one_long_text(benchmark: BenchmarkFixture, texts: list[str]) -> None:
    """Some 10,000 words: as much as is read of a text."""
    benchmark.group = "static embedder"
    vectors = benchmark(StaticEmbedder().embed, [" ".join(texts)[:60_000]])
    assert vectors.any()


def test_one_question_as_recall_asks(benchmark: BenchmarkFixture, run: Run) -> None:
    """In a thread, and checked."""
    benchmark.group = "static embedder"
    embedder = StaticEmbedder()
    vectors = benchmark(lambda: run(embed_texts(embedder, [data.QUESTION], "query")))
    assert vectors.any()


@pytest.mark.parametrize("count", [1, 1000])
def test_found_in_the_cache(
    benchmark: BenchmarkFixture, count: int, texts: list[str], tmp_path: Path
) -> None:
    benchmark.group = "embedding cache"
    cached = CachedEmbedder(HashEmbedder(384), tmp_path)
    cached.embed(texts[:1000])
    before = cached.health()["misses"]
    vectors = benchmark(cached.embed, texts[:count])
    after = cached.health()
    cached.close()
    assert len(vectors) == count
    assert (after["misses"], after["problem"]) == (before, None)
