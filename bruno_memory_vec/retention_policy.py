"""How long rows are kept, by their kind: the setting ``retention_days``, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bruno_core.models.memory import MemoryType
from bruno_core.models.message import MessageRole

from bruno_memory_vec.errors import InvalidInputError

FIELD: Final = "retention_days"
#: Less would delete what is said today, more is longer than anybody lives.
SHORTEST, LONGEST = 1.0, 36_525.0

#: The kinds of rows that a policy may name, from the general to the special.
KINDS: Final[tuple[str, ...]] = (
    "message",
    *(f"message.{role.value}" for role in MessageRole),
    "memory",
    *(f"memory.{kind.value}" for kind in MemoryType),
)


def retention_of(given: Any) -> dict[str, float | None]:
    """A policy as days by kind: of one number, or of a dict; None in it keeps that kind for good.

    Args:
        given: ``365``, or ``{"message": 365, "memory.short_term": 30, "message.system": None}``.

    Raises:
        InvalidInputError: a kind or a number is not usable.
    """
    if isinstance(given, Mapping):
        if not given:
            raise _refused("names no kind", 'Write {"message": 365}, or leave the setting out.')
        return {_kind(kind): _days(days, f" of {kind!r}") for kind, days in given.items()}
    days = _days(given, "")
    if days is None:
        raise _refused("is None", "Give a number of days, or leave the setting out.")
    return {"message": days, "memory": days}


def rule_for(policy: Mapping[str, float | None], kind: str) -> str | None:
    """The kind in a policy that decides for rows of a special one; None where none does."""
    if kind in policy:
        return kind
    general = kind.partition(".")[0]
    return general if general in policy else None


def _kind(kind: Any) -> str:
    if kind not in KINDS:
        raise _refused(f"names {kind!r}, which is no kind of rows", f"Use {', '.join(KINDS)}.")
    return str(kind)


def _days(days: Any, whose: str) -> float | None:
    if days is None:
        return None
    if isinstance(days, bool) or not isinstance(days, (int, float)):
        raise _refused(f"{whose} is a {type(days).__name__}".strip(), "Give a number of days.")
    if not SHORTEST <= days <= LONGEST:  # not for NaN either
        shown = f"{days:,}" if isinstance(days, float) or abs(days) < 10**15 else "out of range"
        raise _refused(
            f"{whose} is {shown}".strip(),
            f"Give {SHORTEST:g} to {LONGEST:,.0f} days, or None to keep that kind for good.",
        )
    return float(days)


def _refused(problem: str, fix: str) -> InvalidInputError:
    return InvalidInputError(FIELD, problem, fix=fix)
