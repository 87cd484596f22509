"""What goes with a deletion: summaries of what is deleted, for they may quote it.

Before a row goes, every summary that is made of it goes, and every summary that is made of one of
those. What these stood for and is not deleted is recalled again: it was archived only because they
stood for it. So at no moment is a row archived for a summary that is not there, and no text that
was deleted is left in one, wherever the process is killed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyarrow as pa

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE
from bruno_memory_vec.rows.models import from_table
from bruno_memory_vec.rows.summaries import (
    SUMMARY,
    SUMMARY_COLUMNS,
    Summary,
    summary_of,
    with_dependants,
)

_NONE: frozenset[str] = frozenset()

#: The columns of the rows that go which :func:`goes_along` reads.
GOING_COLUMNS = ("seq", "kind", "id", "user_id", "conversation_id", "origin", "turn")


@dataclass(frozen=True, slots=True)
class Along:
    """What goes with rows that are deleted.

    Attributes:
        seqs: the positions of the summaries that go and are not among those rows.
        restored: messages that are recalled again: where they are, their ids, and for each when it
            was archived for its summary, in microseconds.
    """

    seqs: list[int]
    restored: list[tuple[Scope, RowFilter, Mapping[str, int]]]


async def goes_along(rows: RowIndex, found: pa.Table, *, stay: bool = False) -> Along | None:
    """What goes with rows that are to be deleted; None where nothing does.

    Args:
        rows: where they are.
        found: the rows that are to be deleted, with ``GOING_COLUMNS``.
        stay: they are not deleted, but get another text, so they are restored, too.
    """
    if not found.num_rows:
        return None
    summaries = await stored_summaries(rows, set(found.column("user_id").to_pylist()))
    if not summaries:
        return None
    said: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    deleted: set[tuple[str, str]] = set()
    for row in from_table(found):
        if row["kind"] == MESSAGE:
            said[row["user_id"], row["conversation_id"]].add(row["id"])
        elif row["origin"] == SUMMARY:
            deleted.add((row["user_id"], row["id"]))
    first = [
        one
        for one in summaries
        if (one.user_id, one.id) in deleted
        or (one.level == "block" and said.get(_place(one), _NONE) & one.sources)
    ]
    if not first:
        return None
    going = with_dependants(summaries, first)
    times: dict[tuple[str, str | None], dict[str, int]] = defaultdict(dict)
    for one in going:
        if one.level == "block" and one.archived_at is not None:
            left = one.sources if stay else one.sources - said.get(_place(one), _NONE)
            times[_place(one)].update(dict.fromkeys(left, one.archived_at))
    seqs = set(found.column("seq").to_pylist())
    return Along(
        [one.seq for one in going if one.seq not in seqs],
        [
            (
                Scope.user(user).within(conversation),
                RowFilter(kinds=(MESSAGE,), ids=tuple(sorted(at))),
                at,
            )
            for (user, conversation), at in times.items()
            if at
        ],
    )


def _place(one: Summary) -> tuple[str, str | None]:
    return one.user_id, one.conversation_id


async def stored_summaries(
    rows: RowIndex, users: Collection[str], conversation_id: str | None = None
) -> list[Summary]:
    """Every summary of these users, archived ones among them.

    Args:
        rows: where they are.
        users: whose.
        conversation_id: only those of this conversation.
    """
    scope = Scope.user(next(iter(users))) if len(users) == 1 else EVERYONE
    where = RowFilter(kinds=(MEMORY,), origins=(SUMMARY,))
    found = await rows.read(scope.within(conversation_id), where, SUMMARY_COLUMNS)
    every = (summary_of(row) for row in from_table(found) if row["user_id"] in users)
    return [one for one in every if one is not None]
