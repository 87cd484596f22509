"""Where something stands in a text that tells who somebody is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, get_args

Kind = Literal[
    "person",
    "email",
    "phone",
    "address",
    "iban",
    "card",
    "national_id",
    "account",
    "ip",
    "mac",
    "url",
    "handle",
    "uuid",
    "secret",
    "coordinates",
    "date",
]

#: Every kind that is replaced.
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


class Span(NamedTuple):
    """A part of a text.

    Attributes:
        start: of its first character.
        end: behind its last one.
        kind: what it is.
        original: the same for all ways to write it.
    """

    start: int
    end: int
    kind: Kind
    original: str


def apart(spans: Iterable[Span]) -> list[Span]:
    """Spans that do not overlap, in the order of the text; of two that do, the earlier given."""
    kept: list[Span] = []
    taken: set[int] = set()
    for span in spans:
        place = range(span.start, span.end)
        if span.start < span.end and taken.isdisjoint(place):
            taken.update(place)
            kept.append(span)
    return sorted(kept)
