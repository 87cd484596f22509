from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers import Coverage
from bruno_memory_vec.recall.word_matches import ALIKE, word_matches
from tests.rankers.pools import added, make_pool

NOUNS = "cat dog house river bread music train garden winter coffee doctor window".split()


def matches(question: str, texts: list[str]) -> list[list[float]]:
    got, weight = word_matches(question, texts)
    assert got.dtype == np.float32
    assert weight.dtype == np.float64
    assert got.shape == (len(texts), len(weight))
    rows: list[list[float]] = got.tolist()
    return rows


def test_the_same_word_is_one() -> None:
    assert matches("cat", ["My CAT sleeps.", "cat", "the cat, asleep"]) == [[1.0]] * 3


def test_a_like_word_is_between_and_another_nothing() -> None:
    (same,), (like,), (other,), (none,) = matches(
        "cat", ["a cat", "a kitten", "the stock market", ""]
    )
    assert (same, other, none) == (1.0, 0.0, 0.0)
    assert 0 < like < 1


def test_an_accent_does_not_count() -> None:
    assert matches("café", ["the cafe", "the café", "the cafe\u0301"]) == [[1.0]] * 3


def test_question_words_are_left_out() -> None:
    assert matches("What did the cat do?", ["cat"]) == matches("cat", ["cat"])


def test_question_words_alone_are_kept() -> None:
    got = matches("what did", ["what", "did", "what did"])
    assert sorted(got[:2]) == [[0.0, 1.0], [1.0, 0.0]]
    assert got[2] == [1.0, 1.0]


def test_question_words_alone_are_kept_before_a_mark() -> None:
    assert matches("what ?", ["what"]) == [[1.0]]


def test_contracted_question_words_are_left_out() -> None:
    assert matches("What's my cat?", ["cat", "what's"]) == matches("cat", ["cat", "what's"])


def test_a_question_asked_twice_is_answered_alike() -> None:
    # Pieces of texts are kept from one question to the next.
    texts = ["My cat sleeps.", "", "a kitten", "My cat sleeps."]
    first = matches("where is the cat", texts)
    assert first[0] == first[3]
    assert matches("where is the cat", texts) == first
    assert matches("where is the cat", texts[::-1]) == first[::-1]


def test_a_word_told_twice_counts_once() -> None:
    assert matches("cat cat Cat", ["cat"]) == [[1.0]]


def test_the_weight_is_the_inverse_document_frequency() -> None:
    _, weight = word_matches("cat", ["cat", "the stock market", "rain", "nothing"])
    # One of four has it; a text with a word like it does not.
    assert weight.tolist() == pytest.approx([math.log(1 + 3.5 / 1.5)])
    _, weight = word_matches("cat", ["cat", "kitten", "Cat", "cat"])
    assert weight.tolist() == pytest.approx([math.log(1 + 1.5 / 3.5)])
    _, weight = word_matches("cat", ["rain"])
    assert weight.tolist() == pytest.approx([math.log(1 + 1.5 / 0.5)])


@pytest.mark.parametrize("question", ["", "   ", "???", "…", "\n"])
def test_a_question_without_a_word(question: str) -> None:
    assert matches(question, ["a cat", ""]) == [[], []]


@pytest.mark.parametrize("question", ["cat", "", "what"])
def test_no_texts(question: str) -> None:
    assert matches(question, []) == []


def test_empty_texts_among_others() -> None:
    assert matches("cat", ["", "cat", "", "", "cat", ""]) == [[0], [1], [0], [0], [1], [0]]
    assert matches("cat", ["", ""]) == [[0], [0]]


def test_a_text_is_read_to_its_limit() -> None:
    got = matches("cat", ["x " * 900 + "cat", "x " * 2_000 + "cat"])
    assert got == [[1.0], [0.0]]


@pytest.mark.parametrize("question", ["北京", "Москва", "القاهرة", "Αθήνα"])
def test_other_scripts_match_themselves(question: str) -> None:
    same, other = matches(question, [f"x {question} y", "xyz"])
    assert same == [1.0] * len(same)
    assert max(other) < 1


@pytest.mark.parametrize("text", ["ᚠᚢᚦ", "😊 well", "再见", "y" * 300])
def test_unknown_words_do_not_match_each_other(text: str) -> None:
    assert not np.any(np.array(matches("ሰላም", [text, "x"])) >= 1)


