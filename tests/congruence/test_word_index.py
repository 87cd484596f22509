"""The words of rows in memory give what the lexical index gives with the same rows."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS
from bruno_memory_vec.indexers.snapshot import HeldRows
from bruno_memory_vec.indexers.tantivy.index import TantivyIndex
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.indexers.words.index import WordIndex
from bruno_memory_vec.indexers.words.lengths import kept_lengths
from bruno_memory_vec.indexers.words.question import QuestionTerms
from bruno_memory_vec.indexers.words.snapshot_words import SnapshotWords
from bruno_memory_vec.testing.rows import START, message, table

ANALYSER = analyser("english")
ANA = Scope.user("ana")
DEMO = Path(__file__).resolve().parents[2] / "bruno_memory_vec" / "surfaces" / "demo"
WORDS = [
    *"cat cats dog the a garden RFC-8259 camelCase naïve Überall".split(),
    *"東京タワー 学习 привет 100% x".split(),
]
QUESTIONS = (
    "cat",
    "the cat in the garden",
    "dog dog garden",
    "camelCase RFC-8259",
    "naïve überall",
    "東京タワー",
    "学",
    "garden 東京 cat",
    "привет x 100",
    "what is the",
    "zebra",
    "",
)


def texts() -> list[str]:
    """Random texts, some of thousands of words, and those of the demo."""
    made = random.Random(3)
    lengths = [0, 1, 3, 9, 9, 17, 39, 40, 41, 43, 100, 300, 5_000]
    found = [" ".join(made.choices(WORDS, k=made.choice(lengths[:-1]))) for _ in range(300)]
    found += ["cat", "cat", "cat", " ".join(made.choices(WORDS, k=lengths[-1]))]
    for line in (DEMO / "conversations.jsonl").read_text(encoding="utf-8").splitlines():
        found += [one["content"] for one in _said(json.loads(line))]
    return found


def _said(value: object) -> list[dict[str, str]]:
    """Every object in a JSON value that has a content."""
    if isinstance(value, list):
        return [one for part in value for one in _said(part)]
    if isinstance(value, dict):
        own = [value] if isinstance(value.get("content"), str) else []
        return own + [one for part in value.values() for one in _said(part)]
    return []


def questions() -> list[str]:
    asked = json.loads((DEMO / "questions.json").read_text(encoding="utf-8"))
    many = " ".join(f"{word} {word}{number}" for number in range(9) for word in WORDS)
    return [*QUESTIONS, *(one["question"] for one in asked[::4]), *texts()[-4:], many]


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    conversations = ["one", "two", None]
    made = [
        message(
            seq,
            text,
            conversation_id=conversations[seq % 3],
            turn=None if seq % 3 == 2 else seq,
            role="user" if seq % 2 else "assistant",
        )
        for seq, text in enumerate(texts())
    ]
    return table(made, 2)


@pytest.fixture
async def tantivy(rows: pa.Table) -> AsyncIterator[TantivyIndex]:
    with tempfile.TemporaryDirectory() as folder:
        index = TantivyIndex(folder, ANALYSER)
        index.add(rows.select(list(LEXICAL_COLUMNS)))
        await index.commit()
        yield index
        await index.close()


def words_in_memory(rows: pa.Table, average: float | None, added: int = 0) -> SnapshotWords:
    contents = rows.column("content").to_pylist()
    index = WordIndex.of(contents[: len(contents) - added], ANALYSER)
    for text in contents[len(contents) - added :]:
        index = index.extended([text], ANALYSER)
    snapshot = HeldRows(rows, words=index).snapshot()
    return SnapshotWords(snapshot, QuestionTerms(ANALYSER), lambda _: average)


@pytest.mark.parametrize("added", [0, 40, 400])
@pytest.mark.parametrize("phrases", [0.0, 0.6])
async def test_the_same_rows_and_scores(
    rows: pa.Table, tantivy: TantivyIndex, added: int, phrases: float
) -> None:
    words = words_in_memory(rows, tantivy.average_length(["cat"]), added)
    found = 0
    for text in questions():
        query = LexicalQuery(text, phrase_weight=phrases)
        theirs = tantivy.search(query, ANA, RowFilter(), rows.num_rows, turns=False)
        mine = words.search(query, ANA, RowFilter(), rows.num_rows)
        assert set(mine.seq.tolist()) == set(theirs.seq.tolist()), text
        scores = dict(zip(theirs.seq.tolist(), theirs.score.tolist(), strict=True))
        wanted = [scores[seq] for seq in mine.seq.tolist()]
        np.testing.assert_allclose(mine.score, wanted, rtol=2e-5, atol=1e-6, err_msg=text)
        assert list(np.lexsort((-mine.seq, -mine.score))) == list(range(len(mine)))
        found += len(mine)
        assert words.asked_terms(query, ANA) == tantivy.asked_terms(query, ANA)
        assert words.term_weights(query, ANA) == pytest.approx(tantivy.term_weights(query, ANA))
    assert found > 1_000


async def test_a_filter_comes_before_the_limit(rows: pa.Table, tantivy: TantivyIndex) -> None:
    words = words_in_memory(rows, tantivy.average_length(["cat"]), 5)
    query = LexicalQuery("cat garden dog", phrase_weight=0.6)
    for scope in (ANA, ANA.within("two")):
        for where in (RowFilter(roles=("user",)), RowFilter(since=START.replace(minute=50))):
            theirs = tantivy.search(query, scope, where, 20)
            mine = words.search(query, scope, where, 20)
            np.testing.assert_allclose(mine.score, theirs.score, rtol=2e-5)
            certain = theirs.score > theirs.score[-1] + 1e-4
            assert mine.seq[certain].tolist() == theirs.seq[certain].tolist()
            by_seq = dict(zip(theirs.seq.tolist(), theirs.conversation_id, strict=True))
            assert all(
                by_seq.get(seq, name) == name
                for seq, name in zip(mine.seq.tolist(), mine.conversation_id, strict=True)
            )


async def test_words_are_counted_alike(rows: pa.Table, tantivy: TantivyIndex) -> None:
    words = words_in_memory(rows, None, 40)
    asked = ["cat", "cats", "garden", "RFC-8259", "学", "?", "zebra", "camelCase", "the"]
    mine, theirs = (one.document_frequencies(asked, ANA) for one in (words, tantivy))
    assert mine[0] == theirs[0] == rows.num_rows
    assert mine[1].tolist() == theirs[1].tolist()


async def test_the_average_length_is_told_exactly(rows: pa.Table, tantivy: TantivyIndex) -> None:
    index = WordIndex.of(rows.column("content").to_pylist(), ANALYSER)
    assert tantivy.average_length(["cat"]) == pytest.approx(index.average, rel=1e-6)


def test_lengths_are_rounded_as_in_one_byte() -> None:
    lengths = np.array([0, 1, 39, 40, 41, 42, 43, 300, 5_000], np.int32)
    assert kept_lengths(lengths).tolist() == [0, 1, 39, 40, 40, 42, 42, 280, 4_632]


def test_a_part_of_the_rows_is_what_they_alone_are(rows: pa.Table) -> None:
    contents = rows.column("content").to_pylist()
    kept = np.flatnonzero(np.random.default_rng(1).random(len(contents)) < 0.5)
    whole = WordIndex.of(contents[:-9], ANALYSER).extended(contents[-9:], ANALYSER)
    part, alone = whole.taken(kept), WordIndex.of([contents[i] for i in kept], ANALYSER)
    assert part.arrays().keys() == alone.arrays().keys()
    for name, values in alone.arrays().items():
        np.testing.assert_array_equal(part.arrays()[name], values, err_msg=name)


def test_folded_in_or_not_the_arrays_are_the_same(rows: pa.Table) -> None:
    contents = rows.column("content").to_pylist()
    once, index = WordIndex.of(contents, ANALYSER), WordIndex.empty()
    for text in contents:
        index = index.extended([text], ANALYSER)
    assert (len(index), index.tokens) == (len(once), once.tokens)
    for name, values in once.arrays().items():
        assert index.arrays()[name].dtype == values.dtype
        np.testing.assert_array_equal(index.arrays()[name], values, err_msg=name)
    again = WordIndex.from_arrays(index.arrays())
    assert again.having(["cat", "zebra"]).tolist() == once.having(["cat", "zebra"]).tolist()
    assert once.nbytes < 16 * once.tokens


def test_arrays_that_do_not_fit_are_refused() -> None:
    arrays = WordIndex.of(["a cat", "a dog"], ANALYSER).arrays()
    with pytest.raises(ValueError, match="do not fit"):
        WordIndex.from_arrays({**arrays, "codes": arrays["codes"][:-1]})
    with pytest.raises(ValueError, match="no array of"):
        WordIndex.from_arrays({**arrays, "codes": arrays["codes"].astype(np.int64)})
    with pytest.raises(KeyError):
        WordIndex.from_arrays({name: arrays[name] for name in arrays if name != "starts"})
