"""The ledger in SQLite: which rows were acknowledged and not deleted since, by their ``seq``.

A block is one line of 128 bytes with a bit for each of 1,024 ``seq``, so a million rows take
125 kB. What is out of the ordinary has a line of its own, a mark.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.sessions.protocol import Acknowledged, LostRow

T = TypeVar("T")

_BITS = 1024
_BYTES = _BITS // 8
#: A row that a change is about to remove: until its end it may be there or not.
LEAVING = "leaving"
#: A row that was acknowledged, not deleted, and is gone; and one that a repair has given up.
LOST, GIVEN_UP = "lost", "given up"
#: A row that was deleted or replaced, and is there again.
RETURNED = "returned"


class Transactions(Protocol):
    """Runs functions of a SQLite connection, each as one transaction or as one read."""

    async def change(self, operation: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do a transaction."""
        ...

    async def read(self, statement: str) -> list[Any]:
        """The result of one statement that reads."""
        ...


class SQLiteLedger:
    """A :class:`~bruno_memory_vec.sessions.protocol.Ledger` in the file of the sessions."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def count(self) -> int:
        """As of ``Ledger``."""
        ((value,),) = await self._transactions.read("SELECT value FROM meta WHERE key = 'rows'")
        return int(value)

    async def read(self) -> Acknowledged:
        """As of ``Ledger``, as of one moment."""
        found = await self._transactions.read(
            "SELECT 0, block, alive, NULL, NULL FROM ledger UNION ALL "
            "SELECT 1, value, NULL, NULL, NULL FROM meta WHERE key = 'last_seq' UNION ALL "
            "SELECT mark, seq, conversation_id, user_id, turn FROM ledger_marks"
        )
        blocks = sorted((first, second) for part, first, second, _, _ in found if part == 0)
        ((last_seq,),) = [(first,) for part, first, *_ in found if part == 1]
        marks = sorted((line for line in found if line[0] not in (0, 1)), key=itemgetter(1))

        def marked(mark: str) -> NDArray[np.int64]:
            return np.array([seq for its, seq, *_ in marks if its == mark], np.int64)

        return Acknowledged(
            last_seq=last_seq,
            alive=_seqs(blocks),
            leaving=marked(LEAVING),
            lost=tuple(LostRow(seq, *place) for its, seq, *place in marks if its == LOST),
            given_up=marked(GIVEN_UP),
            returned=marked(RETURNED),
        )

    async def leave(self, seqs: Iterable[int]) -> None:
        """As of ``Ledger``."""
        await self._transactions.change(
            "note what is to be removed", lambda database: _mark(database, LEAVING, seqs)
        )

    async def settle(
        self,
        *,
        alive: Iterable[int] = (),
        gone: Iterable[int] = (),
        lost: Iterable[int] = (),
        given_up: Iterable[int] = (),
        returned: Iterable[int] = (),
    ) -> None:
        """As of ``Ledger``."""
        alive, gone, lost, returned = list(alive), list(gone), list(lost), list(returned)

        def work(database: sqlite3.Connection) -> None:
            record(database, [*alive, *returned], [*gone, *lost])
            _mark(database, LOST, lost)
            _mark(database, GIVEN_UP, given_up)
            _mark(database, RETURNED, returned)
            if lost:
                _take_from_contexts(database)

        await self._transactions.change("settle what is acknowledged", work)


def record(database: sqlite3.Connection, added: Iterable[int], removed: Iterable[int]) -> None:
    """Note that rows are acknowledged, and others gone. Both are out of the ordinary no more."""
    blocks: dict[int, list[int]] = {}
    for seq in added:
        masks = blocks.setdefault(seq // _BITS, [0, 0])
        masks[0] |= 1 << seq % _BITS
    removed = list(removed)
    for seq in removed:
        masks = blocks.setdefault(seq // _BITS, [0, 0])
        masks[1] |= 1 << seq % _BITS
    more = 0
    for block, (fresh, gone) in blocks.items():
        found = database.execute("SELECT alive FROM ledger WHERE block = ?", (block,)).fetchone()
        before = 0 if found is None else int.from_bytes(found[0], "little")
        after = (before | fresh) & ~gone
        more += bin(after).count("1") - bin(before).count("1")
        if after:
            database.execute(
                "INSERT INTO ledger (block, alive) VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET alive = excluded.alive",
                (block, after.to_bytes(_BYTES, "little")),
            )
        elif before:
            database.execute("DELETE FROM ledger WHERE block = ?", (block,))
    if more:
        database.execute("UPDATE meta SET value = value + ? WHERE key = 'rows'", (more,))
    if blocks and database.execute("SELECT EXISTS (SELECT 1 FROM ledger_marks)").fetchone()[0]:
        settled = ((seq,) for seq in (*added, *removed))
        database.executemany("DELETE FROM ledger_marks WHERE seq = ?", settled)


def _mark(database: sqlite3.Connection, mark: str, seqs: Iterable[int]) -> None:
    database.executemany(
        "INSERT INTO ledger_marks (seq, mark) VALUES (?, ?) "
        "ON CONFLICT DO UPDATE SET mark = excluded.mark",
        ((int(seq), mark) for seq in seqs),
    )


def _take_from_contexts(database: sqlite3.Connection) -> None:
    """Remove lost rows from the hot context, which knows where they were."""
    hot = f"hot_messages JOIN ledger_marks USING (seq) WHERE mark = '{LOST}'"
    columns = "seq, hot_messages.conversation_id, hot_messages.user_id, hot_messages.turn"
    found = database.execute(f"SELECT {columns} FROM {hot}").fetchall()  # noqa: S608
    database.executemany(
        "UPDATE ledger_marks SET conversation_id = ?2, user_id = ?3, turn = ?4 WHERE seq = ?1",
        found,
    )
    database.executemany("DELETE FROM hot_messages WHERE seq = ?", ((seq,) for seq, *_ in found))
    database.executemany(
        "UPDATE conversations SET stale = stale + 1 WHERE conversation_id = ?",
        {(conversation,) for _, conversation, _, _ in found},
    )


def _seqs(blocks: Sequence[tuple[int, bytes]]) -> NDArray[np.int64]:
    """The ``seq`` of each set bit, ascending."""
    if not blocks:
        return np.empty(0, np.int64)
    data = np.frombuffer(b"".join(alive for _, alive in blocks), np.uint8)
    at = np.flatnonzero(np.unpackbits(data, bitorder="little"))
    starts = np.array([block * _BITS for block, _ in blocks], np.int64)
    found: NDArray[np.int64] = starts[at // _BITS] + at % _BITS
    return found
