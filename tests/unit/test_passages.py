"""Long texts are cut into passages, and these are compared: bruno_memory_vec/recall/passages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bruno_memory_vec import load_profile
from bruno_memory_vec.embedders import StaticEmbedder
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.snapshot import LOADED, HeldRows, Snapshot
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.rankers import Passages
from bruno_memory_vec.recall.passages.reading import PassageReader
from bruno_memory_vec.recall.passages.scores import (
    BY_MEANING,
    BY_WORDS,
    BestPassages,
    best_passages,
    long_rows,
)
from bruno_memory_vec.recall.passages.windows import (
    A_CHARACTER,
    LONG,
    STEP,
    WORDS,
    windows,
)
from bruno_memory_vec.recall.request import RecallRequest
from tests.rankers.test_candidate_pool import table

SENTENCE = "The ferry was late again and the harbour smelled of tar and rope. "  # 13 words
FACT = "My sister Leonie marries in Ghent on the fourteenth of June. "
LONG_TEXT = SENTENCE * 12 + FACT + SENTENCE * 12

texts = st.lists(
    st.sampled_from(
        [SENTENCE, "No.", "a " * 50, "x" * 400, "\n\n", "我昨天去了北京。", "3.5 km ", "é" * 30]
    )
    | st.text(max_size=30),
    max_size=40,
).map("".join)


@given(texts)
def test_passages_cover_the_text_and_overlap_as_they_should(text: str) -> None:
    found = windows(text)
    covered = np.zeros(len(text), np.bool_)
    for passage in found:
        assert passage.of(text) == passage.of(text).strip() != ""
        covered[passage.start : passage.end] = True
    if found:
        assert all(covered[at] or letter.isspace() for at, letter in enumerate(text))
        assert [one.start for one in found] == sorted({one.start for one in found})
        assert found[-1].end == len(text.rstrip())


def test_a_passage_has_about_sixty_words_and_begins_at_a_sentence() -> None:
    found = windows(LONG_TEXT)
    lengths = [len(one.of(LONG_TEXT).split()) for one in found]
    assert max(lengths) <= WORDS
    assert min(lengths[:-1]) > WORDS - 13
    assert len(found) <= len(LONG_TEXT.split()) / (STEP - 13) + 1
    for one in found:
        assert one.of(LONG_TEXT).startswith(("The ferry", "My sister"))


def test_a_text_of_eighty_words_has_none() -> None:
    assert windows("word " * LONG) == []
    assert len(windows("word " * (LONG + 1))) == 2


def test_a_script_without_spaces_is_cut_by_characters() -> None:
    sentence = "我昨天去了北京的故宫博物院。"
    text = sentence * 30
    found = windows(text)
    most = int(WORDS / A_CHARACTER)
    assert len(found) > 5
    assert all(most - len(sentence) < one.end - one.start <= most for one in found[:-1])
    assert all(one.of(text).startswith("我") for one in found)


def snapshot(*contents: str) -> Snapshot:
    rows = [
        {"seq": seq, "content": text, "words": len(text.split()), "vector": [1.0, 0.0]}
        for seq, text in enumerate(contents)
    ]
    return HeldRows(table(rows, list(LOADED))).snapshot()


class Counted:
    """The static embedder, and how many texts it was given."""

    def __init__(self) -> None:
        self.embedder = StaticEmbedder()
        self.texts = 0

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += len(texts)
        return self.embedder.embed(texts)


def best(text: str, question: str, embed: Any = None) -> BestPassages:
    held = snapshot("A short row.", text)
    terms = analyser("english")
    reader = PassageReader(embed, terms.terms)
    rows = np.array([0, 1])
    weights = dict.fromkeys(terms.question(question, drop_stopwords=True), 1.0)
    vector = np.empty(0, np.float32) if embed is None else embed([question])[0]
    found = best_passages(held, rows, reader.read(held, rows), weights, vector)
    assert found is not None
    return found


@pytest.mark.parametrize("embed", [None, Counted()], ids=["words", "words and vectors"])
def test_the_passage_with_the_fact_is_the_best(embed: Any) -> None:
    found = best(LONG_TEXT, "Where does Leonie marry?", embed)
    assert found.rows.tolist() == [1]
    assert FACT.strip() in found.passages()[1].of(LONG_TEXT)
    assert np.isnan(found.semantic).all() == (embed is None)


def test_a_passage_scores_as_a_row_of_its_own() -> None:
    one = best("word " * 60 + "zebra " + "word " * 60, "zebra").lexical[0]
    # BM25 by hand: the two rows have 3 and 121 words, the passage 60.
    assert one == pytest.approx(2.2 / (1 + 1.2 * (0.25 + 0.75 * 60 / 62)), rel=1e-5)


def test_passages_are_read_once_and_give_way_to_newer_ones() -> None:
    embed = Counted()
    held = snapshot(*(LONG_TEXT + "x" * number for number in range(4)))
    reader = PassageReader(embed, analyser("english").terms)
    rows = np.arange(4)
    first = reader.read(held, rows)
    made = embed.texts
    assert [one.places.tolist() for one in reader.read(held, rows)] == [
        one.places.tolist() for one in first
    ]
    assert embed.texts == made == sum(len(one.places) for one in first)
    small = PassageReader(embed, analyser("english").terms, budget=2 * first[0].nbytes + 100)
    for row in rows:
        small.read(held, rows[row : row + 1])
        assert small.nbytes <= 2 * first[0].nbytes + 100
    before = embed.texts
    small.read(held, rows[3:])
    assert embed.texts == before
    small.read(held, rows[:1])
    assert embed.texts > before


def test_only_so_many_rows_are_looked_into() -> None:
    count = 3 * BY_WORDS
    held = snapshot(*([LONG_TEXT] * count), "A short row.")
    rows = np.arange(count + 1)
    scores = np.linspace(1.0, 0.1, count + 1, dtype=np.float32)
    found = long_rows(held, (rows, scores), (rows[::-1], scores))
    assert found.tolist() == [*range(BY_WORDS), *range(count - BY_MEANING, count)]


def test_the_meaning_of_passages_counts_by_what_the_embedder_knows() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    profile = load_profile("balanced")
    request = RecallRequest("Where?", Scope.user("ana"), RowFilter(), 10, profile, now)
    whole, half = (one.profile.rank.get(Passages) for one in (request, request.trusting(0.5)))
    assert whole is not None
    assert half == Passages(whole.weight, whole.semantic_weight / 2)
