"""Why a setting is refused, in plain words: pydantic's are for its own users."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

_KINDS: Final = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "string": "a text",
    "path": "a path",
    "tuple": "a list",
    "time_delta": 'a duration: seconds, or a text such as "P1D" or "01:30:00"',
    "model": "a CompressionPolicy, or an object of its fields",
    "finite": "a finite number",
}
_BOUNDS: Final = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def why(error: Mapping[str, Any]) -> str:
    """One of the errors of a ``pydantic.ValidationError``, as what the setting is or has to be.

    The value is not in it: it may be a password.
    """
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind == "value_error":
        # The words of our own checks.
        return str(context.get("error", error["msg"])).rstrip(".")
    if kind in _BOUNDS:
        word, bound = _BOUNDS[kind]
        return f"has to be {word} {_plain(context[bound])}"
    if kind in ("literal_error", "enum"):
        return f"has to be {context['expected']}"
    if kind == "string_too_short":
        return "is empty"
    for begins, told in _KINDS.items():
        if kind.startswith(begins):
            return f"has to be {told}"
    return str(error["msg"])


def _plain(bound: Any) -> str:
    if isinstance(bound, timedelta):
        return f"{bound.days:,} days" if bound >= timedelta(days=1) else f"{bound.seconds} seconds"
    if isinstance(bound, float) and bound.is_integer():
        bound = int(bound)
    return f"{bound:,}" if isinstance(bound, (int, float)) else str(bound)
