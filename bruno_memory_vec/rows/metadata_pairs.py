"""Metadata as texts that engines compare: one for each key, equal where key and value are equal.

Numbers are equal as in Python: 1 equals 1.0, and 0.1 + 0.2 does not equal 0.3. Unlike in Python, a
truth value equals no number, so 1, True and "1" are three different values. NaN equals nothing.

A text looks like ``"project"="x"``, with both sides as JSON, so that different pairs never give the
same text. A text of more than :data:`LONGEST` characters is replaced by its hash, so that long
values can be found too, and the pairs take hardly more space than the metadata itself.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

#: In characters. A longer pair is stored as its hash.
LONGEST = 128
# An integer with more bits is always longer than that, and Python may refuse to convert it to text.
_MOST_BITS = 4_096

#: A value that a filter can compare.
Value = str | int | float

_json = json.JSONEncoder(ensure_ascii=False).encode


def pairs_of(metadata: Mapping[Any, Any]) -> list[str]:
    """The pairs of a row's metadata: of its top-level keys only.

    Left out are NaN and values other than texts, ints, floats and truth values.
    """
    if not metadata:  # most rows have none
        return []
    return [
        pair(key, value)
        for key, value in metadata.items()
        if isinstance(key, str) and isinstance(value, (str, int, float)) and value == value
    ]


def pair(key: str, value: Value) -> str:
    """A key and its value as one text. NaN gives a text that no row has."""
    text = f"{_json(key)}={_canonical(value)}"
    if len(text) <= LONGEST:
        return text
    return "#" + hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


def _canonical(value: Value) -> str:
    if isinstance(value, (str, bool)):
        return _json(value)
    if isinstance(value, float):
        if not math.isfinite(value) or not value.is_integer():
            return repr(float(value))
        value = int(value)
    return str(int(value)) if value.bit_length() <= _MOST_BITS else hex(value)
