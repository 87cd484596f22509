"""Stored text as a model may read it: quoted, line by line, without what could give orders.

A result of a tool goes to a model as it is, its text and its JSON. So both hold stored text only
in the form that prompts have it (``prompts.quoting``): no role tokens, no hidden characters, no
blocks of notes. Line breaks and indentation stay, as a remembered piece of code needs them.
"""

from __future__ import annotations

from typing import Final

from bruno_memory_vec.prompts.notes import speaker_label, without_notes
from bruno_memory_vec.prompts.quoting import quotable

#: Characters of a text in a list of several.
EXCERPT: Final = 2_000
#: Characters of a text that was asked for by itself.
WHOLE: Final = 50_000
_NAME: Final = 200
_DEEPEST: Final = 40


def safe(text: str, longest: int) -> tuple[str, bool]:
    """The text, of a longer one its first characters, and whether something is left out."""
    lines = [_line(one) for one in without_notes(text[:longest]).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines), len(text) > longest


def quote(text: str, longest: int) -> str:
    """The text as a block, each line of which begins with ``>``; it ends with … where it is cut."""
    kept, cut = safe(text, longest)
    return "\n".join(f"> {line}".rstrip() for line in (kept + " …" if cut else kept).split("\n"))


def name(text: str) -> str:
    """A title or an id between quotation marks, on one line."""
    kept = quotable(text[:_NAME])
    return f'"{kept}{"…" if len(text) > _NAME else ""}"'


def speaker(text: str) -> str:
    """Who speaks, as it may stand outside of quotation marks."""
    return speaker_label(text)


def _line(text: str) -> str:
    kept = quotable(text)
    depth = len(text.expandtabs(4)) - len(text.expandtabs(4).lstrip(" "))
    return " " * min(depth, _DEEPEST) + kept if kept else ""
