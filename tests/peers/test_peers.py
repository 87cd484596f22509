"""Every peer against the same small set: what is stored is found, by its own user only."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.peers.baselines import BM25, Vectors, best_places, reciprocal_rank_fusion
from benchmarks.retrieval.datasets.base import Turn
from bruno_memory_vec.embedders import StaticEmbedder
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError

# The package imports the clients of all its backends.
BRUNO_MEMORY = ("bruno_memory", "asyncpg", "chromadb", "redis")
# What each peer imports, and the extra that brings it.
NEEDS: dict[str, tuple[Sequence[str], str]] = {
    "bm25": (("bm25s", "Stemmer"), "peer-bm25"),
    "bm25_cjk": (("bm25s", "Stemmer"), "peer-bm25"),
    "vectors": ((), ""),
    "rrf": (("bm25s", "Stemmer"), "peer-bm25"),
    "rrf_cjk": (("bm25s", "Stemmer"), "peer-bm25"),
    "lancedb_hybrid": (("lancedb",), ""),
    "lancedb_hybrid_icu": (("lancedb",), ""),
    "chroma": (("chromadb",), "peer-chroma"),
    "mem0": (("mem0",), "peer-mem0"),
    "mem0_hybrid": (("mem0", "fastembed", "bm25s"), "peer-mem0"),
    "mempalace": (("mempalace",), "peer-mempalace"),
    "mempalace_raw": (("mempalace",), "peer-mempalace"),
    "bruno_memory": (BRUNO_MEMORY, "peer-bruno-memory"),
    "bruno_memory_words": (BRUNO_MEMORY, "peer-bruno-memory"),
}
PERSISTENT = sorted(NEEDS.keys() - {"bm25", "bm25_cjk", "vectors", "rrf", "rrf_cjk"})
START = datetime(2024, 3, 1, tzinfo=timezone.utc)
NOW = START + timedelta(days=30)
TEXTS = {
    "ana": [
        "Ana: I moved to Porto in spring.",
        "Ana: My dog is called Biscuit, she is a beagle.",
        "Ana: On Sundays I bake sourdough bread.",
        "Ana: I broke my wrist while skiing.",
        "Ana: I teach chemistry at a school.",
    ],
    "o'neil": [
        "O'Neil: I moved to Oslo in autumn.",
        "O'Neil: My cat is called Pepper.",
    ],
}


def turns() -> list[Turn]:
    """Ids are the same for both users: they are unique within one only."""
    return [
        Turn(f"t{number}", user, f"{user}-1", "user", text, START + timedelta(minutes=number))
        for user, texts in TEXTS.items()
        for number, text in enumerate(texts)
    ]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No peer may reach for a hub, a language model or a telemetry service, even to fail."""
    tried: list[Any] = []

    def refuse(*address: Any, **options: Any) -> Any:
        tried.append(address)
        raise OSError("a peer's test reaches for the network")

    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> Any:
        return connect(self, address) if self.family == socket.AF_UNIX else refuse(address)

    monkeypatch.setattr(socket.socket, "connect", local_only)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not tried


@pytest.fixture(params=peers.names())
def name(request: pytest.FixtureRequest) -> str:
    return usable(request.param)


@pytest.fixture(params=PERSISTENT)
def persistent(request: pytest.FixtureRequest) -> str:
    return usable(request.param)


def usable(name: str) -> str:
    modules, extra = NEEDS[name]
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f'needs {", ".join(missing)}: pip install "bruno-memory-vec[{extra}]"')
    return name


@asynccontextmanager
async def opened(name: str, folder: Path) -> AsyncIterator[Any]:
    system = peers.make(name, StaticEmbedder())
    await system.open(folder)
    try:
        yield system
    finally:
        await system.close()


async def test_what_was_stored_is_found(name: str, tmp_path: Path) -> None:
    async with opened(name, tmp_path) as system:
        await system.store(turns())
        # Words without punctuation, all of one text: bruno_memory takes nothing else.
        assert (await system.ask("sourdough bread", "ana", 3, NOW))[0] == "t2"
        assert (await system.ask("cat Pepper", "o'neil", 3, NOW))[0] == "t1"


async def test_another_users_texts_are_not_found(name: str, tmp_path: Path) -> None:
    only_ana = [Turn(f"ana-{turn.id}", *_rest(turn)) for turn in turns() if turn.user_id == "ana"]
    others = [turn for turn in turns() if turn.user_id != "ana"]
    async with opened(name, tmp_path) as system:
        await system.store([*only_ana, *others])
        for question in ("moved to Oslo", "cat Pepper", "sourdough bread"):
            found = await system.ask(question, "ana", 20, NOW)
            assert all(item.startswith("ana-") for item in found), question
        assert await system.ask("moved to Oslo", "nobody", 20, NOW) == []


