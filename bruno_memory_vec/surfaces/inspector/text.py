"""Stored text on a page: escaped, what nobody sees made visible, long ones folded."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from markupsafe import Markup, escape

from bruno_memory_vec.prompts.graphemes import boundaries
from bruno_memory_vec.prompts.hidden_characters import MARK, marked

#: So many characters of a long text are shown before it is folded, and so many behind the fold; the
#: page of a single row shows all of it.
HEAD: Final = 700
REST: Final = 6_000
# A little more than the head is not worth a fold.
_SLACK: Final = 200
_LINES: Final = 14
# Of more hidden characters in a row it is said how many there are.
_SINGLE: Final = 3


class Folded(NamedTuple):
    """A text in parts.

    Attributes:
        head: what is shown.
        rest: what is shown when it is unfolded; empty for a short text.
        left: how many characters are not on the page at all.
    """

    head: str
    rest: str
    left: int


def shown(text: str) -> Markup:
    """A text as HTML: escaped, and each hidden character as its code point.

    Hidden are control, direction and tag characters and the like, as :mod:`.hidden_characters` has
    them; those that a script or an emoji needs stay.
    """
    plain = text.replace("\t", "    ").replace("\r", "")
    seen = marked(plain)
    if seen == plain:
        return escape(plain)
    # `marked` puts one mark for each hidden character, so places in the two texts are the same.
    parts: list[Markup] = []
    place = 0
    for found in re.finditer(f"{MARK}+", seen):
        if plain[found.start() : found.end()] == found[0]:
            continue  # the mark itself was stored
        parts.append(escape(plain[place : found.start()]))
        parts.append(_code_points(plain[found.start() : found.end()]))
        place = found.end()
    return Markup("").join([*parts, escape(plain[place:])])


def line(text: str, longest: int = 100) -> Markup:
    """A text as one line of HTML, its end as "…" if it is cut."""
    # Of a long text no more is looked at than could be shown.
    joined = " ".join(text[: 4 * longest].split())
    whole = len(joined) <= longest and len(text) <= 4 * longest
    return shown(joined if whole else f"{joined[: _cut(joined, longest - 1)]}…")


def with_passage(text: str, start: int, end: int) -> Markup:
    """A text as HTML with a part of it marked."""
    return Markup("{}<mark>{}</mark>{}").format(
        shown(text[:start]), shown(text[start:end]), shown(text[end:])
    )


def folded(text: str, head: int = HEAD, rest: int = REST) -> Folded:
    """A text cut for a page, at no place within a character as a reader sees it."""
    lines = 0
    for place in re.finditer("\n", text[: head + _SLACK]):
        lines += 1
        if lines == _LINES:
            head = min(head, place.end())
            break
    if len(text) <= head + _SLACK and lines < _LINES:
        return Folded(text, "", 0)
    first = _cut(text, head)
    last = _cut(text, first + rest)
    return Folded(text[:first], text[first:last], len(text) - last)


def excerpt(text: str, start: int, end: int, around: int = 250) -> tuple[str, int, int]:
    """The part of a text around a passage, and where the passage stands in it."""
    first = _cut(text, max(0, start - around)) if start > around else 0
    last = _cut(text, min(len(text), end + around))
    before = "… " if first else ""
    after = " …" if last < len(text) else ""
    moved = len(before) - first
    return f"{before}{text[first:last]}{after}", start + moved, end + moved


def _cut(text: str, wanted: int) -> int:
    """The place at or before ``wanted`` at which the text may be cut."""
    if wanted >= len(text):
        return len(text)
    if wanted < 1:
        return 0
    return max(boundaries(text, max(1, wanted - 64), wanted), default=wanted)


def _code_points(hidden: str) -> Markup:
    if len(hidden) > _SINGLE:
        first = _code_point(hidden[0])
        return Markup('<span class="hidden-character" title="{}">{}</span>').format(
            f"{len(hidden):,} hidden characters, the first of them {first}",
            f"{len(hidden):,} hidden",
        )
    return Markup("").join(
        Markup('<span class="hidden-character" title="{}">U+{:04X}</span>').format(
            _code_point(one), ord(one)
        )
        for one in hidden
    )


def _code_point(character: str) -> str:
    name = unicodedata.name(character, "a control or private-use character")
    return f"U+{ord(character):04X} {name.lower()}"
