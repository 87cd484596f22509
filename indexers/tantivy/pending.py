"""Rows that wait for Tantivy's next commit, searched in memory beside it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..columns import fulfilled
from ..query import Candidates, Condition
from ..schema import LEXICAL_COLUMNS, row_schema
from ..text.analysis import Analyser
from ..words.index import WordIndex
from ..words.snapshot_words import best

#: Rows to add, or the ``seq`` of rows to remove.
Change: TypeAlias = pa.Table | list[int]

# Of more waiting rows than this, one user's search makes the words of that user's rows only.
_MANY = 5_000
# Of a smaller share of the committed rows, what waits hardly changes their average length.
_FEW_BESIDE = 0.01
# Of so many users these are kept.
_MOST_USERS = 32
# Tables of one row each are joined when they are more.
_LOOSE_TABLES = 32
_NO_ROWS = pa.schema([row_schema(1).field(name) for name in LEXICAL_COLUMNS]).empty_table()


@dataclass(frozen=True, slots=True, eq=False)
class PendingRows:
    """What waits, of everyone or of one user.

    Attributes:
        table: rows (``LEXICAL_COLUMNS``), in the order in which they were added.
        index: their words.
        rows: bool (n,), which of them count: those of the user that are not removed by now.
        removed: ``seq`` of committed rows that are to be removed, or were added again.
    """

    table: pa.Table
    index: WordIndex
    rows: NDArray[np.bool_]
    removed: frozenset[int]

    @property
    def total(self) -> int:
        """How many rows count."""
        return int(np.count_nonzero(self.rows))

    def having(self, terms: Sequence[str]) -> dict[str, int]:
        """In how many of the rows that count each term stands; ``terms`` has each once."""
        counts = self.index.find(terms).having(len(terms), self.rows)
        return dict(zip(terms, counts.tolist(), strict=True))

    def search(
        self,
        weights: Mapping[str, float],
        pairs: Mapping[tuple[str, str], float],
        average: float | None,
        conditions: Sequence[Condition],
        limit: int,
    ) -> Candidates:
        """The best rows.

        Args:
            weights: of each term.
            pairs: the weight of each two adjacent terms, which are in ``weights``.
            average: everyone's average length; None for that of these rows.
            conditions: what a row fulfils.
            limit: at most so many.
        """
        number = {term: at for at, term in enumerate(weights)}
        found = self.index.find(
            list(weights), [(number[first], number[second]) for first, second in pairs]
        )
        weight = np.array([*weights.values(), *pairs.values()], np.float64)
        score, having = found.scores(weight, average or self.index.average, len(self.index))
        having &= self.rows
        if having.any():
            for asked in conditions:
                having &= fulfilled(self.table.column(asked.column), asked)
        rows, scores = best(np.flatnonzero(having), score[having], limit)
        taken = self.table.select(["seq", "conversation_id", "turn"]).take(pa.array(rows))
        turn = taken.column("turn").fill_null(-1).to_numpy()
        names = tuple(taken.column("conversation_id").to_pylist())
        return Candidates(taken.column("seq").to_numpy(), scores, names, turn)


class PendingChanges:
    """The changes that wait for a commit, in order.

    They are added, taken and confirmed on the event loop; any thread may search them.

    Args:
        analyser: makes the terms of rows.
    """

    def __init__(self, analyser: Analyser) -> None:
        self._analyser = analyser
        # Those that the commit under way has taken, and those behind them. Both are replaced at
        # once, so that a search in another thread never misses what moves from one to the other.
        self._parts: tuple[list[Change], list[Change]] = ([], [])
        self._gathering = Lock()
        self._gathered: _Gathered | None = None
        # Replaced, never cleared: searches in other threads may be changing it.
        self._users: OrderedDict[str, tuple[Change, int, PendingRows]] = OrderedDict()
        #: How many rows are to be added or removed.
        self.count = 0

    def add(self, change: Change) -> None:
        """Add one behind the others."""
        self._parts[1].append(change)
        self.count += len(change)

    def take(self) -> list[Change]:
        """All of them, for a commit; they are searched until :meth:`committed`."""
        taken, behind = self._parts
        self._parts = [*taken, *behind], []
        return self._parts[0]

    def committed(self) -> None:
        """Those that were taken are in the index, and found there."""
        taken, behind = self._parts
        self._parts = [], behind
        self.count -= sum(map(len, taken))
        self._users = OrderedDict()
        if not behind:
            self._gathered = None

    def failed(self) -> None:
        """Those that were taken wait again."""
        taken, behind = self._parts
        self._parts = [], [*taken, *behind]

    def clear(self) -> None:
        """Drop all of them."""
        self._parts, self.count, self._gathered = ([], []), 0, None
        self._users = OrderedDict()

    def lengths(self, committed: int) -> tuple[int, int]:
        """How many rows are to be added, and how many terms they have.

        (0, 0) where they are few beside those that are committed, or too many to look at.

        Args:
            committed: how many rows are.
        """
        taken, behind = self._parts
        added = sum(map(_added, [*taken, *behind]))
        if not added or added > _MANY or added < committed * _FEW_BESIDE:
            return 0, 0
        rows = self.rows(None)
        return (0, 0) if rows is None else (len(rows.index), rows.index.tokens)

    def rows(self, user_id: str | None) -> PendingRows | None:
        """What waits, of a user or, for None, of everyone; None where nothing waits.

        This blocks for some 25 microseconds for each row that was added since the last call.
        """
        taken, behind = self._parts
        changes = [*taken, *behind]
        if not changes:
            return None
        if user_id is not None and sum(map(_added, changes)) > _MANY:
            return self._of_user(user_id, changes)
        with self._gathering:
            gathered = self._gathered
            if gathered is None or not gathered.continues(changes):
                gathered = _Gathered()
            self._gathered = gathered = gathered.with_changes(changes, self._analyser)
        return gathered.of(user_id)

    def _of_user(self, user_id: str, changes: list[Change]) -> PendingRows:
        users = self._users
        newest, count, rows = users.get(user_id, (None, 0, None))
        if rows is not None and newest is changes[-1] and count == len(changes):
            return rows
        asked = Condition("user_id", "in", (user_id,))
        own = [
            change
            if isinstance(change, list)
            else change.filter(pa.array(fulfilled(change.column("user_id"), asked)))
            for change in changes
        ]
        found = _Gathered().with_changes(own, self._analyser).of(user_id)
        users[user_id] = changes[-1], len(changes), found
        while len(users) > _MOST_USERS:
            users.popitem(last=False)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Gathered:
    """Changes as one table with its words; with more changes another one is made of it.

    Attributes:
        changes: those that are in it.
        tables: their rows.
        index: the words of these rows.
        seq: int64 (n,), of each row.
        removed: ``seq`` of committed rows that are removed.
        gone: bool (n,), whether a later change removes the row.
    """

    changes: tuple[Change, ...] = ()
    tables: tuple[pa.Table, ...] = ()
    index: WordIndex = field(default_factory=WordIndex.empty)
    seq: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    removed: frozenset[int] = frozenset()
    gone: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    # Those of the users that were asked for.
    _of: dict[str | None, PendingRows] = field(default_factory=dict)

    def continues(self, changes: Sequence[Change]) -> bool:
        """Whether ``changes`` begin with those that are here."""
        count = len(self.changes)
        return count <= len(changes) and (not count or changes[0] is self.changes[0])

    def with_changes(self, changes: Sequence[Change], analyser: Analyser) -> _Gathered:
        """The same with more changes; ``changes`` are all of them."""
        new = changes[len(self.changes) :]
        if not new:
            return self
        tables, removed, seq, gone = list(self.tables), set(self.removed), self.seq, self.gone
        added: list[pa.Table] = []
        for change in new:
            if not isinstance(change, list):
                added.append(change)
                seq = np.concatenate([seq, change.column("seq").to_numpy()])
                gone = np.concatenate([gone, np.zeros(change.num_rows, np.bool_)])
            elif change:
                removed.update(change)
                gone = gone | np.isin(seq, change)
        texts = [text for table in added for text in table.column("content").to_pylist()]
        index = self.index.extended(texts, analyser) if texts else self.index
        tables += added
        if len(tables) > _LOOSE_TABLES:
            tables = [pa.concat_tables(tables).combine_chunks()]
        return _Gathered(tuple(changes), tuple(tables), index, seq, frozenset(removed), gone)

    def of(self, user_id: str | None) -> PendingRows:
        """The rows of a user, or of everyone; the same object at each call."""
        found = self._of.get(user_id)
        if found is None:
            found = self._of[user_id] = self._of_anew(user_id)
        return found

    def _of_anew(self, user_id: str | None) -> PendingRows:
        table, rows = pa.concat_tables(self.tables) if self.tables else _NO_ROWS, ~self.gone
        if user_id is not None and len(rows):
            rows &= fulfilled(table.column("user_id"), Condition("user_id", "in", (user_id,)))
        return PendingRows(table, self.index, rows, self.removed)


def _added(change: Change) -> int:
    return 0 if isinstance(change, list) else int(change.num_rows)
