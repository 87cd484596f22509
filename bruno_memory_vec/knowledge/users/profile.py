"""What is known of a user: values with where they are from, facts, and how the user writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from bruno_memory_vec.knowledge.users.style import Style
from bruno_memory_vec.prompts.hidden_characters import one_line

#: The parts of a profile that have keys, as bruno-core's ``UserContext`` names them.
Part = Literal["preferences", "profile"]

# What is printed at most: characters of a text, lines of a part, other values.
_SHOWN, _SHOWN_LINES, _SHOWN_OTHERS = 100, 20, 3


@dataclass(frozen=True, slots=True)
class KnownValue:
    """One preference, or one value of the profile.

    Attributes:
        key: its name, such as "language" or "home".
        value: what it is. Of several learned ones, the newest.
        origin: "edited": somebody has set it, with :meth:`.UserManager.set_preference`,
            ``save_user`` or the like; "learned": it is from stored rows.
        others: other learned values of the same key, the newest first: a user may like several
            things.
        sources: ids of the memories that say it, that of the value first; none of an edited one.
        turns: ids of the messages that these memories cite.
        at: when the memory of the value was stored, UTC; None of an edited one.
        confidence: that of the memory, 0..1; 1 of an edited one.
    """

    key: str
    value: Any
    origin: Literal["edited", "learned"]
    others: tuple[Any, ...] = ()
    sources: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()
    at: datetime | None = None
    confidence: float = 1.0

    def __str__(self) -> str:
        others = "".join(
            f", {one_line(str(other), _SHOWN)}" for other in self.others[:_SHOWN_OTHERS]
        )
        more = len(self.others) - _SHOWN_OTHERS
        others += f" and {more:,} more" if more > 0 else ""
        how = "set" if self.origin == "edited" else f"{self.confidence:.2f}"
        value = f"{one_line(str(self.value), _SHOWN)}{others}"
        return f"{one_line(self.key, _SHOWN)}: {value}  ({how})"


@dataclass(frozen=True, slots=True)
class KnownFact:
    """A sentence about the user, or about somebody the user knows.

    Attributes:
        id: the id of the memory that says it.
        text: the sentence.
        turns: ids of the messages that it cites.
        at: when it was stored, UTC.
        confidence: 0..1.
    """

    id: str
    text: str
    turns: tuple[str, ...]
    at: datetime
    confidence: float

    def __str__(self) -> str:
        return f"{one_line(self.text, _SHOWN)}  ({self.confidence:.2f})"


@dataclass(frozen=True, slots=True)
class UserProfile:
    """What is known of a user.

    Attributes:
        user_id: whose.
        name: as somebody has set it, else as it was learned; None where it is not known.
        preferences: by key.
        profile: by key.
        facts: what is known beside these, the newest first.
        style: how the user writes; None before it was counted, or without a message.
        rows: from how many memories that say something the learned values are.
        refreshed_at: when they were taken from the rows, UTC; None if never.
    """

    user_id: str
    name: str | None = None
    preferences: Mapping[str, KnownValue] = field(default_factory=dict)
    profile: Mapping[str, KnownValue] = field(default_factory=dict)
    facts: tuple[KnownFact, ...] = ()
    style: Style | None = None
    rows: int = 0
    refreshed_at: datetime | None = None

    def __str__(self) -> str:
        name = "" if self.name is None else f", called {one_line(self.name, _SHOWN)}"
        lines = [f"user {one_line(self.user_id, _SHOWN)}{name}"]
        for what, known in (
            ("preference", tuple(self.preferences.values())),
            ("profile", tuple(self.profile.values())),
            ("fact", self.facts),
        ):
            lines += [f"  {what}  {one}" for one in known[:_SHOWN_LINES]]
            if len(known) > _SHOWN_LINES:
                lines.append(f"  ... and {len(known) - _SHOWN_LINES:,} more of {what}")
        if self.style is not None:
            lines.append(f"  {self.style}")
        return "\n".join(lines)
