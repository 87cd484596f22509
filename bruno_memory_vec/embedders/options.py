"""Options after an embedder's name, as in a URL: ``?dim=256&device=cpu``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.plugins import nearest

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


def read_options(query: str, spec: str, kinds: Mapping[str, type]) -> dict[str, Any]:
    """The options in what stands after the ``?``.

    ``%20`` is a space and ``%26`` an ampersand. A ``+`` is a ``+``, because prompts and revisions
    may have one.

    Args:
        query: ``NAME=VALUE``, with ``&`` in between.
        spec: the embedder's whole name, for errors; its secrets are not shown.
        kinds: the type of each option: str, int or float.

    Raises:
        InvalidInputError: an option is not known, stands twice, or its value is not usable.
    """
    shown = repr(masked(spec))
    options: dict[str, Any] = {}
    for part in query.split("&"):
        name, equals, text = part.partition("=")
        if name not in kinds or not equals:
            near = None if name in kinds else nearest(name, kinds)
            meant = "" if near is None else f"Did you mean {near}? "
            raise InvalidInputError(
                "embedder",
                f"{masked(part)!r} in {shown} is no option",
                fix=f"{meant}The options are {', '.join(kinds)}; write them as NAME=VALUE, with & "
                "in between.",
            )
        if name in options:
            raise InvalidInputError(
                name, f"stands twice in {shown}", fix="Leave one of the two out."
            )
        options[name] = _value(name, unquote(text), shown, kinds[name])
    return options


def _value(name: str, text: str, shown: str, kind: type) -> Any:
    if kind is str:
        if not text and not name.endswith("_prompt"):  # an empty prompt switches the model's off
            raise InvalidInputError(name, f"is empty in {shown}", fix="Give a value.")
        return text
    # Not int() or float() alone, which take "1_000", " 5" and "nan".
    if not _NUMBER.fullmatch(text) or (kind is int and "." in text):
        what, such = ("whole number", "256") if kind is int else ("number", "2.5")
        raise InvalidInputError(
            name, f"{text!r} in {shown} is no {what}", fix=f"Write it as {name}={such}."
        )
    return kind(text)
