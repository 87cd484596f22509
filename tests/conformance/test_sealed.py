"""Rows that are sealed before the engine has them are found, changed and read as others are."""

from __future__ import annotations

import pytest

from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex
from bruno_memory_vec.indexers.memory import MemoryIndex
from bruno_memory_vec.indexers.query import RowFilter
from bruno_memory_vec.indexers.reference import ReferenceIndex
from bruno_memory_vec.indexers.schema import COLUMNS, LOG, row_schema
from bruno_memory_vec.indexers.sealed.index import SealedIndex, SealedTextIndex
from bruno_memory_vec.indexers.sealed.rows import DIMENSION
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.store.keys.keyring import Keyring, has_keys
from bruno_memory_vec.store.keys.master import as_master
from bruno_memory_vec.testing import RowIndexConformance, SearchesTextConformance
from bruno_memory_vec.testing.engine_suite import ANA, ANY, EVERYONE, ROWS
from bruno_memory_vec.testing.rows import message

KEY = bytes(range(32))


class TestSealed(RowIndexConformance):
    """In front of rows in memory."""

    persistent = False

    async def make_index(self) -> SealedIndex:
        keys = Keyring.create(self.folder, as_master(KEY))
        return SealedIndex(MemoryIndex(DIMENSION), keys, self.dimension, analyser("english"))

    async def test_the_engine_has_no_name_no_word_and_no_vector(self, index: SealedIndex) -> None:
        held = await index.inner.read(EVERYONE, ANY, [*COLUMNS, "vector"])
        said = repr(held.to_pylist())
        for row in ROWS:
            assert row["content"] not in said
        for name in ("ana", "talk", "travel", "4711", "hotel"):
            assert f"'{name}'" not in said
        assert {tuple(one) for one in held.column("vector").to_pylist()} == {(0.0,)}

    async def test_a_row_of_a_destroyed_key_is_given_out_by_nobody(
        self, index: SealedIndex
    ) -> None:
        keys = index.keys
        assert isinstance(keys, Keyring)
        keys.destroy("ana")

        assert (await index.read(ANA, ANY, ["content"])).num_rows == 0
        assert (await index.read(EVERYONE, ANY, ["content"])).num_rows == 3
        assert index.unopened == {0, 1, 2, 3, 4, 5}

    async def test_a_row_under_another_place_does_not_open(self) -> None:
        inner = ReferenceIndex(DIMENSION)
        keys = Keyring.create(self.folder, as_master(KEY))
        index = SealedIndex(inner, keys, self.dimension, analyser("english"))
        await index.upsert(self.rows(message(0, "of Ana")), all_new=True)
        (row,) = inner._rows.values()
        row["turn"] = 5

        assert (await index.read(ANA, RowFilter(), ["content"])).num_rows == 0


@pytest.mark.slow
class TestSealedBehindALog(RowIndexConformance):
    """In front of the log and LanceDB."""

    async def make_index(self) -> SealedIndex:
        folder = self.folder / "rows"
        inner = await LanceIndex.open(str(folder), DIMENSION)
        logged = WriteAheadLogIndex(inner, folder / LOG, row_schema(DIMENSION))
        await logged.replay()
        make = Keyring.open if has_keys(self.folder) else Keyring.create
        keys = make(self.folder, as_master(KEY))
        return SealedIndex(logged, keys, self.dimension, analyser("english"))


class TestSealedText(SearchesTextConformance):
    """It finds words, too, in an index of all rows in memory."""

    async def make_index(self) -> SealedTextIndex:
        keys = Keyring.create(self.folder, as_master(KEY))
        return SealedTextIndex(MemoryIndex(DIMENSION), keys, self.dimension, analyser("english"))
