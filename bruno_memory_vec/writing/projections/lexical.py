"""The lexical index as a projection of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.indexers.protocols import DropsRemoved, LexicalIndex, RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS
from bruno_memory_vec.writing.projections import Change, Problem, Progress, RowFacts, Standing

_ROWS_A_COMMIT = 50_000
# Writers wait while so many rows are read and handed to the index again.
_ROWS_WHILE_WRITERS_WAIT = 2_000
# What is removed while parts are written anew takes another pass, seldom more.
_MOST_PASSES = 5
_REOPEN = "Close the store and open it again: what is derived is mended from the rows."


class LexicalProjection:
    """Adds rows to a lexical index, and removes them."""

    name = "lexical"

    def __init__(self, index: LexicalIndex) -> None:
        self.index = index

    async def standing(self) -> Standing:
        """As of :class:`Projection`."""
        await self.index.commit()
        return Standing(await self.index.last_seq(), await self.index.count())

    async def before(self, change: Change) -> None:
        """Does nothing: the index is compared with the rows at the next opening."""

    async def apply(self, change: Change) -> None:
        """Add the change, which is committed later or by the next search."""
        self.index.remove(change.removed.tolist())
        if change.table is not None:
            self.index.add(change.table.select(list(LEXICAL_COLUMNS)))

    async def settle(self) -> bool:
        """Commit, so that readers in other processes see the change."""
        await self.index.commit()
        return self.index.pending > 0

    async def catch_up(self, rows: RowIndex, progress: Progress | None) -> Sequence[int]:
        """As of :class:`Projection`.

        Raises:
            EngineError: the index does not match the rows after a repair.
        """
        index = self.index
        await index.commit()
        total = await rows.count(Scope.all_users(), RowFilter())
        done, waiting = await index.count(), 0
        async for batch in rows.after(await index.last_seq(), list(LEXICAL_COLUMNS)):
            index.add(pa.Table.from_batches([batch]))
            done, waiting = done + batch.num_rows, waiting + batch.num_rows
            if waiting >= _ROWS_A_COMMIT:
                await index.commit()
                waiting = 0
            if progress is not None and batch.num_rows:
                progress("indexing text", min(done, total), total)
        await index.commit()
        if await index.count() != total or not await self._holds_the_newest(rows):
            await self._mend(rows, total)
        return ()

    async def _holds_the_newest(self, rows: RowIndex) -> bool:
        """Whether the newest row of the index still exists.

        Equal counts prove nothing where some rows were added and others deleted.
        """
        newest = await self.index.last_seq()
        return (
            newest < 0
            or (await rows.read(Scope.all_users(), RowFilter(), ["seq"], seqs=[newest])).num_rows
            == 1
        )

    async def _mend(self, rows: RowIndex, total: int) -> None:
        """Compare both sets of ``seq``, and repair the difference.

        It comes from deleted or replaced rows that the index still has, or from rows that it lost.
        """
        index = self.index
        truth: set[int] = set()
        async for batch in rows.after(-1, ["seq"]):
            truth.update(batch.column("seq").to_pylist())
        held = set((await index.seqs()).tolist())
        index.remove(sorted(held - truth))
        lost = sorted(truth - held)
        for start in range(0, len(lost), _ROWS_A_COMMIT):
            part = lost[start : start + _ROWS_A_COMMIT]
            index.add(
                await rows.read(Scope.all_users(), RowFilter(), list(LEXICAL_COLUMNS), seqs=part)
            )
            await index.commit()
        await index.commit()
        if await index.count() != total:
            raise EngineError(
                index.name,
                "follow the rows",
                f"it holds {await index.count()} of {total} rows after a repair",
                fix="Close the store, delete its `lexical` folder and open it again.",
            )

    async def has_erasable(self) -> bool:
        """As of :class:`~bruno_memory_vec.writing.erasure.ErasingProjection`."""
        return False

    async def erase(self, rows: RowIndex, exclusive: LoopLock, *, deleted: bool) -> None:
        """As of :class:`~bruno_memory_vec.writing.erasure.ErasingProjection`.

        The index's own files say what there is to do, whatever ``deleted`` says.
        """
        index = self.index
        if not isinstance(index, DropsRemoved):
            return
        await index.commit()
        for _ in range(_MOST_PASSES):
            beside = (await index.beside_removed()).tolist()
            for start in range(0, len(beside), _ROWS_WHILE_WRITERS_WAIT):
                part = beside[start : start + _ROWS_WHILE_WRITERS_WAIT]
                async with exclusive:
                    # A row that is gone by now was removed from the index, too.
                    found = await rows.read(EVERYONE, RowFilter(), list(LEXICAL_COLUMNS), seqs=part)
                    index.remove(part)
                    index.add(found)
            if beside:
                await index.commit()
            await index.settle_files()
            if not beside:
                return
        if len(await index.beside_removed()):
            raise EngineError(
                index.name,
                "erase what was deleted",
                "rows are removed faster than its files are rewritten",
                fix="Run maintain when less is deleted.",
            )

    async def compare(self, facts: RowFacts, stood: Standing) -> Sequence[Problem]:
        """Check that the index has as many rows as there are, and none newer."""
        if stood.count != facts.count:
            held = f"the lexical index holds {stood.count:,} rows of {facts.count:,}"
            return [Problem("lexical", held, _REOPEN)]
        if stood.last_seq != facts.last_seq:
            held = (
                f"the newest row in the lexical index is seq {stood.last_seq}, and {facts.last_seq}"
            )
            return [Problem("lexical", f"{held} in the rows", _REOPEN)]
        return []

    async def health(self) -> dict[str, Any]:
        """As of the index."""
        return await self.index.health()

    async def close(self) -> None:
        """Commit pending changes and close the index."""
        await self.index.close()
