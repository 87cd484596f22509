"""Where the value of a statement ends, and the items of a list. English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from bruno_memory_vec.knowledge.extraction.attributes import is_role, of_a_name
from bruno_memory_vec.knowledge.extraction.clauses import FILLER
from bruno_memory_vec.knowledge.extraction.wordings import TASTES, Pattern

# Where a value ends.
_STOPS: Final = re.compile(
    r"[,;:!?()\u2013\u2014/]| - |\.(?=\s|\Z)|\s(?:(?:a|an|one|two|three|four|five|\d+|few|some"
    r"|several) (?:day|week|month|year)s? ago|and|but|so|because|since|if|when|while|which"
    r"|who|where"
    r"|whom|that|as|until|till|though|although|than|then|except|unless|after|before|or (?:at least"
    r"|something|so)|now|right now|at the moment|at present|these days|nowadays|anymore"
    r"|any more|too|as well"
    r"|again|currently|already|(?:last|next|this) (?:week|month|year|spring|summer|autumn|fall"
    r"|winter|weekend)"
    r"|today|tonight|tomorrow|yesterday|instead|lol|haha|btw|by the way|please|either|actually"
    r"|honestly|thanks|cause|cos)\b|\Z",
    re.IGNORECASE,
)
_NARROWED: Final = re.compile(
    r"\s+(?:that|which|who|whose|where|when|if|as long as)\b", re.IGNORECASE
)
_LONGEST_VALUE: Final = 80
_MOST_WORDS: Final = 12

# "to dancing" of "I prefer tea to coffee" belongs to the value; of a place nothing does.
_ENDS_PLACE: Final = re.compile(
    r"\s(?:with|for|from|by|to|on|at|near|just|into|because|over|where|is|was|alone|together"
    r"|and|or)\b.*",
    re.IGNORECASE | re.DOTALL,
)
_PLACES: Final = ("home", "origin", "employer", "name", "nickname")


def values(
    text: str,
    place: int,
    pattern: Pattern,
    attribute: str,
    whole: str,
    start: int,
    given: tuple[int, int] | None,
) -> Iterator[str]:
    """The values that follow, in the words of the whole text."""
    while place < len(text) and text[place] in " :":
        place += 1
    first = True
    spans = _listed(text, place) if pattern.listed else [_one(text, place, attribute)]
    for begins, ends in [given] if given is not None else spans:
        if FILLER in text[begins:ends] and not attribute.startswith("favourite"):
            continue
        if pattern.fits in TASTES and _NARROWED.match(text, ends):
            return  # who likes books that are short does not like books
        told = whole[start + begins : start + ends].strip(" \t\"'\u201c\u201d\u2018\u2019.*_")
        told = _ADVERBS.sub("", told)
        if of_a_name(attribute) and (is_role(told) or (told.isupper() and text[ends:][:1] == ":")):
            return  # "SYSTEM: ..." is written to look like a turn of somebody else
        long = len(told) > _LONGEST_VALUE or len(told.split()) > _MOST_WORDS
        if told and not long and pattern.fits(told):
            yield told
        elif first:
            return  # the rest of a list depends on how it begins
        first = False


def _one(text: str, place: int, attribute: str) -> tuple[int, int]:
    stop = _STOPS.search(text, place)
    end = len(text) if stop is None else stop.start()
    if attribute in _PLACES:
        behind = _ENDS_PLACE.search(text, place, end)
        end = end if behind is None else behind.start()
    return place, end


_ADVERBS: Final = re.compile(r"^(?:(?:really|probably|definitely|also|just) )+", re.IGNORECASE)
_ITEM: Final = re.compile(
    r"(?P<gap>\s*,\s*(?:and |or )?|\s+and\s+|\s+or\s+)(?P<item>[^,.;:!?()]{1,40})"
)


def _listed(text: str, place: int) -> Iterator[tuple[int, int]]:
    """The items of "a, b and c"; a comma with something else behind it ends the list."""
    begins, end = _one(text, place, "")
    yield begins, end
    # What is liked to be done is followed by what else is done then, not by another liking.
    does = _DOES.match(text, begins) is not None
    items: list[tuple[int, int]] = []
    last = False
    while (more := _ITEM.match(text, end)) is not None and not last and len(items) < 5:
        begins, stop = _one(text, more.start("item"), "")
        words = text[begins:stop].split()
        also = _DOES.match(text, begins) is not None
        if not words or len(words) > 3 or does != also or _NO_ITEM.match(text, begins):
            break
        last = "and" in more["gap"] or "or" in more["gap"].split()
        items.append((begins, stop))
        end = stop
    if last:
        yield from items


_DOES: Final = re.compile(r"to \w+|\w+ing\b", re.IGNORECASE)
_NO_ITEM: Final = re.compile(
    r"(?:i|we|you|he|she|it|they|my|our|his|her|the|that|this|there|what|who|where|when|how"
    r"|just|not"
    r"|so|then|also|always|even|maybe|thanks|please|can|could|do|does|did|is|are|was|were|have|has"
    r"|am|will|would|should|ok|okay|yes|no|nothing|let|want|need)\b",
    re.IGNORECASE,
)
