"""Checks of arguments: a bad value is refused before anything is written."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone, tzinfo
from enum import Enum
from functools import cache
from numbers import Real
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.rows import tagged_json as jsonable
from bruno_memory_vec.rows.metadata_pairs import pair

LARGEST_LIMIT = 1000
_LONGEST_ID = 1024
_LONGEST_SHOWN = 100
# Each key is a separate condition in every engine.
_MOST_KEYS = 64
# How many tags or categories a filter may name, and how many ids a call.
_MOST_VALUES = 1_000
_MOST_IDS = 10_000
_EARLIEST = datetime(1, 1, 1, tzinfo=timezone.utc)
_LATEST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc)

E = TypeVar("E", bound=Enum)


def storable_text(field: str, value: Any, *, blank: bool = False) -> str:
    """A string that can be stored as UTF-8; ``blank`` allows white space only."""
    if not isinstance(value, str):
        raise InvalidInputError(
            field, f"expected a string, not {type(value).__name__}", fix="Give a str."
        )
    if not blank and not value.strip():
        raise InvalidInputError(field, "is empty", fix="Give at least one visible character.")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidInputError(
                field,
                f"holds a lone surrogate at position {error.start}, which UTF-8 cannot",
                fix="Decode the text again with errors='replace'.",
                cause=error,
            ) from error
    return value


def without_nul(field: str, text: str) -> str:
    """A name: a text without NUL, at which other programs and file systems end it."""
    if "\0" in text:
        raise InvalidInputError(
            field, f"holds a NUL character at position {text.index(chr(0))}", fix="Leave it out."
        )
    return text


def identifier(field: str, value: Any) -> str:
    """A user's or a conversation's id: any text, not blank, without NUL, of a bounded length."""
    text = without_nul(field, storable_text(field, value))
    if len(text) > _LONGEST_ID:
        raise InvalidInputError(
            field,
            f"has {len(text)} characters",
            fix=f"Use at most {_LONGEST_ID}; hash a longer one.",
        )
    return text


def label(field: str, value: Any) -> str:
    """A tag or a category: any text without NUL, of a bounded length."""
    text = without_nul(field, storable_text(field, value, blank=True))
    if len(text) > _LONGEST_ID:
        raise InvalidInputError(
            field, f"has {len(text)} characters", fix=f"Use at most {_LONGEST_ID}."
        )
    return text


def json_dict(field: str, value: Any, *, text_keys: bool = False) -> str:
    """A dict as JSON that can be read back without loss; ``text_keys`` refuses other keys.

    No key of the dict itself has a NUL: a filter names rows by it.
    """
    if not isinstance(value, dict):
        raise InvalidInputError(field, "expected a dict", fix="Give a dict.")
    if not value and type(value) is dict:
        return "{}"
    if text_keys and not all(isinstance(key, str) for key in value):
        raise InvalidInputError(field, "has a key that is no text", fix="Use str keys.")
    for key in value:
        if isinstance(key, str):
            without_nul(f"{field} key", key)
    try:
        return jsonable.dumps(value)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            field,
            str(error),
            fix="Store strings, numbers, lists, dicts, datetimes or UUIDs.",
            cause=error,
        ) from error


def limit(field: str, value: Any, largest: int = LARGEST_LIMIT, smallest: int = 1) -> int:
    """A number of results; numpy's integers count too."""
    fix = f"Give an int from {smallest} to {largest}."
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InvalidInputError(field, f"{shown(value)} is not a whole number", fix=fix)
    try:
        number = operator.index(value)
    except Exception as error:  # whatever a foreign type raises; an array has no index, for one
        raise InvalidInputError(
            field, f"{shown(value)} is not a whole number", fix=fix, cause=error
        ) from error
    if not smallest <= number <= largest:
        raise InvalidInputError(field, f"{shown(value)} is out of range", fix=fix)
    return number


def unit_interval(field: str, value: Any) -> float:
    """A number from 0 to 1; numpy's and fractions count too."""
    if type(value) is float and 0.0 <= value <= 1.0:
        return value
    fix = "Give a number from 0.0 to 1.0."
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidInputError(field, f"{shown(value)} is not a number", fix=fix)
    # NaN compares false with everything; Python compares integers of any size exactly.
    if not 0.0 <= value <= 1.0:  # type: ignore[operator]  # typeshed's Real has no order
        raise InvalidInputError(field, f"{shown(value)} is out of range", fix=fix)
    return float(value)


def flag(field: str, value: Any) -> bool:
    """A truth value; numpy's count too, and 0 and 1."""
    if value is True or value is False:
        return value
    if not isinstance(value, (bool, int, np.bool_)) or value not in (0, 1):
        raise InvalidInputError(
            field, f"{shown(value)} is no truth value", fix="Give True or False."
        )
    return bool(value)


def shown(value: Any) -> str:
    """A value as short text for an error message; never raises."""
    try:
        text = repr(value)
    except Exception:  # an int of thousands of digits is refused by repr; a foreign one may be too
        return f"the given {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def moment(field: str, value: Any) -> datetime:
    """A datetime as an aware one in UTC; a naive one is UTC already, as in bruno-core."""
    if type(value) is datetime and value.tzinfo in (None, timezone.utc):
        return value.replace(tzinfo=timezone.utc)
    return local_moment(field, value).astimezone(timezone.utc)


