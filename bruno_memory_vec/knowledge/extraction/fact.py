"""A stored fact: the row of a memory whose custom fields name subject, attribute and value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bruno_memory_vec.indexers.query import RowFilter
from bruno_memory_vec.indexers.schema import MEMORY
from bruno_memory_vec.knowledge.extraction.attributes import USER
from bruno_memory_vec.knowledge.extraction.candidate import Method
from bruno_memory_vec.knowledge.extraction.merging import Held
from bruno_memory_vec.prompts.hidden_characters import one_line
from bruno_memory_vec.rows import tagged_json
from bruno_memory_vec.rows.models import Row, utc

#: The rows among which facts are.
FACTS: Final = RowFilter(kinds=(MEMORY,), categories=("fact", "preference"))
#: The custom fields that make a memory a fact.
FACT_FIELDS: Final = ("attribute", "value")
_METHODS: Final = ("patterns", "llm", "given")
_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is known of somebody, and the turns that say it.

    It is what was said, and no proof of it: nothing may be allowed because a fact says so.

    Attributes:
        id: of its memory, for ``get_memory`` and ``delete_memory``.
        subject: "user", or the name of a speaker.
        attribute: such as "home", "likes", "favourite film".
        value: in the words in which it was said first.
        text: the fact as a sentence.
        category: "fact" or "preference".
        confidence: 0..1.
        times_seen: in how many turns it was said.
        sources: the ids of these turns; of more than 100 the first and the newest.
        conversation_id: where it was said first; None for one that a caller added.
        method: how it was found: "patterns", "llm", or "given" by a caller.
        said_at: when it was said first, UTC.
        said_last: when it was said last, UTC.
        archived_at: since when it does not hold any more, UTC; None for one that holds.
        supersedes: the id of the fact that it stands in place of.
        superseded_by: the id of the fact that stands in its place.
        ended_by: the turn that says that it does not hold any more.
    """

    id: str
    subject: str
    attribute: str
    value: str
    text: str
    category: str
    confidence: float
    times_seen: int
    sources: tuple[str, ...]
    conversation_id: str | None
    method: Method
    said_at: datetime
    said_last: datetime
    archived_at: datetime | None = None
    supersedes: str | None = None
    superseded_by: str | None = None
    ended_by: str | None = None

    def __str__(self) -> str:
        ended = "" if self.archived_at is None else f"  (until {self.archived_at:%Y-%m-%d})"
        times = "once" if self.times_seen == 1 else f"{self.times_seen:,} times"
        told = f"{one_line(self.text, _SHOWN)}{ended}"
        return f"{self.confidence:.2f}  {self.said_last:%Y-%m-%d} {self.category}, {times}  {told}"


def fact_of(row: Row) -> Fact | None:
    """The fact of a memory's row; None for a memory that is none."""
    fields = tagged_json.loads(row["metadata"])
    if not is_fact(fields):
        return None
    extra = tagged_json.loads(row["extra"]) if row["extra"] else {}
    return Fact(
        id=row["id"],
        subject=fields.get("subject", USER),
        attribute=fields["attribute"],
        value=fields["value"],
        text=row["content"],
        category=row["category"],
        confidence=row["confidence"],
        times_seen=fields.get("times_seen", 1),
        sources=tuple(extra.get("related", ())),
        conversation_id=row["conversation_id"],
        method=fields["method"] if fields.get("method") in _METHODS else "given",
        said_at=utc(row["created_at"]),
        said_last=utc(row["updated_at"]),
        archived_at=None if row["archived_at"] is None else utc(row["archived_at"]),
        supersedes=fields.get("supersedes"),
        superseded_by=fields.get("superseded_by"),
        ended_by=fields.get("ended_by"),
    )


def is_fact(fields: Any) -> bool:
    """Whether the custom fields of a memory are those of a fact."""
    return isinstance(fields, Mapping) and all(
        isinstance(fields.get(name), str) for name in FACT_FIELDS
    )


def held(fact: Fact, row: Row) -> Held:
    """A fact and its row as merging reads them."""
    return Held(
        fact.id,
        fact.subject,
        fact.attribute,
        fact.value,
        fact.sources,
        fact.confidence,
        fact.times_seen,
        row["updated_at"],
        current=fact.archived_at is None,
        supersedes=fact.supersedes,
    )
