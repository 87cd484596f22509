"""A scope and a filter as LanceDB's SQL (DataFusion's dialect).

Only this module writes SQL, and every value of a caller goes through
:func:`text` or a number's own formatting.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ..query import Condition, RowFilter, Scope
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


def literal(value: Any) -> str:
    """The SQL literal of a text, a time, a truth value or a number."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(float(value) if isinstance(value, float) else int(value))


def conditions(
    scope: Scope, where: RowFilter, *, without_values: Collection[str] = ()
) -> str | None:
    """The SQL of a scope and a filter, or None where every row matches.

    Args:
        scope: whose rows.
        where: which of them.
        without_values: columns that are null in every row; so every row is alive by them.
    """
    parts = [
        _condition(one)
        for one in (*scope.conditions(), *where.conditions())
        if one.op != "alive" or one.column not in without_values
    ]
    return " AND ".join(parts) or None


def _condition(asked: Condition) -> str:
    """The SQL of a condition. A comparison with null is not true, so the row is left out."""
    column, op, value = asked
    if op == "in" and len(value) == 1:
        return f"{column} = {literal(value[0])}"
    if op == "in":
        return f"{column} IN ({', '.join(map(literal, value))})"
    if op == "any":
        return f"array_has_any({column}, [{', '.join(map(literal, value))}])"
    if op == "ge":
        return f"{column} >= {literal(value)}"
    if op == "lt":
        return f"{column} < {literal(value)}"
    assert op == "alive"
    return f"({column} IS NULL OR {column} > {literal(value)})"


def after(seq: int, scope: Scope) -> str:
    """The rows of a scope that were written after ``seq``."""
    condition = both(f"seq > {int(seq)}", conditions(scope, RowFilter()))
    assert condition is not None
    return condition


def both(*parts: str | None) -> str | None:
    """All conditions that are not None, joined by AND; None where there is none."""
    present = [f"({part})" for part in parts if part is not None]
    return " AND ".join(present) or None


def named(seqs: Sequence[int], by_conversation: Mapping[str, Sequence[int]]) -> str | None:
    """Rows by ``seq``, or by conversation and turn. None where nothing is named."""
    turns_of = {name: turns for name, turns in by_conversation.items() if len(turns)}
    turns = " OR ".join(
        f"(conversation_id = {text(name)} AND turn IN ({numbers(turns)}))"
        for name, turns in turns_of.items()
    )
    if len(turns_of) > 1:
        # The index of the conversations answers this part; of the other, rows are compared.
        turns = f"conversation_id IN ({texts(turns_of)}) AND ({turns})"
    parts = [f"seq IN ({numbers(seqs)})"] if len(seqs) else []
    if turns:
        parts.append(f"({turns})")
    return " OR ".join(parts) or None
