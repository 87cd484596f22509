"""BM25 alone, vectors alone, and both by reciprocal rank fusion: an afternoon's work.

BM25 is bm25s, which is kept up, fast and needs numpy only (rank-bm25 saw its last release in
2022), set up as its read-me shows: the Snowball stemmer of PyStemmer, Lucene's formula with
k1 = 1.5 and b = 0.75. Of its two English stop lists it is the longer (NLTK's, which has the
question words): it finds more, and a baseline should be the best that the afternoon allows.
Vectors are a matrix a user and a dot product.
Fusion is RRF with k = 60 over the hundred best of each (Cormack, Clarke and Buettcher,
"Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods", 2009).

That tokenizer takes what stands between two spaces or punctuation marks for a word, so in Chinese
it finds next to nothing. `bm25_cjk` and `rrf_cjk` are the same with one line more: each run of
Han, kana or Hangul is handed to it as its characters and pairs of neighbours, and words of one
character count. On LifeBench in Chinese that finds more than jieba's `cut_for_search`, characters
alone or pairs alone (recall@10 .341 against .333, .299 and .320; as it comes, .013). Texts without
such characters are the same words but for those of one letter.

Each user has an index of their own, so no filter is needed and rare words are rare among
that user's texts. It is kept in memory: nothing is left in the folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.base import OneThread, RunEmbedder, batches, load, versions
from benchmarks.retrieval.datasets.base import Turn
from bruno_memory_vec.embedders import Embedder

_EXTRA = "peer-bm25"
_STOP_WORDS = "english_plus"
_POOL = 100
_RRF_K = 60
# bm25s's own pattern asks for two letters.
_ANY_LENGTH = r"(?u)\b\w+\b"
# Kana, Han of the basic planes, Hangul.
_UNSPACED = re.compile("[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")


class BM25:
    """Words only.

    Storing indexes the texts of the users it touches anew, so store everything in one call.

    Args:
        cjk: take Chinese, Japanese and Korean apart, into characters and pairs of neighbours.
    """

    def __init__(self, *, cjk: bool = False) -> None:
        self.name = "bm25_cjk" if cjk else "bm25"
        self._cjk = cjk
        self.settings: dict[str, Any] = {
            "bm25": "lucene, k1 1.5, b 0.75",
            "stop_words": _STOP_WORDS,
            "stemmer": "Snowball english",
        }
        if cjk:
            self.settings["words"] = "Han, kana and Hangul by characters and pairs"
        self.versions = versions("bm25s", "PyStemmer")
        self.counts: dict[str, int] = {}
        self.filters_time = False
        self._thread = OneThread()
        self._turns: dict[str, list[Turn]] = {}
        self._indexes: dict[str, Any] = {}
        self._bm25s: Any = None
        self._stemmer: Any = None

    async def open(self, folder: Path) -> None:
        """Load bm25s and the stemmer. The folder is not used.

        Raises:
            MissingDependencyError: one of them is not installed.
        """
        self._bm25s = load("bm25s", package="bm25s", extra=_EXTRA)
        stemmers = load("Stemmer", package="PyStemmer", extra=_EXTRA)
        self._stemmer = stemmers.Stemmer("english")

    async def store(self, turns: Sequence[Turn]) -> None:
        """Index the turns, each in its user's index."""
        await self._thread.run(self._index, turns)

    async def ask(
        self, text: str, user_id: str, k: int, now: datetime, until: datetime | None = None
    ) -> list[str]:
        """The ids of at most `k` turns that share a word with the question."""
        return await self._thread.run(self._best, text, user_id, k)

    async def close(self) -> None:
        """Drop the indexes."""
        self._indexes.clear()
        self._turns.clear()
        await self._thread.close()

    def _index(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            self._turns.setdefault(turn.user_id, []).append(turn)
        for user in {turn.user_id for turn in turns}:
            tokens = self._tokens([turn.content for turn in self._turns[user]])
            self._indexes.pop(user, None)
            if any(tokens):  # bm25s cannot index a corpus without a word
                index = self._bm25s.BM25()
                index.index(tokens, show_progress=False)
                self._indexes[user] = index

    def _best(self, text: str, user_id: str, k: int) -> list[str]:
        index = self._indexes.get(user_id)
        words = self._tokens([text])[0]
        if index is None or not words:
            return []
        scores = np.asarray(index.get_scores(words))
        turns = self._turns[user_id]
        return [turns[place].id for place in best_places(scores, k) if scores[place] > 0]

    def _tokens(self, texts: list[str]) -> list[list[str]]:
        more = {}
        if self._cjk:
            texts = [_UNSPACED.sub(_spaced, text) for text in texts]
            more["token_pattern"] = _ANY_LENGTH
        tokens: list[list[str]] = self._bm25s.tokenize(
            texts,
            stopwords=_STOP_WORDS,
            stemmer=self._stemmer,
            return_ids=False,
            show_progress=False,
            **more,
        )
        return tokens


class Vectors:
    """Meaning only, searched exactly."""

    name = "vectors"

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = RunEmbedder(embedder)
        self.settings: dict[str, Any] = {"embedder": self._embedder.about, "search": "exact"}
        self.versions = versions("numpy")
        self.counts: dict[str, int] = {}
        self.filters_time = False
        self._ids: dict[str, list[str]] = {}
        self._blocks: dict[str, list[NDArray[np.float32]]] = {}

    async def open(self, folder: Path) -> None:
        """Nothing to open; the folder is not used."""

    async def store(self, turns: Sequence[Turn]) -> None:
        """Embed the turns and keep their vectors by user."""
        for batch in batches(turns):
            vectors = await self._embedder.documents(batch)
            users = np.array([turn.user_id for turn in batch])
            for user in dict.fromkeys(users.tolist()):
                places = np.flatnonzero(users == user).tolist()
                self._ids.setdefault(user, []).extend(batch[place].id for place in places)
                self._blocks.setdefault(user, []).append(vectors[places])
        for user in {turn.user_id for turn in turns}:
            self._blocks[user] = [np.concatenate(self._blocks[user])]

    async def ask(
        self, text: str, user_id: str, k: int, now: datetime, until: datetime | None = None
    ) -> list[str]:
        """The ids of the `k` nearest turns."""
        query = await self._embedder.query(text)
        if user_id not in self._ids:
            return []
        (matrix,) = self._blocks[user_id]
        return [self._ids[user_id][place] for place in best_places(matrix @ query, k)]

    async def close(self) -> None:
        """Drop the vectors."""
        self._ids.clear()
        self._blocks.clear()


class RRF:
    """Both lists, fused by rank.

    Args:
        embedder: the run's embedder.
        cjk: as `BM25` has it.
    """

    def __init__(self, embedder: Embedder, *, cjk: bool = False) -> None:
        self.name = "rrf_cjk" if cjk else "rrf"
        self._words = BM25(cjk=cjk)
        self._vectors = Vectors(embedder)
        self.settings: dict[str, Any] = {
            **self._words.settings,
            **self._vectors.settings,
            "rrf_k": _RRF_K,
            "pool": _POOL,
        }
        self.versions = {**self._words.versions, **self._vectors.versions}
        self.counts: dict[str, int] = {}
        self.filters_time = False

    async def open(self, folder: Path) -> None:
        """As `BM25.open`.

        Raises:
            MissingDependencyError: bm25s or PyStemmer is not installed.
        """
        await self._words.open(folder)

    async def store(self, turns: Sequence[Turn]) -> None:
        """Index and embed the turns."""
        await self._words.store(turns)
        await self._vectors.store(turns)

    async def ask(
        self, text: str, user_id: str, k: int, now: datetime, until: datetime | None = None
    ) -> list[str]:
        """The ids of the `k` turns with the most of the two lists' ``1 / (60 + rank)``."""
        pool = max(_POOL, k)
        by_words = await self._words.ask(text, user_id, pool, now)
        by_vectors = await self._vectors.ask(text, user_id, pool, now)
        return reciprocal_rank_fusion((by_words, by_vectors))[:k]

    async def close(self) -> None:
        """Drop both."""
        await self._words.close()
        await self._vectors.close()


def bm25_cjk() -> BM25:
    """BM25 that takes Chinese, Japanese and Korean apart."""
    return BM25(cjk=True)


def rrf_cjk(embedder: Embedder) -> RRF:
    """`RRF` with `bm25_cjk`."""
    return RRF(embedder, cjk=True)


def best_places(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Places of the `k` highest scores, best first; equal scores in their order.

    Args:
        scores: shape (n,).
        k: how many; all of them where there are fewer.
    """
    return np.argsort(-scores, kind="stable")[:k]


def reciprocal_rank_fusion(lists: Iterable[Sequence[str]], k: int = _RRF_K) -> list[str]:
    """Ids by the sum of ``1 / (k + rank)`` over the lists, rank from 1, highest first."""
    sums: dict[str, float] = {}
    for ranked in lists:
        for rank, item in enumerate(ranked, start=1):
            sums[item] = sums.get(item, 0.0) + 1 / (k + rank)
    return sorted(sums, key=lambda item: -sums[item])


def _spaced(run: re.Match[str]) -> str:
    text = run.group()
    return " ".join(["", *text, *(text[at : at + 2] for at in range(len(text) - 1)), ""])
