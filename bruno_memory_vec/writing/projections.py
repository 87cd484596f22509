"""Bring what is derived up to the rows, which are the truth.

At every opening to write, and after a commit whose end is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.protocols import LexicalIndex, RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS, MESSAGE, row_schema
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.sessions.protocol import SessionStore

_log = get_logger(__name__)

_ROWS_A_COMMIT = 50_000


class Progress(Protocol):
    """Told how far long work has come, for a progress bar."""

    def __call__(self, work: str, done: int, total: int) -> None:
        """``done`` of ``total`` rows of ``work`` are through."""
        ...


async def follow_rows(
    rows: RowIndex,
    lexical: LexicalIndex,
    sessions: SessionStore,
    progress: Progress | None = None,
) -> None:
    """Let the word index and the sessions know of every row, and of no other.

    A new message without a turn, which somebody has put in by hand, is given one.

    Raises:
        EngineError: an engine failed, or the word index does not hold the rows after a repair.
    """
    await _follow_by_words(rows, lexical, progress)
    await _follow_in_sessions(rows, lexical, sessions)


async def _follow_by_words(
    rows: RowIndex, lexical: LexicalIndex, progress: Progress | None
) -> None:
    await lexical.commit()
    indexed = await lexical.last_seq()
    total = await rows.count(Scope.all_users(), RowFilter())
    done, waiting = await lexical.count(), 0
    async for batch in rows.after(indexed, list(LEXICAL_COLUMNS)):
        lexical.add(pa.Table.from_batches([batch]))
        done, waiting = done + batch.num_rows, waiting + batch.num_rows
        if waiting >= _ROWS_A_COMMIT:
            await lexical.commit()
            waiting = 0
        if progress is not None and batch.num_rows:
            progress("indexing words", min(done, total), total)
    await lexical.commit()
    if await lexical.count() == total and await _holds_the_newest(rows, lexical):
        return
    # Rows that were deleted or replaced before the index heard of it, or that it lost.
    truth: set[int] = set()
    async for batch in rows.after(-1, ["seq"]):
        truth.update(batch.column("seq").to_pylist())
    held = set((await lexical.seqs()).tolist())
    lexical.remove(sorted(held - truth))
    lost = sorted(truth - held)
    for start in range(0, len(lost), _ROWS_A_COMMIT):
        part = lost[start : start + _ROWS_A_COMMIT]
        lexical.add(
            await rows.read(Scope.all_users(), RowFilter(), list(LEXICAL_COLUMNS), seqs=part)
        )
        await lexical.commit()
    await lexical.commit()
    if await lexical.count() != total:
        raise EngineError(
            lexical.name,
            "follow the rows",
            f"it holds {await lexical.count()} of {total} rows after a repair",
            fix="Close the store, delete its `lexical` folder and open it again.",
        )


async def _holds_the_newest(rows: RowIndex, lexical: LexicalIndex) -> bool:
    """Whether the newest row of the word index is one of the rows.

    Where rows came and others went, both may be equally many and not the same.
    """
    newest = await lexical.last_seq()
    return (
        newest < 0
        or (await rows.read(Scope.all_users(), RowFilter(), ["seq"], seqs=[newest])).num_rows == 1
    )


async def _follow_in_sessions(
    rows: RowIndex, lexical: LexicalIndex, sessions: SessionStore
) -> None:
    followed = await sessions.last_seq()
    found = await _places_after(rows, followed)
    if found.unplaced:
        await _give_turns(rows, lexical, sessions, found)
    if found.newest > followed:
        await sessions.restore(
            [(talk, user, turn + 1) for talk, (user, turn) in found.turns.items()], found.newest
        )


async def mend_turns(rows: RowIndex, lexical: LexicalIndex, sessions: SessionStore) -> int:
    """Give every message a turn that has none; returns how many had none.

    Only somebody who writes into the rows by hand leaves such messages. Opening finds
    those that are new; this reads all rows. Hold the writer's exclusion.

    Raises:
        EngineError: an engine failed.
    """
    found = await _places_after(rows, -1)
    if found.unplaced:
        await _give_turns(rows, lexical, sessions, found)
        talks = {conversation for _, conversation in found.unplaced}
        changed = [(talk, found.turns[talk][0], found.turns[talk][1] + 1) for talk in talks]
        await sessions.restore(changed, await sessions.last_seq())
    return len(found.unplaced)


@dataclass(slots=True)
class _Places:
    """Where rows stand: the newest ``seq``, and of each conversation its user and last turn."""

    newest: int
    turns: dict[str, tuple[str, int]] = field(default_factory=dict)
    #: ``seq`` and conversation of messages without a turn.
    unplaced: list[tuple[int, str]] = field(default_factory=list)


async def _places_after(rows: RowIndex, seq: int) -> _Places:
    found = _Places(seq)
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


async def _give_turns(
    rows: RowIndex, lexical: LexicalIndex, sessions: SessionStore, found: _Places
) -> None:
    """Put messages without a turn behind the others of their conversation, as they were written."""
    given: list[dict[str, int]] = []
    next_turns: dict[str, int] = {}
    for seq, conversation in sorted(found.unplaced):
        user, last = found.turns[conversation]
        if conversation not in next_turns:
            known = await sessions.conversation(conversation)
            next_turns[conversation] = max(last + 1, 0 if known is None else known.next_turn)
        found.turns[conversation] = (user, next_turns[conversation])
        given.append({"seq": seq, "turn": next_turns[conversation]})
        next_turns[conversation] += 1
    _log.warning("turns_given", messages=len(given))
    schema = row_schema(1)
    columns = [schema.field(name) for name in ("seq", "turn")]
    for start in range(0, len(given), _ROWS_A_COMMIT):
        part = given[start : start + _ROWS_A_COMMIT]
        await rows.update(pa.Table.from_pylist(part, schema=pa.schema(columns)))
        # The word index answers with turns, too.
        seqs = [row["seq"] for row in part]
        lexical.remove(seqs)
        lexical.add(
            await rows.read(Scope.all_users(), RowFilter(), list(LEXICAL_COLUMNS), seqs=seqs)
        )
        await lexical.commit()
