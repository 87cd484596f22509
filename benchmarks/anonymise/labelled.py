"""The labelled texts: two halves, one for development, one held out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("labelled.txt")
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
    lines = FILE.read_text("utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    chosen = lines[0::2] if half == "development" else lines[1::2]
    return [_parse(line.replace(r"\n", "\n")) for line in chosen]


def _parse(line: str) -> Labelled:
    text, spans, end = "", [], 0
    for match in _MARK.finditer(line):
        text += line[end : match.start()]
        spans.append((len(text), len(text) + len(match.group(2)), match.group(1)))
        text += match.group(2)
        end = match.end()
    return Labelled(text + line[end:], tuple(spans))