async def test_no_more_than_k_and_no_id_twice(name: str, tmp_path: Path) -> None:
    async with opened(name, tmp_path) as system:
        await system.store(turns())
        for k in (1, 2, 20):
            found = await system.ask("Ana", "ana", k, NOW)
            assert 1 <= len(found) <= min(k, len(TEXTS["ana"]))
            assert len(set(found)) == len(found)


async def test_texts_stored_later_are_found_too(name: str, tmp_path: Path) -> None:
    first, second = turns()[:3], turns()[3:]
    async with opened(name, tmp_path) as system:
        await system.store(first)
        await system.store(second)
        assert (await system.ask("teach chemistry", "ana", 1, NOW)) == ["t4"]
        assert (await system.ask("sourdough bread", "ana", 1, NOW)) == ["t2"]


async def test_a_reopened_folder_still_holds_the_texts(persistent: str, tmp_path: Path) -> None:
    async with opened(persistent, tmp_path) as system:
        await system.store(turns())
    async with opened(persistent, tmp_path) as system:
        assert (await system.ask("sourdough bread", "ana", 1, NOW)) == ["t2"]


async def test_hard_texts_and_questions_are_survived(name: str, tmp_path: Path) -> None:
    hard = [
        "",
        "...",
        "\U0001f600",
        "\u65e5\u672c\u8a9e",
        "'; DROP TABLE turns; --",
        "long " * 20_000,
    ]
    questions = ["", "?", '"', "a AND (", "x: y*", "NOT", "it's", "\u65e5\u672c\u8a9e", "\x00"]
    stored = turns() + [
        Turn(f"h{number}", "ana", None, "system", text) for number, text in enumerate(hard)
    ]
    async with opened(name, tmp_path) as system:
        await system.store(stored)
        for question in questions:
            found = await system.ask(question, "ana", 5, NOW)
            assert len(set(found)) == len(found) <= 5, question
        assert (await system.ask("sourdough bread", "ana", 1, NOW)) == ["t2"]
        # An empty text, an empty question and the like: refused by some, and then counted.
        assert set(system.counts) <= {"refused_questions", "refused_texts"}
        if name.startswith("mem0"):
            assert system.counts["refused_questions"] == 1
        if name.startswith("bruno_memory"):
            assert system.counts["refused_texts"] == 1


async def test_a_run_can_be_traced_to_versions_and_embedder(name: str) -> None:
    embedder = StaticEmbedder()
    system = peers.make(name, embedder)
    assert system.name == name
    assert system.versions
    recorded = system.settings.get("embedder")
    assert recorded == (embedder.fingerprint.to_dict() if peers.uses_embedder(name) else None)


async def test_bruno_memory_counts_the_questions_it_refuses(tmp_path: Path) -> None:
    usable("bruno_memory")
    async with opened("bruno_memory", tmp_path) as system:
        await system.store(turns())
        assert await system.ask("What is Ana's dog called?", "ana", 5, NOW) == []
        assert await system.ask("dog", "ana", 5, NOW) == ["t1"]
        assert system.counts == {"refused_questions": 1, "refused_texts": 0}


async def test_the_words_of_a_refused_question_are_found(tmp_path: Path) -> None:
    usable("bruno_memory_words")
    async with opened("bruno_memory_words", tmp_path) as system:
        await system.store(turns())
        assert "t1" in await system.ask("What is Ana's dog called?", "ana", 5, NOW)
        assert await system.ask("?", "ana", 5, NOW) == []
        assert system.counts["refused_questions"] == 0


