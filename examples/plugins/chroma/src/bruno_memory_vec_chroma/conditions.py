"""Conditions on columns as Chroma's ``where``: all five operators, exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import pyarrow as pa

from bruno_memory_vec.indexers.query import Condition, RowFilter, Scope
from bruno_memory_vec.indexers.schema import micros, row_schema
from bruno_memory_vec_chroma.records import NULLS, in_list, is_list, is_nullable

Where: TypeAlias = dict[str, Any]

_SCHEMA = row_schema(1)
_COMPARED = {"ge": "$gte", "lt": "$lt", "alive": "$gt"}


def where_of(scope: Scope, where: RowFilter) -> Where | None:
    """What the rows of a scope and a filter fulfil; None for all rows."""
    return all_of([_one(condition) for condition in (*scope.conditions(), *where.conditions())])


def named(seqs: Sequence[int] | None, turns: Mapping[str, Sequence[int]] | None) -> Where | None:
    """What the rows of these ``seq``, and at these turns of these conversations, fulfil.

    Returns:
        None where neither names a row.
    """
    named = [{"seq": {"$in": list(seqs)}}] if seqs else []
    for conversation, numbers in (turns or {}).items():
        if numbers:
            at = Condition("turn", "in", tuple(numbers))
            talk = Condition("conversation_id", "in", (conversation,))
            named.append(_joined("$and", [_one(talk), _one(at)]))
    return _joined("$or", named) if named else None


def all_of(parts: Sequence[Where | None]) -> Where | None:
    """What fulfils all of these; None for what everything fulfils."""
    given = [part for part in parts if part is not None]
    return _joined("$and", given) if given else None


def _one(condition: Condition) -> Where:
    column, op, value = condition
    if op == "any":
        return _joined("$or", [{column: {"$contains": in_list(text)}} for text in value])
    if op == "in":
        found: Where = {column: {"$in": [_plain(column, one) for one in value]}}
    else:
        found = {column: {_COMPARED[op]: _plain(column, value)}}
    if not is_nullable(column) or is_list(column):
        return found
    if op == "alive":
        return _joined("$or", [found, {NULLS: {"$contains": column}}])
    return _joined("$and", [found, {NULLS: {"$not_contains": column}}])


def _joined(how: str, parts: Sequence[Where]) -> Where:
    # Chroma wants two parts at least.
    return parts[0] if len(parts) == 1 else {how: list(parts)}


def _plain(column: str, value: Any) -> Any:
    """A value as a record has it. Chroma compares whole numbers and others apart."""
    if isinstance(value, datetime):
        return micros(value)
    return float(value) if pa.types.is_floating(_SCHEMA.field(column).type) else value
