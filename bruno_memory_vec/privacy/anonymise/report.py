"""What was replaced: counts, and never an original."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bruno_memory_vec.wording import counted


@dataclass(frozen=True, slots=True)
class AnonymiseReport:
    """What was replaced.

    Attributes:
        rows: how many rows were read.
        changed: in how many of them something was replaced or moved besides their ids and times.
        places: by kind, how many places were replaced.
        different: by kind, how many different originals these were.
        users: how many users got another id.
        names_known: how many words are known to be names, from profiles, senders and texts.
    """

    rows: int = 0
    changed: int = 0
    places: dict[str, int] = field(default_factory=dict)
    different: dict[str, int] = field(default_factory=dict)
    users: int = 0
    names_known: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __str__(self) -> str:
        """A few lines for people."""
        lines = [
            f"{counted(self.rows, 'row')} of {counted(self.users, 'user')} anonymised, "
            f"{self.changed:,} of them had something to replace"
        ]
        lines += [
            f"  {kind.replace('_', ' ')}: {counted(number, 'place')}"
            + (f", {self.different[kind]:,} different" if self.different.get(kind) else "")
            for kind, number in sorted(self.places.items(), key=lambda one: (-one[1], one[0]))
        ]
        return "\n".join(lines)


@dataclass(slots=True)
class Tally:
    """The counts while they grow."""

    rows: int = 0
    changed: int = 0
    users: set[str] = field(default_factory=set)
    places: Counter[str] = field(default_factory=Counter)

    def report(self, different: Counter[str], names: int) -> AnonymiseReport:
        """What they come to."""
        places = {kind: number for kind, number in sorted(self.places.items()) if number}
        return AnonymiseReport(
            self.rows,
            self.changed,
            places,
            {kind: different[kind] for kind in places},
            len(self.users),
            names,
        )
