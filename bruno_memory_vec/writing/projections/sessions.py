"""The sessions as a projection: owners, next turns and the hot context of the conversations."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import pyarrow as pa

from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.indexers.checksum import with_checksums
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import CHECKSUM, MESSAGE, key_of
from bruno_memory_vec.indexers.snapshot import LOADED
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.sessions.arrivals import Announcer
from bruno_memory_vec.sessions.protocol import (
    HotTurn,
    SessionStore,
    SharesChanges,
    WritesBehind,
)
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.commit import in_thread_if_many
from bruno_memory_vec.writing.projections import Change, Problem, Progress, RowFacts, Standing
from bruno_memory_vec.writing.reconcile import reconcile

_log = get_logger(__name__)

_ROWS_A_COMMIT = 50_000
_REOPEN = "Close the store and open it again: what is derived is mended from the rows."
_SESSIONS_ANEW = (
    "Close the store, move its sessions.sqlite away and open it again: it is made anew from the "
    "rows, without sessions and user profiles."
)


class SessionsProjection:
    """Keeps a session store up to date with the rows.

    Args:
        sessions: the session store.
        announcer: told of each new message, where the store itself tells nobody.
    """

    name = "sessions"

    def __init__(self, sessions: SessionStore, announcer: Announcer | None = None) -> None:
        self._sessions = sessions
        self._announcer = announcer
        self._shared = sessions if isinstance(sessions, SharesChanges) else None
        #: As of :class:`~bruno_memory_vec.writing.projections.FollowsLater`.
        self.later = sessions if isinstance(sessions, WritesBehind) else None

    async def standing(self) -> Standing:
        """As of :class:`Projection`."""
        return Standing(await self._sessions.last_seq())

    async def before(self, change: Change) -> None:
        """Mark conversations that are about to lose a message as stale, and note which rows go.

        It is done before the commit, in case the process is killed after it. Conversations are
        marked again after it, in case a refill has read the rows in between.
        """
        removed = change.removed.tolist()
        if self._shared is not None:
            touched = {row["conversation_id"] for row in change.rows} - {None}
            users = {row["user_id"] for row in change.rows}
            await self._shared.begin(touched.union(change.conversations), users, removed)
        for conversation in change.conversations:
            await self._sessions.mark_stale(conversation)
        if removed and self._shared is None:
            await self._sessions.ledger.leave(removed)

    async def apply(self, change: Change) -> None:
        """Update next turns, owners and the last messages of each conversation."""
        for conversation in change.conversations:
            await self._sessions.mark_stale(conversation)
        if change.last_seq is not None:
            hot = await in_thread_if_many(
                len(change.rows),
                lambda: _last_turns(change.rows, self._sessions.max_messages, change.again),
            )
            noted = {
                row["conversation_id"]: row["user_id"]
                for row in change.rows
                if row["kind"] != MESSAGE and row["conversation_id"] is not None
            }
            added = [row["seq"] for row in change.rows]
            removed = change.removed.tolist()
            await self._sessions.apply(hot, change.last_seq, noted, added=added, removed=removed)
        elif change.table is None and len(change.removed):
            await self._sessions.ledger.settle(gone=change.removed.tolist())
        if self._shared is not None:
            await self._drop_doubled(self._shared, change)
            await self._shared.end()
        if self._announcer is not None and change.last_seq is not None:
            self._announcer.announce(_said(change.rows, change.again))

    async def _drop_doubled(self, shared: SharesChanges, change: Change) -> None:
        """Miss no row that another process has replaced while this one stored it, or the reverse.

        Both have numbered theirs, and the rows keep one of them.
        """
        stored = {key_of(row): row["seq"] for row in change.rows}
        gone = await shared.stored_twice(stored, change.removed.tolist()) if stored else []
        if gone:
            await self._sessions.ledger.settle(gone=gone)
            said = {row["conversation_id"] for row in change.rows if row["kind"] == MESSAGE}
            for conversation in said:
                await self._sessions.mark_stale(conversation)

    async def settle(self) -> bool:
        """Write what waits, so that readers in other processes see the change."""
        if self.later is not None and self.later.waits:
            await self.later.write_waiting()
        return False

    async def catch_up(self, rows: RowIndex, progress: Progress | None) -> Sequence[int]:
        """As of :class:`Projection`.

        A new message without a turn, written into the rows by other means, is given one. Rows that
        are lost are noted in the ledger.
        """
        if self._shared is not None:
            await self.mend_others(rows)
        followed = await self._sessions.last_seq()
        found = await _positions_after(rows, followed)
        given = await self._give_turns(rows, found) if found.unplaced else []
        if found.newest > followed:
            await self._sessions.restore(
                [(talk, user, turn + 1) for talk, (user, turn) in found.turns.items()],
                found.newest,
                added=found.seqs,
            )
        await reconcile(self._sessions, rows)
        if self._shared is not None:
            await self._shared.made_whole()
        return given

    @property
    def mend_every(self) -> float | None:
        """As of :class:`~bruno_memory_vec.writing.projections.MendsOthers`."""
        return None if self._shared is None else self._shared.mend_every

    async def mend_others(self, rows: RowIndex) -> None:
        """As of :class:`~bruno_memory_vec.writing.projections.MendsOthers`.

        Changes of this process whose end is not known are mended, too. The caller lets no other
        change of this process begin.
        """
        if self._shared is None:
            return
        for change in await self._shared.broken_off():
            first, last = change.seqs
            found = await _positions_of(rows, range(first, last + 1))
            gone = [seq for low, high in change.removed for seq in range(low, high + 1)]
            if gone:
                stayed = set((await _positions_of(rows, gone)).seqs)
                left = [seq for seq in gone if seq not in stayed]
                await self._sessions.ledger.settle(alive=stayed, gone=left)
            owned = {talk: (user, turn + 1) for talk, (user, turn) in found.turns.items()}
            await self._shared.mend(change, owned, added=found.seqs)

    async def mend_turns(self, rows: RowIndex) -> Sequence[int]:
        """Give a turn to every message that has none; returns the ``seq`` of these messages.

        Only a program that writes into the rows directly leaves such messages. Opening finds the
        new ones; this method reads all rows. The caller holds ``Writer.exclusive``.

        Raises:
            EngineError: an engine failed.
        """
        found = await _positions_after(rows, -1)
        if not found.unplaced:
            return []
        given = await self._give_turns(rows, found)
        conversations = {conversation for _, conversation in found.unplaced}
        changed = [(one, found.turns[one][0], found.turns[one][1] + 1) for one in conversations]
        await self._sessions.restore(changed, await self._sessions.last_seq())
        return given

    async def _give_turns(self, rows: RowIndex, found: _Positions) -> list[int]:
        """Give messages without a turn the next turns of their conversation, by ``seq``."""
        given: list[dict[str, int]] = []
        next_turns: dict[str, int] = {}
        for seq, conversation in sorted(found.unplaced):
            user, last = found.turns[conversation]
            if conversation not in next_turns:
                known = await self._sessions.conversation(conversation)
                next_turns[conversation] = max(last + 1, 0 if known is None else known.next_turn)
            found.turns[conversation] = (user, next_turns[conversation])
            given.append({"seq": seq, "turn": next_turns[conversation]})
            next_turns[conversation] += 1
        _log.warning("turns_given", messages=len(given))
        turn_of = {row["seq"]: row["turn"] for row in given}
        seqs = list(turn_of)
        for start in range(0, len(seqs), _ROWS_A_COMMIT):
            part = seqs[start : start + _ROWS_A_COMMIT]
            before = await rows.read(EVERYONE, RowFilter(), LOADED, seqs=part)
            await rows.update(await asyncio.to_thread(_with_turns, before, turn_of))
        return [row["seq"] for row in given]

    async def has_erasable(self) -> bool:
        """As of :class:`~bruno_memory_vec.writing.erasure.ErasingProjection`."""
        return await self._sessions.has_replaced()

    async def erase(self, rows: RowIndex, exclusive: LoopLock, *, deleted: bool) -> None:
        """As of :class:`~bruno_memory_vec.writing.erasure.ErasingProjection`."""
        await self._sessions.erase(deleted=deleted)

    async def compare(self, facts: RowFacts, stood: Standing) -> Sequence[Problem]:
        """Check that the sessions have applied every row, and would give no turn twice."""
        problems = []
        if stood.last_seq < facts.last_seq:
            # The sessions may be ahead, since the newest rows may have been deleted.
            behind = f"the sessions know of the rows up to seq {stood.last_seq}, of "
            problems.append(Problem("sessions", f"{behind}{facts.last_seq}", _REOPEN))
        taken: list[tuple[str, int, int]] = []
        for conversation, turn in facts.last_turns.items():
            known = await self._sessions.conversation(conversation)
            next_turn = 0 if known is None else known.next_turn
            if next_turn <= turn:
                taken.append((conversation, next_turn, turn))
        if taken:
            conversation, next_turn, turn = taken[0]
            problems.append(
                Problem(
                    "sessions",
                    f"the next turn of {counted(len(taken), 'conversation')} would be one that is "
                    f"taken: {conversation!r} counts {next_turn}, and has a turn {turn}",
                    _SESSIONS_ANEW,
                )
            )
        return problems

    async def health(self) -> dict[str, Any]:
        """As of the session store."""
        return await self._sessions.health()

    async def close(self) -> None:
        """Close the session store."""
        if self._announcer is not None:
            self._announcer.close()
        await self._sessions.close()


def _with_turns(rows: pa.Table, turn_of: Mapping[int, int]) -> pa.Table:
    """The ``seq``, the turn and the checksum of rows that get a turn."""
    at = rows.schema.get_field_index("turn")
    turns = [turn_of[seq] for seq in rows.column("seq").to_pylist()]
    after = rows.set_column(at, rows.schema.field(at), pa.array(turns, pa.int64()))
    return with_checksums(after).select(["seq", "turn", CHECKSUM])


def _said(rows: Iterable[Row], again: Collection[int]) -> Iterator[HotTurn]:
    """Every message, in the order of the rows."""
    for row in rows:
        if row["kind"] == MESSAGE:
            talk = row["conversation_id"]
            yield HotTurn(row["user_id"], talk, row["turn"], row, row["seq"] in again)


def _last_turns(rows: Iterable[Row], most: int, again: Collection[int] = ()) -> list[HotTurn]:
    """The last ``most`` messages of each conversation."""
    said: dict[str, list[Row]] = {}
    for row in rows:
        if row["kind"] == MESSAGE:
            said.setdefault(row["conversation_id"], []).append(row)
    return [
        HotTurn(row["user_id"], conversation, row["turn"], row, row["seq"] in again)
        for conversation, group in said.items()
        # By turn and not by seq: an earlier turn may be stored again after newer ones.
        for row in sorted(group, key=itemgetter("turn"))[-most:]
    ]


@dataclass(slots=True)
class _Positions:
    """The newest ``seq``, all of them, and the user and last turn of each conversation."""

    newest: int
    #: The ``seq`` of all rows.
    seqs: list[int] = field(default_factory=list)
    turns: dict[str, tuple[str, int]] = field(default_factory=dict)
    #: ``seq`` and conversation of messages without a turn.
    unplaced: list[tuple[int, str]] = field(default_factory=list)

    def take(self, rows: Iterable[Row]) -> None:
        """Take rows in, with the columns of ``_POSITION``."""
        for row in rows:
            self.newest = max(self.newest, row["seq"])
            self.seqs.append(row["seq"])
            conversation, turn = row["conversation_id"], row["turn"]
            if conversation is None:
                continue
            user, last = self.turns.get(conversation, (row["user_id"], -1))
            if row["kind"] == MESSAGE and turn is None:
                self.unplaced.append((row["seq"], conversation))
            elif row["kind"] == MESSAGE:
                last = max(last, turn)
            self.turns[conversation] = (user, last)


_POSITION = ("seq", "kind", "user_id", "conversation_id", "turn")


async def _positions_after(rows: RowIndex, seq: int) -> _Positions:
    found = _Positions(seq)
    async for batch in rows.after(seq, _POSITION):
        found.take(batch.to_pylist())
    return found


async def _positions_of(rows: RowIndex, seqs: Sequence[int]) -> _Positions:
    """Those of the rows with these ``seq`` that are there."""
    found = _Positions(-1)
    for start in range(0, len(seqs), _ROWS_A_COMMIT):
        part = list(seqs[start : start + _ROWS_A_COMMIT])
        found.take((await rows.read(EVERYONE, RowFilter(), _POSITION, seqs=part)).to_pylist())
    return found
