"""The vectors that a corpus brings with it, as an embedder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.scale.data import CHUNK, DIMENSION, Corpus
from bruno_memory_vec.embedders import EmbedKind, Fingerprint
from bruno_memory_vec.errors import EmbeddingError


class GivenEmbedder:
    """Looks texts up, so that embedding costs next to nothing.

    It keeps 16 bytes a row in memory, and the questions with their vectors.

    Args:
        corpora: whose texts and questions it knows.
        documents: whether it knows the texts too, or the questions alone.
    """

    def __init__(self, corpora: Sequence[Corpus], *, documents: bool = True) -> None:
        self._corpora = list(corpora)
        self._questions = {q.text: q.vector for corpus in corpora for q in corpus.questions}
        # The same for every corpus: one store may hold texts of several.
        self._fingerprint = Fingerprint(name="given", version="1", dimension=DIMENSION)
        known = [_keys(corpus) for corpus in corpora] if documents else []
        keys = np.concatenate([*known, np.empty(0, np.uint64)])
        places = [np.arange(len(one)) for one in known]
        origin = [np.full(len(one), place) for place, one in enumerate(known)]
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._row = np.concatenate([*places, np.empty(0, np.int64)])[order].astype(np.int32)
        self._corpus = np.concatenate([*origin, np.empty(0, np.int64)])[order].astype(np.int8)

    @property
    def fingerprint(self) -> Fingerprint:
        """Name "given", `DIMENSION` dimensions."""
        return self._fingerprint

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> NDArray[np.float32]:
        """The vectors of texts that a corpus has, float32 (len(texts), DIMENSION).

        Raises:
            EmbeddingError: no corpus has a text.
        """
        out = np.empty((len(texts), DIMENSION), np.float32)
        for row, text in zip(out, texts, strict=True):
            row[:] = self._question(text) if kind == "query" else self._document(text)
        return out

    def _question(self, text: str) -> NDArray[np.float32]:
        found = self._questions.get(text)
        return self._document(text) if found is None else found

    def _document(self, text: str) -> NDArray[np.float32]:
        key = _key(text)
        place = int(np.searchsorted(self._keys, key))
        if place == len(self._keys) or self._keys[place] != key:
            raise EmbeddingError(
                f"no corpus has the text {text[:60]!r}", fix="Ask one of the corpus' questions."
            )
        row = int(self._row[place])
        found: NDArray[np.float32] = self._corpora[self._corpus[place]].vectors(row, row + 1)[0]
        return found


def _key(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))


def _keys(corpus: Corpus) -> NDArray[np.uint64]:
    keys = np.empty(corpus.rows, np.uint64)
    for start in range(0, corpus.rows, CHUNK):
        stop = min(start + CHUNK, corpus.rows)
        keys[start:stop] = [_key(text) for text in corpus.texts(start, stop)]
    return keys
