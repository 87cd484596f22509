"""The log in front of LanceDB against the oracle, flushed, killed and read at any moment."""

from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import initialize, invariant, rule

from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, LOG, row_schema
from tests.congruence.test_stateful import DIMENSION, Engines, TestEngines, same_rows


class Logged(Engines):
    """Every rule of the engines, with the log in front."""

    @initialize()
    def open(self) -> None:
        super().open()
        self.run(self.rows.close())
        self.rows = self.open_logged()
        self.reader = self.open_logged(read_only=True)

    def open_logged(self, *, read_only: bool = False) -> WriteAheadLogIndex:
        folder = self.folder / "rows"
        inner = self.run(LanceIndex.open(str(folder), DIMENSION, read_only=read_only))
        index = WriteAheadLogIndex(inner, folder / LOG, row_schema(DIMENSION), read_only=read_only)
        self.run(index.replay())
        return index

    def close(self) -> None:
        self.run(self.reader.close())
        super().close()

    @rule()
    def flush(self) -> None:
        self.run(self.rows.flush())

    @rule()
    def killed(self) -> None:
        """What the process had in memory is gone."""
        self.rows._memtables._log.rotate()
        self.run(self.rows.inner.close())
        self.rows = self.open_logged()

    @invariant()
    def the_reader_sees_every_row_once(self) -> None:
        if hasattr(self, "reader"):
            everything = (Scope.all_users(), RowFilter())
            wanted = self.run(self.oracle.read(*everything, COLUMNS))
            same_rows(self.run(self.reader.read(*everything, COLUMNS)), wanted)
            assert self.run(self.reader.count(*everything)) == wanted.num_rows


TestLogged = Logged.TestCase
TestLogged.settings = settings(TestEngines.settings)
del TestEngines
