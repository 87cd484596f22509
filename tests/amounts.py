"""How much a test tries: less in the ordinary suite than where ``make torture`` asks for it."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

LONG = os.environ.get("BRUNO_TORTURE") == "long"


def amount(short: T, long: T) -> T:
    """The figure that fits: examples of a property, rounds, sizes."""
    return long if LONG else short
