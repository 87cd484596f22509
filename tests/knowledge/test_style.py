"""Statistics of how somebody writes: languages, politeness, hours."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bruno_memory_vec.knowledge.users import languages
from bruno_memory_vec.knowledge.users.language_names import NAMES
from bruno_memory_vec.knowledge.users.languages import by_script, detector
from bruno_memory_vec.knowledge.users.style import Said, Style, busiest, is_polite, style_of
from tests.amounts import amount

SENTENCES = {
    "en": "I moved to the new flat last week and I still need a table.",
    "de": "Ich hätte gern einen Termin beim Arzt, am liebsten nachmittags.",
    "fr": "Je voudrais réserver une table pour quatre personnes demain soir.",
    "es": "¿Puedes decirme cómo llegar a la estación desde mi casa?",
    "it": "Domani devo portare la macchina dal meccanico prima delle nove.",
    "pt": "Você sabe onde posso comprar pão sem glúten perto daqui?",
    "nl": "Ik wil graag weten hoe laat de trein naar Utrecht vertrekt.",
    "pl": "Czy możesz mi przypomnieć o spotkaniu w przyszły wtorek?",
    "sv": "Jag behöver hjälp med att skriva ett brev till min hyresvärd.",
    "ru": "Напомни мне, пожалуйста, купить билеты на поезд в пятницу.",
    "ja": "明日の会議は何時からですか。",
    "ko": "내일 아침에 알람을 맞춰 주세요.",
    "zh": "请帮我查一下明天的天气怎么样。",
    "el": "Πού μπορώ να βρω ένα καλό εστιατόριο;",
    "he": "אני צריך לקנות חלב ולחם מחר בבוקר.",
    "th": "พรุ่งนี้ฝนจะตกไหม",
    "ar": "أريد أن أتعلم الطبخ الإيطالي في المنزل.",
    "tr": "Yarın sabah için bir taksi ayarlamam gerekiyor.",
}


def test_languages_are_told_of_whole_sentences() -> None:
    pytest.importorskip("py3langid")
    detect, name = detector()
    assert name == "py3langid"
    assert {language: detect(text) for language, text in SENTENCES.items()} == {
        language: language for language in SENTENCES
    }


def test_a_part_of_a_sentence_is_told_right_or_not_at_all() -> None:
    detect, _ = detector()
    told: Counter[bool] = Counter()
    for language, sentence in SENTENCES.items():
        words = sentence.split()
        for start in range(len(words)):
            for end in range(start + 2, len(words) + 1):
                found = detect(" ".join(words[start:end]))
                assert found in (language, None), words[start:end]
                told[found is not None] += 1
    assert told[True] > 0.7 * told.total()


def test_no_message_of_english_chats_is_taken_for_another_language(eval_data: Path) -> None:
    detect, _ = detector()
    chats = json.loads((eval_data / "locomo" / "locomo10.json").read_text(encoding="utf-8"))
    sessions = [turns for chat in chats for turns in chat["conversation"].values()]
    texts = [turn["text"] for turns in sessions if isinstance(turns, list) for turn in turns]
    told = Counter(map(detect, texts[:: amount(6, 1)]))
    assert set(told) <= {"en", None}
    assert told["en"] > 0.98 * told.total()


def test_nothing_is_guessed_of_what_is_too_short_or_no_language() -> None:
    detect, _ = detector()
    for text in (
        "ok",
        "haha",
        "42",
        "",
        "👍",
        "https://example.org/der/die/das",
        "```\nx = 1\n```",
    ):
        assert detect(text) is None


def test_without_the_detector_scripts_tell_what_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages, "_identifier", lambda: None)
    detect, name = detector()
    assert name == "script"
    told = {language: detect(text) for language, text in SENTENCES.items()}
    known = {"ja", "ko", "zh", "el", "he", "th"}
    assert told == {language: language if language in known else None for language in SENTENCES}


def test_a_foreign_name_does_not_make_a_text_foreign() -> None:
    assert by_script("My colleague 田中 will join us for the meeting") is None
    assert by_script("東京タワーに行きたい") == "ja"


@pytest.mark.parametrize(
    "text",
    ["Could you send it?", "PLEASE stop", "Danke!", "merci beaucoup", "¿Podrías ayudarme?",
     "お願いします", "пожалуйста", "s’il vous plaît", "謝謝", "teşekkürler"],
)  # fmt: skip
def test_polite(text: str) -> None:
    assert is_polite(text)


@pytest.mark.parametrize(
    "text", ["pleased to meet you", "attack the problem", "send it now", "", "pardonnable", "stop"]
)
def test_not_polite(text: str) -> None:
    assert not is_polite(text)


def test_what_was_counted_comes_back() -> None:
    messages = [
        Said("Could you please help me with my tax form? 🙏", 9, 0, 3_600_000_000, asks=True),
        Said("ok", 1, 3_600_000_000),
        Said("what next?", 2, 7_200_000_000, asks=True),
    ]
    style = style_of(messages, lambda text: "en" if len(text) > 20 else None, "mine")
    assert style is not None
    assert (style.messages, style.words, style.longest, style.local) == (3, 2.0, 9, 1)
    assert (style.hours[1], style.hours[2], style.weekdays[3]) == (2, 1, 3)
    assert style.languages == {"en": 1}
    assert style.language == "en"
    assert [round(share, 2) for share in (style.polite, style.questions, style.emoji)] == [
        0.33,
        0.67,
        0.33,
    ]
    assert Style.from_dict(style.to_dict()) == style
    assert style_of([], lambda text: None, "mine") is None


def test_the_busiest_hours_go_around_midnight() -> None:
    hours = [0] * 24
    hours[23], hours[0], hours[12] = 5, 4, 1
    assert busiest(hours) == (23, 1)
    assert busiest([1] * 24) is None
    assert busiest([0] * 24) is None


def test_it_is_told_in_plain_words() -> None:
    at = 1_767_229_200_000_000  # one o'clock in the night
    told = [Said("Could you help?", 3, at, offset=0, asks=True) for _ in range(20)]
    style = style_of(told, lambda text: "en", "mine")
    assert str(style) == (
        "writes short messages (half of 20 have at most 3 words), mostly in English, politely, "
        "mostly to ask, mostly around 1 am"
    )
    assert style is not None
    late = replace(style, hours=tuple(10 if hour in (22, 23) else 0 for hour in range(24)))
    assert str(late).endswith("mostly between 10 pm and midnight")


def test_every_language_that_is_told_apart_has_a_name() -> None:
    pytest.importorskip("py3langid")
    known = languages._identifier()
    # "zxx" is no language.
    assert {*known.nb_classes, *languages._SCRIPTS, "zh"} - {"zxx"} <= set(NAMES)
