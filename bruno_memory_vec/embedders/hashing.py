"""Feature hashing: for tests, the same vectors everywhere, without a model or a download."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import EmbedKind, Fingerprint
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.aio import yielding_gil

_WORD = re.compile(r"\w+")
# A text has about five times as many trigrams as words. With this weight, all trigrams together
# count about as much as the words: "camping" and "camped" are similar, and equal words more so.
_TRIGRAM_WEIGHT = 0.4


class HashEmbedder:
    """Feature hashing of lower-case words and character trigrams.

    Texts that share words or parts of words are similar; synonyms are not. Each
    feature adds its weight, with a sign, to one component, both taken from a BLAKE2b
    hash (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009).

    Args:
        dimension: length of a vector, at least 1.

    Raises:
        InvalidInputError: the dimension is below 1.
    """

    light = True

    def __init__(self, dimension: int = 64) -> None:
        if dimension < 1:
            raise InvalidInputError("dimension", f"got {dimension}", fix="Give at least 1.")
        self._fingerprint = Fingerprint(name="hash", version="1", dimension=dimension)

    @property
    def fingerprint(self) -> Fingerprint:
        """Name "hash", and the dimension."""
        return self._fingerprint

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> NDArray[np.float32]:
        """One unit vector a text; zeros for a text of white space only.

        Returns:
            Shape (len(texts), dimension), float32.
        """
        dimension = self._fingerprint.dimension
        out = np.zeros((len(texts), dimension), dtype=np.float32)
        # Pure Python holds the interpreter lock, and would block the event loop.
        for row, text in yielding_gil(zip(out, texts, strict=True), 8):
            for feature, weight in _features(text.lower()):
                number = _hash(feature)
                row[(number >> 1) % dimension] += weight if number & 1 else -weight
            if not row.any() and text.strip():
                row[0] = 1.0  # all features cancelled out, as may happen in few dimensions
        norms = np.linalg.norm(out, axis=1, keepdims=True)
        np.divide(out, norms, out=out, where=norms > 0)
        return out


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in _WORD.findall(text):
        yield f"w:{word}", 1.0
    for part in text.split():
        padded = f" {part} "
        for start in range(len(padded) - 2):
            yield f"t:{padded[start : start + 3]}", _TRIGRAM_WEIGHT


@lru_cache(maxsize=65_536)
def _hash(feature: str) -> int:
    # surrogatepass, because tests also use lone surrogates.
    data = feature.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
