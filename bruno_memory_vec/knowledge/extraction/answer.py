"""What is taken from a model's answer: facts that turns of the user bear out, and nothing else.

A model may answer in another form, refuse, make up a source, tell of somebody else, or do what a
quoted turn asks of it. So each fact is checked by itself:

- It is about the user, or about the speaker of the turns that it cites.
- Of its sources those count that are turns of the user in the prompt. Without one it is dropped.
- The words of its value stand in these turns, outside of what is quoted or asked there
  (:mod:`.clauses`): all of them, else its confidence is lowered; less than half, and it is dropped.
- It claims no right or office in a computer system. Such a sentence is no knowledge of a person,
  and is what somebody writes who wants an assistant to believe it.

What is dropped is counted, by the reason.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bruno_memory_vec.errors import LLMFailed
from bruno_memory_vec.knowledge.extraction.attributes import (
    KNOWN,
    USER,
    is_role,
    of_a_name,
)
from bruno_memory_vec.knowledge.extraction.candidate import Candidate, SourceTurn
from bruno_memory_vec.knowledge.extraction.clauses import statements
from bruno_memory_vec.llm import looks_refused
from bruno_memory_vec.prompts.quoting import is_plain_name

#: A fact that is less certain is dropped.
LEAST_CONFIDENCE: Final = 0.3
#: The most that a model's own word counts.
MOST_CONFIDENCE: Final = 0.9
# A fact whose value stands in the turns only in part, or in what is quoted or asked there.
_IN_PART: Final = 0.6

_Short = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]
_Value = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class _Said(BaseModel):
    """A fact, as a model is asked to write it."""

    model_config = ConfigDict(strict=True, extra="ignore")

    attribute: _Short
    value: _Value
    about: _Short = USER
    sources: list[str] = Field(min_length=1, max_length=50)
    confidence: Annotated[float, Field(ge=0, le=1, strict=False)] = 0.7
    holds: bool = True


def read_answer(
    text: str, numbers: Mapping[str, SourceTurn]
) -> tuple[list[Candidate], Counter[str]]:
    """The facts of an answer, and how many were dropped, by the reason.

    Args:
        text: what the model answered.
        numbers: the user's turns by the numbers that the prompt gave them.

    Raises:
        LLMFailed: it refused, or answered in another form.
    """
    items = _items(text)
    dropped: Counter[str] = Counter()
    found: list[Candidate] = []
    for item in items:
        try:
            said = _Said.model_validate(item)
        except ValidationError:
            dropped["has another form"] += 1
            continue
        checked = _checked(said, numbers)
        if isinstance(checked, str):
            dropped[checked] += 1
        else:
            found.append(checked)
    return found, dropped


def _items(text: str) -> list[Any]:
    """The list of facts; models like to put words or a fence around it."""
    begins = min((place for place in (text.find("{"), text.find("[")) if place >= 0), default=-1)
    ends = max(text.rfind("}"), text.rfind("]"))
    try:
        told = json.loads(text[begins : ends + 1]) if 0 <= begins < ends else None
    except (ValueError, RecursionError):
        told = None
    facts = told.get("facts") if isinstance(told, dict) else told
    if isinstance(facts, list):
        return facts
    if looks_refused(text):
        raise LLMFailed("refused", "refused to read the turns")
    raise LLMFailed("malformed", "answered in another form than the JSON that it was asked for")


def _checked(said: _Said, numbers: Mapping[str, SourceTurn]) -> Candidate | str:
    """The fact as a candidate, or why it is none."""
    sources = list(dict.fromkeys(said.sources))
    turns = sorted(
        (numbers[one] for one in sources if one in numbers),
        key=lambda turn: (turn.at, turn.turn),
    )
    if not turns:
        return "cites no turn of the user"
    name = _name(said.attribute)
    if not is_plain_name(name):
        return "has no plain name"
    subject = turns[0].subject
    if said.about.casefold() not in (USER, subject.casefold()):
        return "is about somebody else"
    turns = [turn for turn in turns if turn.subject == subject]
    if of_a_name(name) and is_role(said.value):
        return "is a role, and no name"
    claims = said.value if name in _OFFICES else f"{name} {said.value}"
    if _RIGHTS.search(_ADMINISTERS.sub("", claims) if name in _OFFICES else claims):
        return "claims a right"
    confidence = min(said.confidence, MOST_CONFIDENCE)
    borne_out = [turn for turn in turns if _share(said.value, _stated(turn)) == 1.0]
    if not borne_out:
        # Each turn by itself, then all of them: a value may be told in two turns.
        whole = " ".join(turn.text for turn in turns)
        if _share(said.value, whole) < 0.5:
            return "is not in the turns that it cites"
        borne_out = [turn for turn in turns if _share(said.value, turn.text) > 0] or turns
        confidence *= _IN_PART
    if confidence < LEAST_CONFIDENCE:
        return "is too uncertain"
    value = " ".join(said.value.split()).rstrip(".")
    return Candidate(name, value, confidence, tuple(borne_out), "llm", subject, said.holds)


def _stated(turn: SourceTurn) -> str:
    return " ".join(sentence.text for sentence in statements(turn.text))


_WORD = re.compile(r"\w+")
_SMALL = frozenset(
    "a an the of in on at to for and or is are was my their his her its with by from as".split()
)


def _words(text: str) -> Iterator[str]:
    for found in _WORD.finditer(text.casefold().replace("\u2019", "'")):
        word = found[0]
        yield word[:-1] if len(word) > 3 and word.endswith("s") else word


def _share(value: str, text: str) -> float:
    """The share of a value's words that stand in a text, without the small ones."""
    wanted = list(_words(value))
    counted = [word for word in wanted if word not in _SMALL] or wanted
    have = set(_words(text))
    return sum(word in have for word in counted) / len(counted) if counted else 0.0


