"""A stored text as one line that a person looks at, in place of all of it."""

from __future__ import annotations

from typing import Final

from bruno_memory_vec.prompts.hidden_characters import marked

#: How long such a line is at most, in characters.
LONGEST: Final = 160


def one_line(text: str, longest: int = LONGEST) -> str:
    """The beginning of a text as one line, with a mark for each hidden character.

    Args:
        text: any text.
        longest: how long the line is at most, in characters; at least 1.
    """
    line = marked(" ".join(text.split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"
