"""The language of a short message: by its script where that tells it, else by a detector.

The detector is py3langid (BSD licence, no download, 50 microseconds for a message). It is an
extra. Without it only the languages count that their script tells: Korean, Japanese, Greek and
their like. Nothing is guessed: of a message whose language is not clear, it is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final

#: Tells the ISO 639 code of a text's language; None where it is not clear.
Detector = Callable[[str], "str | None"]

# Fewer letters hold too little of a language that shares its script with others.
_LEAST_LETTERS = 12
# py3langid's probability from which its answer is taken: no wrong one among 5,882 messages of chats
# and 592 parts of sentences in 18 languages (tests/knowledge/test_style.py).
_LEAST_PROBABILITY = 0.5
# Of a longer message, the beginning says it.
_LONGEST = 1_000

#: Scripts that one language writes, by their ranges of characters.
_SCRIPTS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "ja": re.compile("[\u3041-\u30ff\uff66-\uff9d]"),
        "ko": re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]"),
        "el": re.compile("[\u0370-\u03ff\u1f00-\u1fff]"),
        "he": re.compile("[\u05d0-\u05ea]"),
        "th": re.compile("[\u0e01-\u0e5b]"),
        "ka": re.compile("[\u10a0-\u10ff]"),
        "hy": re.compile("[\u0531-\u058f]"),
        "ta": re.compile("[\u0b82-\u0bfa]"),
        "te": re.compile("[\u0c00-\u0c7f]"),
        "bn": re.compile("[\u0980-\u09fe]"),
        "gu": re.compile("[\u0a81-\u0aff]"),
        "pa": re.compile("[\u0a01-\u0a76]"),
        "km": re.compile("[\u1780-\u17dd]"),
        "lo": re.compile("[\u0e81-\u0edf]"),
        "my": re.compile("[\u1000-\u109f]"),
        "am": re.compile("[\u1200-\u139f]"),
    }
)
_LETTER = re.compile(r"[^\W\d_]")
# What is said in no language, or in another one than the rest: links, code, names of files.
_ASIDE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|www\.\S+|\S+@\S+", re.DOTALL)
# Characters of Chinese that Japanese and Korean texts have, too: theirs are told by their own.
_HAN = re.compile("[\u4e00-\u9fff]")


def by_script(text: str) -> str | None:
    """The language that a text's letters tell by themselves; None for scripts of many languages.

    A text counts as of a script when a third of its letters are; Chinese when more than half are,
    and none of them are kana.
    """
    text = _ASIDE.sub(" ", text[:_LONGEST])
    letters = len(_LETTER.findall(text))
    if not letters or text.isascii():
        return None
    for language, script in _SCRIPTS.items():
        # Kana are a part of a Japanese text; a fifth of its letters is enough.
        least = letters / 5 if language == "ja" else letters / 3
        if len(script.findall(text)) >= least:
            return language
    return "zh" if len(_HAN.findall(text)) > letters / 2 else None


def detector() -> tuple[Detector, str]:
    """What tells languages here, and its name: "py3langid" where that is installed, or "script"."""
    identifier = _identifier()
    if identifier is None:
        return by_script, "script"

    def detect(text: str) -> str | None:
        told = by_script(text)
        if told is not None:
            return told
        text = " ".join(_ASIDE.sub(" ", text[:_LONGEST]).split())
        if len(_LETTER.findall(text)) < _LEAST_LETTERS:
            return None
        language, probability = identifier.classify(text)
        return str(language) if probability >= _LEAST_PROBABILITY else None

    return detect, "py3langid"


@cache
def _identifier() -> Any:
    """py3langid with probabilities; None where it is not installed. Reading it takes a second."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        return None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
