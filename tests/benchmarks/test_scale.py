"""The scale benchmark: its data, its judgement, and a whole run on a few rows."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.scale.__main__ import main
from benchmarks.scale.data import CHUNK, QUESTIONS, Corpus, make_corpus
from benchmarks.scale.exact import Asked, ann_recall
from benchmarks.scale.given import GivenEmbedder
from benchmarks.scale.layout import CONVERSATION, make_layout
from benchmarks.scale.tables import markdown
from benchmarks.scale.targets import judge
from benchmarks.scale.words import TYPES, make_words
from benchmarks.scale.work import messages, store_rows
from bruno_memory_vec import open_memory
from bruno_memory_vec.embedders import StaticEmbedder
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError
from bruno_memory_vec.indexers.query import Scope

_ROWS, _USERS = 300, 5


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(_ROWS, _USERS, tmp_path_factory.mktemp("corpora"), embedder="given")


# Data


@pytest.mark.parametrize("embedder", ["static", "given"])
def test_a_corpus_is_the_same_in_another_folder(tmp_path: Path, embedder: Any) -> None:
    first, second = (
        make_corpus(_ROWS, _USERS, tmp_path / name, seed=3, embedder=embedder) for name in "ab"
    )
    other = make_corpus(_ROWS, _USERS, tmp_path / "a", seed=4, embedder=embedder)
    for part in ("texts", "users", "conversations", "roles"):
        assert getattr(first, part)(0, _ROWS) == getattr(second, part)(0, _ROWS)
    assert np.array_equal(first.vectors(0, _ROWS), second.vectors(0, _ROWS))
    assert [q.text for q in first.questions] == [q.text for q in second.questions]
    assert first.texts(0, _ROWS) != other.texts(0, _ROWS)
    assert first.key != other.key


def test_a_corpus_is_read_in_any_pieces(tmp_path: Path) -> None:
    rows = CHUNK + 700
    corpus = make_corpus(rows, 3, tmp_path, embedder="given")
    texts, vectors = corpus.texts(0, rows), corpus.vectors(0, rows)
    for start, stop in ((0, 1), (990, 1_010), (CHUNK - 1, CHUNK + 1), (rows - 1, rows), (7, 7)):
        assert corpus.texts(start, stop) == texts[start:stop]
        assert np.array_equal(corpus.vectors(start, stop), vectors[start:stop])
        assert corpus.users(start, stop) == corpus.users(0, rows)[start:stop]
    with pytest.raises(InvalidInputError):
        corpus.texts(0, rows + 1)


def test_texts_are_turns_with_a_natural_distribution(tmp_path: Path) -> None:
    corpus = make_corpus(5_000, 20, tmp_path, embedder="given")
    texts = corpus.texts(0, corpus.rows)
    lengths = np.array([len(text.split()) for text in texts])
    assert (lengths.min(), lengths.max()) == (5, 60)
    assert 12 <= np.median(lengths) <= 18
    counts = Counter(word for text in texts for word in text[:-1].lower().split())
    (_, most), *_ = counts.most_common(1)
    assert 0.02 < most / lengths.sum() < 0.08
    # Zipf: about half of the words that occur, occur once.
    assert 0.25 < sum(n == 1 for n in counts.values()) / len(counts) < 0.7
    assert len(make_words(7).types) == len(set(make_words(7).types)) == TYPES


def test_static_vectors_are_those_of_the_shipped_embedder(tmp_path: Path) -> None:
    corpus = make_corpus(_ROWS, _USERS, tmp_path)
    own = StaticEmbedder().embed(corpus.texts(0, _ROWS))
    assert np.array_equal(corpus.vectors(0, _ROWS), own)
    question = corpus.questions[0]
    assert np.array_equal(question.vector, StaticEmbedder().embed([question.text])[0])


def test_given_vectors_lie_in_clusters_by_topic(tmp_path: Path) -> None:
    corpus = make_corpus(5_000, 20, tmp_path, embedder="given")
    vectors = corpus.vectors(0, corpus.rows)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    layout = corpus.layout
    topics = layout.topic[layout.conversation(0, corpus.rows)]
    score = vectors[:200] @ vectors.T
    nearest = np.argsort(-score, axis=1)[:, 1:11]
    shared = [
        bool(set(topics[row]) & set(topics[one])) for row in range(200) for one in nearest[row]
    ]
    assert np.mean(shared) > 0.8  # by chance it is a tenth of that
    assert np.median(score) < 0.1


@pytest.mark.parametrize(
    ("rows", "users", "exactly"),
    [
        (100_000, 1, {"u-100000": 100_000}),
        (100_000, 100, {"u-1000": 1_000}),
        (1_000_000, 100, {"u-1000": 1_000, "u-100000": 100_000}),
        (1_000_000, 1_000, {"u-1000": 1_000, "u-100000": 100_000}),
    ],
)
def test_users_have_the_sizes_they_are_named_by(
    rows: int, users: int, exactly: dict[str, int]
) -> None:
    layout = make_layout(rows, users, 7)
    sizes = dict(zip(layout.names, layout.sizes.tolist(), strict=True))
    assert (len(sizes), sum(sizes.values()), layout.rows) == (users, rows, rows)
    assert {name: size for name, size in sizes.items() if name.startswith("u-")} == exactly
    assert Counter(dict(zip(layout.names, np.bincount(_owners(layout)), strict=True))) == sizes
    if users > 1:
        others = sorted(size for name, size in sizes.items() if name not in exactly)
        assert others[-1] > 5 * others[len(others) // 2] > 0


def test_conversations_are_written_together() -> None:
    layout = make_layout(10_000, 100, 7)
    lengths = np.diff(layout.start)
    assert (lengths.min() >= 1, lengths.max()) == (True, CONVERSATION)
    mine = layout.rows_of("u-1000")
    assert (len(mine), len(layout.conversations_of("u-1000"))) == (1_000, 20)
    with pytest.raises(InvalidInputError):
        make_layout(3, 4, 7)


def test_half_of_the_questions_are_about_one_user(corpus: Corpus) -> None:
    asked = corpus.questions
    assert len(asked) == QUESTIONS
    assert {question.user for question in asked[: QUESTIONS // 2]} == {corpus.asked_user}
    assert len({question.user for question in asked}) > 1


def test_given_vectors_are_found_by_text(corpus: Corpus) -> None:
    embedder = GivenEmbedder([corpus])
    some = corpus.texts(40, 60)
    assert np.array_equal(embedder.embed(some), corpus.vectors(40, 60))
    question = corpus.questions[3]
    assert np.array_equal(embedder.embed([question.text], kind="query")[0], question.vector)
    for unknown in (embedder, GivenEmbedder([corpus], documents=False)):
        with pytest.raises(EmbeddingError):
            unknown.embed(["Nobody said this."])


# Exact search beside the engine's


async def test_the_engine_is_compared_with_exact_search(corpus: Corpus, tmp_path: Path) -> None:
    few = tmp_path / "few.toml"
    balanced = (files("bruno_memory_vec.recall.profiles") / "balanced.toml").read_text(
        encoding="utf-8"
    )
    few.write_text(re.sub(r"(?m)^semantic = \d+$", "semantic = 5", balanced), encoding="utf-8")
    user, texts = corpus.asked_user, [question.text for question in corpus.questions[:8]]
    conversation = corpus.layout.conversations_of(user)[0]
    scopes = (Scope.all_users(), Scope.user(user), Scope.user(user).within(conversation))
    asked = [Asked(text, scope) for scope in scopes for text in texts]
    store, embedder = str(tmp_path / "store"), GivenEmbedder([corpus])
    async with open_memory(store, embedder=embedder) as memory:
        await store_rows(memory, corpus, corpus.rows, lambda done, total: None)
        found = await ann_recall(memory, asked)
    assert found == {"ann_recall@10": 1.0, "ann_recall@10_min": 1.0, "asked": 24}
    # An engine that proposes five has half of the ten nearest.
    async with open_memory(store, embedder=embedder, profile=str(few)) as memory:
        found = await ann_recall(memory, asked)
    assert found["ann_recall@10"] == pytest.approx(0.5)


def test_messages_are_those_of_the_corpus(corpus: Corpus) -> None:
    made = list(messages(corpus, 20, 260))
    assert [m.content for _, _, some in made for m in some] == corpus.texts(20, 260)
    assert [user for user, _, some in made for _ in some] == corpus.users(20, 260)
    assert [one for _, one, some in made for _ in some] == corpus.conversations(20, 260)
    ids = {m.id for _, _, some in made for m in some}
    again = {m.id for _, _, some in messages(corpus, 20, 260, "again/") for m in some}
    assert (len(ids), ids & again) == (240, set())


# Targets


def test_a_bound_that_is_reached_exactly_is_met() -> None:
    verdicts = judge(_report())
    assert [one.target for one in verdicts if one.met is not True] == []
    assert len(verdicts) == 24


@pytest.mark.parametrize(
    ("path", "value", "missed"),
    [
        (("stores", 0, "reading", "recall_user", "p50_ms"), 3.01, 2),  # the ratio to the limit too
        (("stores", 0, "reading", "recall_other_users", "p95_ms"), 8.01, 1),
        (("stores", 1, "reading", "recall_other_users", "p50_ms"), 5.01, 1),
        (("stores", 1, "reading", "recall_large_user", "p50_ms"), 12.01, 1),
        (("stores", 1, "reading", "recall_large_user", "ann_recall@10"), 0.9499, 1),
        (("stores", 1, "writing", "store_message", "p50_ms"), 4.01, 1),
        (("stores", 1, "writing", "store_message_100_callers", "messages_per_s"), 3_999, 1),
        (("stores", 1, "writing", "store_messages", "messages_per_s"), 14_999, 1),
        (("stores", 1, "reading", "get_context", "p50_ms"), 0.501, 1),
        (("stores", 0, "opening", "open_and_first_recall_ms"), 1_000.1, 1),
        (("stores", 1, "opening", "open_and_first_recall_ms"), 3_000.1, 1),
        (("stores", 1, "opening", "resident_mib"), 572.21, 1),  # 600 MB are 572.2 MiB
        (("endurance", "recall_ratio"), 1.301, 1),
        (("endurance", "written", "files"), 300, 1),
        (("endurance", "disk_ratio"), 1.501, 1),
        (("side_by_side", 0, "ratios", "chroma", "bulk"), 1.0, 1),
    ],
)
def test_beyond_its_bound_a_target_is_missed(
    path: tuple[Any, ...], value: float, missed: int
) -> None:
    report = _report()
    part: Any = report
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    verdicts = judge(report)
    assert sum(one.met is False for one in verdicts) == missed
    assert sum(one.met is None for one in verdicts) == 0


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    report = _report()
    report["stores"] = report["stores"][:1]  # no million
    report["endurance"]["writes"] = 99_999
    report["side_by_side"] = []
    verdicts = judge(report)
    open_ones = [one for one in verdicts if one.met is None]
    assert all(one.measured == "" for one in open_ones)
    assert sum("1M" in one.target for one in open_ones) == 7
    assert sum("100,000 single" in one.target for one in open_ones) == 3
    assert not any(one.met is False for one in verdicts)


def test_tables_show_every_store_and_every_target() -> None:
    report = _report()
    report["stores"][1]["writing"]["store_message"]["p50_ms"] = 5.5
    verdicts = judge(report)
    text = markdown(report, verdicts)
    assert text.count(" met |") == len(verdicts) - 1
    assert "5.5 ms" in text
    assert "**missed**" in text
    for store in ("100,000 rows, 100 users", "1,000,000 rows, 1,000 users"):
        assert text.count(store) >= 4
    assert "After 100,000 single-message writes" in text


# A whole run


@pytest.mark.slow
def test_a_run_measures_everything(tmp_path: Path) -> None:
    report_file, table, plots = tmp_path / "r.json", tmp_path / "r.md", tmp_path / "plots"
    argv = ["--rows", "300", "--users", "5", "--calls", "8", "--endurance", "120", "--settle", "0"]
    argv += ["--openings", "1", "--cache", str(tmp_path / "cache"), "--json", str(report_file)]
    assert main([*argv, "--table", str(table), "--plots", str(plots)]) == 0
    report = json.loads(report_file.read_text(encoding="utf-8"))
    (store,) = report["stores"]
    assert (store["rows"], store["users"]) == (300, 5)
    reading, opened = store["reading"], store["opening"]
    for kind in ("recall_user", "recall_conversation", "recall_all_users"):
        assert 0 < reading[kind]["p50_ms"] <= reading[kind]["p95_ms"] <= reading[kind]["p99_ms"]
        assert reading[kind]["ann_recall@10"] == 1.0
    assert reading["recall_all_users"]["rows_searched"] == 300
    assert 0 < opened["resident_before_mib"] < opened["resident_mib"] <= opened["peak_mib"]
    assert opened["files"] > 0 < opened["disk_mib"]
    for kind in ("store_message_100_callers", "store_messages", "store_messages_one_call"):
        assert store["writing"][kind]["messages_per_s"] > 0
    assert report["endurance"]["writes"] == 120
    assert report["versions"]["lancedb"]
    assert report["seed"] == 7
    assert len(report["targets"]) == len(judge(report))
    assert "300 rows, 5 users" in table.read_text(encoding="utf-8")
    assert sorted(file.name for file in plots.iterdir()) == [
        "scale-memory.svg",
        "scale-open.svg",
        "scale-recall.svg",
        "scale-throughput.svg",
        "scale-write.svg",
    ]
    # What is kept in the cache: corpora and the store, not the copy that was written to.
    assert not list((tmp_path / "cache").glob("measured-*"))


def _owners(layout: Any) -> Any:
    return np.repeat(layout.owner, np.diff(layout.start))


def _report() -> dict[str, Any]:
    """Every figure exactly at its bound."""

    def spread(p50: float, p95: float) -> dict[str, Any]:
        return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p95, "mean_ms": p50, "calls": 10}

    def store(rows: int, users: int, p50: float, p95: float, opening: float) -> dict[str, Any]:
        recall = {**spread(p50, p95), "ann_recall@10": 1.0, "rows_searched": 1_000}
        deletes = {"delete_conversation": spread(9, 9), "delete_memory": spread(9, 9)}
        rates = {
            "store_message_100_callers": {"messages_per_s": 4_000},
            "store_messages": {"messages_per_s": 15_000},
            "store_messages_one_call": {"messages_per_s": 15_000},
        }
        return {
            "rows": rows,
            "users": users,
            "bulk_build": {"messages_per_s": 15_000, "peak_mib": 400.0},
            "prepared": {"disk_mib": 90.0, "files": 60},
            "reading": {
                "recall_user": recall,
                "recall_other_users": copy.deepcopy(recall),
                "get_context": spread(0.5, 0.9),
            },
            "writing": {"store_message": spread(4, 9), **rates, **deletes},
            "opening": {
                "open_ms": opening / 2,
                "first_recall_ms": opening / 2,
                "open_and_first_recall_ms": opening,
                "resident_open_mib": 300.0,
                "resident_mib": 572.2,
                "peak_mib": 600.0,
            },
            "limit": {"one_user": {"p50_ms": p50 / 3}},
        }

    million = store(1_000_000, 1_000, 5, 12, 3_000)
    large = {**spread(12, 20), "ann_recall@10": 0.95, "rows_searched": 100_000}
    million["reading"]["recall_large_user"] = large
    state = {**spread(1, 2), "files": 299, "disk_mib": 100.0}
    endurance = {
        "writes": 100_000,
        "recall_ratio": 1.3,
        "disk_ratio": 1.5,
        "written": state,
        "compacted": copy.deepcopy(state),
        "store_message_first_tenth": spread(2, 3),
        "store_message_last_tenth": spread(2, 3),
        "most_files": 299,
        "most_disk_mib": 150.0,
        "peak_mib": 500.0,
    }
    ratios = {"chroma": {"recall_one_user": 1.5, "bulk": 1.01}, "limit": {"recall_one_user": 4.0}}
    return {
        "stores": [store(100_000, 100, 3, 8, 1_000), million],
        "endurance": endurance,
        "side_by_side": [{"rows": 10_000, "ratios": ratios}],
    }
