"""Conversations in the order of their export, where messages were added between others."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from bruno_memory_vec.indexers.allocator import give_back
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.writing.unchanged import RowsChanged

_log = get_logger(__name__)

_MESSAGES = RowFilter(kinds=(MESSAGE,))
_COLUMNS = ("kind", "user_id", "conversation_id", "id", "turn", "seq", "role")
_TRIES = 5
#: So many rows are moved by one commit.
_AT_ONCE: Final = 2_000
# So many conversations are read by themselves; of more, all rows of their users are looked at.
_READ_ALONE = 32

#: A conversation, by its owner and its id.
Talk = tuple[str, str]
#: Told of messages of one conversation that stand at an earlier turn now: those who go by turns
#: have passed it.
Moved = Callable[[Store, Sequence[Row]], Awaitable[None]]


@dataclass(slots=True)
class _Moving:
    """The messages of some conversations that are in another place, as they are stored.

    Attributes:
        turns: for each conversation and message, the turn that it gets.
        seqs: the ``seq`` of each of them.
        earlier: by conversation, what is told of those that get an earlier turn.
    """

    turns: dict[tuple[str, str, str], int] = field(default_factory=dict)
    seqs: list[int] = field(default_factory=list)
    earlier: dict[Talk, list[Row]] = field(default_factory=dict)


async def put_in_order(
    store: Store, orders: Mapping[Talk, Sequence[str]], moved_up: Moved | None = None
) -> int:
    """Let the messages of conversations share their turns so that they stand in a given order.

    Messages that are not named keep their turns. Nothing is embedded. A conversation that somebody
    else changes all the time is left as it is; the next ingest finds that.

    Args:
        store: the open store.
        orders: for each conversation the ids of its messages, in order.
        moved_up: told of the messages of each that get an earlier turn, before and after that.

    Returns:
        How many messages were moved.

    Raises:
        EngineError: what was moved before is moved; of the last commit all or nothing.
    """
    moved, waiting = 0, dict(orders)
    for _ in range(_TRIES):
        if not waiting:
            break
        done, changed = await _put(store, waiting, moved_up)
        moved, waiting = moved + done, changed
    if waiting:
        _log.warning("conversations_not_in_order", conversations=len(waiting))
    return moved


async def _put(
    store: Store, orders: Mapping[Talk, Sequence[str]], moved_up: Moved | None
) -> tuple[int, dict[Talk, Sequence[str]]]:
    """Move once; returns how many were moved, and the conversations that changed meanwhile."""
    stored: dict[Talk, dict[str, tuple[int, int, str]]] = defaultdict(dict)
    async for batch in _read(store, orders):
        columns = [batch.column(name).to_pylist() for name in _COLUMNS]
        for kind, user, talk, id_, turn, seq, role in zip(*columns, strict=True):
            if kind == MESSAGE and turn is not None and (user, talk) in orders:
                before = stored[user, talk].get(id_)
                if before is None or before[1] < seq:
                    stored[user, talk][id_] = (turn, seq, role)
    moved, changed = 0, dict[Talk, Sequence[str]]()
    group: list[Talk] = []
    moving = _Moving()
    for talk in [*orders, None]:
        if talk is not None:
            _add(talk, orders[talk], stored[talk], moving, group)
        if group and (talk is None or len(moving.seqs) >= _AT_ONCE):
            if await _move(store, group, moving, moved_up):
                moved += len(moving.seqs)
            else:
                changed.update((one, orders[one]) for one in group)
            group, moving = [], _Moving()
    return moved, changed


def _add(
    talk: Talk,
    ids: Sequence[str],
    stored: Mapping[str, tuple[int, int, str]],
    moving: _Moving,
    group: list[Talk],
) -> None:
    here = [id_ for id_ in ids if id_ in stored]
    wanted = dict(zip(here, sorted(stored[id_][0] for id_ in here), strict=True))
    apart = [id_ for id_ in here if wanted[id_] != stored[id_][0]]
    user_id, conversation_id = talk
    for id_ in apart:
        moving.turns[(user_id, conversation_id, id_)] = wanted[id_]
        turn, seq, role = stored[id_]
        moving.seqs.append(seq)
        if wanted[id_] < turn:
            row = {"user_id": talk[0], "conversation_id": talk[1], "role": role}
            moving.earlier.setdefault(talk, []).append({**row, "turn": wanted[id_]})
    if apart:
        group.append(talk)


async def _move(
    store: Store, talks: Sequence[Talk], moving: _Moving, moved_up: Moved | None
) -> bool:
    """Give messages their turns, as one commit; False where one was changed, so that none was."""
    assert store.writer is not None

    def placed(row: Row) -> Row:
        return {"turn": moving.turns[row["user_id"], row["conversation_id"], row["id"]]}

    async def tell() -> None:
        if moved_up is not None:
            for rows in moving.earlier.values():
                await moved_up(store, rows)

    for _, talk in talks:
        await store.sessions.mark_stale(talk)
    # If the process is killed in between, that they are to be read is noted already.
    await tell()
    try:
        await store.writer.rewrite(
            EVERYONE, _MESSAGES, placed, seqs=moving.seqs, unchanged=moving.seqs
        )
    except RowsChanged:
        return False
    finally:
        # What was read in between has the order of before.
        for _, talk in talks:
            await store.sessions.mark_stale(talk)
    # What was read meanwhile may have passed them.
    await tell()
    await asyncio.to_thread(give_back)
    return True


async def _read(
    store: Store, orders: Mapping[Talk, Sequence[str]]
) -> AsyncIterator[pa.RecordBatch | pa.Table]:
    if len(orders) <= _READ_ALONE:
        for user, talk in orders:
            yield await store.rows.read(Scope.user(user).within(talk), _MESSAGES, _COLUMNS)
        return
    users = {user for user, _ in orders}
    for scope in [Scope.user(user) for user in users] if len(users) <= _READ_ALONE else [EVERYONE]:
        async for batch in store.rows.after(-1, _COLUMNS, scope):
            if batch.num_rows:
                yield batch
