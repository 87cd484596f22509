"""Patterns of a question are tried only where they may match, and never missed by that."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers import question
from bruno_memory_vec.rankers.time_expressions import english, find_periods
from bruno_memory_vec.rankers.time_expressions.other_languages import words_of

AFTERNOON = datetime(2024, 5, 15, 13, 30)  # a time on the wall
NOW = 1_715_779_800_000_000
OF_TIMES = [english._PARSED, english._SEASON, english._WEEKEND, english._LATEST]
OF_CUES = [
    (question._COURTESY, question._COURTEOUS),
    (question._WHEN, question._ABOUT_TIME),
]
around = st.text("ab ,.?'-_é", max_size=4)


@pytest.mark.parametrize("pattern", OF_TIMES)
@given(data=st.data())
def test_what_names_a_time_in_english_is_tried(pattern: re.Pattern[str], data: Any) -> None:
    text = data.draw(around) + data.draw(st.from_regex(pattern, fullmatch=True)) + data.draw(around)
    if pattern.search(text):
        assert english.may_name_time(text, words_of(text))


@pytest.mark.parametrize(("pattern", "telling"), OF_CUES)
@given(data=st.data())
def test_what_gives_a_cue_is_tried(
    pattern: re.Pattern[str], telling: frozenset[str], data: Any
) -> None:
    text = data.draw(around) + data.draw(st.from_regex(pattern, fullmatch=True)) + data.draw(around)
    if pattern.search(text):
        assert not telling.isdisjoint(question._WORD.findall(text))


@given(
    st.lists(st.sampled_from(sorted(english._TELLING)) | st.sampled_from("of the 3 a week".split()))
)
def test_a_text_in_which_english_finds_a_time_is_read(words: list[str]) -> None:
    text = " ".join(words)
    if not english.may_name_time(text, words_of(text)):
        assert english.read(text, AFTERNOON) == []


def test_where_no_word_tells_of_a_time_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    whole = english.read

    def noted(lower: str, now: Any) -> Any:
        read.append(lower)
        return whole(lower, now)

    monkeypatch.setattr(english, "read", noted)
    assert find_periods("Where does Ana work?", NOW) == ()
    assert read == []
    assert len(find_periods("Where did Ana work in May?", NOW)) == 1
    assert read == ["where did ana work in may?"]
