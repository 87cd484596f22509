"""Bring what is derived up to the rows, which are the truth.

At every opening to write, and after a commit whose end is not known.
"""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.protocols import LexicalIndex, RowFilter, Scope, VectorIndex
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS, MESSAGE
from bruno_memory_vec.sessions.protocol import SessionStore

_ROWS_A_COMMIT = 50_000


class Progress(Protocol):
    """Told how far long work has come, for a progress bar."""

    def __call__(self, work: str, done: int, total: int) -> None:
        """``done`` of ``total`` rows of ``work`` are through."""
        ...


async def follow_rows(
    rows: VectorIndex,
    lexical: LexicalIndex,
    sessions: SessionStore,
    progress: Progress | None = None,
) -> None:
    """Let the word index and the sessions know of every row, and of no other.

    Raises:
        EngineError: an engine failed, or the word index does not hold the rows after a repair.
    """
    await _follow_by_words(rows, lexical, progress)
    await _follow_in_sessions(rows, sessions)


async def _follow_by_words(
    rows: VectorIndex, lexical: LexicalIndex, progress: Progress | None
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
        lexical.add(await rows.fetch(Scope.all_users(), part, list(LEXICAL_COLUMNS)))
        await lexical.commit()
    await lexical.commit()
    if await lexical.count() != total:
        raise EngineError(
            lexical.name,
            "follow the rows",
            f"it holds {await lexical.count()} of {total} rows after a repair",
            fix="Close the store, delete its `lexical` folder and open it again.",
        )


async def _holds_the_newest(rows: VectorIndex, lexical: LexicalIndex) -> bool:
    """Whether the newest row of the word index is one of the rows.

    Where rows came and others went, both may be equally many and not the same.
    """
    newest = await lexical.last_seq()
    return newest < 0 or (await rows.fetch(Scope.all_users(), [newest], ["seq"])).num_rows == 1


async def _follow_in_sessions(rows: VectorIndex, sessions: SessionStore) -> None:
    followed = await sessions.last_seq()
    newest = followed
    turns: dict[str, tuple[str, int]] = {}
    columns = ["seq", "kind", "user_id", "conversation_id", "turn"]
    async for batch in rows.after(followed, columns):
        for row in batch.to_pylist():
            newest = max(newest, row["seq"])
            if row["kind"] == MESSAGE:
                user, turn = turns.get(row["conversation_id"], (row["user_id"], -1))
                turns[row["conversation_id"]] = (user, max(turn, row["turn"]))
            elif row["conversation_id"] is not None:
                turns.setdefault(row["conversation_id"], (row["user_id"], -1))
    if newest > followed:
        await sessions.restore(
            [(conversation, user, turn + 1) for conversation, (user, turn) in turns.items()],
            newest,
        )
