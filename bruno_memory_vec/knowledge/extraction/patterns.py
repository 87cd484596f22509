"""Facts that a user states in so many words, found without a model. English.

A pattern stands for a statement in the first person ("I live in …", "my name is …"). It counts only
where a clause begins, behind nothing but words that leave it a statement ("and", "actually", "since
last year"): so neither "if I moved to Oslo", nor "she says I live in a dream", nor "do I like it?"
is one. What is quoted, or given to be worked on, was hidden before (:mod:`.clauses`).

Each pattern has a confidence. How many are right in turns that were labelled is measured by
``python -m benchmarks.extraction``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from bruno_memory_vec.knowledge.extraction.candidate import Candidate, SourceTurn
from bruno_memory_vec.knowledge.extraction.clauses import FILLER, Sentence, statements
from bruno_memory_vec.knowledge.extraction.values import values
from bruno_memory_vec.knowledge.extraction.wordings import PATTERNS

__all__ = ["candidates"]

#: Of a longer turn only the beginning is read: long ones are texts that somebody pasted.
LONGEST_TURN: Final = 4_000


def candidates(turn: SourceTurn) -> list[Candidate]:
    """What a turn's author says of themselves; nothing where the turn is not a user's.

    Each attribute and value is there once.
    """
    if turn.role != "user":
        return []
    found: dict[tuple[str, str, bool], Candidate] = {}
    for sentence in statements(turn.text[:LONGEST_TURN]):
        for one in _in_sentence(sentence, turn):
            found.setdefault((one.attribute, one.same, one.holds), one)
    return list(found.values())


# What may stand before a statement in its clause.
_BEFORE: Final = re.compile(
    r"(?:\W*\b(?:and|but|so|well|yes|yeah|yep|no|nope|ok|okay|hi|hey|hello|oh|ah|btw|by the way"
    r"|actually|also|now|anyway|because|cause|since|as|plus|fyi|ps|though|although|honestly"
    r"|personally"
    r"|currently|these days|nowadays|recently|lately|today|yesterday|first|sorry|note that"
    r"|remember"
    r"|remember that|please remember|please remember that|just so you know|to be clear"
    r"|to be honest"
    r"|you know|you should know|you should know that|as you know|i mean|for context|for the record"
    r"|in general|generally|usually|in fact|haha|lol|good morning|good evening|thanks|thank you"
    r"|wow"
    r"|same here|me too|there|bruno|guess what|i think|i guess|i must say|truth is|the thing is"
    r"|(?:last|this) (?:week|month|year|summer|winter|spring|autumn|fall)"
    r"|in (?:\d{4}|january|february|march|april|may|june|july|august|september|october|november"
    r"|december)))*\W*",
    re.IGNORECASE,
)
_BOUNDARY: Final = re.compile(
    rf"[,:()\u2013\u2014{FILLER}]| - |\b(?:and|but|so|because|though|then)\b", re.I
)
# Anywhere before it, these make a statement a supposition, or somebody else's.
_SUPPOSES: Final = re.compile(
    r"\b(?:if|unless|whether|suppose|supposing|imagine|pretend|wish|hypothetically|as though|would"
    r"|until|till|say(?:s|ing)?|said|tells? (?:me|us|him|her|them)|told|asked|thinks?(?<!i think)"
    r"|claims?|wrote|writes|character|lyrics|dreamt|dreamed|remember when|back when|used to"
    r"|not that)\b",
    re.IGNORECASE,
)
# Behind it, within the sentence.
_UNDONE: Final = re.compile(
    r"\b(?:in (?:this|that|the|my) (?:story|game|novel|book|film|movie|dream|dreams|play"
    r"|simulation"
    r"|example|scenario)|just kidding|not really|hypothetically)\b",
    re.IGNORECASE,
)


def _in_sentence(sentence: Sentence, turn: SourceTurn) -> Iterator[Candidate]:
    text = sentence.text
    taken: list[tuple[int, int]] = []
    for pattern in PATTERNS:
        for found in pattern.says.finditer(text):
            if any(start <= found.start() < end for start, end in taken):
                continue
            if not _stated(text, found.start(), pattern.anywhere) or _UNDONE.search(
                text, found.end()
            ):
                continue
            name = pattern.attribute
            if "{of}" in name:
                name = name.replace("{of}", _british(found["of"].lower()))
            given = found.span("value") if "value" in pattern.says.groupindex else None
            found_values = list(
                values(text, found.end(), pattern, name, turn.text, sentence.start, given)
            )
            if found_values:
                taken.append((found.start(), found.end()))
            for value in found_values:
                yield Candidate(
                    name,
                    value,
                    pattern.confidence,
                    (turn,),
                    "patterns",
                    turn.subject,
                    pattern.holds,
                )


def _stated(text: str, place: int, anywhere: bool) -> bool:
    """Whether what begins there is stated by the author, and not supposed, asked or reported.

    ``anywhere``: amid a clause, too.
    """
    before = text[:place]
    if _SUPPOSES.search(before):
        return False
    if anywhere:
        return True
    clause = 0
    for boundary in _BOUNDARY.finditer(before):
        clause = boundary.end()
    return _BEFORE.fullmatch(before[clause:]) is not None


def _british(name: str) -> str:
    return name.replace("favorite", "favourite").replace("mom", "mum")