_RIGHTS: Final = re.compile(
    r"\b(?:admin\w*|root|superuser|sudo|privileg\w*|permissions?|authori[sz]\w*|clearance"
    r"|access (?:level|right)s?|developer mode|jailbr\w+|system prompt|instructions?)\b",
    re.IGNORECASE,
)
# One may well administer systems for a living.
_OFFICES: Final = ("job", "employer")
_ADMINISTERS: Final = re.compile(r"\badministrat\w+", re.IGNORECASE)
# What models call the known attributes.
_OTHER_NAMES: Final = {
    "location": "home",
    "residence": "home",
    "city": "home",
    "lives in": "home",
    "address": "home",
    "hometown": "origin",
    "birthplace": "origin",
    "occupation": "job",
    "profession": "job",
    "job title": "job",
    "works as": "job",
    "company": "employer",
    "workplace": "employer",
    "works at": "employer",
    "birth date": "birthday",
    "date of birth": "birthday",
    "allergies": "allergy",
    "allergic to": "allergy",
    "like": "likes",
    "loves": "likes",
    "interest": "likes",
    "interests": "likes",
    "dislike": "dislikes",
    "hates": "dislikes",
    "preference": "prefers",
    "languages": "language",
    "hobbies": "hobby",
    "pets": "pet",
    "full name": "name",
    "first name": "name",
}


_PARTS: Final = re.compile(r"[\w'-]+")


def _name(name: str) -> str:
    plain = (
        name.casefold().replace("_", " ").replace("\u2019", "'").replace("favorite", "favourite")
    )
    plain = " ".join(_PARTS.findall(plain)) or "fact"
    return _OTHER_NAMES.get(plain, plain) if plain not in KNOWN else plain


def best(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Each fact once: of several from the same turns the most certain one."""
    chosen: dict[tuple[object, ...], Candidate] = {}
    for one in candidates:
        key = (one.subject, one.attribute, one.same, one.holds, one.sources)
        if key not in chosen or chosen[key].confidence < one.confidence:
            chosen[key] = one
    return list(chosen.values())
