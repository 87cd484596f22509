"""The lexical index as a projection of the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bruno_memory_vec.errors import BackendUnavailable, EngineError, IndexDamaged
from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.indexers.protocols import BeginsAnew, DropsRemoved, LexicalIndex, RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.projections import Change, Problem, Progress, RowFacts, Standing

_log = get_logger(__name__)

_ROWS_A_COMMIT = 50_000
# Writers wait while so many rows are read and handed to the index again.
_ROWS_WHILE_WRITERS_WAIT = 2_000
# What is removed while parts are written anew takes another pass, seldom more.
_MOST_PASSES = 5
# Of more rows than this, no index is kept in memory in place of its folder.
_ROWS_IN_MEMORY = 200_000
# So many changes are committed at once, however young they are: they wait in memory.
_MANY_WAIT = 20_000
# So many failures in a row are damage, whatever they say.
_FAILURES = 2
_TRIES = _FAILURES + 1
_REOPEN = "Close the store and open it again: what is derived is mended from the rows."


class LexicalProjection:
    """Adds rows to a lexical index, and removes them.

    The index is derived, so it is never in the way: where it is damaged, or cannot follow the rows,
    it is filled anew; where its folder cannot be used, it is kept in memory. Meanwhile recall finds
    by meaning only, and :attr:`problem` says so.
    """

    name = "lexical"

    def __init__(self, index: LexicalIndex) -> None:
        self.index = index
        #: Why rows are not found by their words, or may not be; None if nothing is wrong.
        self.problem: str | None = None
        # Whether the index is damaged, so that it has to be filled anew.
        self._damaged = False
        self._failures = 0
        self._filling = False
        # Whether its rows are too many for memory, and its folder cannot be used.
        self._off = False

    async def standing(self) -> Standing:
        """As of :class:`Projection`, as far as it can be committed."""
        try:
            await self.commit()
            return Standing(await self.index.last_seq(), await self.index.count())
        except EngineError as error:
            self.failed(error)
        try:
            return Standing(await self.index.last_seq(), await self.index.count())
        except EngineError:
            return Standing(-1, -1)

    async def before(self, change: Change) -> None:
        """Does nothing: the index is compared with the rows at the next opening."""

    async def apply(self, change: Change) -> None:
        """Add the change, which is searched at once and committed later."""
        if self._off:
            return
        self.index.remove(change.removed.tolist())
        if change.table is not None:
            self.index.add(change.table.select(list(LEXICAL_COLUMNS)))

    @property
    def many_wait(self) -> bool:
        """As of :class:`~bruno_memory_vec.writing.projections.HasMuchToSettle`."""
        return self.index.pending >= _MANY_WAIT

    async def settle(self) -> bool:
        """Commit, so that readers in other processes see the change."""
        await self.commit()
        return self.index.pending > 0

    async def commit(self) -> None:
        """Commit what waits in the index.

        Raises:
            EngineError: it failed; see :attr:`damaged`.
        """
        try:
            await self.index.commit()
        except EngineError as error:
            self.failed(error)
            await self.check()
            raise
        if not (self._damaged or self._filling or self._off):
            self._works()

    # Damage

    @property
    def damaged(self) -> bool:
        """Whether the index has to be filled anew."""
        return self._damaged

    @property
    def checked(self) -> bool:
        """As of :class:`FillsAnew`."""
        return not isinstance(self.index, BeginsAnew) or self.index.checked

    async def check(self) -> None:
        """As of :class:`FillsAnew`."""
        if isinstance(self.index, BeginsAnew) and not self._off:
            try:
                await self.index.check()
            except EngineError as error:
                self.failed(error)

    def failed(self, error: EngineError) -> None:
        """Note that the index has failed.

        A full disk damages nothing, though Tantivy also says then that its writer has ended. So
        what may be no damage counts as such when it fails again.
        """
        if self.problem is None:
            _log.error("lexical_index_failed", error=str(error))
        self.problem = str(error)
        self._failures = 0 if isinstance(error, BackendUnavailable) else self._failures + 1
        if isinstance(self.index, BeginsAnew) and (
            isinstance(error, IndexDamaged) or self._failures >= _FAILURES
        ):
            self._damaged = True

    async def fill_anew(self, rows: RowIndex, progress: Progress | None = None) -> None:
        """Fill a damaged index from the rows; rows may be written meanwhile.

        Afterwards :meth:`catch_up` has to be called while no row changes.

        Raises:
            EngineError: the rows cannot be read.
        """
        index = self.index
        if not self._damaged or self._filling or not isinstance(index, BeginsAnew):
            return
        self._filling = True
        reason = self.problem or "it was damaged"
        try:
            for in_memory in (False, True):
                try:
                    newest = await rows.last_seq()
                    total = await rows.count(Scope.all_users(), RowFilter())
                    await index.begin_anew(reason, in_memory=in_memory)
                    if in_memory and total > _ROWS_IN_MEMORY:
                        self._off = True
                    else:
                        await self._add_after(rows, -1, total, progress, newest)
                except EngineError as error:
                    if error.engine != index.name:
                        raise
                    _log.error("lexical_index_not_rebuilt", error=str(error))
                    self.problem = str(error)
                    continue
                break
            else:
                self._off = True
            self._damaged, self._failures = False, 0
        finally:
            self._filling = False
        if self._off:
            self.problem = f"no row is found by its words: {self.problem}"
        else:
            self._works()
            _log.warning("lexical_index_rebuilt", reason=reason, rows=await index.count())

    def _works(self) -> None:
        """Note that the index follows the rows, in its folder or in memory."""
        displaced = self.index.displaced if isinstance(self.index, BeginsAnew) else None
        self.problem, self._failures = None, 0
        if displaced is not None:
            self.problem = f"words are searched in memory until it is opened again: {displaced}"

    # Following the rows

    async def catch_up(self, rows: RowIndex, progress: Progress | None) -> Sequence[int]:
        """As of :class:`Projection`. It fails only if the rows cannot be read."""
        if self._filling:
            return ()
        for _ in range(_TRIES):
            await self.fill_anew(rows, progress)
            if self._off:
                return ()
            try:
                await self._follow(rows, progress)
            except EngineError as error:
                if error.engine != self.index.name or not isinstance(self.index, BeginsAnew):
                    raise
                self.failed(error)
                await self.check()
                if isinstance(error, BackendUnavailable):
                    break
            else:
                self._works()
                return ()
        return ()

    async def _follow(self, rows: RowIndex, progress: Progress | None) -> None:
        """Add the rows that the index lacks, and remove those that are gone.

        Raises:
            EngineError: it does not match the rows afterwards.
        """
        index = self.index
        await index.commit()
        total = await rows.count(Scope.all_users(), RowFilter())
        await self._add_after(rows, await index.last_seq(), total, progress)
        if await index.count() != total or not await self._holds_the_newest(rows):
            await self._mend(rows)

    async def _add_after(
        self,
        rows: RowIndex,
        seq: int,
        total: int,
        progress: Progress | None,
        newest: int | None = None,
    ) -> None:
        """Add the rows after ``seq``, but for those after ``newest``, which come by themselves."""
        index = self.index
        done, waiting = await index.count(), 0
        async for batch in rows.after(seq, list(LEXICAL_COLUMNS)):
            added = pa.Table.from_batches([batch])
            if newest is not None:
                added = added.filter(pc.less_equal(added.column("seq"), newest))
            index.add(added)
            done, waiting = done + batch.num_rows, waiting + batch.num_rows
            if waiting >= _ROWS_A_COMMIT:
                await index.commit()
                waiting = 0
            if progress is not None and batch.num_rows:
                progress("indexing text", min(done, total), total)
        await index.commit()

    async def _holds_the_newest(self, rows: RowIndex) -> bool:
        """Whether the newest row of the index still exists.

        Equal counts prove nothing where some rows were added and others deleted.
        """
        newest = await self.index.last_seq()
        return (
            newest < 0
            or (await rows.read(Scope.all_users(), RowFilter(), ["seq"], seqs=[newest])).num_rows
            >= 1
        )

    async def _mend(self, rows: RowIndex) -> None:
        """Compare both sets of ``seq``, and repair the difference.

        It comes from deleted or replaced rows that the index still has, or from rows that it lost.
        """
        index = self.index
        truth: Counter[int] = Counter()
        async for batch in rows.after(-1, ["seq"]):
            truth.update(batch.column("seq").to_pylist())
        held, times = np.unique(await index.seqs(), return_counts=True)
        index.remove([int(seq) for seq in held if int(seq) not in truth])
        too_often = [
            int(seq)
            for seq, number in zip(held, times, strict=True)
            if 0 < truth[int(seq)] < number
        ]
        lost = sorted(truth.keys() - set(held.tolist()))
        if lost or too_often:
            if isinstance(index, BeginsAnew):
                # It never loses a row by itself, so its files are not as it believes.
                raise self._out_of_step(f"it lacks {counted(len(lost), 'row')}, among newer ones")
            index.remove(too_often)
            lost.extend(too_often)
        for start in range(0, len(lost), _ROWS_A_COMMIT):
            part = lost[start : start + _ROWS_A_COMMIT]
            index.add(
                await rows.read(Scope.all_users(), RowFilter(), list(LEXICAL_COLUMNS), seqs=part)
            )
            await index.commit()
        await index.commit()
        count = await index.count()
        # Rows that share their seq may be one to the index.
        if not len(truth) <= count <= truth.total():
            raise self._out_of_step(
                f"it holds {count:,} of {counted(len(truth), 'row')} after a repair"
            )

    def _out_of_step(self, problem: str) -> IndexDamaged:
        return IndexDamaged(
            self.index.name,
            "follow the rows",
            problem,
            fix="Make the lexical index anew: it is derived from the rows.",
        )

    async def has_erasable(self) -> bool:
        """As of :class:`~bruno_memory_vec.writing.erasure.ErasingProjection`.

        That is what was removed while the last erasure was under way.
        """
        index = self.index
        return isinstance(index, DropsRemoved) and len(await index.beside_removed()) > 0

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
        # What was removed before this call is gone since the first pass. The rest is for the next.

    async def compare(self, facts: RowFacts, stood: Standing) -> Sequence[Problem]:
        """Check that the index has as many rows as there are, and none newer."""
        if self._off or (stood.count or 0) < 0:
            return [Problem("lexical", str(self.problem), _REOPEN)]
        if stood.count != facts.count:
            held = f"the lexical index holds {counted(stood.count or 0, 'row')} of {facts.count:,}"
            return [Problem("lexical", held, _REOPEN)]
        if stood.last_seq != facts.last_seq:
            held = (
                f"the newest row in the lexical index is seq {stood.last_seq}, and {facts.last_seq}"
            )
            return [Problem("lexical", f"{held} in the rows", _REOPEN)]
        return []

    async def health(self) -> dict[str, Any]:
        """As of the index."""
        report = await self.index.health()
        if self.problem is not None:
            report["problem"] = self.problem
        return report

    async def close(self) -> None:
        """Commit pending changes and close the index.

        A failure is logged: the rows are stored, and the next opening mends the index.
        """
        try:
            await self.index.close()
        except EngineError as error:
            _log.error("lexical_index_not_committed", error=str(error))
