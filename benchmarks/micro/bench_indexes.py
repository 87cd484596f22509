"""LanceDB and Tantivy through their classes: 10,000 rows of ten users."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.micro import data
from benchmarks.micro.conftest import Run
from bruno_memory_vec.embedders import StaticEmbedder
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, LEXICAL_COLUMNS
from bruno_memory_vec.indexers.tantivy.index import TantivyIndex
from bruno_memory_vec.indexers.text.analysis import analyser

ONE = Scope.user(data.user(0))
EVERYONE = Scope.all_users()
ANY = RowFilter()
_ROUNDS = 40


@pytest.fixture(scope="module")
def rows(texts: list[str], vectors: NDArray[np.float32]) -> pa.Table:
    return data.rows(texts, vectors)


@pytest.fixture(scope="module")
def lance(run: Run, rows: pa.Table, tmp_path_factory: Any) -> Iterator[LanceIndex]:
    """Read only: what is written would be in the way of the next."""
    index = run(_filled(tmp_path_factory.mktemp("lance"), rows))
    yield index
    run(index.close())


async def _filled(folder: Path, rows: pa.Table) -> LanceIndex:
    index = await LanceIndex.open(str(folder), rows.schema.field("vector").type.list_size)
    await index.upsert(rows, all_new=True)
    await index.maintain()
    return index


@pytest.fixture(scope="module")
def tantivy(run: Run, rows: pa.Table, tmp_path_factory: Any) -> Iterator[TantivyIndex]:
    index = TantivyIndex(tmp_path_factory.mktemp("tantivy"), analyser("english"))
    index.add(rows.select(list(LEXICAL_COLUMNS)))
    run(index.commit())
    yield index
    run(index.close())


def _fresh(texts: list[str], vectors: NDArray[np.float32], many: int) -> Callable[[], pa.Table]:
    """Makes tables of ``many`` rows that no table before has held."""
    first = count(data.ROWS, many)
    return lambda: data.rows(texts[:many], vectors[:many], next(first))


@pytest.mark.parametrize("scope", [ONE, EVERYONE], ids=["one user", "all users"])
def test_vector_search(
    benchmark: BenchmarkFixture, run: Run, lance: LanceIndex, scope: Scope
) -> None:
    """The nearest 100, exactly."""
    benchmark.group = "lancedb, read"
    vector = StaticEmbedder().embed([data.QUESTION])[0]
    found = benchmark(lambda: run(lance.search(vector, scope, ANY, 100)))
    assert len(found) == 100


def test_around(benchmark: BenchmarkFixture, run: Run, lance: LanceIndex) -> None:
    """150 candidates and the turns around 20 of them, as a recall reads them."""
    benchmark.group = "lancedb, read"
    columns = list(COLUMNS)
    seqs = list(range(0, 900, 6))
    places = {
        f"{ONE.user_id}-{number % 18}": [turn + number // 18 * 20 for turn in (3, 4, 5, 6, 7)]
        for number in range(20)
    }
    found = benchmark(lambda: run(lance.read(ONE, ANY, columns, seqs=seqs, turns=places)))
    assert found.num_rows > 200


def test_fetch(benchmark: BenchmarkFixture, run: Run, lance: LanceIndex) -> None:
    """Ten whole rows."""
    benchmark.group = "lancedb, read"
    seqs = list(range(5, 1000, 100))
    found = benchmark(lambda: run(lance.read(ONE, ANY, COLUMNS, seqs=seqs)))
    assert found.num_rows == 10


@pytest.mark.parametrize("many", [1, 100])
@pytest.mark.parametrize("how", ["append", "replace"])
def test_write(
    benchmark: BenchmarkFixture,
    run: Run,
    texts: list[str],
    vectors: NDArray[np.float32],
    rows: pa.Table,
    tmp_path: Path,
    how: str,
    many: int,
) -> None:
    """As one commit, of rows whose keys are new."""
    benchmark.group = f"lancedb, {how}"
    index = run(_filled(tmp_path, rows))
    fresh = _fresh(texts, vectors, many)
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda table: run(index.upsert(table, all_new=how == "append")),
        setup=lambda: ((fresh(),), {}),
        rounds=_ROUNDS,
    )
    written = run(index.count(EVERYONE, ANY)) - data.ROWS
    run(index.close())
    assert written > 0
    assert written % many == 0


@pytest.mark.parametrize("scope", [ONE, EVERYONE], ids=["one user", "all users"])
@pytest.mark.parametrize("phrases", [0.0, 0.3], ids=["words", "words and phrases"])
def test_word_search(
    benchmark: BenchmarkFixture, tantivy: TantivyIndex, scope: Scope, phrases: float
) -> None:
    """The best 100 by BM25."""
    benchmark.group = "tantivy, search"
    query = LexicalQuery(data.QUESTION, phrase_weight=phrases)
    found = benchmark(lambda: tantivy.search(query, scope, ANY, 100))
    assert len(found) > 10


@pytest.mark.parametrize("many", [1, 100])
def test_commit(
    benchmark: BenchmarkFixture,
    run: Run,
    texts: list[str],
    vectors: NDArray[np.float32],
    rows: pa.Table,
    tmp_path: Path,
    many: int,
) -> None:
    """Rows are added, made durable and made searchable."""
    benchmark.group = "tantivy, commit"
    index = TantivyIndex(tmp_path, analyser("english"))
    index.add(rows.select(list(LEXICAL_COLUMNS)))
    run(index.commit())
    fresh = _fresh(texts, vectors, many)

    def add() -> None:
        index.add(fresh().select(list(LEXICAL_COLUMNS)))

    benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: run(index.commit()), setup=add, rounds=_ROUNDS
    )
    written = run(index.count()) - data.ROWS
    run(index.close())
    assert written > 0
    assert written % many == 0
