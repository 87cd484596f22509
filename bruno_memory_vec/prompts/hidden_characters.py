"""Characters that nobody sees and that change what a text does, and the few that scripts need.

Hidden are: control characters (ESC moves a cursor, NUL ends a text), format characters (those of
direction show a text in another order than it has), tag characters and variation selectors (they
carry whole sentences that no screen shows), blank letters, lone surrogates, private-use characters
and line separators. Four kinds stay where they do what they are for, one at a time: joiners
between letters of a script that joins, joiners within an emoji, the variation selector of a symbol,
and Mongolian ones behind a Mongolian letter.
"""

from __future__ import annotations

import json
import re
import unicodedata

#: In place of a hidden character, where a reader should see that there was one.
MARK = "\ufffd"

_HIDDEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # controls: C0, DEL, C1
    "\u00ad\u034f\u061c"  # soft hyphen, grapheme joiner, Arabic letter mark
    "\u115f\u1160\u3164\uffa0"  # Hangul fillers: blank letters
    "\u17b4\u17b5\u180b-\u180f"  # Khmer and Mongolian ones without a shape
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # zero width, separators, directions
    "\ufe00-\ufe0f"  # variation selectors
    "\ufff0-\ufffb\ufdd0-\ufdef\ufffe\uffff"  # annotations, what is no character
    "\ud800-\udfff\ue000-\uf8ff"  # lone surrogates, private use
    "\U00013430-\U0001345f"  # joiners of hieroglyphs
    "\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a"  # shorthand, music
    "\U0001fffe\U0001ffff\U0002fffe\U0002ffff\U0003fffe\U0003ffff\U0004fffe-\U0010ffff"
    "]"
)
_BREAKS = re.compile("[\t\n\x0b\x0c\r\x1c-\x1f\x85\u2028\u2029]")
_NON_JOINER, _JOINER = "\u200c", "\u200d"
_TEXT_STYLE, _EMOJI_STYLE = "\ufe0e", "\ufe0f"
_KEYCAP = "\u20e3"
_MONGOLIAN_SELECTORS = "\u180b\u180c\u180d\u180e\u180f"
# Arabic, Syriac, N'Ko; scripts of India and south-east Asia; Mongolian; Arabic's other forms.
_JOINING = re.compile(
    "[\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\u1a00-\u1cff\ua800-\uaaff\uabc0-\uabff"
    "\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff\U0001e900-\U0001e95f]"
)
_MONGOLIAN = re.compile("[\u1820-\u18aa]")
# Signs that take a variation selector, or stand in an emoji, without being "other symbols".
_STYLED = "‼⁉〰〽↔🏻🏼🏽🏾🏿"


def without_hidden(text: str) -> str:
    """The text without hidden characters; line breaks of every kind and tabs become spaces."""
    if text.isascii() and text.isprintable():
        return text
    return _replaced(_BREAKS.sub(" ", text), "")


def marked(text: str) -> str:
    """The text with :data:`MARK` for hidden characters, so that it cannot control a terminal.

    Line feeds stay, a tab becomes four spaces, and carriage returns go.
    """
    if text.isascii() and text.isprintable():
        return text
    lines = text.replace("\t", "    ").replace("\r", "").split("\n")
    return "\n".join(_replaced(line, MARK) for line in lines)


def one_line(text: str, longest: int = 160) -> str:
    """The text as one line of at most ``longest`` characters to print, its end as "…" if cut."""
    # What is marked or joined is as long, so more of a long text need not be looked at.
    line = marked(" ".join(text[: 4 * longest].split()))
    return line if len(line) <= longest and len(text) <= 4 * longest else f"{line[: longest - 1]}…"


def escaped(document: str) -> str:
    """A JSON document with ``\\uXXXX`` for hidden characters: the same values, safe to look at."""
    return _HIDDEN.sub(
        lambda found: found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1], document
    )


def _replaced(text: str, mark: str) -> str:
    if _HIDDEN.search(text) is None:
        return text
    kept: list[str] = []
    following = 0
    for place, character in enumerate(text):
        if not _HIDDEN.match(character):
            kept.append(character)
            continue
        following = max(following, place + 1)
        while following < len(text) and _HIDDEN.match(text[following]):
            following += 1
        if kept and _needed(character, kept[-1], text[following : following + 1]):
            kept.append(character)
        elif mark:
            kept.append(mark)
    return "".join(kept)


def _needed(character: str, before: str, after: str) -> bool:
    """Whether a script or an emoji needs this character between two that can be seen."""
    if character in (_TEXT_STYLE, _EMOJI_STYLE):
        return _symbol(before) or (before in "0123456789#*" and after == _KEYCAP)
    if character in _MONGOLIAN_SELECTORS:
        return _MONGOLIAN.match(before) is not None
    if character not in (_NON_JOINER, _JOINER):
        return False
    if _JOINING.match(before) and _JOINING.match(after):
        return True
    emoji = before == _EMOJI_STYLE or _symbol(before)
    return character == _JOINER and emoji and _symbol(after)


def _symbol(character: str) -> bool:
    if character in ("", MARK):
        return False
    return unicodedata.category(character) == "So" or character in _STYLED
