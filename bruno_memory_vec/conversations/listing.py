"""Lists and pages of what a store holds: users, conversations, turns, memories."""

from __future__ import annotations

import json
import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from bruno_core.models.memory import MemoryEntry
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.access import author_of
from bruno_memory_vec.conversations.titles import first_words
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MESSAGE
from bruno_memory_vec.portability.frames import Frames
from bruno_memory_vec.prompts.hidden_characters import one_line
from bruno_memory_vec.recall.copies import MORE, once
from bruno_memory_vec.rows.models import (
    Row,
    from_table,
    read_all,
    to_entry,
    to_memory,
    to_message,
    utc,
)
from bruno_memory_vec.wording import counted

T = TypeVar("T")

_SAID = RowFilter(kinds=(MESSAGE,))


class Page(list[T], Frames):
    """One page of a longer list.

    Attributes:
        next: give it as ``after`` to get the next page; None where this one is the last.
    """

    def __init__(self, items: Iterable[T] = (), next: str | None = None) -> None:  # noqa: A002
        super().__init__(items)
        self.next = next


@dataclass(frozen=True, slots=True)
class UserSummary:
    """What a store holds of a user.

    Attributes:
        user_id: whose.
        messages: how many; a message counts in each conversation that it is in.
        memories: how many.
        conversations: how many with a message.
        first: the time of the oldest message, UTC; None without one.
        last: of the newest.
    """

    user_id: str
    messages: int
    memories: int
    conversations: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A conversation with at least one message.

    Attributes:
        conversation_id: which.
        user_id: its owner.
        title: given or made by a model, else the first words of what was said first, system
            messages aside.
        messages: how many.
        first: the time of the oldest, UTC.
        last: of the newest.
    """

    conversation_id: str
    user_id: str
    title: str
    messages: int
    first: datetime
    last: datetime

    def __str__(self) -> str:
        return (
            f"{self.last:%Y-%m-%d}  {counted(self.messages, 'message')}  {one_line(self.title)}  "
            f"({one_line(self.conversation_id)})"
        )


@dataclass(frozen=True, slots=True)
class ConversationTurn:
    """One message and its turn.

    Attributes:
        turn: its position in the conversation, from 0. Deleting leaves gaps.
        user_id: the conversation's owner.
        message: what was stored.
    """

    turn: int
    user_id: str
    message: Message

    @property
    def author(self) -> str | None:
        """Who of several members spoke; None in a conversation of one user."""
        return author_of(self.user_id, self.message.metadata)

    def __str__(self) -> str:
        who = self.message.role.value
        if self.author is not None:
            who = f"{who} {one_line(self.author)}"
        return f"{self.turn}  {who}: {one_line(self.message.content)}"


async def list_users(rows: RowIndex) -> list[UserSummary]:
    """Every user with a row, the one with most messages first. Reads all rows, a few columns."""
    counts: dict[str, list[int]] = {}
    spans: dict[str, tuple[int, int]] = {}
    # A conversation has one owner, so it is counted when it is seen first.
    conversations: set[str] = set()
    columns = ("user_id", "kind", "conversation_id", "created_at")
    async for batch in rows.after(-1, columns):
        table = _with_micros(pa.Table.from_batches([batch]))
        said = table.filter(pc.equal(table.column("kind"), MESSAGE))
        for user, number in _counted(table, "user_id"):
            counts.setdefault(user, [0, 0, 0])[1] += number
        grouped = said.group_by("user_id").aggregate(
            [("created_at", "count"), ("created_at", "min"), ("created_at", "max")]
        )
        for row in grouped.to_pylist():
            user, number = row["user_id"], row["created_at_count"]
            counts[user][0] += number
            counts[user][1] -= number
            first, last = row["created_at_min"], row["created_at_max"]
            known = spans.get(user, (first, last))
            spans[user] = min(known[0], first), max(known[1], last)
        pairs = said.group_by(["user_id", "conversation_id"]).aggregate([])
        for row in pairs.to_pylist():
            if row["conversation_id"] not in conversations:
                conversations.add(row["conversation_id"])
                counts[row["user_id"]][2] += 1
    users = []
    for user, (messages, memories, count) in counts.items():
        first_at, last_at = map(utc, spans[user]) if user in spans else (None, None)
        users.append(UserSummary(user, messages, memories, count, first_at, last_at))
    return sorted(users, key=lambda one: (-one.messages, one.user_id))


async def list_conversations(
    rows: RowIndex, scope: Scope, limit: int | None, after: str | None
) -> Page[ConversationSummary]:
    """The conversations of a scope, the one that was spoken in last first."""
    columns = ("user_id", "conversation_id", "turn", "role", "created_at")
    table = _with_micros(await rows.read(scope, _SAID, columns))
    grouped = table.group_by("conversation_id").aggregate(
        [
            ("user_id", "min"),
            ("turn", "count"),
            ("created_at", "min"),
            ("created_at", "max"),
        ]
    )
    order = [
        (Newest(one["created_at_max"], one["conversation_id"]), one) for one in grouped.to_pylist()
    ]
    chosen, following = page(order, limit, after, 1)
    titles = await opening_words(rows, scope, table, [one["conversation_id"] for one in chosen])
    return Page(
        (
            ConversationSummary(
                conversation_id=one["conversation_id"],
                user_id=one["user_id_min"],
                title=titles.get(one["conversation_id"], ""),
                messages=one["turn_count"],
                first=utc(one["created_at_min"]),
                last=utc(one["created_at_max"]),
            )
            for one in chosen
        ),
        following,
    )


async def opening_words(
    rows: RowIndex, scope: Scope, table: pa.Table, conversations: Collection[str]
) -> dict[str, str]:
    """The first words of what was said first in conversations, system messages aside.

    Args:
        rows: the rows.
        scope: whose.
        table: their messages with conversation_id, turn and role.
        conversations: which.
    """
    spoken = table.filter(pc.not_equal(table.column("role"), MessageRole.SYSTEM.value))
    first: dict[str, int] = {}
    for part in (table, spoken):  # of one that has only system messages, the first of these
        grouped = part.group_by("conversation_id").aggregate([("turn", "min")])
        first.update(_pairs(grouped, "turn_min"))
    turns = {name: [first[name]] for name in conversations if name in first}
    openings = await rows.read(scope, _SAID, COLUMNS, turns=turns)
    return {name: first_words(text) for name, text in _pairs(openings, "content")}


async def read_turns(
    rows: RowIndex,
    scope: Scope,
    conversation_id: str,
    from_turn: int | None,
    limit: int | None,
    *,
    newest_first: bool,
) -> list[ConversationTurn]:
    """Turns of one conversation, from one on, in either direction."""
    within = scope.within(conversation_id)
    if newest_first and from_turn is None:
        # The engine finds the last turns.
        found = await rows.read(within, _SAID, COLUMNS, order_by="turn", limit=limit)
    else:
        held = await rows.read(within, _SAID, ["turn"])
        turns = sorted(held.column("turn").to_pylist(), reverse=newest_first)
        if from_turn is not None:
            passed = operator.gt if newest_first else operator.lt
            turns = [turn for turn in turns if not passed(turn, from_turn)]
        wanted = {conversation_id: turns[:limit]}
        found = await rows.read(within, _SAID, COLUMNS, turns=wanted)
    shown = await read_all(found, placed)
    return sorted(shown, key=lambda one: one.turn, reverse=newest_first)


async def list_memories(
    rows: RowIndex, scope: Scope, where: RowFilter, limit: int | None, after: str | None
) -> Page[MemoryEntry]:
    """The memories that match, the newest first."""
    table = _with_micros(await rows.read(scope, where, ("seq", "user_id", "id", "created_at")))
    order = [
        (Newest(one["created_at"], one["user_id"], one["id"]), one["seq"])
        for one in table.to_pylist()
    ]
    chosen, following = page(order, limit, after, 2)
    found = await rows.read(scope, RowFilter(), COLUMNS, seqs=chosen)
    entries = {one.seq: one.memory for one in await read_all(found, _Entry)}
    # A memory that was deleted meanwhile is left out.
    return Page((entries[seq] for seq in chosen if seq in entries), following)


class _Entry:
    """A memory and the ``seq`` of its row."""

    __slots__ = ("memory", "seq")

    def __init__(self, row: Row) -> None:
        self.seq: int = row["seq"]
        self.memory = to_memory(row)


class Newest(tuple[Any, ...]):
    """A position in a list that begins with the newest: a time in microseconds, then names."""

    __slots__ = ()

    def __new__(cls, at: int, *names: str) -> Newest:
        return super().__new__(cls, (-at, *names))

    @classmethod
    def of_cursor(cls, text: Any, number_of_names: int) -> Newest:
        """The position of a text that :meth:`cursor` made.

        Raises:
            InvalidInputError: the text is no such cursor.
        """
        try:
            at, *names = json.loads(text if isinstance(text, str) else "[]")
            named = len(names) == number_of_names and all(isinstance(name, str) for name in names)
            if type(at) is not int or not named:
                raise ValueError
        except (RecursionError, TypeError, ValueError) as error:
            raise not_a_cursor() from error
        return cls(at, *names)

    def cursor(self) -> str:
        """This position as text."""
        return json.dumps([-self[0], *self[1:]])


def not_a_cursor() -> InvalidInputError:
    """The error for an ``after`` that is no page's ``next``."""
    return InvalidInputError(
        "after",
        "is not where a page ended",
        fix="Give `next` of the page before, of the same call.",
    )


