"""Several results together, as a command or a page shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from bruno_memory_vec.analytics.duplicates import Duplicates
from bruno_memory_vec.analytics.growth import Growth
from bruno_memory_vec.analytics.result import Result, Shown, plain
from bruno_memory_vec.analytics.talks import ConversationPatterns
from bruno_memory_vec.analytics.topics import Topics
from bruno_memory_vec.analytics.usage import Usage

#: The sections that are about what is stored.
SECTIONS: Final = ("growth", "conversations", "topics", "usage", "duplicates")


@dataclass(frozen=True, slots=True)
class AnalyticsReport:
    """What a memory holds, as far as it was asked for. A section that was not is None.

    Attributes:
        growth, conversations, topics, usage, duplicates: the results.
        left_out: sections that were not made, and why.
    """

    growth: Growth | None = None
    conversations: ConversationPatterns | None = None
    topics: Topics | None = None
    usage: Usage | None = None
    duplicates: Duplicates | None = None
    left_out: tuple[str, ...] = ()

    def sections(self) -> Iterator[tuple[str, Result]]:
        """The names and results of those that were made."""
        for one in fields(self):
            result = getattr(self, one.name)
            if isinstance(result, Result):
                yield one.name, result

    def shown(self) -> list[Shown]:
        """What people are shown of all sections, as tables."""
        tables = [table for _, result in self.sections() for table in result.shown()]
        if self.left_out:
            notes = tuple(self.left_out)
            tables.append(Shown("Left out", notes=notes))
        return tables

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-able values, without sections that were not asked for."""
        found: dict[str, Any] = {name: result.to_dict() for name, result in self.sections()}
        return {**found, "left_out": plain(self.left_out)}

    def __str__(self) -> str:
        lines = [str(result) for _, result in self.sections()]
        return "\n\n".join([*lines, *(f"left out: {one}" for one in self.left_out)])

    def _repr_html_(self) -> str:
        return "".join(result._repr_html_() for _, result in self.sections())