@pytest.mark.parametrize(
    ("name", "module"), [(name, modules[0]) for name, (modules, extra) in NEEDS.items() if extra]
)
async def test_a_missing_package_names_the_pip_line(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    system = peers.make(name, StaticEmbedder())
    try:
        with pytest.raises(MissingDependencyError) as raised:
            await system.open(tmp_path)
    finally:
        await system.close()
    extra = NEEDS[name][1]
    assert f'pip install "bruno-memory-vec[{extra}]"' in str(raised.value)


def test_making_a_peer_imports_no_package_of_it() -> None:
    modules = {module for needed, _ in NEEDS.values() for module in needed}
    script = (
        "import sys; from benchmarks import peers; "
        "from bruno_memory_vec.embedders import StaticEmbedder; "
        "[peers.make(name, StaticEmbedder()) for name in peers.names()]; "
        f"print([module for module in {sorted(modules)!r} if module in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_an_unknown_peer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match="lancedb_hybrid"):
        peers.make("elastic", StaticEmbedder())
    with pytest.raises(InvalidInputError, match="lancedb_hybrid"):
        peers.uses_embedder("elastic")


async def test_bm25_of_texts_without_a_word_finds_nothing(tmp_path: Path) -> None:
    usable("bm25")
    system = BM25()
    await system.open(tmp_path)
    await system.store([Turn("a", "ana", None, "user", "..."), Turn("b", "ana", None, "user", "")])
    assert await system.ask("anything", "ana", 5, NOW) == []
    await system.store([Turn("c", "ana", None, "user", "anything goes")])
    assert await system.ask("anything", "ana", 5, NOW) == ["c"]
    await system.close()


@pytest.mark.parametrize(("one", "finds"), [("bm25", False), ("bm25_cjk", True)])
async def test_chinese_is_found_by_parts_of_a_sentence(
    one: str, finds: bool, tmp_path: Path
) -> None:
    usable(one)
    texts = ["\u6211\u4eca\u5929\u53bb\u5317\u4eac\u4e0a\u8bfe\u3002", "Ana moved to Porto."]
    async with opened(one, tmp_path) as system:
        await system.store([Turn(f"t{n}", "ana", None, "user", t) for n, t in enumerate(texts)])
        found = await system.ask("\u5317\u4eac\u5728\u54ea\u91cc\uff1f", "ana", 5, NOW)
        assert found == (["t0"] if finds else [])
        assert await system.ask("moving to Porto", "ana", 5, NOW) == ["t1"]


@pytest.mark.parametrize(("one", "finds"), [("lancedb_hybrid", 0), ("lancedb_hybrid_icu", 1)])
async def test_lancedb_finds_words_of_chinese_with_icu_alone(
    one: str, finds: int, tmp_path: Path
) -> None:
    class Alike(HashEmbedder):
        """All texts are one to it, so that words alone decide."""

        def embed(self, texts: Sequence[str], *, kind: Any = "document") -> Any:
            return super().embed(["alike"] * len(texts), kind=kind)

    beijing = "\u6211\u4eca\u5929\u53bb\u5317\u4eac\u4e0a\u8bfe"
    system = peers.make(one, Alike())
    await system.open(tmp_path)
    await system.store([Turn(f"t{n}", "ana", None, "user", "Porto") for n in range(30)])
    await system.store([Turn("gold", "ana", None, "user", beijing)])
    found = await system.ask("\u5317\u4eac", "ana", 31, NOW)
    assert (found[0] == "gold") == bool(finds)
    await system.close()


async def test_bruno_memory_gives_a_thousand_at_most(tmp_path: Path) -> None:
    usable("bruno_memory_words")
    async with opened("bruno_memory_words", tmp_path) as system:
        await system.store(turns())
        assert await system.ask("dog", "ana", 5_000, NOW) == ["t1"]


async def test_mempalace_raw_goes_by_vectors_and_mempalace_by_words_too(tmp_path: Path) -> None:
    usable("mempalace")
    embedder = StaticEmbedder()
    question = "the name of the beagle"
    scores = embedder.embed(TEXTS["ana"]) @ embedder.embed([question], kind="query")[0]
    by_vectors = [f"t{place}" for place in sorted(range(5), key=lambda place: -scores[place])]
    found = {}
    for one in ("mempalace_raw", "mempalace"):
        folder = tmp_path / one
        folder.mkdir()
        async with opened(one, folder) as system:
            await system.store(turns())
            found[one] = await system.ask(question, "ana", 5, NOW)
            # "to" is in one text alone, and far from it in meaning.
            found[f"{one}, words"] = await system.ask("beagle to", "ana", 5, NOW)
        # Nothing is left in the user's home: its configuration and its locks stay in the folder.
        assert (folder / "config" / "config.json").is_file()
    assert found["mempalace_raw"] == by_vectors
    assert sorted(found["mempalace"]) == sorted(by_vectors)
    assert found["mempalace_raw, words"] != found["mempalace, words"]


async def test_vectors_are_searched_exactly(tmp_path: Path) -> None:
    system = Vectors(StaticEmbedder())
    await system.open(tmp_path)
    await system.store(turns())
    embedder = StaticEmbedder()
    question = "the name of the beagle"
    scores = embedder.embed(TEXTS["ana"]) @ embedder.embed([question], kind="query")[0]
    expected = [f"t{place}" for place in sorted(range(5), key=lambda place: -scores[place])]
    assert await system.ask(question, "ana", 5, NOW) == expected
    await system.close()


def test_reciprocal_rank_fusion_by_hand() -> None:
    # a: 1/61 + 1/63, b: 1/62 + 1/61, c: 1/63, d: 1/62
    assert reciprocal_rank_fusion([["a", "b", "c"], ["b", "d", "a"]]) == ["b", "a", "d", "c"]


def test_best_places_keep_the_order_of_equals() -> None:
    assert best_places(np.array([0.5, 2.0, 0.5, 1.0]), 3).tolist() == [1, 3, 0]


def _rest(turn: Turn) -> tuple[str, str | None, str, str, datetime | None]:
    return turn.user_id, turn.conversation_id, turn.role, turn.content, turn.at
