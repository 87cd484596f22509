"""The labelled texts: a half for development, by which the patterns were made, and a half held out.

One text a line, of people who are all invented. What tells who somebody is stands as
``[[kind|text]]``, a new line as ``\\n``; lines with ``#`` at their beginning are no texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FILES = {"development": "development.txt", "held-out": "held_out.txt"}
_MARK = re.compile(r"\[\[(\w+)\|(.*?)\]\]")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text, and what in it tells who somebody is.

    Attributes:
        text: without marks.
        spans: start, end and kind of each.
    """

    text: str
    spans: tuple[tuple[int, int, str], ...]


def read(half: str) -> list[Labelled]:
    """The texts of one half: "development" or "held-out"."""
    text = Path(__file__).with_name(FILES[half]).read_text("utf-8")
    chosen = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [_parse(line.replace(r"\n", "\n")) for line in chosen]


def _parse(line: str) -> Labelled:
    text, spans, end = "", [], 0
    for match in _MARK.finditer(line):
        text += line[end : match.start()]
        spans.append((len(text), len(text) + len(match.group(2)), match.group(1)))
        text += match.group(2)
        end = match.end()
    return Labelled(text + line[end:], tuple(spans))
