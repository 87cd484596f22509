"""Checks of the numbers in settings: each raises ``ValueError`` with the field's name."""

from __future__ import annotations

from typing import Any

_LONGEST_SHOWN = 100


def number(field: str, value: Any, low: float, high: float) -> None:
    """Refuse what is not a finite number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{field} must be a number, not {shown(value)}")
    # NaN compares false with everything; Python compares integers of any size exactly.
    if not low <= value <= high:
        raise ValueError(f"{field} must be from {low:g} to {high:g}, not {shown(value)}")


def integer(field: str, value: Any, low: int, high: int = 2**31) -> None:
    """Refuse what is not a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{field} must be a whole number, not {shown(value)}")
    if not low <= value <= high:
        raise ValueError(f"{field} must be from {low} to {high}, not {shown(value)}")


def flag(field: str, value: Any) -> None:
    """Refuse what is not a truth value."""
    if not isinstance(value, bool):
        raise ValueError(f"{field} must be true or false, not {shown(value)}")


def part(field: str, value: Any, kind: type, *, optional: bool = False) -> None:
    """Refuse what is not a ``kind``; with ``optional``, None is allowed."""
    if not (isinstance(value, kind) or (optional and value is None)):
        raise ValueError(f"{field} must be a {kind.__name__}, not {shown(value)}")


def shown(value: Any) -> str:
    """A value as short text for an error message; never raises."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of thousands of digits, or a deep list
        return f"the given {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
