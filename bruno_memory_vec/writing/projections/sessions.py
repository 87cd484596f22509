"""The sessions as a projection: owners, turn counters and the hot context follow the rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import pyarrow as pa

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.schema import MESSAGE, row_schema
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.sessions.protocol import HotTurn, SessionStore
from bruno_memory_vec.writing.projections import Change, Problem, Progress, RowFacts, Standing

_log = get_logger(__name__)

_ROWS_A_COMMIT = 50_000
_REOPEN = "Close the store and open it again: what is derived is mended from the rows."
_SESSIONS_ANEW = (
    "Close the store, move its sessions.sqlite away and open it again: it is made anew from the "
    "rows, without sessions and user profiles."
)


class SessionsProjection:
    """Keeps a session store in step with the rows."""

    name = "sessions"

    def __init__(self, sessions: SessionStore) -> None:
        self._sessions = sessions

    async def standing(self) -> Standing:
        """As of :class:`Projection`."""
        return Standing(await self._sessions.last_seq())

    async def before(self, change: Change) -> None:
        """Conversations that are about to lose a message are marked stale.

        Before and after: a refill that read the rows in between must not count as true, and a
        process killed behind the commit would leave nothing that says so.
        """
        for conversation in change.conversations:
            await self._sessions.mark_stale(conversation)

    async def apply(self, change: Change) -> None:
        """Counters, owners and the last messages of each conversation."""
        for conversation in change.conversations:
            await self._sessions.mark_stale(conversation)
        if change.last_seq is not None:
            hot = _last_turns(change.rows, self._sessions.max_messages)
            await self._sessions.apply(hot, change.last_seq)

    async def settle(self) -> bool:
        """Nothing waits: each change is a transaction."""
        return False

    async def catch_up(self, rows: RowIndex, progress: Progress | None) -> Sequence[int]:
        """As of :class:`Projection`.

        A new message without a turn, which somebody has put in by hand, is given one.
        """
        followed = await self._sessions.last_seq()
        found = await _positions_after(rows, followed)
        given = await self._give_turns(rows, found) if found.unplaced else []
        if found.newest > followed:
            await self._sessions.restore(
                [(talk, user, turn + 1) for talk, (user, turn) in found.turns.items()],
                found.newest,
            )
        return given

    async def mend_turns(self, rows: RowIndex) -> Sequence[int]:
        """Give every message a turn that has none; returns the ``seq`` of those that had none.

        Only somebody who writes into the rows by hand leaves such messages. Opening finds those
        that are new; this reads all rows. Hold the writer's exclusion.

        Raises:
            EngineError: an engine failed.
        """
        found = await _positions_after(rows, -1)
        if not found.unplaced:
            return []
        given = await self._give_turns(rows, found)
        talks = {conversation for _, conversation in found.unplaced}
        changed = [(talk, found.turns[talk][0], found.turns[talk][1] + 1) for talk in talks]
        await self._sessions.restore(changed, await self._sessions.last_seq())
        return given

    async def _give_turns(self, rows: RowIndex, found: _Positions) -> list[int]:
        """Put messages without a turn behind the others of their conversation, in their order."""
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
        schema = row_schema(1)
        columns = pa.schema([schema.field(name) for name in ("seq", "turn")])
        for start in range(0, len(given), _ROWS_A_COMMIT):
            part = given[start : start + _ROWS_A_COMMIT]
            await rows.update(pa.Table.from_pylist(part, schema=columns))
        return [row["seq"] for row in given]

    async def compare(self, facts: RowFacts, stood: Standing) -> Sequence[Problem]:
        """It knows every row, and gives no turn a second time."""
        problems = []
        if stood.last_seq < facts.last_seq:
            # It may be ahead: the newest rows may have been deleted.
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
                    f"the next turn of {len(taken):,} conversations would be one that is taken: "
                    f"{conversation!r} counts {next_turn}, and has a turn {turn}",
                    _SESSIONS_ANEW,
                )
            )
        return problems

    async def health(self) -> dict[str, Any]:
        """As of the session store."""
        return await self._sessions.health()

    async def close(self) -> None:
        """Let go of the session store."""
        await self._sessions.close()


def _last_turns(rows: Iterable[Row], most: int) -> list[HotTurn]:
    """The last ``most`` messages of each conversation."""
    said: dict[str, list[Row]] = {}
    for row in rows:
        if row["kind"] == MESSAGE:
            said.setdefault(row["conversation_id"], []).append(row)
    return [
        HotTurn(row["user_id"], conversation, row["turn"], row)
        for conversation, group in said.items()
        # By turn, not as they came: earlier turns may be stored again after newer ones.
        for row in sorted(group, key=itemgetter("turn"))[-most:]
    ]


@dataclass(slots=True)
class _Positions:
    """Where rows stand: the newest ``seq``, and of each conversation its user and last turn."""

    newest: int
    turns: dict[str, tuple[str, int]] = field(default_factory=dict)
    #: ``seq`` and conversation of messages without a turn.
    unplaced: list[tuple[int, str]] = field(default_factory=list)


async def _positions_after(rows: RowIndex, seq: int) -> _Positions:
    found = _Positions(seq)
    turns = found.turns
    columns = ["seq", "kind", "user_id", "conversation_id", "turn"]
    async for batch in rows.after(seq, columns):
        for row in batch.to_pylist():
            found.newest = max(found.newest, row["seq"])
            conversation, turn = row["conversation_id"], row["turn"]
            if conversation is None:
                continue
            user, last = turns.get(conversation, (row["user_id"], -1))
            if row["kind"] == MESSAGE and turn is None:
                found.unplaced.append((row["seq"], conversation))
            elif row["kind"] == MESSAGE:
                last = max(last, turn)
            turns[conversation] = (user, last)
    return found
