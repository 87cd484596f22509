"""A scope and a filter as LanceDB's SQL (DataFusion's dialect).

Only this module writes SQL, and every value of a caller goes through
:func:`text` or a number's own formatting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from ..query import RowFilter, Scope
from ..schema import micros


def text(value: str) -> str:
    """A string literal. A quote is doubled; nothing else has a meaning inside one."""
    return "'" + value.replace("'", "''") + "'"


def texts(values: Iterable[str]) -> str:
    """A comma-separated list of string literals."""
    return ", ".join(text(value) for value in values)


def numbers(values: Iterable[int]) -> str:
    """A comma-separated list of integers."""
    return ", ".join(str(int(value)) for value in values)


def moment(value: datetime) -> str:
    """A timestamp literal in microseconds, UTC."""
    return f"arrow_cast({micros(value)}, 'Timestamp(Microsecond, Some(\"UTC\"))')"


def conditions(scope: Scope, where: RowFilter) -> str | None:
    """What a row has to fulfil, or None where every row does."""
    parts: list[str] = []
    if scope.user_id is not None:
        parts.append(f"user_id = {text(scope.user_id)}")
    if scope.conversation_id is not None:
        parts.append(f"conversation_id = {text(scope.conversation_id)}")
    if where.ids:
        parts.append(f"id IN ({texts(where.ids)})")
    if where.kinds:
        parts.append(f"kind IN ({texts(where.kinds)})")
    if where.roles:
        parts.append(f"role IN ({texts(where.roles)})")
    if where.memory_types:
        parts.append(f"memory_type IN ({texts(where.memory_types)})")
    if where.categories:
        parts.append(f"category IN ({texts(where.categories)})")
    if where.tags:
        parts.append(f"array_has_any(tags, [{texts(where.tags)}])")
    if where.since is not None:
        parts.append(f"created_at >= {moment(where.since)}")
    if where.until is not None:
        parts.append(f"created_at < {moment(where.until)}")
    if where.min_importance > 0:
        parts.append(f"importance >= {float(where.min_importance)!r}")
    if where.min_confidence > 0:
        parts.append(f"confidence >= {float(where.min_confidence)!r}")
    if where.alive_at is not None:
        parts.append(f"(expires_at IS NULL OR expires_at > {moment(where.alive_at)})")
    return " AND ".join(parts) or None


def after(seq: int, scope: Scope) -> str:
    """The rows of a scope that were written after ``seq``."""
    condition = both(f"seq > {int(seq)}", conditions(scope, RowFilter()))
    assert condition is not None
    return condition


def both(*parts: str | None) -> str | None:
    """The conditions that are not None, all of which have to hold."""
    present = [f"({part})" for part in parts if part is not None]
    return " AND ".join(present) or None


def named(seqs: Sequence[int], places: Mapping[str, Sequence[int]]) -> str | None:
    """Rows by ``seq``, or by conversation and turn. None where nothing is named."""
    parts = [f"seq IN ({numbers(seqs)})"] if len(seqs) else []
    parts.extend(
        f"(conversation_id = {text(conversation)} AND turn IN ({numbers(turns)}))"
        for conversation, turns in places.items()
        if len(turns)
    )
    return " OR ".join(parts) or None
