"""The text of HTML, and texts without what is marked in them, in time linear in their length.

Not regular expressions over everything: on a tag that is opened again and again, and never closed,
these take time that is quadratic, and files come from anywhere.
"""

from __future__ import annotations

import html
import re

_NAME = re.compile(r"/?([a-zA-Z][a-zA-Z0-9]*)")
_BREAKS = {"br", "p", "li", "tr", "div", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol"}
_UNSEEN = {"style", "script", "head", "title"}
_GAPS = re.compile(r"\n{3,}")
_INDENT = re.compile(r"[ \t]*\n[ \t]*")


def plain(text: str) -> str:
    """The text of a piece of HTML: lines where blocks end, items with a hyphen, nothing unseen."""
    parts: list[str] = []
    lower = text.lower()
    at, closed = 0, -1
    while (begin := text.find("<", at)) >= 0:
        if text.startswith("<!--", begin):
            end = text.find("-->", begin + 4)
            parts.append(text[at:begin])
            at = len(text) if end < 0 else end + 3
            continue
        if closed < begin:
            closed = text.find(">", begin)
        if closed < 0:
            break
        match = _NAME.match(text, begin + 1)
        if match is None and text[begin + 1] not in "!?":
            parts.append(text[at : begin + 1])
            at = begin + 1
            continue
        parts.append(text[at:begin])
        at = closed + 1
        name = "" if match is None else match[1].lower()
        ends = text[begin + 1] == "/"
        if name in _UNSEEN and not ends:
            end = lower.find(f"</{name}", at)
            at = len(text) if end < 0 else end
        elif name == "li" and not ends:
            parts.append("- ")
        elif name in _BREAKS and (ends or name == "br"):
            parts.append("\n")
    parts.append(text[at:])
    joined = html.unescape("".join(parts)).replace("\u00a0", " ")
    return _GAPS.sub("\n\n", _INDENT.sub("\n", joined)).strip()


def without(text: str, begins: re.Pattern[str], ends: str) -> tuple[str, int]:
    """A text without what stands between a beginning and the next end, and how often it did.

    Args:
        text: the text.
        begins: matches a beginning; of bounded length.
        ends: what ends it. A beginning without one stays.
    """
    parts: list[str] = []
    at, count = 0, 0
    while match := begins.search(text, at):
        end = text.find(ends, match.end())
        if end < 0:
            break
        parts.append(text[at : match.start()])
        at, count = end + len(ends), count + 1
    parts.append(text[at:])
    return "".join(parts), count
