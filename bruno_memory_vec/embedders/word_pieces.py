"""What a text's tokens are, from those of its words, which are remembered.

A tokenizer of BERT's kind cuts a text into words first and each word by itself then.
People say the same words again and again, so of most texts each word is known, and
looking it up costs a tenth of cutting it anew. The tokens are the tokenizer's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# How many words are remembered, and the longest of them: some 5 MB.
_MOST_WORDS = 20_000
_LONGEST_WORD = 64

# Other texts are left to the tokenizer: it takes control characters away, and what a letter or a
# mark is beyond ASCII is its own business.
_PLAIN = re.compile(r"[\t\n\r -~]*")
_WORDS = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")


class WordPieces:
    """The tokens of texts, by a tokenizer and a memory of words.

    Threads may share one.

    Args:
        tokenizer: cuts what is not known.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._by_words = _cuts_by_words(json.loads(tokenizer.to_str()))
        # Never emptied, but replaced: another thread may be reading it.
        self._known: dict[str, list[int]] = {}

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, as the tokenizer gives them."""
        if not self._by_words:
            return self._cut(texts)
        plain = [_PLAIN.fullmatch(text) is not None for text in texts]
        words = [
            _WORDS.findall(text.lower()) for text, one in zip(texts, plain, strict=True) if one
        ]
        known = self._with(words)
        if known is None:
            return self._cut(texts)
        found = (list(chain.from_iterable(map(known.__getitem__, each))) for each in words)
        if all(plain):
            return list(found)
        others = iter(self._cut([text for text, one in zip(texts, plain, strict=True) if not one]))
        return [next(found) if one else next(others) for one in plain]

    def _cut(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [one.ids for one in encoded]

    def _with(self, words: Sequence[Sequence[str]]) -> dict[str, list[int]] | None:
        """The tokens of words, with all of these; None where they are too many or too long."""
        known = self._known
        new = set(chain.from_iterable(words)).difference(known)
        if new:
            if len(known) + len(new) > _MOST_WORDS:
                new = set(chain.from_iterable(words))
                known = {}
            if len(new) > _MOST_WORDS or max(map(len, new)) > _LONGEST_WORD:
                return None
            listed = list(new)
            known.update(zip(listed, self._cut(listed), strict=True))
            self._known = known
        return known


def _cuts_by_words(tokenizer: dict[str, Any]) -> bool:
    """Whether a tokenizer, as its JSON has it, cuts plain text into the words of `_WORDS`."""
    normalizer = tokenizer.get("normalizer") or {}
    return (
        normalizer.get("type") == "BertNormalizer"
        and normalizer.get("clean_text") is True
        and normalizer.get("lowercase") is True
        and (tokenizer.get("pre_tokenizer") or {}).get("type") == "BertPreTokenizer"
        and (tokenizer.get("model") or {}).get("type") == "WordPiece"
        # These are looked for in the whole text, before it is cut.
        and not tokenizer.get("added_tokens")
        and tokenizer.get("truncation") is None
        and tokenizer.get("padding") is None
    )
