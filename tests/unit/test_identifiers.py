"""The parts of identifiers, keys and abbreviations."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.indexers.text.identifiers import with_parts

PLAIN = analyser(None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("call getUserById now", "call getUserById get User By Id now"),
        ("HTTPServer parseXMLFile", "HTTPServer HTTP Server parseXMLFile parse XML File"),
        ("PROJ1234, covid19", "PROJ1234 PROJ 1234, covid19 covid 19"),
        ("U.S.A. or U.S.A, U.S. and u.s.a.", "USA or USA, US and usa"),
        ("U.S.-based (U.S.A.)", "US-based (USA)"),
        # What is no several words.
        ("NASA, USAs, URLs, Hello World", "NASA, USAs, URLs, Hello World"),
        ("snake_case kebab-case 3pm H1N1 a3f9c2b1 2024 Q3 mp3 gpt4", None),
        ("x.y main.c.h a.b.com 1.2.3 v.1. e.g. 5 p.m. A.B", None),
        ("aGVsbG8gd29ybGQhIHRoaXMgaXMgYSBrZXk", None),  # a key, of more than eight parts
        ("a" * 60 + "Bcdefgh", None),
        ("", None),
    ],
)
def test_parts_stand_behind_a_word(text: str, found: str | None) -> None:
    assert with_parts(text) == (text if found is None else found)


def test_rows_and_questions_have_the_same_parts() -> None:
    for text in ("getUserById", "see PROJ1234 in the U.S.A.", "Grüße von getUserById"):
        assert PLAIN.terms(text) == PLAIN.question(text, drop_stopwords=False)
    assert PLAIN.terms("getUserById") == ["getuserbyid", "get", "user", "by", "id"]
    assert PLAIN.terms("U.S.A. \u5317\u4eac") == ["usa", "\u5317\u4eac", "\u5317", "\u4eac"]


def test_of_a_question_stop_words_are_dropped_from_parts() -> None:
    assert PLAIN.question("getUserById", drop_stopwords=True) == [
        "getuserbyid",
        "get",
        "user",
        "id",
    ]


@given(st.text(alphabet="aB3_- \u00e9\n", max_size=40))
def test_parts_are_only_added(text: str) -> None:
    terms = iter(PLAIN.terms(text))
    words = PLAIN.tokenizer.analyze(text)
    assert all(word in terms for word in words), "in the same order"


@pytest.mark.parametrize("part", ["a", "aB", "a1", "A.", "Ab1 ", ".", "aB.", "\u00e9B"])
def test_the_time_is_linear(part: str) -> None:
    def took(times: int) -> float:
        began = time.perf_counter()
        with_parts(part * times)
        return time.perf_counter() - began

    took(1_000)
    short = min(took(5_000) for _ in range(3))
    # Ten times as long; quadratic time would be a hundred times as much.
    assert min(took(50_000) for _ in range(3)) < 40 * short + 0.05
