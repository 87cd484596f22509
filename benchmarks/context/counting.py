"""How tokens are counted: two ways, and each figure says which.

``words`` is what the first prototype of the context builder was measured with, so that figures can
be compared with its: 1.35 a word, rounded up, and 6 a turn for who spoke and when. ``bound`` is
the package's default, an upper bound for nine vocabularies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from bruno_memory_vec.prompts.token_bound import most_tokens

_WORD = 1.35
#: What a turn costs besides its words, in the count by words.
A_TURN = 6
_WORDS = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Count:
    """One way to count.

    Attributes:
        name: for the command line, tables and files.
        tokens: of a text. A text has never fewer than its beginning.
        turn: what a packed turn costs besides its text, where a line for it is not written out.
    """

    name: str
    tokens: Callable[[str], int]
    turn: int


def by_words(text: str) -> int:
    """1.35 a word, rounded up."""
    return math.ceil(_WORD * sum(1 for _ in _WORDS.finditer(text)))


# By the bound a written date and a role cost more: `- [2024-05-06, user] ""` and its line break.
_BOUND_TURN = most_tokens('- [2024-05-06, user] ""\n')

COUNTS = {
    "words": Count("words", by_words, A_TURN),
    "bound": Count("bound", most_tokens, _BOUND_TURN),
}