def test_a_script_with_combining_marks_matches_itself() -> None:
    assert set(matches("हिन्दी भाषा", ["हिन्दी भाषा"])[0]) == {1.0}


def test_a_long_question_keeps_its_rare_words() -> None:
    common = (
        "red blue green yellow black white brown pink grey orange dog bird fish horse cow sheep "
        "goat pig lion tiger bear wolf house road river hill lake sea sky sun moon star tree leaf "
        "root seed bread milk egg meat hand foot head eye ear nose mouth arm leg back one two "
        "three four five six seven eight nine ten eleven twelve hundred thousand million summer "
        "winter spring"
    )
    rare = "zimbabwe archaeological"
    (got,) = matches(f"{rare} {common}", [rare])
    (alone,) = matches(rare, [rare])
    assert sum(value == 1 for value in got) == len(alone)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "word " * 200_000,
        "x " * 500_000,
        "你" * 1_000_000,
        "\ud800" * 1_000_000,
        " " * 1_000_000,
        "😊" * 1_000_000,
    ],
    ids=lambda text: ascii(text[:6]),
)
def test_a_hostile_text_of_a_megabyte(text: str) -> None:
    (row,) = matches(text, ["cat"])
    assert len(row) <= 64
    assert len(matches("cat", [text, "cat"])) == 2


@given(st.lists(st.sampled_from(NOUNS), min_size=1, unique=True), st.data())
def test_the_order_of_texts_and_words_does_not_matter(
    words: list[str], data: st.DataObject
) -> None:
    texts = data.draw(st.lists(st.lists(st.sampled_from(NOUNS)).map(" ".join), min_size=1))
    got, weight = word_matches(" ".join(words), texts)
    order = data.draw(st.permutations(range(len(texts))))
    mixed = data.draw(st.permutations(range(len(words))))
    again, weight_again = word_matches(" ".join(words[i] for i in mixed), [texts[i] for i in order])
    # Each of these words is one piece, and the pieces stand as in the question.
    assert got.shape[1] == len(words)
    np.testing.assert_allclose(again, got[list(order)][:, list(mixed)], atol=1e-6)
    np.testing.assert_allclose(weight_again, weight[list(mixed)], rtol=1e-12)


@given(st.lists(st.sampled_from(NOUNS), min_size=1, max_size=5), st.sampled_from(NOUNS))
def test_a_word_is_found_exactly_where_it_stands(words: list[str], asked: str) -> None:
    ((match,),) = matches(asked, [" ".join(words)])
    assert (match == 1) is (asked in words)


@given(st.text(), st.lists(st.text(), max_size=5))
def test_any_text_can_be_matched(question: str, texts: list[str]) -> None:
    got, weight = word_matches(question, texts)
    assert got.shape == (len(texts), len(weight))
    assert np.isfinite(got).all()
    assert ((got >= 0) & (got <= 1 + 1e-6)).all()
    assert (weight > 0).all()


def test_what_counts_as_alike() -> None:
    assert 0 < ALIKE < 1


# over a window of the conversation


def covered(question: str, texts: list[str], conversation: list[int]) -> list[float]:
    found, weight = word_matches(question, texts)
    pool = make_pool(
        len(texts),
        conversation=conversation,
        turn=range(len(texts)),
        matches=found,
        term_weight=weight,
    )
    return [float(value) for value in added(Coverage(1.0, 0.8, 0.6), pool)]


def test_a_turn_borrows_the_words_of_the_turns_around_it() -> None:
    texts = ["My cat is grey.", "She sleeps on the sofa.", "I bought a train ticket."]
    together = covered("cat sofa", texts, [0, 0, 0])
    apart = covered("cat sofa", texts, [0, 1, 2])
    # The second turn has one word, and the one before it the other: (1 + 0.8) / 2.
    assert together[:2] == pytest.approx([0.8, 0.9], abs=0.05)
    assert apart[:2] == pytest.approx([0.5, 0.5], abs=0.1)
    assert together[2] > apart[2]


def test_a_turn_with_all_words_is_covered_wholly() -> None:
    assert covered("cat sofa", ["the cat on the sofa", "rain"], [0, 0])[0] == pytest.approx(1.0)
