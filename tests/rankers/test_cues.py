from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers import Cues, cues, read_cues
from bruno_memory_vec.rankers.cues import MAX_CHARS


@pytest.mark.parametrize(
    ("text", "speaker"),
    [
        ("Ana: I moved to Porto", "Ana"),
        ("  Ana: hi", "Ana"),
        ("\nAna:\nhi", "Ana"),
        ("Ana Maria Lopez: hi", "Ana Maria Lopez"),
        ("Ana Maria de Souza: hi", None),
        ("Dr. Smith: no", "Dr. Smith"),
        ("O'Brien: yes", "O'Brien"),
        ("Jean-Luc: oui", "Jean-Luc"),
        ("J.R.: yes", "J.R."),
        ("User_1: hi", "User_1"),
        ("Él: hola", "Él"),
        ("José Núñez: hola", "José Núñez"),
        ("Zoë Öz: hei", "Zoë Öz"),
        ("小明: 你好", "小明"),
        ("أحمد: مرحبا", "أحمد"),
        ("Ana: Bo: hi", "Ana"),
        ("Ana: ", "Ana"),
        ("Ana:", None),
        ("Ana:hi", None),
        ("Ana : hi", None),
        ("Ana went home: late", None),
        ("Here is what I need: milk", None),
        ("https://example.org/a?b=1", None),
        ("12:30: lunch", None),
        ("_x: y", None),
        (": hi", None),
        ("A" * 30 + ": hi", "A" * 30),
        ("A" * 31 + ": hi", None),
        ("", None),
        (" \n\t", None),
    ],
)
def test_who_speaks(text: str, speaker: str | None) -> None:
    assert read_cues(text).speaker == speaker


@pytest.mark.parametrize(
    "text",
    ["note: buy milk", "url: https://a.b", "else:\n    return 1", "Note: buy milk", "TODO: x"],
)
def test_a_heading_is_no_speaker(text: str) -> None:
    assert read_cues(text).speaker is None


def test_a_postscript_is_no_speaker() -> None:
    assert read_cues("P.S.: buy milk").speaker is None


@pytest.mark.parametrize(
    ("text", "share", "ends"),
    [
        ("Where did you stay?", 1, True),
        ("Hello?", 1, True),
        ("I see.", 0, False),
        ("I see. Where did you stay?", Fraction(4, 6), True),
        ("Where did you stay? I see.", Fraction(4, 6), False),
        ("Hi! How are you? Fine, thanks.", Fraction(3, 6), False),
        ("Ana: Where did you stay?", 1, True),
        ("Ana: ?", 1, True),
        ("Where?\nHere.", Fraction(1, 2), False),
        ("Here\nWhere?", Fraction(1, 2), True),
        ("Well … where?", Fraction(1, 3), True),
        ("What??", 1, True),
        ("What?? Really?? Yes.", Fraction(2, 3), False),
        ('He asked "where?"', 1, True),
        ("(Is it so?)", 1, True),
        ("*Is it so?*", 1, True),
        ("Is it so? (just asking)", Fraction(3, 5), False),
        ("It costs 3.5 a day?", 1, True),
        ("ですか？", 1, True),
        ("你好吗？我很好。", Fraction(1, 2), False),
        ("你好吗？我很好", Fraction(1, 2), False),
        ("هل أنت بخير؟", 1, True),
        ("بخير. هل أنت بخير؟", Fraction(3, 4), True),
        ("¿Qué tal?", 1, True),
        ("see https://example.org/?q=1 there", 0, False),
        ("see https://example.org/?q=1 there?", 1, True),
        # "1." ends a sentence too, so the number is no part of the question.
        ("1. Where?\n2. When?\n3. Here.", Fraction(2, 6), False),
        ("x[i] if a?.b", 0, False),
        ("?", 1, True),
        ("???", 1, True),
        ("", 0, False),
        ("  \n ", 0, False),
        ("😊", 0, False),
        ("😊 where?", 1, True),
    ],
)
def test_how_much_asks(text: str, share: Fraction | int, ends: bool) -> None:
    got = read_cues(text)
    assert got.question_share == pytest.approx(float(share))
    assert got.ends_with_question is ends


@pytest.mark.parametrize(
    ("text", "share", "ends"),
    [
        ("Is it so? [image: a cat]", 1, True),
        ("Is it so? [image: a cat] [a dog.]", 1, True),
        ("Look! [image: a cat?]", 0, False),
        ("Is it so? Yes. [image: a cat?]", 0.75, False),
        ("[image: is it so?]", 0, False),
        ("It is so?]", 0, False),
        ("Is it so? [" + "x" * 500 + "]", 0.75, False),
    ],
)
def test_captions_do_not_count(text: str, share: float, ends: bool) -> None:
    got = read_cues(text)
    assert got.question_share == pytest.approx(share)
    assert got.ends_with_question is ends


@pytest.mark.parametrize(
    "text",
    ["Where did you stay? 😊", "You did what?!", "«Où ?»", "「ですか？」", "Where?\xa0", "`What?`"],
)
def test_what_stands_behind_a_question(text: str) -> None:
    assert read_cues(text).ends_with_question


