"""Reads what a context may show: turns, pinned rows, summaries, what the user is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from bruno_core.models.message import MessageRole

from bruno_memory_vec.context.found import SUMMARY, Found, of_row
from bruno_memory_vec.context.known_line import KnownLine
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import HoldsRows, RowIndex
from bruno_memory_vec.indexers.query import EVER, RowFilter, Scope
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE
from bruno_memory_vec.indexers.snapshot import Snapshot
from bruno_memory_vec.rows.models import MESSAGE_COLUMNS, Row, from_table

_SYSTEM = MessageRole.SYSTEM.value
# What a row is shown by.
_COLUMNS = (*MESSAGE_COLUMNS, "user_id", "kind", "turn", "memory_type", "category", "origin", "seq")
# As people chat.
_WORDS = 20.0
# More pinned rows, or summaries of one conversation, than a context has room for.
_MOST = 200


class UsersRows:
    """A user's rows, from memory where they are held there, else from the engine.

    Args:
        rows: the engine.
        scope: the user.
        alive: leaves out what has expired, is archived or came later.
        snapshot: the user's rows in memory; None where they are not.
    """

    def __init__(
        self, rows: RowIndex, scope: Scope, alive: RowFilter, snapshot: Snapshot | None
    ) -> None:
        self._rows, self._scope, self._alive, self._snapshot = rows, scope, alive, snapshot

    @classmethod
    async def of(cls, rows: RowIndex, scope: Scope, alive: RowFilter, *, load: bool) -> UsersRows:
        """The rows of a user; with ``load`` they are read into memory, if they fit there."""
        held = capability(rows, HoldsRows)
        snapshot = None
        if held is not None and (load or held.holds(scope)):
            snapshot = await held.snapshot(scope, alive)
        return cls(rows, scope, alive, snapshot)

    @property
    def mean_words(self) -> float:
        """How many words the user's rows have on average; a guess where they are not in memory."""
        if self._snapshot is None or not len(self._snapshot):
            return _WORDS
        return float(self._snapshot.columns["words"].mean())

    async def turns(self, conversation_id: str, most: int) -> tuple[list[Found], list[Found]]:
        """System messages of a conversation, and its last ``most`` other messages, oldest first."""
        within = self._scope.within(conversation_id)
        where = _with(self._alive, kinds=(MESSAGE,))
        if self._snapshot is not None:
            systems, others = _last_turns(self._snapshot, within, where, most)
        else:
            others = await self._read(within, where, "turn", most)
            systems = [row for row in others if row["role"] == _SYSTEM]
            if len(others) == most:
                only = _with(where, roles=(_SYSTEM,))
                systems = await self._read(within, only, "turn", _MOST)
            others = [row for row in others if row["role"] != _SYSTEM]
        return (
            [of_row(row, "system") for row in reversed(systems)],
            [of_row(row, "recent") for row in reversed(others)],
        )

    async def pinned(self) -> list[Found]:
        """What is pinned, what was pinned last first."""
        where = _with(self._alive, pinned_since=EVER)
        return [
            of_row(row, "pinned")
            for row in await self._read(self._scope, where, "pinned_at", _MOST)
        ]

    async def summaries(self, conversation_id: str) -> list[Row]:
        """The rows of a conversation's summaries, the newest first."""
        where = _with(self._alive, kinds=(MEMORY,), categories=(SUMMARY,))
        within = self._scope.within(conversation_id)
        return await self._read(within, where, "created_at", _MOST)

    async def most_important(self, most: int) -> list[Found]:
        """The rows of the greatest importance, of equals the newest; system messages aside."""
        found = await self._read(self._scope, self._alive, "importance", most)
        return [of_row(row, "recalled") for row in found if row["role"] != _SYSTEM]

    async def at(self, places: dict[str, list[int]], where: RowFilter) -> list[Found]:
        """The messages at some turns of some conversations, of those that a filter lets through."""
        if not places:
            return []
        snapshot, held = self._snapshot, where.unarchived_at is not None
        where = _with(where, kinds=(MESSAGE,))
        if snapshot is None or not held:
            table = await self._rows.read(self._scope, where, _COLUMNS, turns=places)
            return [of_row(row, "neighbour") for row in from_table(table)]
        rows = np.array(sorted(snapshot.at(places)), np.int64)
        matching = snapshot.matching(self._scope, where)
        if matching is not None:
            rows = rows[matching[rows]]
        return [of_row(row, "neighbour") for row in snapshot.rows(rows, _COLUMNS)]

    async def _read(
        self, scope: Scope, where: RowFilter, order_by: str, limit: int | None
    ) -> list[Row]:
        """Rows with the largest of a column first, of equals the newest."""
        columns = tuple(dict.fromkeys((*_COLUMNS, order_by)))
        if self._snapshot is None:
            table = await self._rows.read(scope, where, columns, order_by=order_by, limit=limit)
            return list(from_table(table))
        snapshot = self._snapshot
        matching = snapshot.matching(scope, where)
        rows = np.arange(len(snapshot)) if matching is None else np.flatnonzero(matching)
        if not len(rows):
            return []
        if order_by in snapshot.columns:
            # Rows are in the order of seq.
            order = np.lexsort((-rows, -snapshot.columns[order_by][rows]))
            return snapshot.rows(rows[order][:limit], columns)
        found = snapshot.rows(rows, columns)
        found.sort(key=lambda row: (row[order_by], row["seq"]), reverse=True)
        return found[:limit]


def _last_turns(
    snapshot: Snapshot, scope: Scope, where: RowFilter, most: int
) -> tuple[list[Row], list[Row]]:
    """System messages and the last ``most`` others, the newest first; no other row is made."""
    matching = snapshot.matching(scope, where)
    rows = np.arange(len(snapshot)) if matching is None else np.flatnonzero(matching)
    rows = rows[np.argsort(-snapshot.columns["turn"][rows], kind="stable")]
    system = snapshot.columns["role"][rows] == snapshot.codes["role"].get(_SYSTEM, -2)
    return (
        snapshot.rows(rows[system][:_MOST], _COLUMNS),
        snapshot.rows(rows[~system][:most], _COLUMNS),
    )


def _with(where: RowFilter, **changes: Any) -> RowFilter:
    return replace(where, **changes)


def about(lines: Iterable[KnownLine]) -> list[Found]:
    """What is known of the user, each line quoted."""
    found = []
    for known in lines:
        line = known.text.removeprefix("- ")
        name, _, text = line.partition('"')
        if not text:
            # How the user writes, in our own words.
            name, _, text = name.partition(" ")
        found.append(
            Found(
                "profile",
                "user",
                None,
                text.removesuffix('"'),
                name.strip().rstrip(":"),
                line=line,
                turns=known.turns,
                memories=known.memories,
                values=known.values,
            )
        )
    return found


def units(messages: Sequence[Found]) -> tuple[list[list[Found]], list[Found]]:
    """Messages as they belong together, oldest first, and those without their other half.

    A unit is a message, or a call of tools with all its results. A result whose call is not there,
    and a call without a result, are refused by models. Of the newest call the results may be still
    to come.
    """
    together: list[list[Found]] = []
    alone: list[Found] = []
    for found in messages:
        if not found.is_result:
            together.append([found])
        elif together and together[-1][0].speaker == MessageRole.ASSISTANT.value:
            together[-1].append(found)
        else:
            alone.append(found)
    whole = []
    for unit in together:
        if unit[0].calls > len(unit) - 1:
            alone.extend(unit)
        else:
            whole.append(unit)
    return whole, alone
