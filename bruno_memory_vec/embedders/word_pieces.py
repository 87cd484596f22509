"""From texts to tokens: words are cut into pieces, and a cache knows the pieces of words."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from bruno_memory_vec.embedders.unigram import Unigram

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# How many words are cached, and the longest of them, in characters: about 12 MB. Ten thousand short
# messages have 26,000 of them; a cache that is too small is filled again and again, which takes
# longer than all the rest.
_MOST_WORDS = 50_000
_LONGEST_WORD = 64
# So many words are one text for the tokenizer.
_CUT_TOGETHER = 256

# A tokenizer that is alone gets all other texts whole: it removes control characters, and has its
# own rules for characters beyond ASCII.
_PLAIN = re.compile(r"[\t\n\r -~]*")
_WORDS = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")

# Scripts that are written without spaces: Thai, Lao, Myanmar, Khmer, kana, Han.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Punctuation and symbols, each a word of its own; letters and their marks are what is left.
_SYMBOLS = (
    "\u0080-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u2000-\u2bff"
    "\u3000-\u3004\u3006-\u303f\ufe00-\ufe0f\uff00-\uff0f\U0001f000-\U0001faff"
)
_ANY_WORDS = re.compile(
    f"[{_UNSPACED}]{{1,32}}"
    f"|(?:[a-z0-9]|[^\\x00-\\x7f{_UNSPACED}{_SYMBOLS}\\s]){{1,{_LONGEST_WORD}}}"
    f"|[!-/:-@\\[-`{{-~]|[{_SYMBOLS}]"
)
_BEGINS_UNSPACED = re.compile(f"[{_UNSPACED}]")
#: What SentencePiece puts before a word.
WORD_BEGINS = "\u2581"


def is_unspaced(word: str) -> bool:
    """Whether a word is in a script that is written without spaces."""
    return _BEGINS_UNSPACED.match(word) is not None


class WordPieces:
    """The tokens of texts, by a tokenizer and a cache of words. It is thread-safe.

    With a second tokenizer, each word is cut by the one that needs fewer pieces of it: the first
    knows the words of one language, the second those of many. The second's ids follow the first's.

    Args:
        tokenizer: splits words that are not cached.
        others: cuts lower-case words, each after a "\u2581" where its script has spaces; only
            beside a tokenizer that cuts words as BERT does.

    Raises:
        ValueError: the two do not go together.
    """

    def __init__(self, tokenizer: Tokenizer, others: Unigram | None = None) -> None:
        self._tokenizer = tokenizer
        self._by_words = _cuts_by_words(json.loads(tokenizer.to_str()))
        if others is not None and not self._by_words:
            raise ValueError("a second tokenizer stands only beside one that cuts words as BERT")
        self._others = others
        self._first_other = tokenizer.get_vocab_size()
        self._unknown = tokenizer.token_to_id("[UNK]")
        # Replaced rather than cleared, because another thread may be reading it.
        self._known: dict[str, list[int]] = {}

    def vocabulary(self) -> list[str]:
        """Every piece, with the marks that its tokenizer puts before it."""
        return [*self._tokenizer.get_vocab(), *(self._others or ())]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, as the tokenizer gives them."""
        if not self._by_words:
            return self._cut(texts)
        words = [self._words(text) for text in texts]
        known = self._with([each for each in words if each is not None])
        if known is None:
            return self._cut(texts)
        found = [
            None if each is None else list(chain.from_iterable(map(known.__getitem__, each)))
            for each in words
        ]
        whole = iter(
            self._cut([text for text, ids in zip(texts, found, strict=True) if ids is None])
        )
        return [next(whole) if ids is None else ids for ids in found]

    def by_word(self, text: str) -> list[tuple[str, list[int]]]:
        """The words of a text in their order, each with its token ids, as of :meth:`ids`.

        In scripts without spaces each piece is a word.
        """
        words = self._words(text) if self._by_words else None
        known = None if words is None else self._with([words])
        if words is None or known is None:
            return self._by_word_numbers(text)
        found: list[tuple[str, list[int]]] = []
        for word in words:
            if self._others is not None and is_unspaced(word):
                first = self._first_other
                cut = self._others.cut(word)
                found.extend((text, [] if one is None else [first + one]) for one, text in cut)
            else:
                found.append((word, known[word]))
        return found

    def _words(self, text: str) -> list[str] | None:
        """The words of a text; None where the tokenizer has to read it whole."""
        if _PLAIN.fullmatch(text) is not None:
            return _WORDS.findall(text.lower())
        if self._others is None:
            return None
        return _ANY_WORDS.findall(unicodedata.normalize("NFKC", text).lower())

    def _by_word_numbers(self, text: str) -> list[tuple[str, list[int]]]:
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        found: list[tuple[str, list[int]]] = []
        last = None
        for number, token, (start, end) in zip(
            encoded.word_ids, encoded.ids, encoded.offsets, strict=True
        ):
            if found and number is not None and number == last:
                word, ids = found[-1]
                found[-1] = (word + text[start:end], [*ids, token])
            else:
                found.append((text[start:end], [token]))
            last = number
        return found

    def _cut(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [one.ids for one in encoded]

    def _cut_words(self, words: Sequence[str]) -> list[list[int]]:
        others = self._others
        if others is None:
            return self._cut_alone(words)
        own = iter(self._cut_alone([word for word in words if not is_unspaced(word)]))
        return [
            self._known_to(others, word)[0]
            if is_unspaced(word)
            else self._fewer(word, next(own), others)
            for word in words
        ]

    def _cut_alone(self, words: Sequence[str]) -> list[list[int]]:
        """As :meth:`_cut`, of words; plain ones at half the cost.

        A tokenizer of words takes the longest pieces, so a word that it has whole is one. Letters
        and digits of ASCII between spaces are one word of a text: the others are cut together.
        """
        if not all(word.isascii() and word.isalnum() for word in words):
            return self._cut(words)
        whole = map(self._tokenizer.token_to_id, words)
        found: list[list[int]] = [[] if one is None else [one] for one in whole]
        places = [place for place, one in enumerate(found) if not one]
        for start in range(0, len(places), _CUT_TOGETHER):
            part = places[start : start + _CUT_TOGETHER]
            text = " ".join([words[place] for place in part])
            encoded = self._tokenizer.encode(text, add_special_tokens=False)
            for number, one in zip(encoded.word_ids, encoded.ids, strict=True):
                if number is not None:  # as of no token of a text
                    found[part[number]].append(one)
        return found

    def _fewer(self, word: str, own: list[int], others: Unigram) -> list[int]:
        """The pieces of a word by the tokenizer that needs fewer.

        A tie in ASCII is the first's, but for words that the second has whole: those are foreign
        ("und"). The first knows Latin letters alone, and no accents. One that does not know a part
        of the word has to stand back, if it can.
        """
        unknown = self._unknown in own
        # The second needs two or more for a word that it does not have whole, and a tie is not its.
        if len(own) <= 2 and not unknown and word.isascii() and WORD_BEGINS + word not in others:
            return own
        known, whole = self._known_to(others, WORD_BEGINS + word)
        if unknown or not without_marks(word).isascii():
            return known or own
        tie = word.isascii() and len(known) > 1
        return known if whole and len(known) + tie <= len(own) else own

    def _known_to(self, others: Unigram, word: str) -> tuple[list[int], bool]:
        """The ids of the pieces that the second tokenizer knows, and whether they are all."""
        cut = others.cut(word)
        ids = [self._first_other + one for one, _ in cut if one is not None]
        return ids, len(ids) == len(cut)

    def _with(self, words: Sequence[Sequence[str]]) -> dict[str, list[int]] | None:
        """The cache with all of these words; None if they are too many or too long."""
        known = self._known
        new = set(chain.from_iterable(words)).difference(known)
        if new:
            if len(known) + len(new) > _MOST_WORDS:
                new = set(chain.from_iterable(words))
                known = {}
            if len(new) > _MOST_WORDS or max(map(len, new)) > _LONGEST_WORD:
                if self._others is None:
                    return None
                # Not kept.
                listed = list(new)
                return dict(known, **dict(zip(listed, self._cut_words(listed), strict=True)))
            listed = list(new)
            known.update(zip(listed, self._cut_words(listed), strict=True))
            self._known = known
        return known


def without_marks(word: str) -> str:
    """A word without its accents."""
    if word.isascii():
        return word
    parts = unicodedata.normalize("NFD", word)
    return "".join(char for char in parts if not unicodedata.combining(char))


def _cuts_by_words(tokenizer: dict[str, Any]) -> bool:
    """Whether a tokenizer, given as its JSON, splits plain text into the words of `_WORDS`."""
    normalizer = tokenizer.get("normalizer") or {}
    return (
        normalizer.get("type") == "BertNormalizer"
        and normalizer.get("clean_text") is True
        and normalizer.get("lowercase") is True
        and (tokenizer.get("pre_tokenizer") or {}).get("type") == "BertPreTokenizer"
        and (tokenizer.get("model") or {}).get("type") == "WordPiece"
        # Added tokens are searched in the whole text before it is split.
        and not tokenizer.get("added_tokens")
        and tokenizer.get("truncation") is None
        and tokenizer.get("padding") is None
    )
