"""An upper bound of how many tokens a text has, whatever model reads it.

Models count differently, and a memory does not know which one will read its notes. What holds for
all of them: a byte-pair tokenizer makes of a text at most one token for each of its UTF-8 bytes
(one that normalises first, for each byte of the normalised text). That is far too much for most
texts. So two lists say what is less in each of nine vocabularies (``scripts/token_costs.py``): some
twelve thousand English words that are one token behind a space, and characters of other scripts
that are one token or two. English comes out at about one and a half times its real count, hostile
text never below it. GPT-2's vocabulary, which GPT-3 shared, is not among them: of plain Chinese
it makes a third more than is said here.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Protocol, cast, runtime_checkable

from bruno_memory_vec.errors import InvalidInputError

#: Counts the tokens of a text.
Counter = Callable[[str], int]


@runtime_checkable
class CountsTokens(Protocol):
    """What counts tokens by a method, as every bruno-core ``LLMInterface`` does."""

    def get_token_count(self, text: str) -> int:
        """How many tokens the text has."""
        ...


#: How tokens may be counted: by a function, by an LLM, or by a file of the package ``tokenizers``
#: (``tokenizer.json``), whose path is given.
GivenCounter = Counter | CountsTokens | str | os.PathLike[str]

_FIX = (
    "Give a function that takes a str and returns its number of tokens, an LLM, or the path of a "
    "tokenizer.json."
)
# Vocabularies of the SentencePiece kind begin each text with one space.
_BEGINNING = 1
# Behind the word stands nothing that a tokenizer could take into it.
_WORD = re.compile(" ([A-Za-z]+)(?![A-Za-z]|[^\\x00-\\x7f‘’“”…–—])")
_OTHERS = re.compile("[^\\x00-\\x7f]")


def most_tokens(text: str) -> int:
    """At most how many tokens a text has; 0 for an empty one."""
    if not text:
        return 0
    words, costs = _words(), _character_costs()
    known = [word for word in _WORD.findall(text) if word in words]
    # What is left without these and the space before each; they are all in ASCII.
    left = len(text) - len(known) - sum(map(len, known))
    others = [] if text.isascii() else _OTHERS.findall(text)
    return _BEGINNING + len(known) + left - len(others) + sum(map(costs.__getitem__, others))


def counter(given: GivenCounter | None) -> Counter:
    """The counter of tokens that was given, with its results checked; else :func:`most_tokens`.

    Args:
        given: a function, an LLM with ``get_token_count``, or the path of a ``tokenizer.json``.

    Raises:
        InvalidInputError: it is none of these, or the file cannot be read. The counter raises it
            where it fails, or returns what is no number of tokens.
    """
    if given is None:
        return most_tokens
    count = _function_of(given)

    def counted(text: str) -> int:
        try:
            number = count(text)
        except Exception as error:  # whatever a tokenizer raises
            raise InvalidInputError(
                "count_tokens", f"failed: {error}", fix=_FIX, cause=error
            ) from error
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise InvalidInputError("count_tokens", f"returned {ascii(number)[:80]}", fix=_FIX)
        return number

    return counted


def _function_of(given: Any) -> Counter:
    if isinstance(given, (str, os.PathLike)):
        return _tokenizer(os.fspath(given))
    if isinstance(given, CountsTokens):
        return given.get_token_count
    if not callable(given):
        raise InvalidInputError("count_tokens", f"is a {type(given).__name__}", fix=_FIX)
    return cast("Counter", given)


@lru_cache(maxsize=8)
def _tokenizer(path: str) -> Counter:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # it raises plain Exceptions
        raise InvalidInputError(
            "count_tokens", f"{path!r} is no tokenizer: {error}", fix=_FIX, cause=error
        ) from error

    def count(text: str) -> int:
        # What it adds at the beginning and the end is the chat format's.
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count


def is_listed_word(word: str) -> bool:
    """Whether a word is, in these letters, among the English words that are one token."""
    return word in _words()


class _Costs(dict[str, int]):
    """The most tokens of a character: as listed, or its bytes, also when it is normalised."""

    def __missing__(self, character: str) -> int:
        normal = unicodedata.normalize("NFKC", character)
        return max(len(_bytes(character)), len(_bytes(normal)))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@cache
def _words() -> frozenset[str]:
    return frozenset(_read("one_token_words.txt").split())


@cache
def _character_costs() -> _Costs:
    one, two = _read("token_characters.txt").split()
    return _Costs(dict.fromkeys(one, 1) | dict.fromkeys(two, 2))


def _read(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
