"""From text to terms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.indexers.text.analysis import (
    LANGUAGES,
    Analyser,
    analyser,
    clean,
    gram_weight,
    inverse_document_frequency,
    is_unspaced,
)

ENGLISH, PLAIN = analyser("english"), analyser(None)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Hello, WORLD!", ["hello", "world"]),
        ("naïve café Ångström", ["naive", "cafe", "angstrom"]),
        ("e\u0301te\u0301", ["ete"]),
        ("it's 3.14 snake_case", ["it", "s", "3", "14", "snake", "case"]),
        ("c++ and what's up?", ["c", "and", "what", "s", "up"]),
        ("ﬁne ＡＢＣ", ["fine", "abc"]),
        ("Привет मिर 42", ["привет", "मिर", "42"]),
        ("?! \x00 👍", []),
        ("", []),
    ],
)
def test_words(text: str, terms: list[str]) -> None:
    assert PLAIN.terms(text) == terms
    assert PLAIN.question(text, drop_stopwords=False) == terms


@pytest.mark.parametrize(
    ("language", "word", "stem"),
    [
        ("english", "running", "run"),
        ("english", "hotels", "hotel"),
        ("german", "Häuser", "haus"),
        ("french", "chansons", "chanson"),
        (None, "running", "running"),
    ],
)
def test_stemming_is_a_choice(language: str | None, word: str, stem: str) -> None:
    assert analyser(language).terms(word) == [stem]


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_language_works(language: str) -> None:
    assert analyser(language).terms("a text 123")[-1] == "123"
    assert analyser(language).name == f"unicode-3/{language}"


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(ValueError, match=r"klingon.*english"):
        Analyser("klingon")
    assert analyser(None).name == "unicode-3/none"


def test_documents_in_scripts_without_spaces_hold_bigrams_and_characters() -> None:
    assert PLAIN.terms("東京都") == ["東京", "京都", "東", "京", "都"]
    assert sorted(PLAIN.terms("부산")) == sorted(["부산", "부", "산"])
    assert PLAIN.terms("見る AND 見る") == ["見る", "見", "る", "and", "見る", "見", "る"]


def test_questions_in_scripts_without_spaces_hold_both() -> None:
    assert PLAIN.question("東京都", drop_stopwords=True) == ["東京", "京都", "東", "京", "都"]
    assert PLAIN.question("都", drop_stopwords=True) == ["都"]
    words = PLAIN.question("Tokyo は 東京", drop_stopwords=True)
    assert words == ["tokyo", "は", "東京", "東", "京"]


def test_a_few_such_characters_amid_words_are_asked_by_bigrams() -> None:
    text = "Which hotel did we book in 東京?"
    assert PLAIN.question(text, drop_stopwords=True) == ["hotel", "book", "東京"]
    assert PLAIN.question("the sign 都 of a town", drop_stopwords=True) == ["sign", "都", "town"]


@pytest.mark.parametrize(
    "text", ["東京", "สวัสดี", "부산에 갔어", "abcd 東京", "ホテル 12345", "東！"]
)
def test_which_questions_are_in_scripts_without_spaces(text: str) -> None:
    assert is_unspaced(text)


@pytest.mark.parametrize(
    "text", ["", "hotel", "12345", "où est l'hôtel", "abcde 東京", "Привет", "！"]
)
def test_which_are_not(text: str) -> None:
    assert not is_unspaced(text)


def test_a_gram_that_is_common_among_the_rows_weighs_less_than_its_rarity() -> None:
    for having in (0, 1, 5, 10):
        idf = inverse_document_frequency(10, having)
        assert gram_weight(10, having) == pytest.approx(idf * (1 - having / 10) ** 4)
    assert gram_weight(0, 0) == inverse_document_frequency(0, 0)
    assert gram_weight(2, 3) == 0.0  # rows that are deleted may still be counted


@given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1, max_size=12))
def test_every_part_of_a_chinese_text_is_found(text: str) -> None:
    terms = set(PLAIN.terms(f"before {text} after"))
    for length in range(1, len(text) + 1):
        for start in range(len(text) - length + 1):
            assert set(PLAIN.question(text[start : start + length], drop_stopwords=True)) <= terms


def test_stopwords_are_dropped_only_in_questions() -> None:
    assert "what" in ENGLISH.terms("what did the dog do")
    question = ENGLISH.question("What did the dog do?", drop_stopwords=True)
    assert "dog" in question
    assert not {"what", "did", "the"} & set(question)
    assert "what" in ENGLISH.question("What did the dog do?", drop_stopwords=False)


def test_a_question_of_stopwords_alone_keeps_them() -> None:
    assert ENGLISH.question("what is the", drop_stopwords=True) == ENGLISH.terms("what is the")


def test_the_longest_term() -> None:
    assert PLAIN.terms("x" * 254) == ["x" * 254]
    assert PLAIN.terms("x" * 300 + " short") == ["short"]


@given(st.text())
def test_any_text_can_be_analysed(text: str) -> None:
    for one in (text, f"{text}\ud800"):
        terms = ENGLISH.terms(one)
        assert all(term == term.lower() for term in terms if term.isascii())
        ENGLISH.question(one, drop_stopwords=True)
    assert clean(text) == text
    clean(f"{text}\udfff").encode("utf-8")


def test_analysers_are_shared() -> None:
    assert analyser("dutch") is analyser("dutch")
