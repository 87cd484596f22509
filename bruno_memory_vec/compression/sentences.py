"""Sentences of a text, in order, each as one line."""

from __future__ import annotations

import re

# A mark that ends a sentence, with what may follow it, before white space; those of scripts that
# are written without spaces end one anywhere.
_ENDS = re.compile(r"[.!?…؟]+[\"'”’»)\]*_]*(?=\s)|[。！？]+[”」』）]*|\n+")
# Behind these a full stop ends no sentence.
_SHORTENED = frozenset(
    "mr mrs ms dr prof st vs no nr fig approx dept est inc ltd jr sr e.g i.e a.m p.m".split()
)
_LAST_WORD = re.compile(r"[\w.]+$")
_FENCE = "```"
# A longer sentence is cut at a clause: a summary takes whole sentences, and none of this size.
_LONGEST = 400
_CLAUSE = re.compile(r"[;:,，；、]\s*|\s+[-–—]\s+")


def sentences(text: str) -> list[str]:
    """The sentences of a text; of code between fences, each line is one.

    A full stop within a number, behind an abbreviation or behind an initial ends none. What has no
    letter and no digit is left out.
    """
    found: list[str] = []
    begin = 0
    for mark in _ENDS.finditer(text):
        if mark[0] == "." and _shortened(text[begin : mark.start()]):
            continue
        found.append(text[begin : mark.end()])
        begin = mark.end()
    found.append(text[begin:])
    lines = (" ".join(one.replace(_FENCE, " ").split()) for one in found)
    return [part for line in lines for part in _clauses(line) if any(map(str.isalnum, part))]


def _shortened(before: str) -> bool:
    word = _LAST_WORD.search(before)
    if word is None:
        return False
    last = word[0].lower()
    return last in _SHORTENED or (len(last) == 1 and last.isalpha() and word[0].isupper())


def _clauses(sentence: str) -> list[str]:
    """The sentence; a very long one in parts, cut behind a clause."""
    parts = []
    while len(sentence) > _LONGEST:
        places = [mark.end() for mark in _CLAUSE.finditer(sentence, _LONGEST // 4, _LONGEST)]
        space = sentence.rfind(" ", 1, _LONGEST)
        place = places[-1] if places else space if space > 0 else _LONGEST
        parts.append(sentence[:place].strip())
        sentence = sentence[place:].strip()
    return [*parts, sentence]
