"""Texts as PostgreSQL can keep them: it takes every character but NUL."""

from __future__ import annotations

import re
from collections.abc import Iterable

# U+001A, "substitute", stands before what was replaced; so a text that has it is escaped, too.
_ESCAPE = "\x1a"
_UNSTORED = re.compile("[\x00\x1a]")
_ESCAPED = re.compile("\x1a(.)", re.DOTALL)


def stored(text: str) -> str:
    """A text without NUL, from which :func:`given` makes it again."""
    if "\x00" not in text and _ESCAPE not in text:
        return text
    return _UNSTORED.sub(lambda found: f"{_ESCAPE}{'0' if found[0] == chr(0) else 'z'}", text)


def given(text: str) -> str:
    """The text that :func:`stored` was given."""
    if _ESCAPE not in text:
        return text
    return _ESCAPED.sub(lambda found: "\x00" if found[1] == "0" else _ESCAPE, text)


def comparable(texts: Iterable[str]) -> list[str]:
    """Texts as they are stored, without those that no row can have (lone surrogates)."""
    found = []
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            continue
        found.append(stored(text))
    return found
