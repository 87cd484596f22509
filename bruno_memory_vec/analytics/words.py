"""Telling words: class-based tf-idf over the terms that searches use, too.

A term's weight for a topic is ``p ln(p / q)``: the share ``p`` of the topic's rows has it, and the
share ``q`` of all rows. Where one topic has all rows, that would be 0 for every term, so it is
``p``. The idea is that of Grootendorst, "BERTopic: Neural topic modeling with a class-based TF-IDF
procedure" (2022); there occurrences count, here rows, so that one long text does not name a topic.

Scripts without spaces are bigrams here. Those that belong to one word are put together again where
the rows near the middle of a topic have them as one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from bruno_memory_vec.indexers.text.analysis import UNSPACED, analyser
from bruno_memory_vec.indexers.text.stopwords import QUESTION_STOPWORDS

#: A word, its weight, and how many rows of the topic have it.
Told = tuple[str, float, int]

# Of each topic so many terms are looked at more closely.
_CLOSER: Final = 60
# A term of fewer rows of a topic does not name it, where it has others.
_FEWEST_ROWS: Final = 2
_FEW_ROWS: Final = 10
# Over so many counts, terms that were seen once are forgotten.
_MOST_COUNTS: Final = 2_000_000
# What people say in talks about anything; in no list of stop words, as written text has none of it.
_FILLERS: Final = frozenset(
    "absolutely aw awesome bye definitely glad gonna got great haha hello hey hi let lets lol lot "
    "nope oh ok okay really sure thank thanks thing things totally wanna wow yeah yep yes".split()
)
# A long text's later words repeat its first ones.
_MOST_CHARACTERS: Final = 20_000
_WRITTEN: Final = re.compile(r"[^\W_]+")
# Four characters: most words of Chinese have two to four.
_LONGEST_GRAM: Final = 4
_PART_OF: Final = 0.6


class TellingWords:
    """Counts the terms of the rows of some topics.

    Args:
        topics: how many.
        language: of the store's analyser; None for no stemming.
    """

    def __init__(self, topics: int, language: str | None) -> None:
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        self._stemmed = analyser(language)
        self._plain = analyser(None)
        self._stop = QUESTION_STOPWORDS | ENGLISH_STOP_WORDS | _FILLERS
        self._counts: list[Counter[str]] = [Counter() for _ in range(topics)]
        self._rows = [0] * topics
        # By word: its term, or empty for one that never names a topic.
        self._terms: dict[str, str] = {}
        # By term: the word that was seen first, which is shown where none is found written.
        self._words: dict[str, str] = {}

    def add(self, topic: int, text: str) -> None:
        """Count the terms of a row, each once."""
        words = dict.fromkeys(self._plain.terms(text[:_MOST_CHARACTERS]))
        terms = {self.term(word) for word in words}
        terms.discard("")
        self._counts[topic].update(terms)
        self._rows[topic] += 1
        if len(self._terms) > _MOST_COUNTS:
            self._forget()

    def term(self, word: str) -> str:
        """The term of a word in plain form; empty for one that never names a topic."""
        known = self._terms.get(word)
        if known is None:
            known = self._terms[word] = self._term(word)
            if known:
                self._words.setdefault(known, word)
        return known

    def _term(self, word: str) -> str:
        if len(word) < 2 or word.isdigit() or word in self._stop:
            return ""
        stems = self._stemmed.terms(word)
        return stems[0] if stems else ""

    def plain(self, text: str) -> list[str]:
        """The words of a text in plain form."""
        return self._plain.terms(text)

    def word(self, term: str) -> str:
        """A word of a term."""
        return self._words.get(term, term)

    def _forget(self) -> None:
        for counts in self._counts:
            for term in [term for term, rows in counts.items() if rows < _FEWEST_ROWS]:
                del counts[term]
        self._terms.clear()
        known = {term for counts in self._counts for term in counts}
        self._words = {term: word for term, word in self._words.items() if term in known}

    def telling(self, most: int) -> list[list[Told]]:
        """Of each topic, its terms by their weight, more than ``most`` of them."""
        everywhere: Counter[str] = Counter()
        for counts in self._counts:
            everywhere.update(counts)
        every = sum(self._rows)
        found = []
        for counts, total in zip(self._counts, self._rows, strict=True):
            fewest = _FEWEST_ROWS if total >= _FEW_ROWS else 1
            alone = total == every
            weighed = [
                (
                    term,
                    rows
                    / total
                    * (1.0 if alone else math.log(rows / total * every / everywhere[term])),
                    rows,
                )
                for term, rows in counts.items()
                if rows >= fewest
            ]
            weighed.sort(key=lambda told: (-told[1], told[0]))
            found.append(weighed[: max(_CLOSER, 2 * most)])
        return found


def as_written(
    telling: Sequence[Told], texts: Sequence[str], words: TellingWords, most: int
) -> list[Told]:
    """The most telling words of a topic, as the texts near its middle write them.

    Args:
        telling: its terms, best first.
        texts: rows near its middle.
        words: knows the terms of words.
        most: how many.
    """
    wanted = {term for term, _, _ in telling}
    written: dict[str, Counter[str]] = {}
    grams: Counter[str] = Counter()
    for text in texts:
        shown = text[:_MOST_CHARACTERS]
        for run in UNSPACED.findall(shown):
            grams.update(
                {
                    run[at : at + size]
                    for size in range(2, _LONGEST_GRAM + 1)
                    for at in range(len(run) - size + 1)
                }
            )
        for word in _WRITTEN.findall(UNSPACED.sub(" ", shown)):
            plain = words.plain(word)
            term = words.term(plain[0]) if plain else ""
            if term in wanted:
                written.setdefault(term, Counter())[word] += 1
    found: list[Told] = []
    for term, weight, rows in telling:
        if UNSPACED.fullmatch(term):
            word = _whole(term, grams)
            if any(_overlap(word, one) for one, _, _ in found):
                continue
        else:
            forms = written.get(term)
            word = _form(forms) if forms else words.word(term)
            if any(word.casefold() == one.casefold() for one, _, _ in found):
                continue
        found.append((word, weight, rows))
        if len(found) == most:
            break
    return found


def _overlap(word: str, other: str) -> bool:
    """Whether two runs of characters share two that follow each other: parts of one phrase."""
    return not {word[at : at + 2] for at in range(len(word) - 1)}.isdisjoint(
        other[at : at + 2] for at in range(len(other) - 1)
    )


def _form(forms: Counter[str]) -> str:
    """The form of a word that is most used: in small letters, unless it never is."""
    small = {form: count for form, count in forms.items() if form == form.lower()}
    chosen = small or forms
    return min(chosen, key=lambda form: (-chosen[form], form))


def told_by(text: str, telling: Sequence[Told], words: TellingWords) -> float:
    """How much a text tells of a topic: the weights of the telling terms that it has."""
    weights = {term: weight for term, weight, _ in telling}
    terms = {words.term(word) for word in words.plain(text[:_MOST_CHARACTERS])}
    return sum(weights.get(term, 0.0) for term in terms)


def _whole(gram: str, grams: Counter[str]) -> str:
    """The longest run of characters of which a bigram is nearly always a part."""
    word = gram
    while len(word) < _LONGEST_GRAM:
        longer = [
            one
            for one in grams
            if len(one) == len(word) + 1 and word in one and grams[one] >= _PART_OF * grams[word]
        ]
        if not longer or grams[word] < _FEWEST_ROWS:
            break
        word = min(longer, key=lambda one: (-grams[one], one))
    return word
