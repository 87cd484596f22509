"""A scope and a filter as Qdrant's filter. Only this module writes conditions of rows.

The server compares numbers as 64-bit floats. So a bound of a number or a time is exact up to 2**53,
which in microseconds is the year 2255; a later time is compared to within some 30 microseconds.
Values that have to be equal are compared as integers, at any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import inf, nextafter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..query import Condition, RowFilter, Scope
from ..schema import micros, row_schema

if TYPE_CHECKING:
    from qdrant_client.http import models

_TYPES = {field.name: field.type for field in row_schema(1)}


def within(scope: Scope, where: RowFilter, *more: models.Condition | None) -> models.Filter | None:
    """The filter of a scope, a row filter and further conditions; None where every row matches."""
    from qdrant_client.http import models

    asked: list[Any] = [condition(one) for one in (*scope.conditions(), *where.conditions())]
    asked.extend(one for one in more if one is not None)
    return models.Filter(must=asked) if asked else None


def condition(asked: Condition) -> models.Condition:
    """One condition, on any column. A row without a value matches only "alive"."""
    from qdrant_client.http import models

    column, op, value = asked
    if op in ("in", "any"):
        return one_of(column, value)
    bound = _plain(value)
    if op == "ge":
        return models.FieldCondition(key=column, range=models.Range(gte=bound))
    if op == "lt":
        return models.FieldCondition(key=column, range=models.Range(lt=bound))
    assert op == "alive"
    later = models.FieldCondition(key=column, range=models.Range(gt=bound))
    return models.Filter(should=[missing(column), later])


def one_of(column: str, values: Iterable[Any]) -> models.Condition:
    """Rows whose value, or one of whose values, is one of these."""
    from qdrant_client.http import models

    plain = [_plain(value) for value in values]
    kind = _TYPES[column]
    if pa.types.is_boolean(kind):
        return models.Filter(
            should=[
                models.FieldCondition(key=column, match=models.MatchValue(value=bool(one)))
                for one in plain
            ]
        )
    if pa.types.is_floating(kind):
        return models.Filter(
            should=[
                # What JSON brings to a server may arrive one bit off.
                models.FieldCondition(
                    key=column,
                    range=models.Range(gte=nextafter(one, -inf), lte=nextafter(one, inf)),
                )
                for one in plain
            ]
        )
    if pa.types.is_integer(kind) or pa.types.is_timestamp(kind):
        plain = [int(one) for one in plain]
    if len(plain) == 1:
        return models.FieldCondition(key=column, match=models.MatchValue(value=plain[0]))
    return models.FieldCondition(key=column, match=models.MatchAny(any=plain))


def missing(column: str) -> models.Condition:
    """Rows without a value in a column: null, absent or an empty list."""
    from qdrant_client.http import models

    return models.IsEmptyCondition(is_empty=models.PayloadField(key=column))


def newer(seq: int) -> models.Condition:
    """Rows written after ``seq``."""
    from qdrant_client.http import models

    return models.FieldCondition(key="seq", range=models.Range(gt=seq))


def no_newer(seq: int) -> models.Filter:
    """Rows written up to ``seq``."""
    from qdrant_client.http import models

    return models.Filter(must=[models.FieldCondition(key="seq", range=models.Range(lte=seq))])


def named(seqs: Sequence[int], turns: Mapping[str, Sequence[int]]) -> models.Condition | None:
    """Rows by ``seq``, or by conversation and turn. None where nothing is named."""
    from qdrant_client.http import models

    parts: list[Any] = [one_of("seq", seqs)] if len(seqs) else []
    parts.extend(
        models.Filter(must=[one_of("conversation_id", (conversation,)), one_of("turn", numbers)])
        for conversation, numbers in turns.items()
        if len(numbers)
    )
    if not parts:
        return None
    return models.Filter(should=parts)


def _plain(value: Any) -> Any:
    """A time in microseconds, as in the payload; anything else unchanged."""
    return micros(value) if isinstance(value, datetime) else value
