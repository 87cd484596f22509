"""From a caller's arguments to a checked filter."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bruno_core.models.memory import MemoryType
from bruno_core.models.message import MessageRole

from bruno_memory_vec.indexers.query import RowFilter
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE
from bruno_memory_vec.rows import checks as validation


def row_filter(
    *,
    alive_at: datetime | None,
    kinds: Any = None,
    roles: Any = None,
    memory_types: Any = None,
    tags: Any = None,
    categories: Any = None,
    since: datetime | None = None,
    until: datetime | None = None,
    min_importance: float = 0.0,
    min_confidence: float = 0.0,
) -> RowFilter:
    """The filter of these arguments; each list may also be a single value.

    Raises:
        InvalidInputError: an argument is not usable; it names which.
    """
    return RowFilter(
        kinds=validation.names("kinds", kinds, (MESSAGE, MEMORY)),
        roles=validation.choices("roles", roles, MessageRole),
        memory_types=validation.choices("memory_types", memory_types, MemoryType),
        tags=validation.strings("tags", tags),
        categories=validation.strings("categories", categories),
        since=None if since is None else validation.moment("since", since),
        until=None if until is None else validation.moment("until", until),
        min_importance=validation.unit_interval("min_importance", min_importance),
        min_confidence=validation.unit_interval("min_confidence", min_confidence),
        alive_at=alive_at,
    )
