"""The physical limit: what reading one user's vectors and postings costs, and nothing else.

No engine that keeps vectors and postings, and searches both exactly, can answer in less than the
sum of the two:

* numpy: one contiguous float32 matrix of the user's vectors, already in memory; a product with the
  question's vector and the 100 highest by ``argpartition``. With BLAS on one thread and with its
  default; the limit takes the faster one.
* Tantivy: the question's terms, any of which may match, within the user; the 100 best and their
  row numbers. The terms are those that we search too (analysed, stop words dropped). Nothing
  is weighed by user, no phrases, no other filter.

Each is measured in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.scale.data import DIMENSION, Corpus
from benchmarks.timing import percentiles

Result = TypeVar("Result")

#: How many of each side are read: the candidates of our default profile.
POOL = 100
_ADDED_AT_ONCE = 10_000
_HEAP_BYTES = 256_000_000
_WARM_UP = 5
# What numpy's builds of BLAS look at, when they are loaded.
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def measure(corpus: Corpus, users: Sequence[str], *, questions: int = 200) -> dict[str, Any]:
    """The limit of recall over each of these users' rows.

    Args:
        corpus: its texts and vectors are read, and its questions asked.
        users: whose rows; each is asked all of the questions.
        questions: how many of the corpus's questions are asked.

    Returns:
        By user: ``rows``; ``numpy`` (faster of ``numpy_default`` and ``numpy_one_thread``) and
        ``tantivy``, each with percentiles in milliseconds; ``p50_ms`` and ``p95_ms``, their sums.
    """
    asked = corpus.questions[:questions]
    queries = np.stack([one.vector for one in asked])
    words = _alone(_tantivy_seconds, corpus, tuple(users), [one.text for one in asked])
    vectors = {user: vectors_of(corpus, user) for user in users}
    with _one_thread():
        single_seconds = _alone(_numpy_seconds, vectors, queries)
    default_seconds = _alone(_numpy_seconds, vectors, queries)
    limits = {}
    for user in users:
        single, default = percentiles(single_seconds[user]), percentiles(default_seconds[user])
        faster = min(single, default, key=lambda figures: figures["p50_ms"])
        lexical = percentiles(words[user])
        limits[user] = {
            "rows": len(vectors[user]),
            "numpy_one_thread": single,
            "numpy_default": default,
            "numpy": faster,
            "tantivy": lexical,
            **{p: round(faster[p] + lexical[p], 3) for p in ("p50_ms", "p95_ms")},
        }
    return limits


def vectors_of(corpus: Corpus, user: str) -> NDArray[np.float32]:
    """A user's vectors in the order of their rows, shape (n, dimension), contiguous."""
    rows = corpus.layout.rows_of(user)
    # Its conversations are ranges; neighbouring ones are read as one.
    ranges = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
    vectors = np.empty((len(rows), DIMENSION), np.float32)
    place = 0
    for one in ranges:
        vectors[place : place + len(one)] = corpus.vectors(int(one[0]), int(one[-1]) + 1)
        place += len(one)
    return vectors


def _numpy_seconds(
    vectors: Mapping[str, NDArray[np.float32]], queries: NDArray[np.float32]
) -> dict[str, list[float]]:
    seconds = {}
    for user, own in vectors.items():
        for query in queries[:_WARM_UP]:
            nearest(own, query)
        seconds[user] = [_timed(nearest, own, query) for query in queries]
    return seconds


def nearest(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.intp]:
    """The places of the `POOL` nearest vectors."""
    similarity = vectors @ query
    if len(similarity) <= POOL:
        return np.argsort(-similarity)
    return np.argpartition(similarity, -POOL)[-POOL:]


def _tantivy_seconds(
    corpus: Corpus, users: Sequence[str], questions: Sequence[str]
) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        index = Words(Path(folder))
        index.add_corpus(corpus)
        seconds = {}
        for user in users:
            for text in questions[:_WARM_UP]:
                index.best(text, user)
            seconds[user] = [_timed(index.best, text, user) for text in questions]
    return seconds


class Words:
    """A Tantivy index of rows, users and texts, and no more."""

    def __init__(self, folder: Path) -> None:
        import tantivy

        from bruno_memory_vec.indexers.text.analysis import analyser

        self._tantivy = tantivy
        self._analyser = analyser("english")
        builder = tantivy.SchemaBuilder()
        builder.add_integer_field("row", fast=True)
        builder.add_text_field("user", tokenizer_name="raw", index_option="basic")
        builder.add_text_field("text", tokenizer_name="words", index_option="freq")
        self._schema = builder.build()
        self._index = tantivy.Index(self._schema, str(folder))
        self._index.register_tokenizer("words", self._analyser.tokenizer)
        self._writer: Any = None

    def add(self, rows: Sequence[int], texts: Sequence[str], users: Sequence[str]) -> None:
        """Rows, to be found after the next `commit`."""
        if self._writer is None:
            self._writer = self._index.writer(heap_size=_HEAP_BYTES, num_threads=1)
        for row, text, user in zip(rows, texts, users, strict=True):
            document = {"row": row, "user": user, "text": self._analyser.prepare(text)}
            self._writer.add_document(self._tantivy.Document.from_dict(document, self._schema))

    def add_corpus(self, corpus: Corpus) -> None:
        """Every row of a corpus."""
        for start in range(0, corpus.rows, _ADDED_AT_ONCE):
            stop = min(start + _ADDED_AT_ONCE, corpus.rows)
            self.add(range(start, stop), corpus.texts(start, stop), corpus.users(start, stop))
        self.commit()

    def commit(self) -> None:
        """Let what was added be found."""
        if self._writer is not None:
            self._writer.commit()
            self._writer.wait_merging_threads()
            self._writer = None
        self._index.reload()

    def best(self, text: str, user: str | None) -> list[int]:
        """The numbers of the user's rows that answer best; None: of all rows."""
        make, occur = self._tantivy.Query, self._tantivy.Occur
        terms = dict.fromkeys(self._analyser.question(text, drop_stopwords=True))
        words = make.boolean_query(
            [(occur.Should, make.term_query(self._schema, "text", term, "freq")) for term in terms]
        )
        if user is not None:
            own = make.const_score_query(make.term_query(self._schema, "user", user, "basic"), 0.0)
            words = make.boolean_query([(occur.Must, words), (occur.Must, own)])
        searcher = self._index.searcher()
        hits = searcher.search(words, POOL, count=False).hits
        rows: Any = searcher.fast_field_values("row", [address for _, address in hits])
        found: list[int] = rows
        return found


def _timed(call: Callable[..., object], *arguments: Any) -> float:
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


def _alone(call: Callable[..., Result], *arguments: Any) -> Result:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as process:
        return process.submit(call, *arguments).result()


@contextmanager
def _one_thread() -> Iterator[None]:
    """BLAS on one thread, in processes that are started within."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
