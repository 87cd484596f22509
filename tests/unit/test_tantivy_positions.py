"""The positions of all rows of a lexical index are read in parts, however they are numbered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS, row_schema
from bruno_memory_vec.indexers.tantivy.index import TantivyIndex
from bruno_memory_vec.indexers.tantivy.positions import PART, positions
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.rows.models import message_row, to_table
from tests.knowledge.extraction.support import message


class Recording:
    """A searcher that notes how many rows each call was asked for, and how many it gave."""

    def __init__(self, searcher: Any) -> None:
        self._searcher = searcher
        self.asked: list[int] = []

    def search(self, query: Any, limit: int, **given: Any) -> Any:
        self.asked.append(limit)
        return self._searcher.search(query, limit, **given)

    def fast_field_values(self, field: str, addresses: list[Any]) -> Any:
        self.asked.append(len(addresses))
        return self._searcher.fast_field_values(field, addresses)


def rows(seqs: list[int]) -> pa.Table:
    row = message_row(message("the pool opens at nine"), "ana", "talk")
    numbered = [{**row, "seq": seq, "turn": place} for place, seq in enumerate(seqs)]
    vectors = np.zeros((len(seqs), 4), np.float32)
    return to_table(numbered, vectors, row_schema(4)).select(LEXICAL_COLUMNS)


@pytest.mark.parametrize(
    "seqs",
    [
        list(range(5 * PART + 3)),
        [0, 1, 10**6, 10**6 + 1, 3 * 10**7, 2**40],
        [*range(0, 10**7, 10**5), *range(2 * 10**7, 2 * 10**7 + 4 * PART)],
        [7],
    ],
    ids=["dense", "far apart", "sparse, then dense", "one"],
)
async def test_every_row_is_found_once_by_small_calls(tmp_path: Path, seqs: list[int]) -> None:
    index = TantivyIndex(tmp_path, analyser("english"))
    index.add(rows(seqs[: len(seqs) // 2]))
    await index.commit()
    index.add(rows(seqs[len(seqs) // 2 :]))
    index.remove(seqs[:1])
    await index.commit()
    searcher = Recording(index._index.searcher())
    found, segments = positions(searcher, index._schema, await index.last_seq())
    assert found.tolist() == sorted(seqs[1:])
    assert len(segments) == len(found)
    assert not searcher.asked or max(searcher.asked) <= 2 * PART
    assert (await index.seqs()).tolist() == sorted(seqs[1:])
    # The rest of what was removed: only its segment has to be written anew.
    beside = await index.beside_removed()
    assert set(beside.tolist()) <= set(seqs[1:])
    await index.close()
