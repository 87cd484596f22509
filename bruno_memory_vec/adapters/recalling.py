"""What the retrievers of frameworks share: a recall of one user, with filters."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.prompts.quoting import quotable
from bruno_memory_vec.recall.hits import Hit, Hits
from bruno_memory_vec.rows import checks

#: The filters of a recall, and how it ranks. Whose rows is not among them.
FILTERS: Final = tuple(
    name
    for name in inspect.signature(VectorMemory.recall).parameters
    if name not in ("self", "query", "user_id", "k", "spaces")
)

#: The keys of a row's metadata in which adapters keep what a framework has given.
KEPT: Final = ("langchain", "langgraph", "llama_index")


def view_of(memory: VectorMemory, user_id: str | None) -> VectorMemory:
    """The memory of a user; without one, that of the view that was given."""
    return memory if user_id is None else memory.for_user(user_id)


def checked_filters(given: Mapping[str, Any], field: str = "filters") -> dict[str, Any]:
    """Filters by their names.

    Raises:
        InvalidInputError: one of them is none.
    """
    for name in given:
        if name not in FILTERS:
            raise InvalidInputError(
                field,
                f"has {checks.shown(name)}, which is no filter of a recall",
                fix=f"Use {', '.join(FILTERS)}.",
            )
    return dict(given)


async def recalled(
    memory: VectorMemory,
    query: str,
    user_id: str | None,
    k: int,
    filters: Mapping[str, Any],
) -> Hits:
    """The hits of a question; none of a blank one."""
    if not query.strip():
        return Hits()
    return await view_of(memory, user_id).recall(query, k=k, **filters)


def text_of(hit: Hit, *, quoted: bool) -> str:
    """The text of a hit; quoted, as one line without role names and hidden characters."""
    return quotable(hit.excerpt) if quoted else hit.content


def about(hit: Hit) -> dict[str, Any]:
    """What is known of a hit but its text; times as ISO 8601, signals where they count.

    ``metadata`` is what it was stored with, without what an adapter keeps there for itself.
    """
    told = hit.to_dict()
    del told["content"], told["id"]
    told["signals"] = {name: value for name, value in hit.signals.items() if value}
    held = hit.record.metadata
    stored = held if isinstance(held, dict) else held.custom_fields
    told["metadata"] = {name: value for name, value in stored.items() if name not in KEPT}
    if not isinstance(held, dict):
        told["tags"] = list(held.tags)
        told["category"] = held.category
    return told
