"""What the anonymiser finds in texts, and what it makes of it."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from benchmarks.anonymise.__main__ import measure
from benchmarks.anonymise.labelled import read
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError
from bruno_memory_vec.privacy.anonymise.anonymiser import Anonymiser
from bruno_memory_vec.privacy.anonymise.dates import dates
from bruno_memory_vec.privacy.anonymise.invented import Pseudonyms
from bruno_memory_vec.privacy.anonymise.numbers import iban, luhn

SECRET = b"s" * 32
WRITTEN = datetime(2024, 6, 1, tzinfo=timezone.utc)


def found(text: str, **asked: Any) -> list[tuple[str, str]]:
    return [
        (one.kind, text[one.start : one.end])
        for one in Anonymiser(SECRET, **asked).find(text, WRITTEN)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Hi there, what is the capital of Mongolia?",
        "I'm Vegan and I'm Happy with it.",
        "Dear Sir or Madam, thank you.",
        "Bind it to 127.0.0.1, upgrade from version 1.2.3.4.",
        "It costs 1,299.00, see page 210-215.",
        "The number 4111 1111 1111 1112 has a wrong check digit.",
        "Read https://docs.python.org/3/library/re.html first.",
        "@property\ndef size(self): return 3",
        "Will the grant cover a frank discussion of art in Paris?",
        "Die Katze schläft auf dem Sofa im Wohnzimmer.",
    ],
)
def test_what_tells_of_nobody_stays(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize("half", ["development", "held-out"])
def test_most_labels_are_found_and_little_else(half: str) -> None:
    figures = measure(read(half), together=True).figures()["all"]
    assert figures["recall"] >= 0.85
    assert figures["precision"] >= 0.9


def test_check_digits_decide() -> None:
    assert luhn("4111111111111111")
    assert not luhn("4111111111111112")
    assert iban("DE89370400440532013000")
    assert not iban("DE00370400440532013000")


def test_a_name_keeps_its_case_and_its_ending() -> None:
    one = Anonymiser(SECRET, names=["Oksana"])
    plain = one.text("Oksana")
    assert plain != "Oksana"
    assert one.text("OKSANA oksana Oksana's Oksanas") == (
        f"{plain.upper()} {plain.lower()} {plain}'s {plain}s"
    )
    assert one.text("roksana") == "roksana"


def test_parts_of_a_name_are_parts_of_the_invented_one() -> None:
    one = Anonymiser(SECRET, names=["Ana van den Berg"])
    whole = one.text("Ana van den Berg")
    assert whole == f"{one.text('Ana')} van den {one.text('Berg')}"


def test_a_word_that_is_a_name_needs_a_capital() -> None:
    one = Anonymiser(SECRET, names=["Will"])
    assert one.text("will you come, Will?").startswith("will you come, ")
    assert not one.text("will you come, Will?").endswith("Will?")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("on 2024-05-03", "on %Y-%m-%d"),
        ("on 03.05.2024", "on %d.%m.%Y"),
        ("on 05/03/2024", "on %m/%d/%Y"),
        ("on 20240503", "on %Y%m%d"),
        ("on May 3, 2024", "on %B %-d, %Y"),
        ("am 3. Mai 2024", None),
        ("el 3 de mayo de 2024", None),
        ("2024年5月3日", "%Y年%-m月%-d日"),
        ("2024-05-03T10:00:00Z", "%Y-%m-%dT10:00:00Z"),
    ],
)
def test_a_date_stays_in_its_form_and_on_its_weekday(text: str, form: str | None) -> None:
    one = Anonymiser(SECRET)
    moved = date(2024, 5, 3) - timedelta(days=Pseudonyms(SECRET).weeks("ana"))
    said = one.text(text, "ana")
    if form is not None:
        assert said == moved.strftime(form)
    again, *_ = dates(said, None, day_first=False)
    assert again.day == moved
    assert moved.weekday() == date(2024, 5, 3).weekday()


def test_a_date_without_a_year_is_that_of_when_it_was_written() -> None:
    said = Anonymiser(SECRET).text("on May 3rd", "ana", WRITTEN)
    moved = date(2024, 5, 3) - timedelta(days=Pseudonyms(SECRET).weeks("ana"))
    assert said.startswith(f"on {moved:%B} {moved.day}")


def test_users_have_different_numbers_of_weeks() -> None:
    weeks = {Pseudonyms(SECRET).weeks(f"user{n}") for n in range(40)}
    assert len(weeks) > 20
    assert all(26 * 7 <= one <= 260 * 7 and one % 7 == 0 for one in weeks)


def test_many_people_never_share_an_invented_name() -> None:
    one = Pseudonyms(SECRET)
    assert len({one.of("person", f"name{n}") for n in range(5_000)}) == 5_000


def test_a_real_name_is_never_invented() -> None:
    invented = Pseudonyms(SECRET).of("person", "ana")
    assert Pseudonyms(SECRET, {invented.lower()}).of("person", "ana") != invented


def test_a_second_pass_with_the_mapping_of_the_first_is_not_possible(tmp_path: Path) -> None:
    one = Anonymiser(SECRET)
    one.text("Hi, I'm Oksana")
    one.write_mapping(tmp_path / "mapping.json")
    assert json.loads((tmp_path / "mapping.json").read_text())["person"]["oksana"]
    assert "oksana" not in json.dumps(one.report.to_dict()).lower()
    with pytest.raises(InvalidInputError, match="cannot be made"):
        one.write_mapping(tmp_path / "mapping.json")


def test_words_that_are_mostly_written_small_are_no_names() -> None:
    one = Anonymiser(SECRET)
    told = "Emma Product Review"
    for text in (told, told, *["the product needs a review"] * 4):
        one.learn_text(text)
    assert one.text("Product Review of the product").startswith("Product Review")
    assert not one.text("Emma came").startswith("Emma")


def test_a_name_that_somebody_has_given_is_one_however_often_it_is_a_word() -> None:
    one = Anonymiser(SECRET, names=["Rose Harbour"])
    for text in ["a rose by the harbour"] * 5:
        one.learn_text(text)
    said = one.text("Rose Harbour smelled a rose")
    assert "Rose" not in said
    assert "Harbour" not in said
    assert said.endswith("smelled a rose")


def test_a_surname_alone_is_known_from_where_it_stood_behind_a_name() -> None:
    one = Anonymiser(SECRET)
    for text in ("I met Emma Kowalczyk.", "Emma Kowalczyk called.", "Kowalczyk again!"):
        one.learn_text(text)
    assert "Kowalczyk" not in one.text("Ask Kowalczyk. Where is Kowalczyk?")


def test_places_that_are_named_after_people_stay() -> None:
    for text in ("We flew to San Francisco.", "The Thomas Bridge is closed", "at Elena Hospital"):
        assert Anonymiser(SECRET).text(text) == text


def test_headings_of_a_list_are_no_speakers() -> None:
    text = "Ingredients: flour\nSteps: mix\nNotes: none"
    assert Anonymiser(SECRET).text(text) == text
    talk = "Xanthe: hi\nZorblat: hello\nXanthe: bye\nZorblat: bye"
    assert "Xanthe" not in Anonymiser(SECRET).text(talk)


def test_chinese_names_before_titles_and_beside_other_scripts() -> None:
    one = Anonymiser(SECRET)
    said = one.text("尊敬的冯先生，请联系Emma是我的同事。今天方便吗？")
    assert "冯" not in said
    assert "Emma" not in said
    assert said.startswith("尊敬的")
    assert "今天方便吗" in said


def test_kinds_can_be_kept() -> None:
    text = "Mail a@example.com from 203.0.113.7"
    assert [kind for kind, _ in found(text, keep=["email"])] == ["ip"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"secret": b"short"}, "secret"),
        ({"names": "Ana"}, "names"),
        ({"keep": ["pet"]}, "keep"),
        ({"region": "Germany"}, "region"),
    ],
)
def test_a_setting_that_is_not_usable_is_named(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        Anonymiser(**asked)
    assert refused.value.field == field


def test_presidio_without_its_package_or_model_says_what_to_install() -> None:
    with pytest.raises((MissingDependencyError, InvalidInputError)) as refused:
        Anonymiser(presidio_model="no_such_model")
    assert "presidio" in str(refused.value)
    assert "nstall" in str(refused.value)


def test_no_pattern_takes_long_on_a_hostile_text() -> None:
    for text in (
        "a" * 20_000,
        "1 " * 10_000,
        "A b " * 5_000,
        "@" * 9_000,
        "a.b" * 6_000 + "@",
        "ul. " * 4_000,
        "+1-" * 5_000,
    ):
        Anonymiser(SECRET).text(text)  # the time limit of each test is the bound


def test_dates_with_a_year_of_two_digits() -> None:
    text = "born 12.5.84, on 3/4/24, am 03.04.24, with 3.10.12, v1.2.99, 10.0.0.84 and 99.99.24"
    changed = Anonymiser(SECRET, keep=["ip"]).text(text)
    for gone in ("12.5.84", "3/4/24", "03.04.24"):
        assert gone not in changed
    for kept in ("3.10.12", "v1.2.99", "10.0.0.84", "99.99.24"):
        assert kept in changed


def test_a_number_is_known_in_every_spelling_once_it_was_found() -> None:
    """It is no phone number by its form, but by where else it stands."""
    texts = (
        "Reach me on +351 912 345 678.",
        "(0351)912345678, or 912-345-678",
        "00351.912.345.678",
        "My order 912345679 came, 345678 of them; see 2912345678.",
    )
    anonymiser = Anonymiser(SECRET)
    for text in texts:
        anonymiser.learn_text(text)
    said = [anonymiser.text(text) for text in texts]
    (placeholder,) = set(re.findall(r"\[PHONE-\w+\]", said[0]))
    assert said[:3] == [
        f"Reach me on {placeholder}.",
        f"{placeholder}, or {placeholder}",
        placeholder,
    ]
    assert placeholder not in said[3]
