"""What a context is made of, by name: which parts, and how much of the budget each may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.recall.profiles import load_profile
from bruno_memory_vec.rows import checks
from bruno_memory_vec.rows.checks import shown

_SHARES: Final = ("system", "about", "pinned", "summaries", "recent")
_RECALLED: Final = ("question", "importance")


@dataclass(frozen=True, slots=True)
class Strategy:
    """Which parts a context has. Shares are of what the budget leaves beside the question, 0..1.

    A part takes no more than its share, and what one leaves is the next ones'. What is left in the
    end goes to more of the recent turns.

    Attributes:
        name: how a caller names it.
        description: one sentence.
        system: the share of the conversation's system messages.
        about: of what is known of the user: name, profile and preferences. Of a small budget they
            may take more, up to a quarter or 80 tokens. How the user writes has half of the share.
        pinned: of the rows that are pinned, those that were pinned last first. The first one that
            does not fit is cut.
        summaries: of the summaries of the conversation.
        recent: of the last turns, before anything is recalled. The newest one may take more.
        recalled: which rows are quoted: what the question recalls, the most important rows
            whatever the question, or none.
        profile: the recall profile, where no other is named; None for the memory's own.
        more_recent: whether what is left in the end goes to more of the recent turns.

    Raises:
        InvalidInputError: a field is not usable; it is named.
    """

    name: str
    description: str
    system: float = 0.25
    about: float = 0.0
    pinned: float = 0.0
    summaries: float = 0.0
    recent: float = 0.0
    recalled: Literal["question", "importance"] | None = None
    profile: str | None = None
    more_recent: bool = True

    def __post_init__(self) -> None:
        checks.label("name", checks.storable_text("name", self.name))
        checks.storable_text("description", self.description, blank=True)
        for share in _SHARES:
            object.__setattr__(self, share, checks.unit_interval(share, getattr(self, share)))
        if self.recalled is not None and (
            not isinstance(self.recalled, str) or self.recalled not in _RECALLED
        ):
            raise InvalidInputError(
                "recalled",
                f"{shown(self.recalled)} is not known",
                fix=f"Use one of {', '.join(map(repr, _RECALLED))}, or None.",
            )
        if self.profile is not None:
            load_profile(self.profile)
        object.__setattr__(self, "more_recent", checks.flag("more_recent", self.more_recent))


_ALL = (
    Strategy(
        "hybrid",
        "system messages, what is known of the user, what is pinned, summaries of what is older, "
        "what the question recalls, and the last turns",
        about=0.1,
        pinned=0.5,
        summaries=0.15,
        recent=0.25,
        recalled="question",
    ),
    Strategy("sliding_window", "system messages and the last turns, nothing else", recent=1.0),
    Strategy(
        "semantic",
        "system messages, the last turns, what is pinned, and what is nearest to the question in "
        "meaning",
        pinned=0.5,
        recent=0.25,
        recalled="question",
        profile="semantic",
    ),
    Strategy(
        "importance",
        "system messages, the last turns, what is pinned, and the most important rows, whatever "
        "the question",
        pinned=0.5,
        recent=0.25,
        recalled="importance",
    ),
)
#: The strategies, by name.
STRATEGIES = {strategy.name: strategy for strategy in _ALL}


def strategy_named(name: str | Strategy) -> Strategy:
    """A strategy by its name; one that is given is returned.

    Raises:
        InvalidInputError: there is none of that name.
    """
    if isinstance(name, Strategy):
        return name
    found = STRATEGIES.get(name) if isinstance(name, str) else None
    if found is None:
        raise InvalidInputError(
            "strategy",
            f"there is no strategy {shown(name)}",
            fix=f"Use one of: {', '.join(STRATEGIES)}.",
        )
    return found
