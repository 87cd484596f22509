"""Words as people write them: with and without marks, and with characters that nobody sees."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import pytest
from bruno_core.models.message import Message, MessageRole
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec import open_memory
from bruno_memory_vec.indexers.text.analysis import LANGUAGES, analyser
from bruno_memory_vec.indexers.text.folding import _dropped, folded

PLAIN = analyser(None)

#: As it is stored, and as it is asked for.
SAME = [
    # Turkish
    ("İstanbul", "istanbul"),
    ("I\u0307stanbul", "istanbul"),
    ("İSTANBUL", "İstanbul"),
    ("ISPARTA", "ısparta"),
    ("DİŞÇİ", "dişçi"),
    # Arabic: harakat, tatweel, alef with a hamza or a madda, forms for printing
    ("كِتَابٌ", "كتاب"),
    ("كـــتاب", "كتاب"),
    ("أحمد", "احمد"),
    ("إسلام", "اسلام"),
    ("آمال", "امال"),
    ("هٰذَا", "هذا"),
    ("ﻛﺘﺎﺏ", "كتاب"),
    ("ﷺ", "صلى الله عليه وسلم"),
    ("و\u064e\u0654", "ؤ"),
    ("مُحَمَّدٌ", "محمد"),
    # Persian, with a non-joiner
    ("می\u200cخواهم", "میخواهم"),
    # Hebrew
    ("שָׁלוֹם", "שלום"),
    ("שׁלום", "שלום"),
    ("בְּרֵאשִׁית", "בראשית"),
    ("בְּרֵאשִׁ֖ית", "בראשית"),
    # Greek
    ("Καλημέρα", "ΚΑΛΗΜΕΡΑ"),
    ("Καλημέρα", "καλημερα"),
    ("σοφός", "ΣΟΦΟΣ"),
    ("ΣΟΦΌΣ", "σοφος"),
    ("ἄνθρωπος", "ανθρωπος"),
    ("τῷ", "τω"),
    ("προϊόν", "ΠΡΟΪΟΝ"),
    # Cyrillic
    ("ёлка", "елка"),
    ("Е\u0308лка", "ЁЛКА"),
    ("за\u0301мок", "замок"),
    ("мой", "МОИ\u0306"),
    ("пʼять", "п’ять"),
    # Latin
    ("Ångström naïve", "angstrom NAI\u0308VE"),
    ("x\u030cy", "xy"),
    ("việt", "viet"),
    ("Łódź", "lodz"),
    ("Straße", "STRASSE"),
    ("STRAẞE", "strasse"),
    ("ſaſs", "sass"),
    ("ŒUVRE", "oeuvre"),
    ("eﬃcient ﬁne", "efficient fine"),
    ("ＡＢＣ１２", "abc12"),
    ("𝒽ello", "hello"),
    ("x²", "x2"),
    ("don’t", "don't"),
    ("donʼt", "don't"),
    # What nobody sees
    *((f"pass{seen}word", "password") for seen in (
        "\u00ad", "\u200b", "\u200c", "\u200d", "\u200e", "\u2060", "\u2063", "\ufeff", "\u202e",
        "\u2066", "\u034f", "\ufe0f", "\u180e", "\u061c", "\U000e0041", "\U000e0100", "\u3164",
        "\u00ad\u200b\u0301\u2060",
    )),
    ("1\ufe0f\u20e3", "1"),
    # Other scripts, in their two forms
    ("か\u3099", "が"),
    ("ｶﾞ", "ガ"),
    ("\u1112\u1161\u11ab", "한"),
    ("क\u093c", "\u0958"),
    ("क्\u200dष", "क्ष"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "asked"), SAME)
def test_one_word(written: str, asked: str) -> None:
    for one, other in ((written, asked), (asked, written)):
        wanted = PLAIN.question(other, drop_stopwords=True)
        assert wanted
        assert set(wanted) <= set(PLAIN.terms(one))
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert PLAIN.terms(unicodedata.normalize(form, written)) == PLAIN.terms(written)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("мой", "мои"),
        ("їх", "іх"),
        ("ў", "у"),
        ("ќ", "к"),
        ("か", "が"),
        ("ハ", "パ"),
        ("हिन्दी", "हनद"),
        ("की", "क"),
        ("ไม่", "ไม"),
        ("வீடு", "வடு"),
        ("각", "가"),
        ("סוס", "סום"),
        ("ހި", "ހު"),
        ("بئر", "بير"),
    ],
)
def test_two_words(one: str, other: str) -> None:
    """Marks that make another word of a word stay."""
    assert PLAIN.terms(one) != PLAIN.terms(other)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("russian", ["красный", "красного", "красному"]),
        ("russian", ["ёлка", "елки", "ЁЛКУ"]),
        ("russian", ["йога", "йоги", "йогу"]),
        ("arabic", ["كتاب", "الكِتَابُ", "كتابي", "كـتاب"]),
        ("arabic", ["سؤال", "السؤال", "سُؤَالٌ"]),
        ("greek", ["άνθρωπος", "ΑΝΘΡΩΠΟΣ", "ανθρώπου"]),
        ("turkish", ["İstanbul", "istanbul'da", "İSTANBUL"]),
        ("german", ["Häuser", "HÄUSER", "Ha\u0308user"]),
        ("french", ["élève", "eleves", "ÉLÈVES"]),
    ],
)
def test_stemmers_know_the_plain_form(language: str, words: list[str]) -> None:
    assert len({analyser(language).terms(word)[0] for word in words}) == 1


def test_what_nobody_sees_makes_no_word() -> None:
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) == "Cf":
            assert folded(f"é{character}x") == "ex", hex(code)
    assert PLAIN.terms("\u200b \u00ad \ufe0f \u0301 \u064b") == []


def test_only_marks_and_unseen_characters_are_dropped() -> None:
    letters = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in ("Lu", "Ll", "Lt", "Nd", "Mc", "Zs", "Po")
    ]
    assert not _dropped().search("".join(letters))
    assert all(folded(letter) for letter in letters)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_folding_twice_changes_nothing(text: str) -> None:
    once = PLAIN.terms(text)
    assert PLAIN.terms(folded(text)) == once
    for form in ("NFC", "NFD"):
        assert PLAIN.terms(unicodedata.normalize(form, text)) == once


@pytest.mark.parametrize(
    "unit",
    [
        "\u0301\u0316",
        "\u0e38\u0e48",
        "\u064b\u0654",
        "\u05b0\u0591",
        "и\u0306\u0308",
        "\u00ad",
        "é",
    ],
)
def test_the_time_is_linear(unit: str) -> None:
    begun = time.monotonic()
    PLAIN.terms(f"a{unit * 100_000}")
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("where", ["folder", "memory"])
async def test_a_recall_finds_it(tmp_path: Path, where: str) -> None:
    """In both lexical engines, with a stemmer of another language."""
    url = str(tmp_path) if where == "folder" else "memory://"
    async with open_memory(url, embedder="hash", profile="lexical") as memory:
        said = [
            Message(role=MessageRole.USER, content=f"n{number} {written}")
            for number, (written, _) in enumerate(SAME)
        ]
        await memory.store_messages(said, "c", user_id="ana")
        for number, (_, asked) in enumerate(SAME):
            hits = await memory.recall(asked, user_id="ana", k=len(SAME))
            assert f"n{number}" in {hit.content.split()[0] for hit in hits}, asked


def test_every_language_folds() -> None:
    for language in sorted(LANGUAGES):
        assert analyser(language).terms("İ\u00adi") == analyser(language).terms("ii")
