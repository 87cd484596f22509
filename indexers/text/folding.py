"""Folding: the forms in which one word is written become one text.

Compatibility forms (ligatures, full width) become plain, as of Unicode's NFKC. Then what people
write in one text and leave out in the next is dropped:

- Marks of Latin, Greek, Cyrillic, Arabic, Hebrew and Syriac: accents, tonos and breathings, stress
  and the dots of ё, harakat and the hamza or madda of an alef, niqqud and cantillation.
- Characters that nobody sees: soft hyphen, zero-width space, joiner and non-joiner, marks of
  direction, variation selectors, tags. What stands on both sides of one is one word. Also the
  tatweel, which only makes an Arabic word longer.

Marks that make another word of a word stay: vowel signs, viramas and nuktas of India's scripts,
vowels and tones of Thai, Lao and other scripts of Asia, voicing of kana, the parts of Hangul. So do
the marks of й, ў, ї, ѓ and ќ, which are letters of their own and which stemmers expect, and the
hamza of waw and yeh.

A final sigma is a sigma. A letter that is written as an apostrophe is one.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Code points, first and last. Unicode 15, "Scripts" and "DerivedCoreProperties".
_UNSEEN = (
    (0x00AD, 0x00AD),  # soft hyphen
    (0x0600, 0x0605), (0x06DD, 0x06DD), (0x0890, 0x0891), (0x08E2, 0x08E2),  # signs around numbers
    (0x061C, 0x061C),
    (0x070F, 0x070F),
    (0x115F, 0x1160), (0x3164, 0x3164), (0xFFA0, 0xFFA0),  # fillers of Hangul
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFF0, 0xFFFB),
    (0x110BD, 0x110BD), (0x110CD, 0x110CD),
    (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)  # fmt: skip
_TATWEEL = ((0x0640, 0x0640), (0x07FA, 0x07FA))
_MARKS = (
    # For Latin and Greek. Without U+034F, which `_bounded` puts in, and those of `_SOME_STAY`.
    (0x0300, 0x0300), (0x0302, 0x0305), (0x0307, 0x0307), (0x0309, 0x034E), (0x0350, 0x036F),
    (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20F0), (0xFE20, 0xFE2F),
    (0x0483, 0x0489), (0x2DE0, 0x2DFF), (0xA66F, 0xA672), (0xA674, 0xA67D), (0xA69E, 0xA69F),
    (0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2), (0x05C4, 0x05C5), (0x05C7, 0x05C7),
    (0xFB1E, 0xFB1E),
    (0x0610, 0x061A), (0x064B, 0x0652), (0x0656, 0x065F), (0x0670, 0x0670),
    (0x06D6, 0x06DC), (0x06DF, 0x06E4), (0x06E7, 0x06E8), (0x06EA, 0x06ED),
    (0x0898, 0x089F), (0x08CA, 0x08E1), (0x08E3, 0x08FF), (0x10EFD, 0x10EFF),
    (0x0711, 0x0711), (0x0730, 0x074A),
    # Accents of the Vedas.
    (0x0951, 0x0954), (0x1CD0, 0x1CD2), (0x1CD4, 0x1CE0), (0x1CE2, 0x1CE8), (0x1CED, 0x1CED),
    (0x1CF4, 0x1CF4), (0x1CF8, 0x1CF9),
)  # fmt: skip
# Marks that are dropped after any letter but these. Each stands next to its letter by then.
_SOME_STAY = (
    ("\u0301", "\u0413\u0433\u041a\u043a"),  # Ѓ, Ќ
    ("\u0306", "\u0418\u0438\u0423\u0443"),  # Й, Ў
    ("\u0308", "\u0406\u0456"),  # Ї
    ("\u0653\u0654\u0655", "\u0648\u0649\u064a\u06cc"),  # hamza on waw and yeh
)
# A final sigma; and letters to Unicode that stand for apostrophes, at which words are cut.
_LETTERS = (("ς", "σ"), *((letter, "'") for letter in "\u02b9\u02bb\u02bc\u02bd\ua78c"))
# How many marks of one letter are put in order: no language needs as many.
_MOST_MARKS = 30
_JOINER = "\u034f"


def folded(text: str) -> str:
    """The text in its plain form. It may hold no lone surrogate; the time is linear."""
    if text.isascii():
        return text
    plain = _bounded(_without(text.replace(_JOINER, "")))
    plain = unicodedata.normalize("NFC", _without(unicodedata.normalize("NFKD", plain)))
    for letter, folded_to in _LETTERS:  # faster than str.translate()
        plain = plain.replace(letter, folded_to)
    return plain


def _without(text: str) -> str:
    """The text, decomposed or not, without what is dropped."""
    text = _dropped().sub("", text)
    for marks, pattern in _dropped_elsewhere():
        if any(mark in text for mark in marks):
            text = pattern.sub("", text)
    return text


def _bounded(text: str) -> str:
    """The text with a joiner after every thirtieth mark on a letter.

    Python sorts the marks on a letter by insertion, so a letter with 100,000 marks would hold the
    interpreter lock for half a minute. The joiner is that of UAX #15, "Stream-Safe Text Format".
    """
    last = 0x1EFFF if _RARE.search(text) else 0xFFFF
    return _many_marks(last).sub(f"\\g<0>{_JOINER}", text)


# Few texts have a letter of a rarer plane (emoji come after them). A search for marks among those
# takes five times as long.
_RARE = re.compile("[\U00010000-\U0001efff]")


@lru_cache(maxsize=1)
def _dropped() -> re.Pattern[str]:
    """Matches what is dropped after any letter."""
    ranges = (*_UNSEEN, *_TATWEEL, *_MARKS)
    return re.compile(f"[{''.join(f'{chr(first)}-{chr(last)}' for first, last in ranges)}]+")


@lru_cache(maxsize=1)
def _dropped_elsewhere() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Marks that stay on some letters, and what matches them after others."""
    return tuple(
        (marks, re.compile(f"(?<![{letters}])[{marks}]+")) for marks, letters in _SOME_STAY
    )


@lru_cache(maxsize=2)
def _many_marks(last: int) -> re.Pattern[str]:
    """Matches thirty marks before another one; marks are characters that NFKD may reorder.

    Args:
        last: the last character that the text may hold.
    """
    marks = []
    for code in range(0x300, last + 1):
        character = chr(code)
        if unicodedata.combining(character) or (
            unicodedata.decomposition(character)
            and unicodedata.combining(unicodedata.normalize("NFKD", character)[0])
        ):
            marks.append(character)
    one = f"[{''.join(marks)}]"
    # A search for one character, and then for more, is five times as fast as one for thirty.
    return re.compile(f"{one}{one}{{{_MOST_MARKS - 1}}}(?={one})")
