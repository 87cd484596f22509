"""CachedEmbedder: the inner embedder's vectors, each text asked once."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bruno_memory_vec import open_memory
from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders import (
    CachedEmbedder,
    EmbedKind,
    StaticEmbedder,
    embed_texts,
    resolve_embedder,
)
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError
from bruno_memory_vec.testing import HashEmbedder
from tests.amounts import amount
from tests.embedders.counting import Asynchronous, Counting, Lazy

every_way = pytest.mark.parametrize("way", [Counting, Asynchronous, Lazy])


@every_way
async def test_only_what_is_missing_is_asked_each_once(way: type[Counting], tmp_path: Path) -> None:
    inner = way()
    cached = CachedEmbedder(inner, tmp_path)
    first = await embed_texts(cached, ["a b", "c", "a b"])
    assert inner.asked == ["a b", "c"]
    second = await embed_texts(cached, ["d", "c", "a b", "d"])
    assert inner.asked == ["a b", "c", "d"]
    expected = HashEmbedder(8).embed(["a b", "c", "a b", "d", "c", "a b", "d"])
    assert np.array_equal(np.concatenate([first, second]), expected)
    health = cached.health()
    assert (health["hits"], health["misses"], health["vectors"]) == (4, 3, 3)
    assert health["problem"] is None


@every_way
async def test_another_object_finds_what_one_left(way: type[Counting], tmp_path: Path) -> None:
    texts = ["the first", "the second"]
    left = await embed_texts(CachedEmbedder(way(), tmp_path), texts)
    inner = way()
    cached = CachedEmbedder(inner, tmp_path)
    assert cached.fingerprint == inner.fingerprint
    assert np.array_equal(await embed_texts(cached, texts), left)
    assert inner.asked == []


@every_way
async def test_queries_and_documents_are_two(way: type[Counting], tmp_path: Path) -> None:
    cached = CachedEmbedder(way(), tmp_path)
    kinds: tuple[EmbedKind, ...] = ("document", "query", "document", "query")
    got = [await embed_texts(cached, ["one text"], kind) for kind in kinds]
    assert not np.array_equal(got[0], got[1])
    assert np.array_equal(got[0], got[2])
    assert np.array_equal(got[1], got[3])


@pytest.mark.parametrize(
    "other",
    [Counting(8, name="another"), Counting(8, version="2"), Counting(9)],
    ids=["name", "version", "dimension"],
)
def test_another_embedder_gets_nothing_of_it(other: Counting, tmp_path: Path) -> None:
    CachedEmbedder(Counting(8), tmp_path).embed(["text"])
    CachedEmbedder(other, tmp_path).embed(["text"])
    assert other.asked.pop() == "text"


def test_a_variant_is_part_of_the_key(tmp_path: Path) -> None:
    half = Counting()
    half.variant = "fp16"  # type: ignore[attr-defined]
    CachedEmbedder(Counting(), tmp_path).embed(["text"])
    CachedEmbedder(half, tmp_path).embed(["text"])
    assert half.asked == ["text"]


def test_no_texts_ask_nothing(tmp_path: Path) -> None:
    inner = Counting()
    vectors = CachedEmbedder(inner, tmp_path).embed([])
    assert isinstance(vectors, np.ndarray)
    assert vectors.shape == (0, 8)
    assert inner.asked == []


def test_zeros_are_not_kept(tmp_path: Path) -> None:
    inner = Counting()
    cached = CachedEmbedder(inner, tmp_path)
    for _ in range(2):
        vectors = cached.embed([" ", "word"])
        assert isinstance(vectors, np.ndarray)
        assert not vectors[0].any()
        assert vectors[1].any()
    assert inner.asked == [" ", "word", " "]


class Wrong(Counting):
    def embed(self, texts: Any, *, kind: EmbedKind = "document") -> Any:
        vectors = super().embed(texts, kind=kind)
        return np.full_like(vectors, np.nan) if "nan" in texts else vectors[1:]


@pytest.mark.parametrize("text", ["nan", "short"])
def test_wrong_vectors_are_refused_and_not_kept(text: str, tmp_path: Path) -> None:
    cached = CachedEmbedder(Wrong(), tmp_path)
    with pytest.raises(EmbeddingError, match="counting"):
        cached.embed([text])
    assert cached.health()["vectors"] == 0


def test_what_is_not_normalised_is_kept_as_it_is_stored(tmp_path: Path) -> None:
    class Long(Counting):
        def embed(self, texts: Any, *, kind: EmbedKind = "document") -> Any:
            return 3.0 * super().embed(texts, kind=kind)

    first = CachedEmbedder(Long(), tmp_path).embed(["a", "b"])
    second = CachedEmbedder(Long(), tmp_path).embed(["a", "b"])
    assert isinstance(first, np.ndarray)
    assert np.linalg.norm(first, axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert np.array_equal(first, second)


def test_what_was_given_can_be_changed(tmp_path: Path) -> None:
    cached = CachedEmbedder(Counting(), tmp_path)
    for _ in range(2):
        vectors = cached.embed(["a"])
        assert isinstance(vectors, np.ndarray)
        assert vectors.any()
        vectors[:] = 0


def test_clear_forgets_and_close_does_not(tmp_path: Path) -> None:
    inner = Counting()
    cached = CachedEmbedder(inner, tmp_path)
    cached.embed(["a"])
    cached.close()
    cached.embed(["a"])
    assert inner.asked == ["a"]
    cached.clear()
    assert cached.health()["vectors"] == 0
    cached.embed(["a"])
    assert inner.asked == ["a", "a"]


async def test_many_callers_at_once(tmp_path: Path) -> None:
    cached = CachedEmbedder(Counting(), tmp_path)
    texts = [f"text {number}" for number in range(40)]
    plain = HashEmbedder(8).embed(texts)
    calls = [embed_texts(cached, texts[start::3]) for start in range(3) for _ in range(5)]
    results = await asyncio.gather(*calls)
    for number, vectors in enumerate(results):
        assert np.array_equal(vectors, plain[number // 5 :: 3])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("default:.*use of fork:DeprecationWarning")
def test_a_forked_process_opens_the_file_for_itself(tmp_path: Path) -> None:
    cached = CachedEmbedder(Counting(), tmp_path)
    cached.embed(["parent"])
    child = os.fork()
    if child == 0:  # no assertion may leave the child: pytest would run on in two processes
        cached.embed(["parent", "child"])
        os._exit(0 if cached.health()["vectors"] == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    cached.embed(["child"])
    assert cached.health()["vectors"] == 2
    assert cached.inner.asked == ["parent"]  # type: ignore[attr-defined]


# Few texts, so that they repeat; lone surrogates and look-alikes among them.
_TEXTS = st.sampled_from(["", " ", "a", "A", "a ", "\0", "\ud800", "\ud801", "?", "é", "é", "長い"])


@settings(max_examples=amount(30, 300))
@given(
    calls=st.lists(
        st.tuples(
            st.lists(st.one_of(_TEXTS, st.text(max_size=5)), max_size=8),
            st.sampled_from(["document", "query"]),
            st.sampled_from([3, 8]),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_it_is_the_inner_embedder(calls: list[tuple[list[str], EmbedKind, int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        embedders = {size: CachedEmbedder(Counting(size), folder) for size in (3, 8)}
        seen: dict[tuple[int, EmbedKind], set[str]] = {}
        for texts, kind, size, reopened in calls:
            if reopened:
                embedders[size].close()
            inner = embedders[size].inner
            assert isinstance(inner, Counting)
            inner.asked.clear()
            vectors = embedders[size].embed(texts, kind=kind)
            known = seen.setdefault((size, kind), set())
            asked = list(dict.fromkeys(text for text in texts if text not in known))
            assert inner.asked == asked
            expected = Counting(size).embed(texts, kind=kind)
            assert isinstance(vectors, np.ndarray)
            np.testing.assert_allclose(vectors, expected, atol=1e-6)
            known.update(text for text, vector in zip(texts, expected, strict=True) if vector.any())
        for embedder in embedders.values():
            embedder.close()


@pytest.mark.parametrize("folder", ["", "  ", "a\0b"])
def test_a_folder_that_is_none(folder: str) -> None:
    with pytest.raises(InvalidInputError, match=r"embedding_cache: .* names no folder"):
        CachedEmbedder(Counting(), folder)


def test_a_file_for_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    for place in (file, file / "inside"):
        with pytest.raises(InvalidInputError, match="is, or lies in, a file"):
            CachedEmbedder(Counting(), place)
        # Even where no cache would be used.
        with pytest.raises(InvalidInputError, match="is, or lies in, a file"):
            resolve_embedder("static", cache=place)
    assert file.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("size", [0, -1, 1000, 1e9, None])
def test_a_bound_that_is_none(size: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="max_bytes"):
        CachedEmbedder(Counting(), tmp_path, max_bytes=size)


def test_which_embedders_get_a_cache(tmp_path: Path) -> None:
    assert isinstance(resolve_embedder("hash"), HashEmbedder)
    cached = resolve_embedder("hash", cache=tmp_path)
    assert isinstance(cached, CachedEmbedder)
    assert isinstance(cached.inner, HashEmbedder)
    assert isinstance(resolve_embedder("static", cache=tmp_path), StaticEmbedder)
    assert resolve_embedder(cached, cache=tmp_path) is cached
    assert list(tmp_path.iterdir()) == [], "a file before the first use"


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MemoryConfig.build().embedding_cache is None
    monkeypatch.setenv("BRUNO_MEMORY_EMBEDDING_CACHE", "/tmp/cache")
    monkeypatch.setenv("BRUNO_MEMORY_EMBEDDING_CACHE_MB", "64")
    config = MemoryConfig.build()
    assert (config.embedding_cache, config.embedding_cache_mb) == (Path("/tmp/cache"), 64)
    monkeypatch.setenv("BRUNO_MEMORY_EMBEDDING_CACHE", "")
    with pytest.raises(InvalidInputError, match=r"embedding_cache.*names no folder"):
        MemoryConfig.build()
    with pytest.raises(InvalidInputError, match="embedding_cache_mb"):
        MemoryConfig.build(embedding_cache="x", embedding_cache_mb=0)


async def test_a_memory_uses_it(tmp_path: Path) -> None:
    from bruno_core.models.message import Message, MessageRole

    cache = tmp_path / "cache"
    for store in ("one", "two"):
        inner = Counting(32)
        async with open_memory(tmp_path / store, embedder=inner, embedding_cache=cache) as memory:
            message = Message(role=MessageRole.USER, content="The boat is called Meltemi.")
            await memory.store_message(message, "c", user_id="ana")
            hits = await memory.recall("What is the boat called?", user_id="ana")
            assert hits[0].content == message.content
            report = (await memory.health())["embedding_cache"]
            assert report["vectors"] == 2
            if store == "one":
                assert (len(inner.asked), report["hits"], report["misses"]) == (2, 0, 2)
            else:
                assert (len(inner.asked), report["hits"], report["misses"]) == (0, 2, 0)
    async with open_memory(tmp_path / "plain", embedder="hash") as memory:
        assert "embedding_cache" not in await memory.health()


async def test_health_says_that_a_cache_cannot_be_used(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "embeddings-1.sqlite").mkdir(parents=True)
    async with open_memory(tmp_path / "store", embedder="hash", embedding_cache=cache) as memory:
        assert await memory.recall("anything", user_id="ana") == []
        report = await memory.health()
    assert report["status"] == "degraded"
    assert str(cache) in report["problems"]["embedding_cache"]


async def test_a_wrong_folder_is_refused_before_a_store_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match="embedding_cache"):
        await open_memory(tmp_path / "store", embedding_cache=tmp_path / "file")
    assert not (tmp_path / "store").exists()