@pytest.mark.parametrize(
    "text",
    [
        "I came yesterday",
        "It was LAST WEEK.",
        "on Monday",
        "in July",
        "3 Mar",
        "Sept. 3rd",
        "in 2019",
        "2023-07-03",
        "3/7/2023",
        "at 10:30",
        "at 10:30pm",
        "at 10 a.m.",
        "at 7pm",
        "à 14h30",
        "two days ago",
        "It was in May.",
        "since may",
        "may 2023",
        "May 5",
        "on 5 May",
        "5th may",
        "this morning",
        "Ana: tomorrow",
    ],
)
def test_a_time_is_named(text: str) -> None:
    assert read_cues(text).names_time


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I may come",
        "May I?",
        "maybe 20",
        "it is 12345",
        "room 2100",
        "3.5 km",
        "10 apples",
        "the mayor",
        "mon amour",
        "decor",
        "todays",
        "你好",
        "2:1",
    ],
)
def test_no_time_is_named(text: str) -> None:
    assert not read_cues(text).names_time


def test_the_speaker_does_not_name_a_time() -> None:
    assert not read_cues("April: hi").names_time
    assert not read_cues("April May: hi").names_time


@pytest.mark.parametrize("text", ["on May 5th", "the 5th of May", "during May", "by May"])
def test_a_day_of_may(text: str) -> None:
    assert read_cues(text).names_time


@pytest.mark.parametrize("text", ["le marché est là", "this may be wrong"])
def test_what_only_looks_like_a_month(text: str) -> None:
    assert not read_cues(text).names_time


@pytest.mark.parametrize(
    "text",
    [
        "I moved to Porto",
        "We no longer eat meat.",
        "I don't work there ANYMORE",
        "I used to run",
        "it ended up red",
        "It turns out well",
        "the rent went up",
        "as of today",
        "I switched to tea",
        "They cancelled it",
        "Ana: now I like it",
        "this week it is you",
    ],
)
def test_a_change_is_told(text: str) -> None:
    assert read_cues(text).tells_change


@pytest.mark.parametrize(
    "text", ["", "I live in Porto", "I know it", "the snow", "renewed", "你好", "used tools", "up"]
)
def test_no_change_is_told(text: str) -> None:
    assert not read_cues(text).tells_change


_PHRASES = st.sampled_from(
    """new york shoes no longer any more used to these days from here now on as of end ends ended up
    turn turns turned out after all went down back at last done with over going this week month
    today yesterday news noon toy Änew new_ 3new the""".split()
)


@given(st.lists(st.tuples(_PHRASES, st.sampled_from([" ", "  ", ", ", "-", "\n"])), max_size=7))
def test_no_phrase_is_overlooked(pairs: list[tuple[str, str]]) -> None:
    """It is looked for in texts alone that hold what one of the phrases begins with."""
    text = "".join(word + gap for word, gap in pairs)
    words = set(cues._WORD.findall(text.lower()))
    told = bool(words & cues._CHANGE_WORDS) or cues._CHANGE.search(text.lower()) is not None
    assert read_cues(text).tells_change == told


def test_the_speaker_does_not_tell_a_change() -> None:
    assert not read_cues("New: hi").tells_change


@pytest.mark.parametrize("text", ["we end up red", "it ends up red"])
def test_ending_up_is_a_change(text: str) -> None:
    assert read_cues(text).tells_change


def test_new_york_is_no_change() -> None:
    assert not read_cues("I live in New York").tells_change


def test_of_a_long_text_both_ends_are_read() -> None:
    filler = "x " * MAX_CHARS
    got = read_cues(f"Ana: in July {filler} is it?")
    assert got.speaker == "Ana"
    assert got.ends_with_question
    assert 0 < got.question_share < 1
    assert got.names_time
    assert read_cues(f"{filler} in July").names_time
    assert not read_cues(f"{filler} in July {filler}").names_time
    near_the_end = " in July " + "x" * (MAX_CHARS // 2 - 20)
    assert read_cues(filler + near_the_end).names_time
    near_the_start = "x" * (MAX_CHARS // 2 - 20) + " in July "
    assert read_cues(near_the_start + filler).names_time


def test_a_text_of_the_limit_is_read_whole() -> None:
    middle = "x" * (MAX_CHARS // 2 - 2)
    assert read_cues(f"{middle} 7pm{middle}"[:MAX_CHARS]).names_time is False
    assert read_cues(f"{middle} 7pm {middle}"[:MAX_CHARS]).names_time


@pytest.mark.parametrize(
    "text",
    [
        " " * 1_000_000,
        "?" * 1_000_000,
        "? " * 500_000,
        "[]" * 500_000,
        "?" + "[]" * 500_000,
        "[" * 999_999 + "]",
        "A.'-" * 250_000 + ":",
        "A " * 500_000,
        "in may" * 166_666,
        "1 may1 " * 142_857,
        "\n" * 1_000_000,
        "😊" * 1_000_000,
        "\ud800" * 1_000_000,
        "\0" * 1_000_000,
        "İ" * 1_000_000,
    ],
    ids=lambda text: ascii(text[:6]),
)
def test_a_hostile_text_of_a_megabyte(text: str) -> None:
    assert isinstance(read_cues(text), Cues)


@given(st.text() | st.text(alphabet="?.!\n []()\"'Aa:may15 。？؟İ\ud800"))
def test_any_text_can_be_read(text: str) -> None:
    got = read_cues(text)
    assert 0 <= got.question_share <= 1
    assert got.speaker is None or text.lstrip().startswith(got.speaker)
    if not any(mark in text for mark in "?？؟"):
        assert got.question_share == 0
    if got.ends_with_question:
        assert got.question_share > 0


@given(st.text(), st.sampled_from("?？؟"))
def test_a_question_at_the_end_is_seen(text: str, mark: str) -> None:
    got = read_cues(f"{text} where{mark}")
    assert got.ends_with_question
    assert got.question_share > 0
