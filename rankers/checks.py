"""Checks of the numbers in settings: each raises ``ValueError`` with the field's name."""

from __future__ import annotations

from typing import Any


def number(field: str, value: Any, low: float, high: float) -> None:
    """Refuse what is not a finite number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{field} must be a number, not {_shown(value)}")
    # NaN compares false with everything; Python compares integers of any size exactly.
    if not low <= value <= high:
        raise ValueError(f"{field} must be from {low:g} to {high:g}, not {_shown(value)}")


def integer(field: str, value: Any, low: int, high: int = 2**31) -> None:
    """Refuse what is not a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{field} must be a whole number, not {_shown(value)}")
    if not low <= value <= high:
        raise ValueError(f"{field} must be from {low} to {high}, not {_shown(value)}")


def flag(field: str, value: Any) -> None:
    """Refuse what is not a truth value."""
    if not isinstance(value, bool):
        raise ValueError(f"{field} must be true or false, not {_shown(value)}")


def part(field: str, value: Any, kind: type, *, optional: bool = False) -> None:
    """Refuse what is not a ``kind``; with ``optional``, None is allowed."""
    if not (isinstance(value, kind) or (optional and value is None)):
        raise ValueError(f"{field} must be a {kind.__name__}, not {_shown(value)}")


def _shown(value: Any) -> str:
    """A value as text for an error message; never raises."""
    try:
        return repr(value)
    except ValueError:  # an int of thousands of digits
        return f"the given {type(value).__name__}"
