"""Tantivy passes the suite as it is, in a folder and in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bruno_memory_vec.errors import BackendUnavailable, EngineError, IndexDamaged
from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter
from bruno_memory_vec.indexers.tantivy.index import TantivyIndex, TantivyReader
from bruno_memory_vec.indexers.tantivy.keyed import KeyedTantivyIndex
from bruno_memory_vec.store.keys.keyring import Keyring, has_keys
from bruno_memory_vec.store.keys.master import as_master
from bruno_memory_vec.testing import LexicalIndexConformance
from bruno_memory_vec.testing.engine_suite import ANA, ANY
from bruno_memory_vec.testing.rows import START, message


class TestTantivy(LexicalIndexConformance):
    async def make_index(self) -> TantivyIndex:
        return TantivyIndex(self.folder, self.analyser)

    async def test_a_second_writer_is_refused(self, index: TantivyIndex) -> None:
        with pytest.raises(BackendUnavailable, match="tantivy failed to open"):
            TantivyIndex(self.folder, self.analyser)

    async def test_a_damaged_index_is_named(self, index: TantivyIndex) -> None:
        await index.close()
        (self.folder / "meta.json").write_text("{not json", encoding="utf-8")
        with pytest.raises(IndexDamaged, match="rebuilds the index"):
            TantivyIndex(self.folder, self.analyser)

    async def test_a_reader_sees_commits_after_a_refresh(self, index: TantivyIndex) -> None:
        reader = TantivyReader(self.folder, self.analyser)
        index.add(self.lexical_rows(message(70, "unheard of")))
        await index.commit()
        assert len(reader.search(LexicalQuery("unheard"), ANA, ANY, 5)) == 0
        await reader.refresh()
        assert len(reader.search(LexicalQuery("unheard"), ANA, ANY, 5)) == 1
        await reader.close()

    async def test_a_row_that_expires_comes_while_the_first_search_looks_for_one(self) -> None:
        index = TantivyIndex(None, self.analyser)
        index.add(self.lexical_rows(message(1)))
        await index.commit()
        looked = index._query.some_have

        def look(column: str, searcher: Any) -> bool:
            found = looked(column, searcher)
            if column == "expires_at":
                index.add(self.lexical_rows(message(70, "unheard of", expires_at=START)))
            return found

        index._query.some_have = look  # type: ignore[method-assign]
        alive = RowFilter(alive_at=START + timedelta(days=1))
        assert len(index.search(LexicalQuery("unheard"), ANA, alive, 5)) == 0
        await index.commit()
        assert len(index.search(LexicalQuery("unheard"), ANA, ANY, 5)) == 1
        assert len(index.search(LexicalQuery("unheard"), ANA, alive, 5)) == 0
        await index.close()

    async def test_a_reader_takes_no_changes(self, index: TantivyIndex) -> None:
        reader = TantivyReader(self.folder, self.analyser)
        reader.add(self.lexical_rows(message(70)))
        with pytest.raises(EngineError, match="Open it to write"):
            await reader.commit()
        await reader.close()


class TestTantivyInMemory(LexicalIndexConformance):
    persistent = False

    async def make_index(self) -> TantivyIndex:
        return TantivyIndex(None, self.analyser)


class TestKeyed(LexicalIndexConformance):
    """Of an encrypted store: terms and ids are hashed, all else is sealed."""

    async def make_index(self) -> KeyedTantivyIndex:
        make = Keyring.open if has_keys(self.folder) else Keyring.create
        (self.folder / "index").mkdir(exist_ok=True)
        return KeyedTantivyIndex(
            self.folder / "index", self.analyser, make(self.folder, as_master(bytes(range(32))))
        )
