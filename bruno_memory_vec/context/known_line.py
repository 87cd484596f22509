"""A line of what is known of the user, and where that is from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownLine:
    """A line for a prompt, such as ``- preference, drink: "tea"``.

    Attributes:
        text: the line. What was stored is quoted in it.
        values: the values that it quotes, as they are quoted.
        memories: ids of the memories that say it; none of what somebody has set.
        turns: ids of the messages in which it was said.
    """

    text: str
    values: tuple[str, ...] = ()
    memories: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()
