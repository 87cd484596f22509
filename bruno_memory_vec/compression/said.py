"""What a summary is made of: sentences, who said them and when; and how a summary shows them.

A line of a summary of chosen sentences is ``2024-05-06 (ana) The boiler cost 386 euros.``: the day
where it is another one than that of the line before (of the first line: than that of the summary's
``created_at``), who speaks, and what was said, word by word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.compression.blocks import Turn
from bruno_memory_vec.compression.sentences import sentences
from bruno_memory_vec.rows.models import utc

_LINE = re.compile(r"(?:(\d{4})-(\d\d)-(\d\d) )?(?:\(([^()]{1,40})\) )?(.+)")
_LONGEST_NAME = 40
_FIRST = re.compile(r"[^\W\d_]+")
_POINTING_BACK = frozenset(
    "it its he his him she her they their them this that these those and but so because".split()
)
_LONGEST_THOUGHT = 320
_PARENTHESES = str.maketrans("()\n\r", "    ")


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """One sentence of a source.

    Attributes:
        text: the sentence, with those behind it that point back to it.
        speaker: a name or a role; None where nobody is known.
        role: the role of who spoke; None where it is a summary's.
        day: when.
        source: the number of its source, from 0.
        importance: 0..1, of its source.
        vector: float32 (d,), of its source; None where there is none.
    """

    text: str
    speaker: str | None
    role: str | None
    day: date
    source: int
    importance: float = 0.5
    vector: NDArray[np.float32] | None = None


def said_in(turns: Sequence[Turn]) -> list[Said]:
    """The sentences of turns, in order."""
    found = []
    for number, turn in enumerate(turns):
        speaker = turn.speaker if turn.speaker and len(turn.speaker) <= _LONGEST_NAME else turn.role
        name = " ".join(speaker.translate(_PARENTHESES).split()) or turn.role
        day = utc(turn.at).date()
        found += [
            Said(text, name, turn.role, day, number, turn.importance, turn.vector)
            for text in _whole_thoughts(sentences(without_speaker(turn)))
        ]
    return found


def _whole_thoughts(parts: Sequence[str]) -> list[str]:
    """Sentences; one that begins by pointing back stays with the one before it.

    "It cost 386 euros" alone says nothing, or something wrong behind another sentence.
    """
    found: list[str] = []
    for part in parts:
        first = _FIRST.match(part)
        back = first is not None and first[0].lower() in _POINTING_BACK
        if found and back and len(found[-1]) + len(part) < _LONGEST_THOUGHT:
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


def without_speaker(turn: Turn) -> str:
    """The text of a turn, without the name that it begins with."""
    text = turn.content.lstrip()
    if turn.speaker and text.startswith(f"{turn.speaker}:"):
        return text[len(turn.speaker) + 1 :].lstrip()
    return text


def said_in_summary(content: str, day: date, source: int) -> list[Said]:
    """The sentences of a summary, in order; who spoke and when where its lines say so.

    Args:
        content: the text of the summary.
        day: when, where the first line does not say it.
        source: the number of the summary among the sources.
    """
    found = []
    for line in content.splitlines():
        parts = _LINE.fullmatch(line.strip())
        if parts is None:
            continue
        if parts[1]:
            day = _day(parts[1], parts[2], parts[3]) or day
        texts = _whole_thoughts(sentences(parts[5]))
        found += [Said(text, parts[4], None, day, source) for text in texts]
    return found


def _day(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def shown(chosen: Sequence[Said], day: date | None = None) -> str:
    """Sentences, in their order, as the text of a summary.

    Args:
        chosen: the sentences.
        day: the day of the summary itself, which its readers know; None: it is not known.
    """
    lines: list[str] = []
    speaker: str | None = None
    for one in chosen:
        if lines and (one.day, one.speaker) == (day, speaker):
            lines[-1] += f" {one.text}"
        else:
            at = f"{one.day:%Y-%m-%d} " if one.day != day else ""
            name = f"({one.speaker}) " if one.speaker else ""
            lines.append(f"{at}{name}{one.text}")
        day, speaker = one.day, one.speaker
    return "\n".join(lines)
