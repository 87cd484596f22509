from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers import Question, read_question
from tests.rankers.pools import NOW


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("What is my dog's name?", "user"),
        ("Where do I work?", "user"),
        ("What do we eat?", "user"),
        ("I'm from where?", "user"),
        ("What did you recommend?", "assistant"),
        ("What was YOUR advice?", "assistant"),
        ("What did you say?", "assistant"),
        ("What did Ana say?", None),
        ("", None),
        ("Can you remind me what my dog's name is?", "user"),
        ("Could you please tell me where I work?", "user"),
        ("Do you remember my birthday?", "user"),
        ("Do you still remember my birthday?", "user"),
        ("Can you help me remember my address?", "user"),
        ("Remind me of the plan", None),
        ("Can you tell me when the train leaves?", None),
        ("Can you remind me what you recommended?", "assistant"),
        ("I can’t remember what you suggested", "assistant"),
        ("I forgot where my keys are", "user"),
        ("I'd like to know when it starts", None),
        ("I’d like to know when it starts", None),
        ("Hi Bruno, can you tell me where I live?", "user"),
        ("What did you tell me about tea?", "assistant"),
        ("As far as you know, where is Ana?", None),
        ("the youth of iowa is amused", None),
        ("¿Dónde vivo?", None),
    ],
)
def test_whose_words_are_asked_for(text: str, role: str | None) -> None:
    assert read_question(text, NOW).of_role == role


@pytest.mark.parametrize(
    "text", ["What did I tell you about my sister?", "Can you list my allergies?"]
)
def test_what_i_told_you(text: str) -> None:
    assert read_question(text, NOW).of_role == "user"


def test_please_may_come_first() -> None:
    assert read_question("Please can you tell me my address?", NOW).of_role == "user"


def test_a_country_is_no_pronoun() -> None:
    assert read_question("How many people live in the US?", NOW).of_role is None


@pytest.mark.parametrize(
    "text",
    [
        "When did we meet?",
        "  When?",
        "¿When was it?",
        "What day was it?",
        "Which year did she move?",
        "What time is it?",
        "How long did it take?",
        "Since when do I work there?",
        "Do you know when did she move?",
        "Tell me when does it start",
        "WHEN IS IT",
    ],
)
def test_a_time_is_asked_for(text: str) -> None:
    assert read_question(text, NOW).asks_when


@pytest.mark.parametrize(
    "text", ["Do you know when I moved to Porto?", "Can you tell me when Ana was born?"]
)
def test_a_time_is_asked_for_politely(text: str) -> None:
    assert read_question(text, NOW).asks_when


@pytest.mark.parametrize(
    "text", ["", "Where is it?", "Whenever?", "How was she when young?", "whence"]
)
def test_no_time_is_asked_for(text: str) -> None:
    assert not read_question(text, NOW).asks_when


@pytest.mark.parametrize(
    "text",
    [
        "Where do I work?",
        "What is my favourite tea?",
        "Which gym am I going to?",
        "Where do I work now?",
        "What was I told is my current address?",
        "Did I still have my car?",
        "Can you remind me what my rent is?",
    ],
)
def test_the_present_is_asked_for(text: str) -> None:
    assert read_question(text, NOW).asks_now


@pytest.mark.parametrize(
    "text",
    [
        "Where did I work?",
        "Where was my office?",
        "What was my first job?",
        "Where do I live, as of 2019?",
        "What is my old address?",
        "Where does Ana work?",
        "What do you recommend?",
        "",
    ],
)
def test_the_present_is_not_asked_for(text: str) -> None:
    assert not read_question(text, NOW).asks_now


def test_times_are_found() -> None:
    (period,) = read_question("What did I do in 2019?", NOW).periods
    assert (period.end - period.start) == 365 * 86_400_000_000


def test_the_text_is_kept_as_it_is() -> None:
    assert read_question("What Did ANA say?", NOW).text == "What Did ANA say?"


@pytest.mark.parametrize(
    ("speaker", "named"),
    [
        ("Ana", True),
        ("ANA", True),
        ("Ana Lopez", True),
        ("Maria Lopez", False),
        ("Smith", True),
        ("Dr. Smith", True),
        ("An", False),
        ("Jo", True),
        ("Anan", False),
        ("José", True),
        ("I", False),
        ("a", False),
        ("", False),
        ("  ", False),
        ("a(b", False),
        (".*", False),
        ("\\d", False),
    ],
)
def test_names_in_a_question(speaker: str, named: bool) -> None:
    question = Question("What did Ana, José's and Jo's friend, tell Dr. Smith in 2019? I see.")
    assert question.names(speaker) is named


def test_a_name_that_ends_in_a_full_stop() -> None:
    assert Question("What did J.R. order?").names("J.R.")


@pytest.mark.parametrize(
    "text",
    ["you " * 250_000, "can you " * 125_000, "when " * 200_000, " " * 1_000_000, "2019 " * 200_000],
    ids=lambda text: text[:8],
)
def test_a_hostile_question_of_a_megabyte(text: str) -> None:
    assert isinstance(read_question(text, NOW), Question)


def test_a_pasted_page_is_not_read_to_its_end() -> None:
    assert read_question("x" * 5_000 + " what did you do in 2019?", NOW).of_role is None


@given(st.text(), st.text(), st.integers())
def test_any_text_can_be_read(text: str, speaker: str, now: int) -> None:
    question = read_question(text, now)
    assert question.text == text
    named: Any = question.names(speaker)
    assert named in (True, False)
    assert not question.asks_now or question.of_role == "user"