def local_moment(field: str, value: Any) -> datetime:
    """A datetime as an aware one in its own time zone; a naive one is UTC, as in bruno-core."""
    if not isinstance(value, datetime):
        raise InvalidInputError(
            field, f"expected a datetime, not {type(value).__name__}", fix="Give a datetime."
        )
    try:
        # A plain one, without what a subclass adds.
        at = datetime(
            *(value.year, value.month, value.day, value.hour, value.minute, value.second),
            value.microsecond,
            tzinfo=timezone.utc if value.utcoffset() is None else value.tzinfo,
            fold=value.fold,
        )
        inside = _EARLIEST <= at <= _LATEST
        if inside:
            at = at.astimezone(timezone.utc).astimezone(_zone_of(at))
    except Exception as error:  # whatever a foreign datetime or time zone raises
        raise InvalidInputError(
            field,
            f"{shown(value)} is no time that can be reckoned with: {error}",
            fix="Give a datetime of Python with a zone of zoneinfo, or timezone.utc.",
            cause=error,
        ) from error
    if not inside:
        raise InvalidInputError(
            field, f"{value.isoformat()} lies outside the years 1 to 9999 in UTC", fix="Mend it."
        )
    return at


def _zone_of(value: datetime) -> tzinfo | None:
    """The time zone of a datetime, by which other days can be reckoned too."""
    name = getattr(value.tzinfo, "zone", None)
    if isinstance(name, str):
        # Of pytz: an object of its stands for one offset, in summer and in winter.
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # a machine without time zones
            pass
    return value.tzinfo


@cache
def _values(enum: type[Enum]) -> tuple[str, ...]:
    return tuple(str(member.value) for member in enum)


def choices(field: str, values: Any, enum: type[E]) -> tuple[str, ...]:
    """Values of an enum, given as members or as strings, one or many."""
    if values is None:
        return ()
    known = _values(enum)
    chosen = []
    for value in _several(values):
        text = str(value.value) if isinstance(value, Enum) else value
        # First the type: comparing a numpy array with texts gives an array without a truth value.
        if not isinstance(text, str) or text not in known:
            raise InvalidInputError(
                field, f"{shown(value)} is not known", fix=f"Choose from {', '.join(known)}."
            )
        chosen.append(text)
    return tuple(chosen)


def names(field: str, values: Any, known: Sequence[str]) -> tuple[str, ...]:
    """Some of a few known names, one or many."""
    if values is None:
        return ()
    chosen = tuple(_several(values))
    for value in chosen:
        if not isinstance(value, str) or value not in known:
            raise InvalidInputError(
                field, f"{shown(value)} is not known", fix=f"Choose from {', '.join(known)}."
            )
    return chosen


def name(field: str, value: Any, known: Sequence[str]) -> str:
    """One of a few known names."""
    if not isinstance(value, str) or value not in known:
        raise InvalidInputError(
            field, f"{shown(value)} is not known", fix=f"Choose from {', '.join(known)}."
        )
    return value


def uuids(
    field: str, values: Any, fix: str = "Give the id of a message or memory."
) -> tuple[str, ...]:
    """Ids of rows, one or many, each a UUID or its text, in the form in which rows have them."""
    found = []
    several = _few(field, _several(values), _MOST_IDS) if values is not None else (None,)
    for value in several:
        try:
            found.append(str(value if isinstance(value, UUID) else UUID(value)))
        except (AttributeError, TypeError, ValueError) as error:
            raise InvalidInputError(field, f"{shown(value)} is no UUID", fix=fix) from error
    return tuple(dict.fromkeys(found))


def question(field: str, value: Any, *, blank: bool = False) -> str:
    """A question, blank only if that is allowed. It is not stored: any character may be in it."""
    if not isinstance(value, str):
        raise InvalidInputError(
            field, f"expected a string, not {type(value).__name__}", fix="Give a str."
        )
    if not blank and not value.strip():
        raise InvalidInputError(field, "is empty", fix="Ask with at least one visible character.")
    return value


def questions(field: str, values: Any) -> list[str]:
    """Texts to look for, one or many."""
    return [question(field, value) for value in _several(values)]


def strings(field: str, values: Any) -> tuple[str, ...]:
    """Tags or categories to look for, one or many."""
    if values is None:
        return ()
    return tuple(label(field, value) for value in _few(field, _several(values), _MOST_VALUES))


def metadata(field: str, value: Any) -> tuple[str, ...]:
    """Metadata keys with their required values, as in ``metadata_pairs``; None gives none."""
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise InvalidInputError(
            field, f"expected a dict, not {type(value).__name__}", fix="Give a dict."
        )
    if len(value) > _MOST_KEYS:
        raise InvalidInputError(
            field, f"has {len(value)} keys", fix=f"Ask for at most {_MOST_KEYS}."
        )
    found = []
    for key, one in value.items():
        if not isinstance(key, str):
            raise InvalidInputError(
                field, f"has a key {shown(key)} that is no text", fix="Use str keys."
            )
        if not isinstance(one, (str, int, float)):
            raise InvalidInputError(
                field,
                f"{shown(key)} is a {type(one).__name__}, by which no row is found",
                fix="Give each key a str, an int, a float or a bool.",
            )
        for text in (key, one):
            if isinstance(text, str):
                storable_text(field, text, blank=True)
        without_nul(field, key)
        found.append(pair(key, one))
    return tuple(found)


def _few(field: str, values: Collection[Any], most: int) -> Collection[Any]:
    if len(values) > most:
        raise InvalidInputError(
            field, f"has {len(values):,} entries", fix=f"Give at most {most:,} at once."
        )
    return values


def _several(values: Any) -> Collection[Any]:
    if values is None:
        return ()
    if isinstance(values, (str, Enum)):
        return (values,)
    if isinstance(values, (Sequence, set, frozenset)):
        return values
    return (values,)