def page(
    order: Sequence[tuple[Newest, T]], limit: int | None, after: str | None, number_of_names: int
) -> tuple[list[T], str | None]:
    """At most ``limit`` items after a cursor, and the cursor of the next page."""
    ordered = sorted(order, key=lambda pair: pair[0])
    if after is not None:
        begin = Newest.of_cursor(after, number_of_names)
        ordered = [pair for pair in ordered if pair[0] > begin]
    chosen = ordered[:limit]
    more = len(ordered) > len(chosen)
    return [item for _, item in chosen], chosen[-1][0].cursor() if more else None


def placed(row: Row) -> ConversationTurn:
    """The turn of a message's row."""
    return ConversationTurn(row["turn"], row["user_id"], to_message(row))


def _with_micros(table: pa.Table) -> pa.Table:
    """The same with ``created_at`` as microseconds: Arrow's datetimes cannot be before year 1."""
    index = table.schema.get_field_index("created_at")
    return table.set_column(index, "created_at", table.column(index).cast(pa.int64()))


def _pairs(table: pa.Table, column: str) -> Iterable[tuple[str, Any]]:
    names, values = table.column("conversation_id"), table.column(column)
    return zip(names.to_pylist(), values.to_pylist(), strict=True)


def _counted(table: pa.Table, column: str) -> Iterable[tuple[str, int]]:
    for entry in pc.value_counts(table.column(column)).to_pylist():
        yield entry["values"], entry["counts"]


