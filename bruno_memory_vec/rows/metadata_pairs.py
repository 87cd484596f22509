"""Metadata as texts that engines compare: one for each key, equal where key and value are equal.

Texts and numbers are equal where Python says so, exactly: 1 is 1.0, and 0.1 + 0.2 is not 0.3. But
a truth value is no number, and a text is neither, so 1, True and "1" are three. NaN equals nothing.

A text looks like ``"project"="x"``: both sides as JSON, so that no key or value can pass for
another. What has more than :data:`LONGEST` characters is replaced by its hash, so that a long value
is found like any other, and the pairs take hardly more room than the metadata itself.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

#: In characters. What is longer is kept as its hash.
LONGEST = 128
# An integer of more bits is longer than that in any case, and Python may refuse its decimal digits.
_MOST_BITS = 4_096

#: A value that can be asked for.
Value = str | int | float

_json = json.JSONEncoder(ensure_ascii=False).encode


def pairs_of(metadata: Mapping[Any, Any]) -> list[str]:
    """The pairs that a row is found by: those of its own keys, not of what is nested in them.

    Left out are values other than texts, ints, floats and truth values; and NaN.
    """
    if not metadata:  # as of most rows
        return []
    return [
        pair(key, value)
        for key, value in metadata.items()
        if isinstance(key, str) and isinstance(value, (str, int, float)) and value == value
    ]


def pair(key: str, value: Value) -> str:
    """A key and its value as one text. What is NaN gives one that no row has."""
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
