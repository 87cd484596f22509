"""What goes with a deletion: summaries of what is deleted, for they may quote it.

Before a row goes, every summary that is made of it goes, and every summary that is made of one of
those. What these stood for and is not deleted is recalled again: it was archived only because they
stood for it. In a conversation that is archived they stay so, for that reason alone. So at no
moment is a row archived for a summary that is not there, and no text that was deleted is left in
one, wherever the process is killed.

A compression that is broken off right after it has stored a summary may leave one of what was
deleted meanwhile: :func:`left_over` finds it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
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

#: The rows of summaries.
SUMMARIES = RowFilter(kinds=(MEMORY,), origins=(SUMMARY,))

#: The columns of the rows that go which :func:`goes_along` reads.
GOING_COLUMNS = ("seq", "kind", "id", "user_id", "conversation_id", "origin", "turn")


@dataclass(frozen=True, slots=True)
class Along:
    """What goes with rows that are deleted.

    Attributes:
        seqs: the positions of the summaries that go and are not among those rows.
        restored: messages that are recalled again: where they are, their ids, and for each the
            times at which it was archived for one of these summaries, in microseconds, with what
            comes instead: None, or when its conversation was archived.
    """

    seqs: list[int]
    restored: list[tuple[Scope, RowFilter, Mapping[str, Mapping[int, int | None]]]]


async def goes_along(
    rows: RowIndex,
    found: pa.Table,
    archived_at: Callable[[str, str], Awaitable[int | None]],
    *,
    stay: bool = False,
) -> Along | None:
    """What goes with rows that are to be deleted; None where nothing does.

    Args:
        rows: where they are.
        found: the rows that are to be deleted, with ``GOING_COLUMNS``.
        archived_at: when a user's conversation was archived, in microseconds; None for not.
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
    times: dict[tuple[str, str | None], dict[str, dict[int, int | None]]] = defaultdict(dict)
    for one in going:
        if one.level == "block" and one.archived_at is not None:
            instead = None
            if one.hidden_at is not None and one.conversation_id is not None:
                # It was archived with its conversation, so its sources still are.
                at = await archived_at(one.user_id, one.conversation_id)
                instead = at if at == one.hidden_at else None
            for id_ in one.sources if stay else one.sources - said.get(_place(one), _NONE):
                times[_place(one)].setdefault(id_, {})[one.archived_at] = instead
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
    every = await _summaries(rows, scope.within(conversation_id))
    return [one for one in every if one.user_id in users]


async def left_over(rows: RowIndex, scope: Scope) -> list[Summary]:
    """The summaries of a scope that are made of something that is not stored any more.

    Of one that does not list its sources (``MOST_SOURCES``), only whether any are left is known.
    """
    summaries = await _summaries(rows, scope)
    if not summaries:
        return []
    said: set[tuple[str, str | None, str]] = set()
    if any(one.level == "block" for one in summaries):
        # After the summaries: a source is stored before its summary.
        found = await rows.read(
            scope, RowFilter(kinds=(MESSAGE,)), ("user_id", "conversation_id", "id")
        )
        said = {(row["user_id"], row["conversation_id"], row["id"]) for row in from_table(found)}
    made = {(one.user_id, one.id) for one in summaries}

    def stands(one: Summary) -> bool:
        if one.level == "block":
            return all((*_place(one), id_) in said for id_ in one.sources)
        if one.sources:
            return all((one.user_id, id_) in made for id_ in one.sources)
        return _has_parts(one, summaries)

    return [one for one in summaries if not stands(one)]


def _has_parts(one: Summary, summaries: Iterable[Summary]) -> bool:
    return any(
        part.user_id == one.user_id
        and part.level == "block"
        and one.conversation_id in (None, part.conversation_id)
        for part in summaries
    )


async def _summaries(rows: RowIndex, scope: Scope) -> list[Summary]:
    every = map(summary_of, from_table(await rows.read(scope, SUMMARIES, SUMMARY_COLUMNS)))
    return [one for one in every if one is not None]