async def newest_messages(rows: RowIndex, scope: Scope, limit: int) -> list[Message]:
    """The newest messages of a scope, oldest first: by turn in one conversation, else by time.

    A message that is in several conversations is given once.
    """
    order = "created_at" if scope.conversation_id is None else "turn"
    found = await _newest(rows, scope, _SAID, order, limit)
    place = [(order, "ascending"), ("seq", "ascending")]
    return await read_all(found.sort_by(place), to_message)


async def newest_memories(rows: RowIndex, scope: Scope, limit: int) -> list[MemoryEntry]:
    """The newest memories and messages of a scope, newest first; none that has expired.

    A message that is in several conversations is given once.
    """
    now = datetime.now(timezone.utc)
    where = RowFilter(alive_at=now, unarchived_at=now)
    found = await _newest(rows, scope, where, "created_at", limit)
    place = [("created_at", "descending"), ("seq", "descending")]
    return await read_all(found.sort_by(place), to_entry)


async def _newest(
    rows: RowIndex, scope: Scope, where: RowFilter, order: str, limit: int
) -> pa.Table:
    """The newest rows, each once; more are read where copies would leave too few."""
    asked = limit
    while True:
        found = await rows.read(scope, where, COLUMNS, order_by=order, limit=asked)
        kept = once(found)
        if kept.num_rows >= limit or found.num_rows < asked:
            place = [(order, "descending"), ("seq", "descending")]
            return kept.sort_by(place).slice(0, limit)
        asked *= MORE


async def newest_row(rows: RowIndex, scope: Scope, where: RowFilter) -> Row | None:
    """The matching row that was written last."""
    found = await rows.read(scope, where, COLUMNS, order_by="seq", limit=1)
    return next(iter(from_table(found)), None)
