"""Whether a model's summary may stand for its source, as far as that can be checked.

What is checked is what can be told without another model: that it is a summary and no refusal, in
the language of its source and in sentences, about the same things, shorter, and that the numbers,
names and dates in it stand in the source. Whether it leaves out too much is checked where the
chosen sentences are known (``summarising``). A wrong verb passes. So turns are archived and never
lost.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter as Counts
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from bruno_memory_vec.compression.evidence import names_in, numbers_in, whole_dates
from bruno_memory_vec.compression.rarity import Terms
from bruno_memory_vec.llm import looks_refused
from bruno_memory_vec.prompts.token_bound import Counter

# Of a summary's terms so many have to stand in its source. A summary in its own words has two
# thirds of them there; one of something else, or in another language, a tenth.
_LEAST_SHARED = 0.3
# Of a source's letters so many make a script one of its own.
_OF_A_SCRIPT = 0.05
# A model may name the day that "yesterday" or "next month" was.
_DAYS_NAMED = 40
# So often one line may be repeated.
_REPEATED = 3
# One word may be this share of three words or more.
_ONE_WORD = 0.5
_JSON = re.compile(r"\s*(?:```\w*\s*)?[\[{]\s*[\[{\"'\]}\d]")
_LIST_MARK = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s+", re.MULTILINE)
_SAID_HOW_MANY = re.compile(
    r"\b(?:thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty"
    r"|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Source:
    """What a summary is compared with.

    Attributes:
        text: what was said, with the names of who said it.
        days: when.
        tokens: of the text.
    """

    text: str
    days: Sequence[date]
    tokens: int


def fault_of(summary: str, source: Source, terms: Terms, count: Counter) -> str | None:
    """Why a summary must not stand for its source; None where nothing speaks against it."""
    if not any(map(str.isalnum, summary)):
        return "it says nothing"
    if looks_refused(summary):
        return "the model refused"
    if _JSON.match(summary):
        return "it is JSON and no sentences"
    if count(summary) >= source.tokens:
        return "it is not shorter than its source"
    lines = Counts(line.strip() for line in summary.splitlines() if line.strip())
    words = Counts(re.findall(r"[^\W_]+", summary.casefold()))
    one_word = words.total() > 2 and max(words.values()) > _ONE_WORD * words.total()
    if one_word or max(lines.values()) > _REPEATED:
        return "it repeats itself"
    foreign = scripts(summary) - scripts(source.text, least=0.0)
    if foreign:
        return f"it is written in {', '.join(sorted(foreign))}, and its source is not"
    said = set(terms(source.text))
    used = set(terms(summary))
    if used and len(used & said) < _LEAST_SHARED * len(used):
        return "it shares few words with its source"
    return _unknown(summary, source)


def _unknown(summary: str, source: Source) -> str | None:
    """A number, date or name of a summary that its source does not have."""
    text = _LIST_MARK.sub("", summary)
    known_days = {found.name for found in whole_dates(source.text)}
    rest, place = [], 0
    for found in whole_dates(text):
        in_source = found.name in known_days or found.text.lower() in source.text.lower()
        if in_source or found.near(list(source.days), _DAYS_NAMED):
            rest.append(text[place : found.begin])
            place = found.end
    plain = " ".join([*rest, text[place:]])
    dated = {str(number) for day in source.days for number in (day.year, day.month, day.day)}
    known = numbers_in(source.text) | _parts_of_numbers(source.text) | dated
    for number in sorted(numbers_in(plain) - known):
        return f"the number {number} is not in its source"
    lower = source.text.lower()
    for word in _SAID_HOW_MANY.findall(plain):
        if word.lower() not in lower:
            return f"the number {word.lower()!r} is not in its source"
    words = set(re.findall(r"[^\W_]+", lower))
    for name in sorted(names_in(plain)):
        if name not in lower and not _parts(name) <= words:
            return f"the name {name!r} is not in its source"
    return None


def _parts(name: str) -> set[str]:
    return {part for part in re.findall(r"[^\W_]+", name) if len(part) > 1}


def _parts_of_numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+", text))


def scripts(text: str, least: float = _OF_A_SCRIPT) -> set[str]:
    """The scripts that have more than a share of a text's letters: "LATIN", "CJK", "CYRILLIC"."""
    counts: Counts[str] = Counts()
    for letter, times in Counts(filter(str.isalpha, text)).items():
        # A letter's name begins with that of its script.
        counts[unicodedata.name(letter, "UNKNOWN").split()[0]] += times
    total = sum(counts.values())
    return {script for script, times in counts.items() if times > least * total}
