"""Analysis of text into terms, the same for every lexical index.

Unicode words in plain form (:mod:`.folding`), with the parts of identifiers behind these
(:mod:`.identifiers`), lower case, optionally stemmed. Scripts that are
written without spaces (Chinese, Japanese, Thai, ...) and Korean become
characters and their bigrams, because no dictionary is shipped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from .folding import folded
from .identifiers import with_parts
from .stopwords import QUESTION_STOPWORDS

if TYPE_CHECKING:
    import tantivy

#: Languages whose Snowball stemmer tantivy carries.
LANGUAGES: frozenset[str] = frozenset(
    "arabic danish dutch english finnish french german greek hungarian italian norwegian "
    "portuguese romanian russian spanish swedish tamil turkish".split()
)

#: Raised with every change of what a text's terms are: an index of another version is rebuilt from
#: the rows. 2 folds the marks of all scripts, and drops what nobody sees. 3 adds the parts of
#: identifiers (:mod:`.identifiers`).
VERSION = 3

_WORD = r"[\p{L}\p{M}\p{N}]+"
# Longer than any real word, and short enough that Tantivy does not drop the term silently.
_LONGEST_TERM = 255
_UNSPACED_SHARE = 0.3
# Analysis holds the interpreter lock; analysing a longer text at once would delay every task.
_CHARACTERS_AT_ONCE = 20_000
#: A run of characters of a script that is written without spaces, or of Hangul.
UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u3040-\u30ff"  # Hiragana, Katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\uac00-\ud7af"  # Hangul
    "\U00020000-\U0003ffff"  # Han, rarer planes
    "]+"
)


def clean(text: str) -> str:
    """The text with lone surrogates replaced by U+FFFD, which any engine can take."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


class Analyser:
    """Splits text into terms.

    Args:
        language: a name in :data:`LANGUAGES`, or None for no stemming.

    Raises:
        ValueError: the language has no stemmer.
    """

    def __init__(self, language: str | None = "english") -> None:
        if language is not None and language not in LANGUAGES:
            raise ValueError(
                f"no stemmer for language {language!r}; choose one of {sorted(LANGUAGES)} or None"
            )
        self.language = language
        self._documents = _build(language, stopwords=False)
        self._questions = _build(language, stopwords=True)

    @property
    def name(self) -> str:
        """Identifies the analysis, so that an index made by another one can be recognised."""
        return f"unicode-{VERSION}/{self.language or 'none'}"

    @property
    def tokenizer(self) -> tantivy.TextAnalyzer:
        """The analyser that tantivy applies to text made by :meth:`prepare`."""
        return self._documents

    def prepare(self, text: str) -> str:
        """A document's text, prepared for :attr:`tokenizer`."""
        if text.isascii():
            return with_parts(text)
        return UNSPACED.sub(_document_grams, with_parts(folded(clean(text))))

    def terms(self, text: str) -> list[str]:
        """The terms of a document, in order, repeats included."""
        terms: list[str] = self._documents.analyze(self.prepare(text))
        return terms

    def question(self, text: str, *, drop_stopwords: bool) -> list[str]:
        """The terms of a question, in order, repeats included.

        If only stop words are left, they are kept. Of a few characters of an unspaced script amid
        other words only the bigrams are asked, as if they were words; a question in such a script
        (:func:`is_unspaced`) is asked by its characters, too.
        """
        if not text.isascii():
            grams = _document_grams if is_unspaced(text) else _question_grams
            text = UNSPACED.sub(grams, with_parts(folded(clean(text))))
        else:
            text = with_parts(text)
        if drop_stopwords:
            terms = [term for part in _parts(text) for term in self._questions.analyze(part)]
            if terms:
                return terms
        return [term for part in _parts(text) for term in self._documents.analyze(part)]


def is_unspaced(text: str) -> bool:
    """Whether more than 30 % of a text's letters are of scripts that need no spaces.

    A question of such a text is asked by characters and bigrams, without phrases, each weighted
    by :func:`gram_weight`.
    """
    if text.isascii():
        return False
    unspaced = sum(map(len, UNSPACED.findall(text)))
    spaced = sum(map(str.isalpha, UNSPACED.sub("", text))) if unspaced else 0
    return unspaced > _UNSPACED_SHARE * (unspaced + spaced)


def inverse_document_frequency(documents: int, having: int) -> float:
    """``ln(1 + (N - n + 0.5) / (n + 0.5))``, as Lucene and Tantivy have it in BM25.

    Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and
    Beyond" (2009), shifted so that it is never negative.
    """
    return math.log(1 + (max(documents - having, 0) + 0.5) / (having + 0.5))


def gram_weight(documents: int, having: int) -> float:
    """``idf * (1 - n / N) ** 4``: :func:`inverse_document_frequency`, less where a term is common.

    For characters and bigrams there is no list of stop words: many are in a tenth of all rows or
    more and say nothing. Measured on chats and notes in Chinese, recall@10 is .05 higher.
    """
    if not documents:
        return inverse_document_frequency(documents, having)
    share = min(having / documents, 1.0)
    return inverse_document_frequency(documents, having) * (1.0 - share) ** 4


def plain(text: str) -> str:
    """A text in the form in which an exact search compares: no case, accent or width counts.

    It is folded as a text is before it is split into terms, and nothing is split or stemmed.
    """
    if text.isascii():
        return text.lower()
    found: list[str] = _whole().analyze(folded(clean(text)))
    return "".join(found)


@lru_cache(maxsize=8)
def analyser(language: str | None) -> Analyser:
    """The shared analyser of a language."""
    return Analyser(language)


@lru_cache(maxsize=1)
def _whole() -> tantivy.TextAnalyzer:
    """Lower case without accents, of a text as one term."""
    import tantivy

    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw())
    return builder.filter(tantivy.Filter.lowercase()).filter(tantivy.Filter.ascii_fold()).build()


def _build(language: str | None, *, stopwords: bool) -> tantivy.TextAnalyzer:
    import tantivy

    builder = (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.regex(_WORD))
        .filter(tantivy.Filter.remove_long(_LONGEST_TERM))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
    )
    if stopwords:
        builder = builder.filter(tantivy.Filter.custom_stopword(sorted(QUESTION_STOPWORDS)))
    if language is not None:
        builder = builder.filter(tantivy.Filter.stemmer(language))
    return builder.build()


def _parts(text: str) -> Iterator[str]:
    """The parts of a long text, cut at white space where possible."""
    start = 0
    while len(text) - start > _CHARACTERS_AT_ONCE:
        end = start + _CHARACTERS_AT_ONCE
        space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
        end = space if space > start else end
        yield text[start:end]
        start = end
    yield text[start:]


def _bigrams(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)]


def _document_grams(match: re.Match[str]) -> str:
    run = match.group()
    # Single characters too, because a question of one character has no bigram.
    return f" {' '.join([*_bigrams(run), *run])} "


def _question_grams(match: re.Match[str]) -> str:
    run = match.group()
    return f" {' '.join(_bigrams(run) or run)} "
