"""What a text says, without how it is said: case, punctuation, greetings and thanks taken away.

Two texts with the same plain words say the same. It is narrow on purpose: a name, a number or a
"not" that differs makes another text.
"""

from __future__ import annotations

import re

#: Of longer texts only so much is read.
MAX_CHARS = 2_000

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
# A greeting, whom it greets, and a mark: "Hi Bruno, ...", "Good morning! ...", "你好，...".
_GREETING = re.compile(
    r"\s*(?:(?:hi|hey|hello|hiya|dear|good (?:morning|afternoon|evening|day)|hallo|hej|salut"
    r"|bonjour|hola|buenos d[ií]as|ol[áa]|bom dia|ciao|buongiorno|guten (?:morgen|tag|abend)"
    r"|привет|здравствуйте|добрый день|你好|您好|嗨|こんにちは|안녕하세요|안녕)"
    r"(?: [^\W\d_]+)?\s*[,.!:;，。！、…-]+"
    r"|(?:ok|okay|so|well|oh|ah|um|hm+|by the way|btw|quick question|sorry|excuse me|also|and"
    r"|please|pls|listen|look|right|anyway|again|同样|那|请问|对了)\s*[,.!:;，。！、…-]+"
    r"|(?:please|pls)\b\s*|请问)",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"[\s,.!?;，。！？、]*\b(?:please|pls|thanks(?: a lot| so much)?|thank you(?: so much)?|thx"
    r"|cheers|again|btw|by the way|bitte|danke|merci|gracias|obrigad[oa]|grazie|спасибо|谢谢)"
    r"[\s,.!?;)~，。！？、]*$",
    re.IGNORECASE,
)
# How :data:`_CLOSING` may end, but for marks: what ends otherwise is not compared with it, which is
# half of what it takes to read a text.
_SPACES = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_CLOSING_MARKS = ",.!?;)~，。！？、" + _SPACES
_CLOSING_ENDS = (
    "please", "pls", "thanks", "a lot", "so much", "thank you", "thx", "cheers", "again", "btw",
    "by the way", "bitte", "danke", "merci", "gracias", "obrigado", "obrigada", "grazie", "спасибо",
    "谢谢",
)  # fmt: skip
_MOST_GREETINGS = 3
_ASKING = frozenset(
    """
    what what's when when's where where's which who who's whom whose why how how's do does did is
    are was were am can could would should will has have had tell remind
    was wo wer wann wie warum welche welcher welches où quand qui comment quel quelle pourquoi
    qué dónde quién cuándo cómo cuál onde quem quando como qual dove chi perché
    что где кто когда как почему какой какая
    """.split()
)


def plain_words(text: str) -> tuple[str, ...]:
    """The words of a text, in order, in lower case, without greetings and thanks around them.

    Punctuation, white space and emoji are no words. In a script without spaces a word is all that
    stands between two marks. Of a text that is nothing but a greeting, its words. Of a longer text
    than :data:`MAX_CHARS` characters the beginning is read.
    """
    said = text = text[:MAX_CHARS].replace("’", "'")
    for _ in range(_MOST_GREETINGS):
        found = _GREETING.match(said)
        if found is None:
            break
        said = said[found.end() :]
    if said[-40:].rstrip(_CLOSING_MARKS).casefold().endswith(_CLOSING_ENDS):
        closing = _CLOSING.search(said, max(len(said) - 40, 0))
        if closing is not None:
            said = said[: closing.start()]
    return tuple(_WORD.findall(said.lower())) or tuple(_WORD.findall(text.lower()))


def units(words: tuple[str, ...]) -> int:
    """About how many words there are, where a word without a space may be a whole sentence."""
    if all(map(str.isascii, words)):
        return len(words)
    return sum(len(word) // 2 or 1 if _is_unspaced(word) else 1 for word in words)


def asks(text: str, words: tuple[str, ...]) -> bool:
    """Whether a text asks: by a question mark, or by its first word.

    Args:
        text: the text.
        words: its :func:`plain_words`.
    """
    return "?" in text or "？" in text or "؟" in text or (bool(words) and words[0] in _ASKING)


def share(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """How much two texts have of their words in common, 0..1: Jaccard's index of their words.

    Of long words without a space, as sentences in Chinese are, their characters count.
    """
    return shared(hashed(one), hashed(other))


def shared(ours: frozenset[int], theirs: frozenset[int]) -> float:
    """As :func:`share`, of words that are :func:`hashed`."""
    common = len(ours & theirs)
    return common / (len(ours) + len(theirs) - common) if common else 0.0


def hashed(words: tuple[str, ...]) -> frozenset[int]:
    """Hashes of words, of this process only; of long words without a space, of their characters."""
    # Python hashes the bytes of a text, and "of" has those of "景". Such texts never have the same
    # length.
    return frozenset(
        hash(part) + len(part)
        for word in words
        for part in (tuple(word) if _is_unspaced(word) else (word,))
    )


def _is_unspaced(word: str) -> bool:
    return not word.isascii() and any(sign >= "\u2e80" for sign in word)
