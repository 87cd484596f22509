"""A conversation in the order of its export, where messages were added between others."""

from __future__ import annotations

from collections.abc import Sequence

from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.writing.unchanged import RowsChanged

_log = get_logger(__name__)

_MESSAGES = RowFilter(kinds=(MESSAGE,))
_TRIES = 5


async def put_in_order(store: Store, user: str, conversation: str, ids: Sequence[str]) -> int:
    """Let messages share their turns so that they stand in the order of ``ids``.

    Messages that are not named keep their turns. Nothing is embedded. Where somebody else changes
    the conversation all the time it is left as it is; the next ingest finds that.

    Returns:
        How many were moved.

    Raises:
        EngineError: nothing was changed, or all of it, which the next write finds out.
    """
    for _ in range(_TRIES):
        try:
            return await _put(store, user, conversation, ids)
        except RowsChanged:
            continue
    _log.warning("conversation_not_in_order", conversation_id=conversation)
    return 0


async def _put(store: Store, user: str, conversation: str, ids: Sequence[str]) -> int:
    assert store.writer is not None
    scope = Scope.user(user).within(conversation)
    found = await store.rows.read(scope, _MESSAGES, ("id", "turn", "seq"))
    columns = [found.column(name).to_pylist() for name in ("id", "turn", "seq")]
    turns = dict(zip(columns[0], columns[1], strict=True))
    seqs = dict(zip(columns[0], columns[2], strict=True))
    here = [id_ for id_ in ids if turns.get(id_) is not None]
    wanted = dict(zip(here, sorted(turns[id_] for id_ in here), strict=True))
    moved = [id_ for id_ in here if wanted[id_] != turns[id_]]
    if not moved:
        return 0

    def placed(row: Row) -> Row:
        return {"turn": wanted[row["id"]]}

    named = [seqs[id_] for id_ in moved]
    await store.sessions.mark_stale(conversation)
    try:
        await store.writer.rewrite(scope, _MESSAGES, placed, seqs=named, unchanged=named)
    finally:
        # What was read in between has the order of before.
        await store.sessions.mark_stale(conversation)
    return len(moved)
